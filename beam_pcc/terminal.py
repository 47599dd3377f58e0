"""Writes to the terminal and the log. Each line remains one printable line, whatever the values contain.

`guarded` protects the command line: even direct prints cannot move the cursor or colour, hide or reorder text.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from beam_pcc.errors import error_line

_LONGEST = 4_000  # characters of a line


def printable(text: object) -> str:
    """One line without control characters, spaces unchanged; a very long line is cut."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def say(*lines: object, flush: bool = False) -> None:
    """Print each argument as a line on stdout."""
    print(*(printable(line) for line in lines), sep="\n", flush=flush)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines with aligned columns."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def show(document: str) -> None:
    """Print a document for other programs, such as YAML, without cutting its lines."""
    for line in document.removesuffix("\n").split("\n"):
        print("".join(c if c.isprintable() else " " for c in line))


def complain(line: object) -> None:
    """Print one line on stderr, in the format of the log."""
    text = error_line(line)
    if _json_lines:
        text = _json_line(dt.datetime.now(dt.timezone.utc), "ERROR", "beam_pcc", text.removeprefix("beam-pcc: "))
    print(text, file=sys.stderr)


_json_lines = False


def log_to_stderr(*, json_lines: bool, traces: bool, level: int) -> None:
    """Log on stderr from now on, as lines of text or as JSON objects; `traces`: with tracebacks."""
    global _json_lines
    _json_lines = json_lines
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(traces=traces)
        if json_lines
        else LineFormatter("%(asctime)s %(levelname)s %(message)s", traces=traces)
    )
    logging.basicConfig(handlers=[handler], level=level)


def _json_line(time: dt.datetime, level: str, name: str, message: str, trace: str | None = None) -> str:
    fields = {"time": time.isoformat(timespec="milliseconds"), "level": level, "logger": name, "message": message}
    return json.dumps(fields if trace is None else {**fields, "traceback": trace})


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object in one line; with `traces` also the traceback of an exception."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__()
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """The object: time (UTC), level, logger and message, the same text as in a line."""
        time = dt.datetime.fromtimestamp(record.created, dt.timezone.utc)
        trace = self.formatException(record.exc_info) if self._traces and record.exc_info else None
        return _json_line(time, record.levelname, record.name, error_line(record.getMessage()), trace)


class LineFormatter(logging.Formatter):
    """Formats a record as one printable line; with `traces` followed by the printable traceback of an exception."""

    def __init__(self, format_: str, *, traces: bool) -> None:
        super().__init__(format_, datefmt="%H:%M:%S")
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback."""
        record.message = error_line(record.getMessage())
        record.asctime = self.formatTime(record, self.datefmt)
        lines = [self.formatMessage(record)]
        if self._traces and record.exc_info:
            lines += [printable(line) for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = error_line(record.getMessage()), None
        return True


def logger(name: str) -> logging.Logger:
    """The logger of a module. Also keeps its records to one line in workers, where Beam formats them."""
    module_logger = logging.getLogger(name)
    if not any(isinstance(one, _OneLine) for one in module_logger.filters):
        module_logger.addFilter(_OneLine())
    return module_logger


class _Guard(io.TextIOBase):
    """A stream that passes on only printable characters and newlines, escaped for the encoding of the real stream."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, text: str) -> int:
        shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._naming_it():
            self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        with self._naming_it():
            self._stream.flush()

    @contextlib.contextmanager
    def _naming_it(self) -> Iterator[None]:
        """The system does not say which file cannot be written."""
        try:
            yield
        except OSError as error:
            error.filename = error.filename or self._name
            raise

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Remove control characters from stdout and stderr."""
    out, err = _Guard(sys.stdout, "standard output"), _Guard(sys.stderr, "standard error")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield
