"""The DuckDB file on its disk: how it is read, and how a changed copy takes its place.

No byte of a published file is ever overwritten. A writer copies the file, changes the copy, and renames it over the
original; whoever reads keeps the file that they opened. docs/duckdb.md says why. Knows nothing of the tables.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import re
import shutil
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import duckdb

from beam_pcc import progress
from beam_pcc.errors import ConfigurationError, PccError, WarehouseError, one_line
from beam_pcc.errors.foreign import explained, is_transient
from beam_pcc.errors.machine import explain_machine
from beam_pcc.terminal import logger

_log = logger(__name__)
_T = TypeVar("_T")

Config = dict[str, str | bool | int | float | list[str]]
# What does not fit in memory spills to a folder beside the file, so that a run's memory does not grow with its rows.
# Each thread keeps a row group of staged rows and one of the table in memory, which cannot spill: with 32 threads a
# million rows do not fit.
_WRITER: Config = {
    "allocator_flush_threshold": "8MB",  # else what a step frees is kept while the next one takes more
    "memory_limit": "128MB",
    "preserve_insertion_order": "false",
    "threads": min(2, os.cpu_count() or 1),
}
# For who only reads: nothing but this file is opened, fetched or changed, not even for what does not fit in memory.
_READER: Config = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}
# Between processes the lock of a file keeps order; within one (a runner's threads, a run that was stopped while it
# publishes) this does. It also keeps DuckDB from handing out a connection to the file that was replaced.
_ONE_AT_A_TIME = threading.RLock()
_COPY = "changed_copy"  # the name under which a connection knows the copy
_SECONDS_UNTIL_WARNING = 2.0
_COPIED_AT_ONCE = 1 << 30
# The errors of a kernel or a file system that has no copy_file_range.
_CANNOT_COPY_RANGE = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


class DuckDBFile:
    """One DuckDB file, which may not exist yet.

    Args:
        address: Its path. A link is followed, so that what it points to is replaced.
        lock_timeout: Seconds to wait while another process holds the file.

    Raises:
        ConfigurationError: No file can have that path.
    """

    def __init__(self, address: str, lock_timeout: float) -> None:
        self._address = address
        self._lock_timeout = lock_timeout
        try:
            self._path = Path(os.path.realpath(address))
        except ValueError:  # a NUL, or half a surrogate pair
            raise ConfigurationError(f"--warehouse {one_line(address)} is no path; correct it") from None
        self._new = self._beside(".new")  # being written; worthless until it is renamed
        self._next = self._beside(".next")  # complete: takes the place of the file and its log
        self._lock = self._beside(".lock")
        self._spill = self._beside(".tmp")

    def _beside(self, end: str) -> Path:
        return self._path.with_name(self._path.name + end)

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """A connection that can only read this file; None if there is none, or an empty one that a killed process left.

        Writes nothing, also not what is in a log beside the file: DuckDB reads that into memory.
        """
        with _ONE_AT_A_TIME:
            path = self._current()
            if path is None:
                yield None
                return
            with (
                contextlib.closing(self._wait(lambda: duckdb.connect(str(path), True, _READER))) as connection,
                explained(self._address, WarehouseError),
            ):
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute("SET lock_configuration = true")
                yield connection

    @contextlib.contextmanager
    def session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to nothing but its own temporary tables; no other process can replace the file meanwhile.

        Raises:
            WarehouseError: It cannot be locked, or another process writes for longer than the timeout.
        """
        with _ONE_AT_A_TIME, self._explained(), self._locked():
            shutil.rmtree(self._spill, ignore_errors=True)  # of a process that was killed
            config = _WRITER | {"temp_directory": str(self._spill)}
            with contextlib.closing(duckdb.connect(":memory:", config=config)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield connection

    @contextlib.contextmanager
    def change(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Within a session, make a copy of the file its current database; at the end it takes the place of the file.

        If this raises, the file is as before, but for a failure to flush its folder, which the error names.
        """
        with self._replacing():
            with self._unheld():
                self._finish()
            with self._unheld() as file:
                try:
                    self._copy(file)
                    self._attach(connection)
                    yield
                    connection.execute(f"CHECKPOINT {_COPY}")
                    connection.execute("USE memory")
                    connection.execute(f"DETACH {_COPY}")
                    self._verify()
                    self._replace()
                except BaseException:
                    with contextlib.suppress(duckdb.Error):
                        connection.execute("USE memory")
                        connection.execute(f"DETACH {_COPY}")
                    with contextlib.suppress(OSError):
                        self._remove_new()
                    raise

    def _current(self) -> Path | None:
        """The file that holds what was published last, if there is one."""
        for path in (self._next, self._path):
            if path.is_file() and path.stat().st_size:
                return path
        return None

    def _log_of(self, path: Path) -> Path:
        return path.with_name(path.name + ".wal")

    def _copy(self, file: IO[bytes] | None) -> None:
        """Copy the file, and the log of a client that was killed, with their rights."""
        self._remove_new()
        if file is None or not self._path.stat().st_size:
            return
        if not os.access(self._path, os.W_OK):
            raise self._not_opened("no right to write it")
        self._new.touch(0o600, exist_ok=False)
        with self._new.open("rb+") as copy:
            _copy_content(file, copy)
        _copy_rights(self._path, self._new)
        log, copied_log = self._log_of(self._path), self._log_of(self._new)
        if log.is_file():
            copied_log.touch(0o600, exist_ok=False)
            with log.open("rb") as content, copied_log.open("rb+") as copy:
                _copy_content(content, copy)

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        quoted = str(self._new).replace("'", "''")
        try:
            connection.execute(f"ATTACH '{quoted}' AS {_COPY}")
        except duckdb.Error as error:
            if _is_full(error):
                raise
            raise self._not_opened(str(error).replace(str(self._new), str(self._path))) from None
        connection.execute(f"USE {_COPY}")

    def _verify(self) -> None:
        """Open the copy as a reader will, and count the rows of each table."""
        if self._log_of(self._new).exists():
            raise WarehouseError(f"{self._new} was not written whole; the tables are as before: run again")
        with contextlib.closing(duckdb.connect(str(self._new), True, _READER)) as connection:
            tables = connection.execute(
                "SELECT format('\"{}\".\"{}\"', replace(schema_name, '\"', '\"\"'), replace(table_name, '\"', '\"\"')) "
                "FROM duckdb_tables() WHERE database_name = current_database() AND NOT temporary"
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of the file, quoted
        with self._new.open("rb+") as file:
            os.fsync(file.fileno())

    def _replace(self) -> None:
        """Rename the copy over the file. A log beside it would be replayed into the copy, which already has its rows.

        So where there is a log, the copy first gets a name that says it is complete. From then on readers open it, and
        whoever writes next finishes what this process did not.
        """
        if self._log_of(self._path).exists():
            self._new.replace(self._next)
            self._flush_folder()
            self._finish()
        else:
            self._new.replace(self._path)
            self._flush_folder()

    def _finish(self) -> None:
        """Put a complete copy in its place, if there is one that a killed process left."""
        if self._next.is_file():
            self._log_of(self._path).unlink(missing_ok=True)
            self._flush_folder()
            self._next.replace(self._path)
            self._flush_folder()

    def _flush_folder(self) -> None:
        """Make renames durable: until then a power failure may undo them."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise WarehouseError(
                f"{self._address} was replaced, but its folder cannot be flushed to the disk ({error.strerror}); "
                "check the disk, and run again"
            ) from None

    def _remove_new(self) -> None:
        self._new.unlink(missing_ok=True)
        self._log_of(self._new).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of writers, a file that is there while one works."""
        with self._replacing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._wait(self._lock_file)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._lock.unlink()  # before the lock ends: who waits for it sees that this file is gone
            file.close()

    def _lock_file(self) -> IO[bytes]:
        while True:
            file = _locked(self._lock.open("ab"), fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self._lock.stat()):
                    return file
            file.close()

    @contextlib.contextmanager
    def _unheld(self) -> Iterator[IO[bytes] | None]:
        """The open file, if there is one, locked as a reader locks it: no client of DuckDB can change it meanwhile.

        The lock ends as soon as this process closes the file, wherever it has opened it.
        """
        if not self._path.is_file():
            yield None
            return
        with self._wait(lambda: _locked(self._path.open("rb"), fcntl.LOCK_SH)) as file:
            yield file

    def _wait(self, attempt: Callable[[], _T]) -> _T:
        """Try until no other process is in the way."""
        with contextlib.ExitStack() as waiting:
            return self._wait_in(waiting, attempt)

    def _wait_in(self, waiting: contextlib.ExitStack, attempt: Callable[[], _T]) -> _T:
        is_waiting = False
        deadline = time.monotonic() + self._lock_timeout
        warn_at = time.monotonic() + _SECONDS_UNTIL_WARNING
        pause = 0.05
        while True:
            try:
                return attempt()
            except _HeldError as error:
                holder = error.holder
            except duckdb.Error as error:
                if not is_transient(error):
                    raise self._not_opened(error) from None
                holder = _holder_in(str(error))
            if not is_waiting:
                is_waiting = True
                waiting.enter_context(progress.task(f"waiting for the lock of {self._path.name}", is_logged=False))
            now = time.monotonic()
            if now > deadline:
                raise WarehouseError(
                    f"{self._address} is held by another process{holder} for more than {self._lock_timeout:g} s; "
                    "close it there, or wait longer with --lock_timeout"
                )
            if now > warn_at:
                _log.warning("waiting for %s, which another process%s holds", self._address, holder)
                warn_at = float("inf")
            time.sleep(min(pause, max(deadline - now, 0.01)) * random.uniform(0.5, 1.0))  # noqa: S311  # nosec B311 - jitter
            pause = min(pause * 1.5, 2.0)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the errors of a session into one line each."""
        with explained(self._address, WarehouseError):
            try:
                yield
            except (OSError, duckdb.Error) as error:
                if not _is_full(error):
                    raise
                raise WarehouseError(
                    f"{self._address} cannot be written: the disk is full; make room for a second copy of the file "
                    "beside it, and run again"
                ) from None

    @contextlib.contextmanager
    def _replacing(self) -> Iterator[None]:
        """Say of a folder or a file that cannot be changed what is wrong."""
        try:
            yield
        except OSError as error:
            if _is_full(error):
                raise
            raise WarehouseError(
                f"{self._address} cannot be replaced: {error.strerror or one_line(error)}; check the rights on the "
                "folder, in which a changed copy takes the place of the file"
            ) from None

    def _not_opened(self, reason: object) -> PccError:
        of_machine = explain_machine(reason, self._address, WarehouseError) if isinstance(reason, Exception) else None
        return of_machine or WarehouseError(
            f"{self._address} cannot be opened: {one_line(reason)}; check the path and the rights, or restore the file"
        )


class _HeldError(Exception):
    """Another process holds a lock on the file."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


def _locked(file: IO[bytes], operation: int) -> IO[bytes]:
    """The open file with a POSIX lock on it, as DuckDB's own are. Raises _HeldError, and closes it, if it is held."""
    try:
        fcntl.lockf(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder_of(file)
        file.close()
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _HeldError(holder) from None
        raise
    return file


# struct flock: type, whence, start, length, process; on macOS start, length, process, type, whence
_FLOCK, _TYPE, _PID = ("qqihh", 3, 2) if sys.platform == "darwin" else ("hhqqi4x", 0, 4)


def _holder_of(file: IO[bytes]) -> str:
    """Who holds a lock on the file."""
    values = [0] * 5
    values[_TYPE] = fcntl.F_WRLCK
    try:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, *values))
        return _process(struct.unpack(_FLOCK, answer)[_PID])
    except (OSError, struct.error):
        return _process(0)


