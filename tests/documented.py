"""The commands that the documents show: the blocks of shell lines, and each command in them as words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.checkout import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@dataclass(frozen=True)
class Block:
    """Indented or fenced lines, without their indentation. `line` is the number of the first."""

    document: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def first_word(self) -> str:
        return self.text.split()[0] if self.text.split() else ""


def blocks(document: Path) -> Iterator[Block]:
    """Every indented block, and those fenced as bash or sh."""
    lines = document.read_text().splitlines()
    number = 0
    while number < len(lines):
        if fence := re.match(r"\s*```(\w*)", lines[number]):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == "```")
            if fence[1] in ("bash", "sh"):
                yield _block(document, number + 1, lines[number + 1 : end])
            number = end + 1
        elif re.match(r" {4,}\S", lines[number]) and (number == 0 or not lines[number - 1].strip()):
            end = number
            while end < len(lines) and (re.match(r" {4,}\S", lines[end]) or not lines[end].strip()):
                end += 1
            yield _block(document, number, lines[number:end])
            number = end
        else:
            number += 1


def _block(document: Path, first: int, lines: list[str]) -> Block:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return Block(document, first + 1, "\n".join(line[indent:] for line in lines).rstrip())


_OPERATORS = {"&&", "||", "|", ";", "do", "then", "done", "{", "}", "(", ")"}
_ASSIGNMENT = re.compile(r"^\w+=")


def statements(text: str) -> Iterator[list[str]]:
    """The words of each simple command, without assignments before it and redirections behind it."""
    pending = ""
    for line in text.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            lexer = shlex.shlex(pending, posix=True, punctuation_chars="&|;(){}>")
            lexer.whitespace_split = True
            words = list(lexer)
        except ValueError:
            continue  # a quotation goes on in the next line
        pending = ""
        command: list[str] = []
        remaining = iter([*words, ";"])
        for word in remaining:
            if word in (">", ">>"):
                next(remaining)  # the file
            elif word in _OPERATORS:
                while command and _ASSIGNMENT.match(command[0]):
                    command.pop(0)
                if command:
                    yield command
                command = []
            else:
                command.append(word)
    assert not pending, f"a quotation does not end: {pending}"


def inline(document: Path) -> Iterator[str]:
    """The commands of beam-pcc in the running text and in tables, as written."""
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", document.read_text()):
        if re.match(r"(\.venv/bin/)?beam-pcc \w", span):
            yield span.replace("\\|", "|")
