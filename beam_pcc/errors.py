"""The errors a person meets. Each is one line: what, where, what to do; and each knows its exit code.

PccError
 ├─ ConfigurationError   exit 2: wrong usage or configuration, found before any work starts
 │   └─ ModelError       the model cannot be found, trusted or used
 ├─ RunError             exit 1: the run started and could not finish
 │   ├─ SourceError      the input cannot be read as cases
 │   └─ WarehouseError   the tables cannot be read or written
 └─ LostSightError       exit 4: the launcher cannot follow a run that may go on

A refused audit is a result, not an exception (exit 3, see `beam_pcc.publishing.publish`).
"""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path

EXIT_PUBLISHED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_LOST = 4


class PccError(Exception):
    """Base of all errors whose text is meant for a person: one printable line, whatever is put into it."""

    exit_code = EXIT_FAILED

    def __init__(self, message: object = "") -> None:
        super().__init__(error_line(message))


class ConfigurationError(PccError):
    """Wrong usage or configuration, found before any work starts."""

    exit_code = EXIT_USAGE


class ModelError(ConfigurationError):
    """A model that cannot be found, trusted or used."""


class RunError(PccError):
    """A run that started and could not finish."""


class SourceError(RunError):
    """Input that cannot be read as cases."""


class WarehouseError(RunError):
    """Tables that cannot be read or written."""


class LostSightError(PccError):
    """A launcher that cannot follow its run any more. The run may go on, so nobody may call it failed."""

    exit_code = EXIT_LOST


def one_line(text: object, limit: int = 300) -> str:
    """Fold any text into one line of at most `limit` characters, without control characters."""
    folded = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


_LONGEST_WORD, _LONGEST_LINE = 500, 2_000


def error_line(message: object) -> str:
    """One printable line, with the end kept: it says what to do. Very long words are cut in their middle."""
    text = "".join(c if c.isprintable() else " " for c in str(message)).strip()
    return _cut(" ".join(_cut(word, _LONGEST_WORD) for word in text.split(" ")), _LONGEST_LINE)


def _cut(text: str, limit: int) -> str:
    kept = limit - 3
    return text if len(text) <= limit else f"{text[: kept - kept // 4].rstrip()} … {text[-(kept // 4) :].lstrip()}"


def missing_extra(extra: str, who: str, error: ImportError) -> ConfigurationError:
    """The error of an optional package (an extra of pyproject.toml) that is not installed. `who` needs it."""
    return ConfigurationError(
        f"{who} needs the extra {extra}, which is not installed ({one_line(error, 80)}): "
        f"run pip install '.[{extra}]' in a checkout, or pip install 'FILE.whl[{extra}]' with the wheel"
    )


def foreign_words(error: BaseException) -> str:
    """What can be told of an error that is not ours: its words only if they cannot quote a row.

    A parser, a converter or a model puts what it stumbled on into its error; a disk, a network and Google do not.
    Of the others this tells the type, and where in this package it came up.
    """
    name = type(error).__name__
    module = type(error).__module__
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return f"{name}: {one_line(error.strerror, 120)}"
    if _has_plain_words(name if module == "builtins" else f"{module}.{name}"):
        return f"{name}: {one_line(error, 160)}"
    ours = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent.parts[-3:].count("beam_pcc")
    ]
    return f"{name} in {Path(ours[-1].filename).name} line {ours[-1].lineno}" if ours else name


_PLAIN_MODULES = (
    "java.",
    "org.apache.",
    "apache_beam.",
    "google.api_core.",
    "google.auth.",
    "grpc.",
    "requests.",
    "urllib3.",
    "beam_pcc.",
)
_PLAIN_NAMES = {
    *("duckdb.IOException", "duckdb.OutOfMemoryException", "duckdb.PermissionException"),
    *("MemoryError", "RuntimeError", "TimeoutError", "EOFError", "ImportError", "ModuleNotFoundError"),
    *("OSError", "FileNotFoundError", "FileExistsError", "PermissionError", "IsADirectoryError", "NotADirectoryError"),
    *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError"),
}
_QUOTING = ("BadRequest", "InvalidArgument", "NumberFormatException", "ParseException", "DateTimeParseException")


def _has_plain_words(name: str) -> bool:
    """Whether errors of this name, with its module, tell of the machine or of a service, and quote no value."""
    if name.endswith(_QUOTING):
        return False
    return name in _PLAIN_NAMES or name.startswith(_PLAIN_MODULES)


_KINDS: dict[str, type[PccError]] = {
    kind.__name__: kind for kind in (PccError, ConfigurationError, ModelError, RunError, SourceError, WarehouseError)
}
_IN_TRACE = re.compile(r"^(?:RuntimeError: )?beam_pcc\.errors\.(\w+): (.*?)(?: \[while running .*)?$", re.MULTILINE)
_STEP = re.compile(r" \[while running '[^']*'\]$")  # what Beam adds to an exception's words
_LAST_LINE = re.compile(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", re.MULTILINE)


def from_runner(error: BaseException) -> PccError:
    """Turn what a Beam runner raised back into the error that a worker meant.

    Workers hand errors over as the text of a traceback; a `PccError` in it is rebuilt with its own words. Of anything
    else only the exception's own last line is kept, as a `RunError`.
    """
    if isinstance(error, PccError):
        words = str(error)
        return error if words == (said := _STEP.sub("", words)) else type(error)(said)
    text = str(error)
    for name, words in reversed(_IN_TRACE.findall(text)):
        if name in _KINDS:
            return _KINDS[name](words)
    lines = _LAST_LINE.findall(text)
    kind = type(error)
    whole = f"{kind.__name__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__name__}'}: {text}"
    said = re.sub(r" \[while running .*$", "", lines[-1] if lines else whole)
    name, _, words = said.partition(": ")
    if not _has_plain_words(name) or (not lines and "Traceback" in text):
        words = ""
    return RunError(
        f"the run stopped: {one_line(f'{name}: {words}' if words else name)}; see the whole trace with --debug"
    )
