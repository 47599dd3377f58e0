"""Describes any exception where nobody knows what was asked for: in a step, in a log, at the end of the program.

The text must not hold content of a row, so it gives only the type and the place of most exceptions.
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
    MissingSourceError,
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

_SAFE_TYPES = {
    *(f"duckdb.{name}" for name in OF_DUCKDB_FILE),
    *("MemoryError", "RuntimeError", "TimeoutError", "EOFError", "ImportError", "ModuleNotFoundError"),
    *("OSError", "FileNotFoundError", "FileExistsError", "PermissionError", "IsADirectoryError", "NotADirectoryError"),
    *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError"),
}
"""Exceptions whose message is about the machine or a service and never about a row. Subclasses are not included."""
_SAFE_PACKAGES = (
    *("java.", "org.apache.", "apache_beam.", "google.api_core.", "google.auth.", "grpc.", "requests.", "urllib3."),
    "beam_pcc.",
)
_UNSAFE_ENDINGS = ("BadRequest", "InvalidArgument", "NumberFormatException", "ParseException", "DateTimeParseException")


def logged(log: Callable[..., None], message: str, *arguments: object) -> _Logged:
    """A context that logs any exception and goes on: for what must not end a run, or hide why it failed.

    Args:
        log: A method of a logger, such as `warning`.
        message: The line, to which the error is added.
        arguments: The values of its placeholders.
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
        reason = error if isinstance(error, PccError) else safe_description(error)
        self.log(f"{self.message}: %s", *self.arguments, reason)
        return True


def unexpected(error: BaseException) -> PccError:
    """Our error for an exception that reached the command line."""
    of_machine = explain_machine(error, "the command stopped")
    if of_machine is not None:
        return of_machine
    if isinstance(error, OSError) and error.filename is not None:
        ours = ConfigurationError if error.errno == errno.ENAMETOOLONG else RunError
        return ours(f"{error.filename}: {error.strerror}; check the path and the rights")
    return RunError(f"unexpected {safe_description(error)}; see the trace with --debug")


def safe_description(error: BaseException) -> str:
    """A description without content of a row: type and message if the message cannot quote one, else type and place.

    Parsers, converters and models quote the value that they refuse; disks, networks and Google's services do not.
    """
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return f"{name}: {one_line(error.strerror, 120)}"
    if _is_safe_message(qualified_name(type(error)), str(error)):
        return f"{name}: {one_line(error, 160)}"
    places = [
        f"{'/'.join(parts[len(parts) - parts[::-1].index(_PACKAGE) :])} line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE in (parts := Path(frame.filename).parts)
    ]
    return f"{name} in {places[-1]}" if places else name


_PACKAGE = "beam_pcc"


def _is_safe_message(name: str, message: str) -> bool:
    """Whether the message of an exception with this full name quotes no value."""
    if name.endswith(_UNSAFE_ENDINGS) or QUOTES_A_ROW.search(message):
        return False
    return documented_name(name) in _SAFE_TYPES or name.startswith(_SAFE_PACKAGES)


_OWN_ERRORS: dict[str, type[PccError]] = {
    kind.__name__: kind
    for kind in (
        PccError,
        ConfigurationError,
        MissingSourceError,
        ModelError,
        RunError,
        SourceError,
        WarehouseError,
    )
}
_IN_TRACE = re.compile(r"^(?:RuntimeError: )?beam_pcc\.errors\.(\w+): (.*?)(?: \[while running .*)?$", re.MULTILINE)
_STEP = re.compile(r" \[while running '[^']*'\]$")  # what Beam adds to an exception's message
_ERRNO = re.compile(r"^\[Errno \d+\] ")
_LAST_LINE = re.compile(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", re.MULTILINE)


def from_runner(error: BaseException) -> PccError:
    """The error of a worker, from what a Beam runner raised.

    Runners pass on a worker's exception as the text of its traceback. A `PccError` in it is restored with its message.
    Of any other exception a `RunError` holds the last line.
    """
    if isinstance(error, PccError):
        message = _STEP.sub("", str(error))
        return error if message == str(error) else type(error)(message)
    text = str(error)
    for name, message in reversed(_IN_TRACE.findall(text)):
        if name in _OWN_ERRORS:
            return _OWN_ERRORS[name](message)
    of_machine = explain_machine(error, "the run stopped")
    if of_machine is not None:
        return of_machine
    lines = _LAST_LINE.findall(text)
    last = lines[-1] if lines else f"{qualified_name(type(error))}: {text}"
    name, _, message = re.sub(r" \[while running .*$", "", last).partition(": ")
    fault = fault_in_text(name, message)
    if fault is not None:
        return RunError(fault.line("the run stopped", one_line(_ERRNO.sub("", message), 200)))
    if not _is_safe_message(name, message) or (not lines and "Traceback" in text):
        message = ""
    return RunError(
        f"the run stopped: {one_line(f'{name}: {message}' if message else name)}; see the whole trace with --debug"
    )