def _holder_in(message: str) -> str:
    """Who holds a lock, as DuckDB's message tells it."""
    number = re.search(r"\(PID (\d+)\)", message)
    return _process(int(number[1]) if number else 0)


def _process(pid: int) -> str:
    """The number of a process, and the name of its program where that can be read, in brackets."""
    if pid <= 0:  # of another container or machine
        return ""
    try:
        return f" ({one_line(Path(f'/proc/{pid}/comm').read_text())}, PID {pid})"
    except OSError:
        return f" (PID {pid})"


def _is_full(error: Exception) -> bool:
    """Whether a disk or a quota is used up. DuckDB tells this in its messages only."""
    numbers = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in numbers or any(os.strerror(number) in str(error) for number in numbers)


def _copy_content(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy from file to file; a file system that can share blocks between files writes nothing."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source.fileno(), target.fileno(), _COPIED_AT_ONCE):
                pass
        except OSError as error:
            if error.errno not in _CANNOT_COPY_RANGE:
                raise
            source.seek(0)
            target.seek(0)
        else:
            return
    shutil.copyfileobj(source, target, 1 << 20)


def _copy_rights(source: Path, target: Path) -> None:
    """Give the copy the mode, attributes and, as far as this user may, the owner and group of the original."""
    status = source.stat()
    for owner, group in ((status.st_uid, -1), (-1, status.st_gid)):
        with contextlib.suppress(PermissionError):
            os.chown(target, owner, group)
    shutil.copystat(source, target)
