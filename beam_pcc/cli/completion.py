"""`beam-pcc completion`: prints a script with which a shell completes commands, flags and their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from beam_pcc.cli.parser import Commands, command
from beam_pcc.config.extras import extra
from beam_pcc.terminal import show

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FILES = {
    "config",
    "data",
    "messages",
    "manifests",
    "private_key",
    "certificate",
    "model_public_key",
    "summary_file",
    "file",
    "rejected",
}
_FOLDERS = {"models", "staging", "encoder", "weights"}
_NOTES = """to use it in bash now, and in every new shell:
  source <(beam-pcc completion bash)
  beam-pcc completion bash > ~/.local/share/bash-completion/completions/beam-pcc"""


def add(commands: Commands, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Declare the command; `parser` makes the parser of the whole command line."""
    completion = command(
        commands,
        "completion",
        "print a script for a shell to complete commands and flags (needs the completion extra)",
        lambda flags: _completion(flags, parser()),
        example="bash",
        notes=_NOTES,
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell")


def _completion(flags: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    with extra("completion", "completion"):
        import shtab
    _name_files(parser, shtab.FILE, shtab.DIRECTORY)
    show(shtab.complete(parser, flags.shell))
    return 0


def _name_files(parser: argparse.ArgumentParser, file: object, folder: object) -> None:
    """Mark the flags whose values are files or folders, in this parser and those below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _name_files(below, file, folder)
        elif action.dest in _FILES | _FOLDERS:
            action.complete = file if action.dest in _FILES else folder  # type: ignore[attr-defined] # shtab reads it
