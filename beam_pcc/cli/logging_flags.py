"""The flags that every command takes anywhere: how much is logged on stderr, and in which form."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pcc.errors import ConfigurationError, one_line

LOG_FORMATS = ("text", "json")
_QUIET, _VERBOSE, _DEBUG, _LOG_FORMAT = ("-q", "--quiet"), ("-v", "--verbose"), "--debug", "--log_format"


@dataclass(frozen=True)
class Logging:
    """What is logged.

    Attributes:
        level: The lowest level of our own messages.
        debug: Whether Beam's log and the tracebacks of errors are logged too.
        json: Whether each line on stderr is a JSON object.
    """

    level: int = logging.INFO
    debug: bool = False
    json: bool = False


def add_logging_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags for `--help`; `take` reads them."""
    place = parser.add_argument_group("messages on stderr")
    place.add_argument(
        *_QUIET, action="store_true", help="only warnings and errors, no progress; the result is still printed"
    )
    place.add_argument(*_VERBOSE, action="store_true", help="more messages of our own")
    place.add_argument(
        _LOG_FORMAT, choices=LOG_FORMATS, default=LOG_FORMATS[0], help="json: an object a line (default: %(default)s)"
    )
    place.add_argument(_DEBUG, action="store_true", help="all messages, Beam's too, and the traceback of an error")


def take(words: Sequence[str]) -> tuple[Logging, list[str]]:
    """What these flags say, wherever they stand before `--`, and the other words.

    Raises:
        ConfigurationError: They contradict each other, or the format is unknown.
    """
    end = words.index("--") if "--" in words else len(words)
    log_format, debug, quiet, verbose, rest = LOG_FORMATS[0], False, False, False, []
    remaining = iter(words[:end])
    for word in remaining:
        name, equals, value = word.partition("=")
        if name.replace("-", "_") == _LOG_FORMAT.replace("-", "_"):
            log_format = value if equals else next(remaining, "")
        elif word in _QUIET:
            quiet = True
        elif word in _VERBOSE:
            verbose = True
        elif word == _DEBUG:
            debug = True
        else:
            rest.append(word)
    if log_format not in LOG_FORMATS:
        raise ConfigurationError(f"--log_format {one_line(log_format, 60)} is none of {', '.join(LOG_FORMATS)}")
    if quiet and (verbose or debug):
        raise ConfigurationError("--quiet and --verbose or --debug exclude each other: give one")
    level = logging.DEBUG if verbose or debug else logging.WARNING if quiet else logging.INFO
    return Logging(level, debug, log_format == "json"), [*rest, *words[end:]]
