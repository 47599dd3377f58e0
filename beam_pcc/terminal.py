"""Writes to the terminal and the log. Each line remains one printable line, whatever the values contain.

`guarded` protects the command line: even direct prints cannot move the cursor or colour, hide or reorder text. One line
of the terminal may be redrawn (`draw_status`); whatever else is printed erases it first.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
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


def _json_line(time: dt.datetime, level: str, name: str, message: str, **more: object) -> str:
    fields = {"time": time.isoformat(timespec="milliseconds"), "level": level, "logger": name, "message": message}
    return json.dumps({**fields, **{key: value for key, value in more.items() if value is not None}})


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object in one line; with `traces` also the traceback of an exception."""

    def __init__(self, *, traces: bool) -> None:
        super().__init__()
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """The object: time (UTC), level, logger, message, the same text as in a line; of progress also its figures."""
        time = dt.datetime.fromtimestamp(record.created, dt.timezone.utc)
        trace = self.formatException(record.exc_info) if self._traces and record.exc_info else None
        progress = getattr(record, "progress", None)
        return _json_line(
            time, record.levelname, record.name, error_line(record.getMessage()), progress=progress, traceback=trace
        )


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


class _Status:
    """The last line of the terminal, which is redrawn, and whose place any other output takes."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # also a signal handler takes it, in a thread that may hold it
        self.stream: TextIO | None = None  # standard error without its guard
        self.is_shown = False
        self.is_frozen = False
        self.in_a_line = False  # something was printed without a newline: nothing may be drawn after it

    def draw(self, line: str) -> None:
        with self.lock, contextlib.suppress(OSError, ValueError):
            if self.stream is None or self.in_a_line or self.is_frozen or _in_background(self.stream):
                return
            encoding = getattr(self.stream, "encoding", None) or "utf-8"
            shown = printable(line).encode(encoding, "backslashreplace").decode(encoding)
            self.is_shown = True
            self.stream.write(f"{_ERASE}{shown}")
            self.stream.flush()

    def erase(self) -> None:
        with self.lock, contextlib.suppress(OSError, ValueError):
            if self.is_shown and self.stream is not None:
                self.is_shown = False
                self.stream.write(_ERASE)
                self.stream.flush()


_ERASE = "\r\x1b[K"  # to the start of the line, then erase to its end
_status = _Status()


def can_redraw(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a line of the stream can be redrawn, and a person looks at it: at a terminal, but not in a CI job."""
    is_plain = environment.get("TERM", "dumb") == "dumb"
    return _is_terminal(stream) and not is_plain and environment.get("CI", "").lower() in ("", "0", "false")


def _in_background(stream: TextIO) -> bool:
    """Whether a shell has put this process into the background: the line belongs to what is in front."""
    try:
        return os.tcgetpgrp(stream.fileno()) != os.getpgrp()
    except OSError:  # not the terminal that controls it
        return False


def draw_status(line: str) -> None:
    """Draw the last line of the terminal, over what it was; only while `guarded`."""
    _status.draw(line)


def erase_status() -> None:
    """Erase the last line if it was drawn."""
    _status.erase()


def status_size() -> tuple[int, bool]:
    """How many columns the line may have, and whether it must be ASCII."""
    columns, encoding = _COLUMNS, "ascii"
    with contextlib.suppress(OSError, ValueError):
        if _status.stream is not None:
            encoding = _status.stream.encoding or encoding
            columns = os.get_terminal_size(_status.stream.fileno()).columns or columns
    try:
        "█▏".encode(encoding)
    except (UnicodeError, LookupError):
        return columns - 1, True
    return columns - 1, False  # the last column is left free: some terminals begin a new line after it


def end_status() -> bytes:
    """Draw no more, and return what erases the line: for a signal handler that ends the process."""
    has_lock = _status.lock.acquire(timeout=0.2)  # another thread may be in the midst of drawing
    _status.is_frozen = True
    erasing = _ERASE.encode() if _status.is_shown else b""
    if has_lock:
        _status.lock.release()
    return erasing


_COLUMNS = 80  # of a terminal that does not tell


class _Guard(io.TextIOBase):
    """A stream that passes on only printable characters and newlines, escaped for the encoding of the real stream."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._on_terminal = _is_terminal(stream)

    def write(self, text: str) -> int:
        shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._naming_it(), _status.lock if self._on_terminal else contextlib.nullcontext():
            if self._on_terminal and text:
                _status.erase()
                _status.in_a_line = not text.endswith("\n")
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


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Remove control characters from stdout and stderr."""
    out, err = _Guard(sys.stdout, "standard output"), _Guard(sys.stderr, "standard error")
    before = _status.stream
    _status.stream = sys.stderr if before is None and err.isatty() else before
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        _status.erase()
        _status.stream = before
