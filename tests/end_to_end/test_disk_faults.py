"""A DuckDB file survives a kill, a torn write or a full disk at any call: it holds the old tables or the new ones.

EVERY_DISK_FAULT=1 injects a fault at each call of each case, which takes minutes; else some cases take samples.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import DAY, Workspace
from tests.end_to_end.disk_faults.inject import CASES, FAULTS

THREADS = ("--direct_running_mode", "multi_threading")  # one process: a fault ends the run
pytestmark = pytest.mark.end_to_end

SOURCE = Path(__file__).parent / "disk_faults" / "faults.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
# The cases and faults of which each call is taken; of the others, so many calls are between two.
WHOLE = {("publish", "kill"), ("log", "kill")}
BETWEEN = 1 if os.environ.get("EVERY_DISK_FAULT") else 12
FEWEST_CALLS = 15  # that a writer makes, 19 of them at least: far fewer would mean that the library no longer sees them


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that injects the faults."""
    if COMPILER is None or sys.platform != "linux":
        pytest.skip("no C compiler, or no Linux")
    built = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", built, SOURCE, "-ldl"], check=True
    )
    return built


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what is tested is the order of calls, not the disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = shared / f"disk-faults-{os.getpid()}-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def inject(library: Path, folder: Path, case: str, fault: str, every: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.end_to_end.disk_faults.inject", folder, case, fault, every]
    ended = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout))


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "count"])
@pytest.mark.parametrize("case", CASES)
def test_file_survives_a_fault_at_any_call(
    library: Path, memory: Path, case: str, fault: str, record_property: Any
) -> None:
    every = 1 if (case, fault) in WHOLE else BETWEEN
    result = inject(library, memory, case, fault, every)

    assert result["failures"] == []
    injected = sum(result["injected"].values())
    record_property("injected", injected)
    assert injected >= (FEWEST_CALLS if every == 1 else 1)


def run_with_fault(workspace: Workspace, library: Path, fault: str, number: int) -> "subprocess.CompletedProcess[str]":
    """A whole run, in whose processes the same call has the fault."""
    faulty = {
        "LD_PRELOAD": str(library),
        "DISK_FAULT_FILE": str(workspace.warehouse),
        "DISK_FAULT_FOLDER": str(workspace.folder),
        "DISK_FAULT": str(FAULTS[fault]),
        "DISK_FAULT_AT": str(number),
    }
    command = [sys.executable, "-m", "beam_pcc", "run", "--partition", DAY, *workspace.flags(), *THREADS]
    return subprocess.run(command, env=os.environ | faulty, capture_output=True, check=False, text=True, timeout=120)


@pytest.mark.parametrize("fault", ["kill", "full"])
def test_whole_run_survives_a_fault(workspace: Workspace, library: Path, fault: str) -> None:
    assert workspace.run().code == 0
    before = workspace.published()
    for number in (4, 15):
        ended = run_with_fault(workspace, library, fault, number)

        if fault == "full":
            assert ended.returncode == 1
            assert "the disk is full" in ended.stderr.strip().splitlines()[-1]
        else:
            assert ended.returncode == -signal.SIGKILL
        assert workspace.published() == before
    assert workspace.run().code == 0
