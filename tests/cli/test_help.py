"""Each --help shows an example, and the example is a call that works."""

import argparse
import re
import shlex

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.cli.words import checked
from tests.cli.commands import COMMANDS


def example(parser: argparse.ArgumentParser) -> list[str]:
    """The words of the example in a help, joined over the lines that it has."""
    text = parser.format_help()
    match = re.search(r"^example:\n  (.+)$", text, re.MULTILINE)
    assert match, text
    return shlex.split(match[1])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_example_of_each_help_parses(words: tuple[str, ...]) -> None:
    program, *arguments = example(COMMANDS[words])

    assert program == "beam-pcc"
    assert arguments[: len(words)] == list(words)
    parser = cli._parser(arguments)
    flags, rest = parser.parse_known_args(checked(parser, arguments))
    assert callable(flags.action)
    assert rest == []


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_describes_every_flag(words: tuple[str, ...]) -> None:
    text = COMMANDS[words].format_help()

    assert all(action.help for action in COMMANDS[words]._actions if action.option_strings), words
    assert "%(" not in text
