"""A launcher that restarts follows the run of the lost launcher, in whatever state that is."""

import json
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from beam_pcc.config.run_ids import is_of_job
from beam_pcc.errors import RunError
from beam_pcc.publishing.monitoring import audited_row, failed_row
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFigures
from tests.launcher.conftest import DAY, NAME, Launcher

JOB = "5a0c7e1e-0000-4000-8000-000000000001"


@pytest.fixture
def in_job(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A launcher in a pod of a Kubernetes Job; the test changes the state of what it creates."""
    monkeypatch.setenv("LAUNCHER_JOB", JOB)
    launcher.kubernetes.on_create = lambda name: None
    launcher.kubernetes.config_maps["pcc-config"]["launcher.start_timeout"] = "30"  # ends a failing test
    return launcher


def rows(launcher: Launcher) -> list[dict[str, Any]]:
    return launcher.warehouse.runs(9)


def lose(launcher: Launcher) -> str:
    """Create a run with a launcher that ends at once; returns the run's id."""
    assert launcher.submit("--attach") == 0
    return launcher.run_id()


def test_finished_run_is_reported(in_job: Launcher) -> None:
    run_id = lose(in_job)
    in_job.succeed(NAME)

    assert in_job.submit("--wait", "--attach") == 0
    assert "partition 20261120: published" in in_job.stdout
    assert run_id in in_job.stdout


def test_failed_run_gets_its_row(in_job: Launcher) -> None:
    run_id = lose(in_job)
    in_job.kubernetes.job(NAME, "FAILED", error="a disk is full")

    assert in_job.submit("--wait", "--attach") == 1
    (row,) = rows(in_job)
    assert (row["run_id"], row["status"]) == (run_id, "failed")
    assert row["error_message"].startswith("a disk is full")


def test_refused_audit_is_exit_code_3(in_job: Launcher) -> None:
    lose(in_job)
    in_job.publish(NAME, "40.0% of the rows rejected")
    in_job.kubernetes.job(NAME, "FINISHED")

    assert in_job.submit("--wait", "--attach") == 3


def store(launcher: Launcher, **changed: Any) -> None:
    """Write a monitoring row, then change columns of it."""
    launcher.publish()
    with duckdb.connect(launcher.warehouse.address) as connection:
        values = ", ".join(f"{name} = ${name}" for name in changed)
        connection.execute(f"UPDATE pcc_monitoring_logs SET {values}", changed)


def test_refused_row_of_earlier_version_is_exit_code_3(in_job: Launcher) -> None:
    lose(in_job)
    store(in_job, status="failed", error_message="whatever it said")
    in_job.kubernetes.job(NAME, "FINISHED")

    assert in_job.submit("--wait", "--attach") == 3
    assert "REFUSED" in in_job.stdout


def test_failed_row_is_not_refused_by_its_message(in_job: Launcher) -> None:
    run_id = lose(in_job)
    failure = RunError("audits refused to publish: no, a disk is full")
    in_job.warehouse.record(failed_row(Run(run_id, DAY, in_job.started(run_id)), failure))
    in_job.kubernetes.job(NAME, "FAILED")

    assert in_job.submit("--wait", "--attach") == 1
    assert f"beam-pcc: {failure}" in in_job.errors


def test_malformed_row_is_one_line_and_no_failure(in_job: Launcher) -> None:
    run_id = lose(in_job)
    store(in_job, status="paused")
    in_job.kubernetes.job(NAME, "FINISHED")

    assert in_job.submit("--wait", "--attach") == 4
    error = f"in the row of run {run_id}, status is none of success, empty, refused, failed; correct or delete that row"
    assert error in in_job.errors


@pytest.mark.parametrize(("state", "code"), [("FINISHED", 0), ("FAILED", 1)])
def test_launcher_lost_while_lingering_reports_same_outcome(in_job: Launcher, state: str, code: int) -> None:
    lose(in_job)
    if state == "FINISHED":
        in_job.publish()
    in_job.kubernetes.job(NAME, state)
    assert in_job.submit("--wait", "--attach") == code
    first, error = in_job.stdout, in_job.errors.splitlines()[0]

    assert in_job.submit("--wait", "--attach") == code
    assert in_job.stdout == first
    assert error in in_job.errors
    assert len(rows(in_job)) == 1


def test_dry_run_outcome_is_reported_twice_without_row(in_job: Launcher) -> None:
    assert in_job.submit("--attach") == 0
    in_job.kubernetes.config_maps["pcc-config"]["run.dry_run"] = "true"
    run_id = in_job.run_id()
    run = Run(run_id, DAY, in_job.started(run_id))
    outcome = Outcome(audited_row(run, StagedFigures(), RunStats(), None, ()), dry_run=True)
    StagingArea(in_job.warehouse.staging(None), run_id).finish(outcome.to_json().encode())
    in_job.kubernetes.job(NAME, "FINISHED")

    assert in_job.submit("--wait", "--attach") == 0
    assert in_job.submit("--wait", "--attach") == 0
    assert "dry run, nothing published" in in_job.stdout


def test_deleted_run_has_failed(in_job: Launcher) -> None:
    run_id = lose(in_job)
    del in_job.kubernetes.deployments[NAME]

    assert in_job.submit("--wait", "--attach") == 1
    assert "was removed by somebody else" in in_job.errors
    assert [(row["run_id"], row["status"]) for row in rows(in_job)] == [(run_id, "failed")]
    assert not in_job.kubernetes.deployments


def test_run_deleted_after_publishing_is_published(in_job: Launcher) -> None:
    lose(in_job)
    in_job.publish()
    del in_job.kubernetes.deployments[NAME]

    assert in_job.submit("--wait", "--attach") == 0
    assert "published" in in_job.stdout


def test_run_being_deleted_is_followed_to_its_end(in_job: Launcher) -> None:
    run_id = lose(in_job)
    in_job.kubernetes.job(NAME, "RUNNING")
    in_job.kubernetes.seconds_to_go = 0.5
    in_job.kubernetes.delete(NAME)

    assert in_job.submit("--wait", "--attach") == 1
    assert [(row["run_id"], row["status"]) for row in rows(in_job)] == [(run_id, "failed")]
    assert not in_job.kubernetes.deployments


def test_deletion_of_another_run_is_awaited(in_job: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lose(in_job)
    in_job.kubernetes.seconds_to_go = 0.5
    in_job.kubernetes.delete(NAME)
    in_job.kubernetes.on_create = in_job.succeed
    monkeypatch.setenv("LAUNCHER_JOB", "another")

    assert in_job.submit("--wait", "--attach") == 0
    assert in_job.run_id() != first


def test_replaced_run_is_not_replaced_again(in_job: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHER_JOB", "of this morning")
    lose(in_job)
    in_job.kubernetes.job(NAME, "FAILED")
    monkeypatch.setenv("LAUNCHER_JOB", JOB)
    assert in_job.submit("--attach", "--replace") == 0
    second = in_job.run_id()
    assert is_of_job(second, DAY, JOB)
    in_job.succeed(NAME)

    assert in_job.submit("--wait", "--attach", "--replace") == 0
    assert second in in_job.stdout


def test_outcome_of_an_earlier_job_is_marked_as_such(in_job: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = lose(in_job)
    in_job.succeed(NAME)
    monkeypatch.setenv("LAUNCHER_JOB", "another")

    assert in_job.submit("--wait", "--attach") == 0
    assert f"run {run_id}; this is its outcome, submit with --replace to run again" in in_job.errors


def test_run_with_run_id_flag_is_recognised(launcher: Launcher) -> None:
    run_id = "20261120-20261121T020001Z-0a1b2c3d"
    launcher.kubernetes.on_create = lambda name: None
    assert launcher.submit(f"--run_id={run_id}") == 0
    assert launcher.run_id() == run_id
    launcher.publish()
    del launcher.kubernetes.deployments[NAME]

    assert launcher.submit("--wait", f"--run_id={run_id}") == 0
    assert run_id in launcher.stdout


def test_restarted_backfill_continues(in_job: Launcher) -> None:
    days = ["--from=20261119", "--to=20261121"]
    assert in_job.submit("--attach", day="20261119") == 0  # the first day is published
    in_job.succeed("pcc-20261119")
    assert in_job.submit("--attach", day="20261120") == 0  # the second is running, the third not started
    running = in_job.run_id()
    in_job.kubernetes.job(NAME, "RUNNING")
    threading.Timer(0.5, in_job.succeed, [NAME]).start()
    in_job.kubernetes.on_create = in_job.succeed

    assert in_job.call("backfill", "--on-kubernetes", *days, "--keep=9") == 0
    assert in_job.run_id() == running
    assert len(rows(in_job)) == 3


def test_unreadable_outcome_is_not_a_failed_run(in_job: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    lose(in_job)
    in_job.kubernetes.job(NAME, "FINISHED")
    monkeypatch.setattr("beam_pcc.kubernetes.launcher.read_outcome", lambda area: json.loads("{"))

    assert in_job.submit("--wait", "--attach") == 4
    assert "ended cannot be read" in in_job.errors
    assert rows(in_job) == []


def test_job_jar_restart_keeps_start_time(in_job: Launcher, tmp_path: Path) -> None:
    from beam_pcc.config.settings import RunConfig
    from beam_pcc.pipeline.launch import Launch

    run_id = lose(in_job)
    warehouse = str(tmp_path / "pcc.duckdb")
    config = RunConfig.of(DAY, source="sample://1", warehouse=warehouse, models="m", run_id=run_id)
    assert Launch.of(config).run.started_at == in_job.started(run_id)


def test_start_time_in_run_id_does_not_time_out(launcher: Launcher) -> None:
    assert launcher.submit("--wait", "--run_id=20261120-20261121T020001Z-0a1b2c3d") == 0
