"""Parses PowerShell with its tree-sitter grammar and prints each syntax error. Run by the linters' Python.

No package registry carries PowerShell itself: what the script would do is compared with the Bash one as text instead.
"""

import sys
from pathlib import Path

import tree_sitter
import tree_sitter_powershell


def wrong(node: tree_sitter.Node) -> list[str]:
    errors = []
    if node.is_error or node.is_missing:
        text = (node.text or b"").decode()[:60]
        errors.append(f"line {node.start_point[0] + 1}: {'missing ' + node.type if node.is_missing else text!r}")
    for below in node.children:
        errors += wrong(below)
    return errors


if __name__ == "__main__":
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    problems = [words for name in sys.argv[1:] for words in wrong(parser.parse(Path(name).read_bytes()).root_node)]
    print("\n".join(problems))
    sys.exit(bool(problems))
