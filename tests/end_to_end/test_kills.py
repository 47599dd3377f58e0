"""Killed runs and concurrent runs: the table always contains exactly one complete run of the partition."""

import random
import shutil
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from beam_pcc.config.run_ids import new_run_id
from beam_pcc.publishing import staging
from tests.end_to_end.conftest import DATE, DAY, Workspace
from tests.end_to_end.test_run import good_rows

pytestmark = pytest.mark.end_to_end

KILLS = 20
ROWS = 1_500


def assert_one_whole_run(workspace: Workspace) -> str:
    """The partition holds all rows of one run whose monitoring row says success; its run_id."""
    ((run_id, runs, rows, ids),) = workspace.query(
        "SELECT any_value(run_id), count(DISTINCT run_id), count(*), count(DISTINCT case_id) FROM pcc_inference_output"
    )
    assert (runs, rows, ids) == (1, ROWS, ROWS)
    (status, passed), *others = workspace.query(
        "SELECT status, passed_validation FROM pcc_monitoring_logs WHERE run_id = ?", run_id
    )
    assert (status, passed, others) == ("success", ROWS, [])
    return str(run_id)


@pytest.fixture
def cases(workspace: Workspace) -> Path:
    file = workspace.folder / "cases.parquet"
    pq.write_table(good_rows(ROWS), file, row_group_size=100)
    return file


def test_kill_9_at_any_moment_leaves_complete_partition(workspace: Workspace, cases: Path) -> None:
    """Half of the moments are anywhere in the run, half within the 0.4 s after staged rows appear: load to commit."""
    flags = ["run", "--partition", DAY, *workspace.flags(cases)]
    started = time.monotonic()
    out, err = workspace.spawn(*flags).communicate(timeout=120)
    whole = time.monotonic() - started
    assert "published" in out, err
    seen = {assert_one_whole_run(workspace)}
    moment = random.Random(20_261_120)

    killed = 0
    while killed < KILLS:
        shutil.rmtree(
            workspace.folder / "pcc.duckdb.staging", ignore_errors=True
        )  # what the one before left would look like this one's
        process = workspace.spawn(*flags)
        if killed % 2:
            time.sleep(moment.uniform(0.0, whole))
        else:
            while process.poll() is None and not list(workspace.folder.glob("*.staging/*/predictions-*")):
                time.sleep(0.002)
            time.sleep(moment.uniform(0.0, 0.4))
        process.kill()
        process.communicate(timeout=60)
        killed += process.returncode == -9  # or it was done before
        seen.add(assert_one_whole_run(workspace))

    assert workspace.run(cases).code == 0
    assert assert_one_whole_run(workspace) not in seen


def test_concurrent_runs_leave_one_published(workspace: Workspace, cases: Path) -> None:
    flags = ["run", "--partition", DAY, *workspace.flags(cases)]
    processes = [workspace.spawn(*flags) for _ in range(2)]
    ended = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], ended
    assert_one_whole_run(workspace)
    assert [row["status"] for row in workspace.monitoring()] == ["success", "success"]


def test_stale_staging_is_removed_after_a_day(workspace: Workspace) -> None:
    area = workspace.folder / "pcc.duckdb.staging"
    now = staging.dt.datetime.now(staging.dt.timezone.utc)
    old = new_run_id(DATE, now - staging.dt.timedelta(hours=25))
    young = new_run_id(DATE, now - staging.dt.timedelta(hours=23))
    for name in (old, young, "somebody-elses"):
        (area / name).mkdir(parents=True)
        (area / name / "predictions-0.parquet").write_bytes(b"left behind")
    workspace.run("sample://100")

    assert sorted(path.name for path in area.iterdir()) == sorted([young, "somebody-elses"])
