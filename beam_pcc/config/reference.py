"""The settings of a run as a table for the documentation: `python -m beam_pcc.config.reference docs/contracts.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from beam_pcc.config.options import Option, options_of
from beam_pcc.config.settings import GROUPS, environment_variables

_MARKS = {
    "settings": ("<!-- settings of a run: made by make reference -->\n", "<!-- end of the settings -->\n"),
    "variables": ("<!-- variables: made by make reference -->\n", "<!-- end of the variables -->\n"),
}


def settings_table() -> str:
    """Markdown: every setting of a run, in its groups."""
    lines = ["| option | meaning | default |", "|---|---|---|"]
    for group in GROUPS:
        lines.append(f"| **{group.title}** | | |")
        lines += [_line(one) for one in options_of(group)]
    return "\n".join(lines) + "\n"


def variables_table() -> str:
    """Markdown: every environment variable that is read."""
    lines = ["| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {_escaped(text)} |" for name, text in environment_variables().items()]
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The page with both tables updated. Raises ValueError if it lacks the markers of a table."""
    for name, table in (("settings", settings_table()), ("variables", variables_table())):
        start, end = _MARKS[name]
        before, has_start, rest = text.partition(start)
        _, has_end, after = rest.partition(end)
        if not (has_start and has_end):
            raise ValueError(f"the page has no place for the {name}: {start.strip()} ... {end.strip()}")
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def _line(one: Option) -> str:
    return f"| `--{one.flag}` | {_escaped(one.help)} | {_escaped(one.default_text)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
