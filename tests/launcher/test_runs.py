"""`beam-pcc runs`: what is submitted, why it does not go on, and how it is cancelled."""

import json
from typing import Any

from tests.launcher.conftest import NAME, Launcher
from tests.launcher.test_submit import only_row


def running(launcher: Launcher) -> None:
    """Submit a run that stays RUNNING."""
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    assert launcher.submit() == 0


def document(launcher: Launcher, *arguments: str) -> dict[str, Any]:
    assert launcher.call("runs", *arguments, "--output", "json") == 0
    parsed: dict[str, Any] = json.loads(launcher.stdout)
    return parsed


def test_list_has_every_run_latest_first(launcher: Launcher) -> None:
    running(launcher)
    assert launcher.submit(day="20261121") == 0
    runs = document(launcher, "list")["runs"]

    assert [run["partition"] for run in runs] == ["20261121", "20261120"]
    assert runs[1]["run_id"] == launcher.run_id()
    assert launcher.call("runs", "list") == 0
    assert [line.split()[0] for line in launcher.stdout.splitlines()] == ["name", "pcc-20261121", NAME]


def test_list_of_an_empty_namespace(launcher: Launcher) -> None:
    assert document(launcher, "list") == {"runs": []}


def test_show_names_the_problem_of_a_pod(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: None
    launcher.submit()
    status = {"name": "python-workers", "restartCount": 1, "image": "x", "imageID": "", "ready": False}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}
    launcher.kubernetes.pod(f"{NAME}-tm-1", NAME, containerStatuses=[{**status, "state": waiting}])

    assert "ImagePullBackOff" in document(launcher, "show", "20261120")["problem"]


def test_show_has_the_monitoring_row_of_a_finished_run(launcher: Launcher) -> None:
    assert launcher.submit("--wait") == 0
    shown = document(launcher, "show", "20261120")

    assert (shown["state"], shown["monitoring"]["status"]) == ("FINISHED", "success")


def test_show_of_a_missing_run_is_exit_code_2(launcher: Launcher) -> None:
    assert launcher.call("runs", "show", "20261120") == 2
    assert f"no FlinkDeployment {NAME} of a run" in launcher.errors


def test_cancel_deletes_the_run_and_records_it(launcher: Launcher) -> None:
    running(launcher)
    run_id = launcher.run_id()
    assert launcher.call("runs", "cancel", "20261120") == 0

    assert launcher.stdout == f"{NAME}: cancelled, run {run_id}\n"
    assert not launcher.kubernetes.deployments
    row = only_row(launcher)
    assert (row["run_id"], row["status"]) == (run_id, "failed")
    assert row["error_message"].startswith("cancelled by ")


def test_cancel_of_a_run_that_has_published_keeps_its_row(launcher: Launcher) -> None:
    running(launcher)
    launcher.publish()
    assert launcher.call("runs", "cancel", "20261120") == 0

    assert "had ended before it was cancelled: success" in launcher.stdout
    assert only_row(launcher)["status"] == "success"


def test_cancel_of_a_finished_run_is_refused(launcher: Launcher) -> None:
    assert launcher.submit("--wait") == 0
    assert launcher.call("runs", "cancel", "20261120") == 2

    assert "has ended already (FINISHED)" in launcher.errors
    assert NAME in launcher.kubernetes.deployments


def test_cancel_uses_the_settings_of_the_run(launcher: Launcher, tmp_path: Any) -> None:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    other = tmp_path / "other.duckdb"
    assert launcher.submit("--warehouse", str(other)) == 0
    assert launcher.call("runs", "cancel", "20261120") == 0

    assert other.exists()
