"""The Kubernetes Job around the launcher: which exit codes end it, and the environment of the launcher."""

from typing import Any

import pytest
import yaml

from beam_pcc.errors import EXIT_FAILED, EXIT_LOST, EXIT_PUBLISHED, EXIT_REFUSED, EXIT_USAGE
from tests.launcher.conftest import ROOT

BASE = ROOT / "k8s/flink-operator"
JOBS = {
    "daily": yaml.safe_load((BASE / "base/cronjob.yaml").read_text())["spec"]["jobTemplate"]["spec"],
    "manual": yaml.safe_load((BASE / "manual/job.yaml").read_text())["spec"],
}
every_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)


def container(job: dict[str, Any]) -> dict[str, Any]:
    (launcher,) = job["template"]["spec"]["containers"]
    return launcher  # type: ignore[no-any-return]


@every_job
def test_exit_codes_of_ended_runs_end_the_job(job: dict[str, Any]) -> None:
    (rule,) = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert set(rule["onExitCodes"]["values"]) == {EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED}
    assert rule["onExitCodes"]["operator"] == "In"


@every_job
def test_launcher_that_lost_sight_is_restarted(job: dict[str, Any]) -> None:
    codes = [rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert EXIT_LOST not in {EXIT_PUBLISHED, *(code for values in codes for code in values)}
    assert job["backoffLimit"] >= 3
    assert "--attach" in container(job)["args"]


@every_job
def test_launcher_gets_uid_of_its_job(job: dict[str, Any]) -> None:
    (variable,) = [one for one in container(job)["env"] if one["name"] == "LAUNCHER_JOB"]
    path = variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['batch.kubernetes.io/controller-uid']"


@every_job
def test_launcher_has_short_grace_period(job: dict[str, Any]) -> None:
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] <= 10
