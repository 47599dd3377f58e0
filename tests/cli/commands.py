"""Every command of the command line, with its parser."""

import argparse
from collections.abc import Iterator

from beam_pcc.cli import main as cli


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands directly below a parser, by their first name."""
    actions = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    by_parser = {id(below): (name, below) for name, below in reversed(actions[0].choices.items())} if actions else {}
    return dict(reversed(by_parser.values()))


def all_commands(
    parser: argparse.ArgumentParser, *words: str
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """The parser itself, and every group and command below it, by the words that call it."""
    yield words, parser
    for word, below in subcommands(parser).items():
        yield from all_commands(below, *words, word)


COMMANDS = dict(all_commands(cli._parser()))
LEAVES = {words: parser for words, parser in COMMANDS.items() if not subcommands(parser)}
