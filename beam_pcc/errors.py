"""The errors a person meets. Each is one line: what, where, what to do; and each knows its exit code.

PccError
 ├─ ConfigurationError   exit 2: wrong usage or configuration, found before any work starts
 │   └─ ModelError       the model cannot be found, trusted or used
 ├─ RunError             exit 1: the run started and could not finish
 │   ├─ SourceError      the input cannot be read as cases
 │   └─ WarehouseError   the tables cannot be read or written
 └─ LostSightError       exit 4: the launcher cannot follow a run that may go on

A refused audit is a result, not an exception (exit 3, see `beam_pcc.publish`).
"""

from __future__ import annotations

import re

EXIT_PUBLISHED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_LOST = 4


class PccError(Exception):
    """Base of all errors whose text is meant for a person."""

    exit_code = EXIT_FAILED


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
    said = lines[-1] if lines else f"{type(error).__name__}: {text}"
    said = re.sub(r" \[while running .*$", "", said)
    return RunError(f"the run stopped: {one_line(said)}; see the whole trace with --debug")
