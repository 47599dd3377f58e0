"""The words for any error, where nobody knows what was asked for: a step, a log, the end of the program.

No content of a row may be among them, so most exceptions are told by their type and place only.
"""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beam_pcc.errors import (
    ConfigurationError,
    ModelError,
    PccError,
    RunError,
    SourceError,
    WarehouseError,
    documented_name,
    one_line,
    qualified_name,
)
from beam_pcc.errors.foreign import OF_DUCKDB_FILE, QUOTES_A_ROW
from beam_pcc.errors.machine import explain_machine, fault_in_text

_QUOTE_NO_ROW = {
    *(f"duckdb.{name}" for name in OF_DUCKDB_FILE),
    *("MemoryError", "RuntimeError", "TimeoutError", "EOFError", "ImportError", "ModuleNotFoundError"),
    *("OSError", "FileNotFoundError", "FileExistsError", "PermissionError", "IsADirectoryError", "NotADirectoryError"),
    *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError"),
}
"""Exceptions whose message tells of the machine or of a service, wherever they come up. Subclasses are not meant."""
_PACKAGES_QUOTE_NO_ROW = (
    *("java.", "org.apache.", "apache_beam.", "google.api_core.", "google.auth.", "grpc.", "requests.", "urllib3."),
    "beam_pcc.",
)
_QUOTE_ROWS = ("BadRequest", "InvalidArgument", "NumberFormatException", "ParseException", "DateTimeParseException")


def logged(log: Callable[..., None], message: str, *arguments: object) -> _Logged:
    """Around what must not end a run or hide why it failed: its own failure is a line in the log.

    Args:
        log: A method of a logger, such as `warning`.
        message: The line, without the error.
        arguments: What the placeholders in it stand for.
    """
    return _Logged(log, message, arguments)


@dataclass(frozen=True)
class _Logged:
    log: Callable[..., None]
    message: str
    arguments: tuple[object, ...]

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Exception):
            return False
        words = error if isinstance(error, PccError) else foreign_words(error)
        self.log(f"{self.message}: %s", *self.arguments, words)
        return True


def unexpected(error: BaseException) -> PccError:
    """The last resort of the command line, for what no other place explained."""
    of_machine = explain_machine(error, "the command stopped")
    if of_machine is not None:
        return of_machine
    if isinstance(error, OSError) and error.filename is not None:
        ours = ConfigurationError if error.errno == errno.ENAMETOOLONG else RunError
        return ours(f"{error.filename}: {error.strerror}; check the path and the rights")
    return RunError(f"unexpected {foreign_words(error)}; see the trace with --debug")


def foreign_words(error: BaseException) -> str:
    """What may be told of a foreign error that came up anywhere: its message only if that cannot quote a row.

    A parser, a converter or a model puts what it stumbled on into its error; a disk, a network and Google do not.
    Of the others this tells the type, and where in this package it came up.
    """
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return f"{name}: {one_line(error.strerror, 120)}"
    if _quotes_no_row(qualified_name(type(error)), str(error)):
        return f"{name}: {one_line(error, 160)}"
    places = [
        f"{'/'.join(parts[len(parts) - parts[::-1].index(_PACKAGE) :])} line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in (parts := Path(frame.filename).parts)
    ]
    return f"{name} in {places[-1]}" if places else name


_PACKAGE = "beam_pcc"


def _quotes_no_row(name: str, message: str) -> bool:
    """Whether this message, of an exception of this fully qualified name that came up anywhere, quotes no value."""
    if name.endswith(_QUOTE_ROWS) or QUOTES_A_ROW.search(message):
        return False
    return documented_name(name) in _QUOTE_NO_ROW or name.startswith(_PACKAGES_QUOTE_NO_ROW)


_OURS: dict[str, type[PccError]] = {
    kind.__name__: kind for kind in (PccError, ConfigurationError, ModelError, RunError, SourceError, WarehouseError)
}
_IN_TRACE = re.compile(r"^(?:RuntimeError: )?beam_pcc\.errors\.(\w+): (.*?)(?: \[while running .*)?$", re.MULTILINE)
_STEP = re.compile(r" \[while running '[^']*'\]$")  # what Beam adds to an exception's words
_ERRNO = re.compile(r"^\[Errno \d+\] ")
_LAST_LINE = re.compile(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", re.MULTILINE)


def from_runner(error: BaseException) -> PccError:
    """Turn what a Beam runner raised back into the error that a worker meant.

    Workers hand errors over as the text of a traceback; a `PccError` in it is rebuilt with its own words. Of anything
    else only the exception's own last line is kept, as a `RunError`.
    """
    if isinstance(error, PccError):
        message = _STEP.sub("", str(error))
        return error if message == str(error) else type(error)(message)
    text = str(error)
    for name, message in reversed(_IN_TRACE.findall(text)):
        if name in _OURS:
            return _OURS[name](message)
    of_machine = explain_machine(error, "the run stopped")
    if of_machine is not None:
        return of_machine
    lines = _LAST_LINE.findall(text)
    last = lines[-1] if lines else f"{qualified_name(type(error))}: {text}"
    name, _, message = re.sub(r" \[while running .*$", "", last).partition(": ")
    fault = fault_in_text(name, message)
    if fault is not None:
        return RunError(fault.line("the run stopped", one_line(_ERRNO.sub("", message), 200)))
    if not _quotes_no_row(name, message) or (not lines and "Traceback" in text):
        message = ""
    return RunError(
        f"the run stopped: {one_line(f'{name}: {message}' if message else name)}; see the whole trace with --debug"
    )
