"""What this process may take, in one place: threads of reading, Arrow, BLAS and the encoder; and Arrow's allocator."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CORES_VARIABLE = "PCC_CORES"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# Arrow's own second keeps 30 MiB more of what its decoding frees all the time; none at all takes twice the time.
_FREED_FOR_MS = 100
_IO_THREADS = 2  # at least, as Arrow's own may wait for each other


def cores(environment: Mapping[str, str] = os.environ) -> int:
    """The cores that this process may use, at least 1: its share by PCC_CORES, else what the machine lets it have."""
    given = environment.get("PCC_CORES", "").strip()
    return max(1, int(given)) if given.isdecimal() else available()


def available() -> int:
    """The cores that the machine lets this process have: by its affinity, and by the quota of its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = _QUOTA.read_text().split()
        usable = min(usable, -(-int(quota) // int(period)))  # "max 100000" is no quota
    return max(1, usable)


def worker_environment(processes: int | None) -> dict[str, str]:
    """The environment of each of several processes that share the cores; of an unknown number, each has one core.

    What PCC_CORES says already stays.
    """
    share = 1 if processes is None else max(1, available() // max(1, processes))
    return {CORES_VARIABLE: str(share), **os.environ}


@contextlib.contextmanager
def shared_among(processes: int) -> Iterator[None]:
    """Have the processes that are started meanwhile share the cores."""
    if processes == 1 or CORES_VARIABLE in os.environ:
        yield
        return
    os.environ[CORES_VARIABLE] = worker_environment(processes)[CORES_VARIABLE]
    try:
        yield
    finally:
        del os.environ[CORES_VARIABLE]


def choose_allocator(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have Arrow use jemalloc, where its packages have that; it looks when it is imported, here or in a child.

    Its default, mimalloc, keeps 60 MiB more of what the reading threads have freed (measured at 1,000,000 cases).
    """
    if sys.platform == "linux" and platform.machine() == "x86_64":
        environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")


def limit_libraries() -> None:
    """Bound the threads that libraries start for themselves in this process; called where a worker loads its model.

    BLAS gets one: a batch is too small for more, and their waiting takes the cores from reading (measured: 3.6 s
    against 2.5 s for 200,000 cases on two cores). Arrow gets as many as there are cores, and gives back what was freed.
    """
    import pyarrow
    import threadpoolctl

    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
    pyarrow.set_cpu_count(cores())
    pyarrow.set_io_thread_count(max(_IO_THREADS, cores()))
    with contextlib.suppress(NotImplementedError):  # these packages have no jemalloc
        pyarrow.jemalloc_set_decay_ms(_FREED_FOR_MS)


def give_back_memory() -> None:
    """Give the memory that was freed back to the system: that of Arrow, and of C where its library can (glibc)."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no such library, or no such function
        ctypes.CDLL(None).malloc_trim(0)


class _SharedPool:
    """One pool for all its users in this process, which ends with the last of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._pool: ThreadPoolExecutor | None = None

    def open(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(cores(), thread_name_prefix="beside")
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


_shared = _SharedPool()


@contextlib.contextmanager
def side_threads() -> Iterator[ThreadPoolExecutor]:
    """Threads beside the graph, for reading, checking and summing: as many as `cores`, shared by the whole process."""
    pool = _shared.open()
    try:
        yield pool
    finally:
        _shared.close()
