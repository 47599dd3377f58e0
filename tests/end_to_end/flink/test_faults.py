"""Faults of Flink: the run recovers, or ends in a bounded time with one line, and never publishes a part."""

import os
import signal
import time
from pathlib import Path

import pytest

from beam_pcc.flink import runner
from tests.end_to_end.conftest import DAY, Workspace
from tests.end_to_end.flink.cluster import SLOTS, Cluster, wait_for
from tests.end_to_end.flink.test_session import LONG, run, started


def assert_published_once(workspace: Workspace) -> None:
    """The table holds each case of LONG that was not rejected, once, and one row says so."""
    (row,) = workspace.monitoring()
    ((rows, ids, runs),) = workspace.query(
        "SELECT count(*), count(DISTINCT case_id), count(DISTINCT run_id) FROM pcc_inference_output"
    )
    assert row["status"] == "success"
    assert row["total_cases"] == int(LONG.removeprefix("sample://"))
    assert (rows, ids, runs) == (row["passed_validation"], rows, 1)


def failed_row(workspace: Workspace) -> str:
    """Nothing is published, and the one row says why."""
    assert workspace.published() == []
    (row,) = workspace.monitoring()
    assert row["status"] == "failed"
    return str(row["error_message"])


@pytest.mark.parametrize("victim", ["a Python worker", "the TaskManager"])
def test_killed_process_is_replaced_and_job_continues(workspace: Workspace, cluster: Cluster, victim: str) -> None:
    with started(workspace, cluster) as process:
        wait_for(lambda: cluster.counter("rows_scored"))
        if victim == "a Python worker":
            os.kill(wait_for(cluster.python_workers)[0], signal.SIGKILL)
        else:
            cluster.kill("taskmanager")
            cluster.up()
        _, err = process.communicate(timeout=180)

    assert process.returncode == 0, err
    assert_published_once(workspace)


def test_lost_task_manager_ends_the_run(workspace: Workspace, cluster: Cluster) -> None:
    with started(workspace, cluster) as process:
        wait_for(lambda: cluster.counter("rows_scored"))
        cluster.kill("taskmanager")
        killed = time.monotonic()
        _, err = process.communicate(timeout=180)

    assert process.returncode == 1
    assert time.monotonic() - killed < 120
    assert "a TaskManager was lost and none took its place" in err
    assert "a TaskManager was lost" in failed_row(workspace)


def test_restarted_job_manager_has_lost_the_job(workspace: Workspace, cluster: Cluster) -> None:
    with started(workspace, cluster) as process:
        wait_for(lambda: cluster.counter("rows_scored"))
        cluster.kill("jobmanager")
        cluster.up()
        _, err = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "does not know the job any more: its JobManager started anew; run again" in err
    assert "does not know the job" in failed_row(workspace)


def test_missing_worker_pool_is_named(workspace: Workspace, cluster: Cluster) -> None:
    cluster.kill("workers")
    ended = run(workspace, cluster)

    assert ended.code == 1
    assert f"no pool of Python workers answers at localhost:{cluster.worker_port}" in ended.err
    assert "no pool of Python workers" in failed_row(workspace)


def test_too_few_slots_are_an_error_before_start(workspace: Workspace, cluster: Cluster) -> None:
    before = cluster.jobs()
    ended = run(workspace, cluster, "sample://100", "--parallelism", SLOTS + 1)

    assert ended.code == 2
    assert f"has {SLOTS} slots, and the job needs {SLOTS + 1}; add TaskManagers, or lower --parallelism" in ended.err
    assert cluster.jobs() == before


def test_missing_flink_cluster_is_an_error(workspace: Workspace) -> None:
    ended = workspace.run("sample://100", "--runner", "FlinkRunner", "--flink_master", "localhost:9")

    assert ended.code == 2
    assert "no Flink answers at --flink_master http://localhost:9" in ended.err


def test_model_unreadable_for_worker_ends_the_run(
    workspace: Workspace, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = runner.SessionRunner.run_portable_pipeline

    def lose_the_model_then_submit(*job: object) -> object:
        (model,) = Path(workspace.models).glob("v*/model.joblib")
        model.rename(model.with_suffix(".gone"))
        return submit(*job)  # type: ignore[arg-type]

    monkeypatch.setattr(runner.SessionRunner, "run_portable_pipeline", lose_the_model_then_submit)
    try:
        ended = run(workspace, cluster)
    finally:
        (gone,) = Path(workspace.models).glob("v*/model.gone")
        gone.rename(gone.with_suffix(".joblib"))

    assert ended.code == 2
    assert "model.joblib cannot be read: it is not there; check the path and the rights" in ended.err
    assert "cannot be read" in failed_row(workspace)


def test_truncated_input_is_named(workspace: Workspace, cluster: Cluster) -> None:
    cases = workspace.folder / "cases.parquet"
    workspace.call("sample", "--rows", 2_000, "--output", cases, "--partition", DAY)
    cases.write_bytes(cases.read_bytes()[:-2_000])
    ended = run(workspace, cluster, cases)

    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line.startswith("beam-pcc: ")]
    assert f"{cases} cannot be read as Parquet" in line
    assert "cannot be read as Parquet" in failed_row(workspace)
