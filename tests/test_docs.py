"""Documentation that cannot rot: what the code offers is in docs/, and what docs/ quotes is in the code."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.config import settings
from tests.documented import DOCUMENTS

ROOT = Path(__file__).parent.parent
CONTRACTS = (ROOT / "docs/contracts.md").read_text()
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text()


def commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield name, parser
    for group in groups:
        for word, below in group.choices.items():
            yield from commands(below, f"{name} {word}")


COMMANDS = dict(commands(cli._parser(), "beam-pcc"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_contracts(name: str) -> None:
    assert f"`{name}`" in CONTRACTS
    for action in COMMANDS[name]._actions:
        for option in action.option_strings:
            if option.startswith("--"):
                assert f"`{option}`" in CONTRACTS, option


@pytest.mark.parametrize("variable", settings.environment_variables())
def test_every_environment_variable_is_in_the_contracts(variable: str) -> None:
    assert f"| `{variable}` |" in CONTRACTS


def test_the_environment_is_read_only_where_it_is_listed() -> None:
    for file in (ROOT / "beam_pcc").rglob("*.py"):
        if file.name == "terminal.py" or file.match("config/threads.py"):
            read = set(re.findall(r'environment\.get\("(\w+)"', file.read_text()))
            assert read
            assert read <= settings.environment_variables().keys()
        elif file.name != "settings.py":
            assert not re.search(r"os\.environ|getenv", file.read_text()), file


@pytest.mark.parametrize("table", schemas.TABLES)
def test_every_table_and_column_is_in_the_contracts(table: str) -> None:
    assert f"`{table}`" in CONTRACTS
    for column in schemas.TABLES[table].names:
        assert re.search(rf"\b{column}\b", CONTRACTS), column


def texts() -> Iterator[str]:
    """Every text in beam_pcc, with … where something varies."""
    for file in (ROOT / "beam_pcc").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def quoted() -> Iterator[str]:
    """The words in the first column of each table in troubleshooting.md."""
    for row in re.findall(r"^\| (.*)$", TROUBLESHOOTING, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", re.split(r"(?<!\\)\|", row)[0])


def test_each_quoted_message_is_in_the_code() -> None:
    code = "\n".join(" ".join(text.split()) for text in texts())
    for words in quoted():
        for fixed in words.split("…"):
            assert fixed.strip(" :;,'()") in code, words
    assert len(list(quoted())) > 60


def anchors(document: Path) -> set[str]:
    """What its headings may be linked by: GitHub drops punctuation and joins words with hyphens."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", document.read_text()):
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_the_readme_shows_the_summary_as_it_is() -> None:
    from beam_pcc.reporting.summary import summary

    assert summary.__doc__
    text = (ROOT / "README.md").read_text()
    for label in ("cases", "PC", "NOT_PC", "review", "rejected", "model", "drift", "seconds", "run", "tables", "look"):
        assert re.search(rf"^      {label} ", text, re.MULTILINE), label
