"""The errors a person meets. Each is one line: what, where, what to do; and each knows its exit code.

PccError
 ├─ ConfigurationError   exit 2: wrong usage or configuration, found before any work starts
 │   ├─ ModelError       the model cannot be found, trusted or used
 │   └─ MissingSourceError   the input is not there, or not yet
 ├─ RunError             exit 1: the run started and could not finish
 │   ├─ SourceError      the input cannot be read as cases
 │   └─ WarehouseError   the tables cannot be read or written
 └─ LostSightError       exit 4: the launcher cannot follow a run that may go on

A refused audit is a result, not an exception (exit 3, see `beam_pcc.publishing.publish`). `foreign` maps the exceptions
of other libraries to these, `machine` recognises faults of the machine, `messages` describes all others, `retrying`
repeats calls, and `bisecting` finds the rows that fail.
"""

from __future__ import annotations

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


class MissingSourceError(ConfigurationError):
    """Input that is not there, or not yet."""


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


def qualified_name(kind: type) -> str:
    """The full name of a class, as its library documents it."""
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return documented_name(name)


def documented_name(name: str) -> str:
    """The documented form of a full name that Python wrote: DuckDB's classes are of a private module."""
    return name.removeprefix("_") if name.startswith("_duckdb.") else name


def missing_extra(extra: str, who: str, error: ImportError) -> ConfigurationError:
    """The error of an optional package (an extra of pyproject.toml) that is not installed. `who` needs it."""
    return ConfigurationError(
        f"{who} needs the extra {extra}, which is not installed ({one_line(error, 80)}): "
        f"run pip install '.[{extra}]' in a checkout, or pip install 'FILE.whl[{extra}]' with the wheel"
    )
