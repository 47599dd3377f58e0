"""Checks the words of a command line before they are parsed: an unknown command or flag is the first error.

argparse would report a missing flag instead of the misspelt one, and its words differ between versions of Python.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from beam_pcc.errors import ConfigurationError, one_line

_FLAG = re.compile(r"--?[A-Za-z]\S*", re.DOTALL)
_MOST_COMMANDS = 4  # that a message names


def checked(root: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The words, each flag in the spelling of its declaration (`--dry-run` for `--dry_run` and vice versa).

    Raises:
        ConfigurationError: A command or a flag is unknown; the message names the nearest, or who has it.
    """
    level = _Level(root, "beam-pcc")
    end = words.index("--") if "--" in words else len(words)
    if {"-h", "--help"} & set(words[:end]):
        return list(words)
    result = []
    for word in words[:end]:
        if _is_flag(word):
            result.append(_declared(root, level, word))
        elif level.commands:
            level = _below(root, level, word)
            result.append(word)
        else:
            result.append(word)
    return [*result, *words[end:]]


@dataclass(frozen=True)
class _Level:
    """A parser, and how it is called."""

    parser: argparse.ArgumentParser
    name: str

    @property
    def commands(self) -> Mapping[str, argparse.ArgumentParser]:
        """The commands below it; none if it is a command itself."""
        actions = [action for action in self.parser._actions if isinstance(action, argparse._SubParsersAction)]
        return actions[0].choices if actions else {}

    @property
    def flags(self) -> set[str]:
        """The flags that it declares, or passes on to `run`."""
        flags = set(self.parser._option_string_actions)
        if self.parser.get_default("passes_on_run_flags"):
            from beam_pcc.config.settings import add_run_arguments  # needs what an environment for deploy lacks

            run = argparse.ArgumentParser(add_help=False)
            add_run_arguments(run)
            flags |= set(run._option_string_actions)
        return flags

    def below(self) -> Iterator[_Level]:
        """Itself and every command below it."""
        yield self
        for word, parser in self.commands.items():
            yield from _Level(parser, f"{self.name} {word}").below()


def _is_flag(word: str) -> bool:
    """Whether argparse takes the word for a flag: not a negative number, nor a text with a dash before it."""
    return bool(_FLAG.fullmatch(word.partition("=")[0]))


def _below(root: argparse.ArgumentParser, level: _Level, word: str) -> _Level:
    if word in level.commands:
        return _Level(level.commands[word], f"{level.name} {word}")
    elsewhere = [other.name for other in _Level(root, "beam-pcc").below() if other.name.endswith(f" {word}")]
    near = elsewhere or [f"{level.name} {name}" for name in _nearest(word, level.commands)]
    if near:
        raise ConfigurationError(f"unknown command {one_line(word, 80)}: did you mean {_listed(near)}?")
    raise ConfigurationError(f"unknown command {one_line(word, 80)}: see {level.name} --help")


def _declared(root: argparse.ArgumentParser, level: _Level, word: str) -> str:
    name, equals, value = word.partition("=")
    known = level.flags
    spelling = _spelling(name, known)
    if spelling is None and level.parser.get_default("takes_beam_options"):
        from beam_pcc.pipeline.options import beam_flags

        known = known | beam_flags()
        spelling = _spelling(name, known)
    if spelling is None:
        raise ConfigurationError(f"unknown argument {one_line(name, 80)}: {_advice(root, level, name, known)}")
    return f"{spelling}{equals}{value}"


def _spelling(name: str, known: set[str]) -> str | None:
    """The declared spelling of a flag, with _ or -; None if there is none. `-xVALUE` is -x."""
    if name in known or (not name.startswith("--") and name[:2] in known):
        return name
    canonical = name.replace("-", "_")
    return next((flag for flag in sorted(known) if flag.replace("-", "_") == canonical), None)


def _advice(root: argparse.ArgumentParser, level: _Level, name: str, known: set[str]) -> str:
    elsewhere = [other.name for other in _Level(root, "beam-pcc").below() if _spelling(name, other.flags)]
    if elsewhere and name.startswith("--"):
        if level.commands:
            return f"it is a flag of {_listed(elsewhere)}; write it after the command"
        return f"{level.name} has no such flag; {_listed(elsewhere)} {'has' if len(elsewhere) == 1 else 'have'}"
    near = _nearest(name, known)
    return f"did you mean {near[0]}?" if near else f"see {level.name} --help"


def _nearest(name: str, known: Sequence[str] | set[str] | Mapping[str, object]) -> list[str]:
    """The names that begin with `name`, else the one most similar to it."""
    wanted = name.replace("-", "_").lower()
    names = {one.replace("-", "_").lower(): one for one in sorted(known)}
    prefixed = [one for key, one in names.items() if len(wanted.strip("_")) > 1 and key.startswith(wanted)]
    return prefixed or [names[key] for key in difflib.get_close_matches(wanted, list(names), n=1)]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_COMMANDS
    return ", ".join(names[:_MOST_COMMANDS]) + (f" and {more} more" if more > 0 else "")
