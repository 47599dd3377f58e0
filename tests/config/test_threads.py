"""How many threads a process may keep busy."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import sklearn.linear_model  # noqa: F401 - loads the BLAS that is bounded
import threadpoolctl

from beam_pcc.config import threads


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, and the file of the container's quota."""
    quota = tmp_path / "cpu.max"
    monkeypatch.delenv(threads.CORES_VARIABLE, raising=False)
    monkeypatch.setattr(threads, "_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return quota


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("max 100000", 8),
        ("9900000 100000", 8),
        ("", 8),
    ],
)
def test_cores_are_those_of_the_container(eight: Path, quota: str, cores: int) -> None:
    eight.write_text(f"{quota}\n")

    assert threads.cores() == cores


@pytest.mark.parametrize(("said", "cores"), [("3", 3), ("0", 1), ("", 8), ("many", 8)])
@pytest.mark.usefixtures("eight")
def test_cores_are_those_of_the_variable(said: str, cores: int) -> None:
    assert threads.cores({threads.CORES_VARIABLE: said}) == cores


@pytest.mark.parametrize(("processes", "share"), [(None, "1"), (1, "8"), (2, "4"), (3, "2"), (20, "1")])
@pytest.mark.usefixtures("eight")
def test_processes_share_the_cores(processes: int | None, share: str) -> None:
    assert threads.worker_environment(processes)[threads.CORES_VARIABLE] == share


def test_given_cores_hold_for_every_process(eight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.CORES_VARIABLE, "5")

    assert threads.worker_environment(2)[threads.CORES_VARIABLE] == "5"


@pytest.mark.usefixtures("eight")
def test_processes_share_the_cores_for_a_while() -> None:
    with threads.shared_among(4):
        assert threads.cores() == 2
    assert threads.cores() == 8


def test_libraries_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.CORES_VARIABLE, "3")
    before = pa.cpu_count(), pa.io_thread_count()
    try:
        with threadpoolctl.threadpool_limits(4, user_api="blas"):
            threads.limit_libraries()
            blas = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
            assert (set(blas), pa.cpu_count(), pa.io_thread_count()) == ({1}, 3, 3)
    finally:
        pa.set_cpu_count(before[0])
        pa.set_io_thread_count(before[1])


def test_allocator_of_the_user_stays() -> None:
    environment = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    threads.choose_allocator(environment)
    assert environment == {"ARROW_DEFAULT_MEMORY_POOL": "system"}


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="another allocator there")
def test_arrow_uses_jemalloc() -> None:
    code = "import beam_pcc, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "jemalloc\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the size of the process is read from /proc")
def test_freed_memory_goes_back() -> None:
    """Blocks that C keeps for itself: too small to be mapped one by one, and one of the last stays."""
    code = (
        "import ctypes, pathlib\n"
        "from beam_pcc.config.threads import give_back_memory\n"
        "def resident(): return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * 4096 >> 20\n"
        "import pyarrow\n"
        "c = ctypes.CDLL(None); c.malloc.restype = ctypes.c_void_p; c.free.argtypes = [ctypes.c_void_p]\n"
        "c.malloc.argtypes = [ctypes.c_size_t]\n"
        "blocks = [c.malloc(100_000) for _ in range(2_000)]\n"
        "for block in blocks: ctypes.memset(block, 1, 100_000)\n"
        "for block in blocks[:-1]: c.free(block)\n"
        "before = resident(); give_back_memory(); print(before - resident())\n"
    )
    freed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(freed.stdout) > 100


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_memory_that_the_system_cannot_take_back_is_no_error(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(_: object) -> object:
        raise error

    monkeypatch.setattr(threads.ctypes, "CDLL", fails)
    threads.give_back_memory()
