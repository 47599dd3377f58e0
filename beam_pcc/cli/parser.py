"""Parsers of the subcommands. The other modules declare one group of commands each, and import heavy packages late."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from beam_pcc import terminal
from beam_pcc.cli.logging_flags import add_logging_arguments
from beam_pcc.errors import EXIT_USAGE

EXIT_CODES = """exit codes:
  0  published, or the partition is empty
  1  the run failed, or Ctrl-C or SIGTERM stopped it
  2  wrong usage or configuration, found before any work started
  3  the audits refused to publish; what was published before stays
  4  on Kubernetes: lost sight of the run, which may go on; submit --wait --attach follows it"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with one-line errors."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        terminal.complain(f"beam-pcc: {message}; see {self.prog} --help")
        self.exit(EXIT_USAGE)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def group(commands: Commands, name: str, text: str, *, example: str) -> Commands:
    """Add a command with subcommands; `example` is a call of one of them, without `beam-pcc NAME`."""
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog(example),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")


def command(
    commands: Commands,
    name: str,
    text: str,
    action: Callable[[argparse.Namespace], int],
    *,
    example: str,
    beam: bool = False,
    notes: str | None = None,
    aliases: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: Where to add it.
        name: Its name.
        text: One line about it.
        action: What runs it.
        example: The arguments of a typical call, for its help.
        beam: Whether Beam's flags are taken too.
        notes: Printed below its help.
        aliases: Other names.
    """
    if beam:
        notes = f"Beam's own options, such as --runner, are taken too.\n\n{notes or EXIT_CODES}"
    parser = commands.add_parser(
        name,
        aliases=aliases,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog(example, notes),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_logging_arguments(parser)
    parser.set_defaults(action=action, takes_beam_options=beam)
    return parser


def epilog(example: str, notes: str | None = None) -> str:
    """The text below a help: an example, whose command argparse fills in, and notes."""
    text = f"example:\n  %(prog)s {example.replace('%', '%%')}".rstrip()
    return f"{text}\n\n{notes.replace('%', '%%')}" if notes else text


def called_as() -> str:
    """The command to call this program: beam-pcc, or its path if it is not on PATH."""
    called = sys.argv[0]
    return called if Path(called).name == "beam-pcc" and shutil.which("beam-pcc") != called else "beam-pcc"
