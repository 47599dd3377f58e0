"""How many threads this process may keep busy, in one place: reading, Arrow, BLAS and the encoder are bounded by it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CORES_VARIABLE = "PCC_CORES"
_QUOTAS = (Path("/sys/fs/cgroup/cpu.max"),)


def cores() -> int:
    """The cores that this process may use, at least 1: its share by PCC_CORES, else what the machine lets it have."""
    share = os.environ.get(CORES_VARIABLE, "")
    return max(1, int(share)) if share.isdecimal() else available()


def available() -> int:
    """The cores that the machine lets this process have: by its affinity, and by the quota of its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for file in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):
            quota, period = file.read_text().split()
            usable = min(usable, -(-int(quota) // int(period)))  # "max 100000" is no quota
    return max(1, usable)


class _Readers:
    """One pool for all readers of this process, which ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._pool: ThreadPoolExecutor | None = None

    def open(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="reader")
            self._users += 1
            return self._pool

    def close(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


_readers = _Readers()


@contextlib.contextmanager
def reader_threads() -> Iterator[ThreadPoolExecutor]:
    """The threads that read and check rows: as many as `cores`, shared by all readers of this process."""
    pool = _readers.open()
    try:
        yield pool
    finally:
        _readers.close()
