"""`beam-pcc deploy run` and `backfill`: Jobs created from the CronJob, followed to their end."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import yaml

from beam_pcc.deploy.jobs import JobState, with_command
from beam_pcc.errors import ConfigurationError
from tests.deploy.fakes import Deployment, job, job_template, pod, pods
from tests.manifests.tools import ROOT

pytestmark = pytest.mark.end_to_end  # real processes: scripts, kubectl, stand-ins of aws and helm

RUN = ("run", "--partition", "20261120")


def created_job(deployment: Deployment) -> dict:
    return json.loads(deployment.stdin_of("kubectl --namespace pcc-system create --filename -"))


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_failed_run_ends_with_its_own_exit_code(deployment: Deployment, code: int) -> None:
    deployment.reply("get job ", job("Failed", "PodFailurePolicy"))
    deployment.reply("get pods ", pods(pod(exit_code=code)))
    ended = deployment.call(*RUN)

    assert ended.code == code
    assert f"failed with exit code {code}: " in ended.errors


def test_failed_run_waits_for_no_success(deployment: Deployment) -> None:
    deployment.reply("get job ", job("Failed"))
    deployment.reply("get pods ", pods(pod(exit_code=1)))
    deployment.call(*RUN)

    assert not any(" wait " in call for call in deployment.calls())
    assert sum("get job " in call for call in deployment.calls()) == 2  # before and after the log


def test_published_run_is_exit_code_0(deployment: Deployment) -> None:
    deployment.reply(" logs ", "partition 20261120: published")
    ended = deployment.call(*RUN)

    assert (ended.code, ended.output) == (0, "partition 20261120: published\n")


def test_run_follows_until_the_job_has_ended(deployment: Deployment) -> None:
    deployment.reply("get pods ", pods(pod(exit_code=3)))
    deployment.reply("get job ", job("Failed"))
    deployment.reply("get pods ", pods(pod(exit_code=None)), times=2)
    deployment.reply("get job ", job(None), times=3)
    deployment.reply("get pods ", pods(pod(state={"waiting": {"reason": "ContainerCreating"}})), times=1)
    ended = deployment.call(*RUN)

    assert ended.code == 3
    assert "waiting            ContainerCreating" in ended.errors
    assert sum(" logs " in call for call in deployment.calls()) == 1


def test_evicted_launcher_is_followed_in_its_next_pod(deployment: Deployment) -> None:
    evicted = pod("first", 143, created="2026-11-21T02:00:00Z")
    deployment.reply("get pods ", pods(evicted, pod("second", 0, created="2026-11-21T02:05:00Z")))
    deployment.reply("get job ", job(None), times=1)
    deployment.reply("get pods ", pods(evicted), times=1)
    ended = deployment.call(*RUN)

    assert ended.code == 0
    logs = [call.split()[5] for call in deployment.calls() if " logs " in call]
    assert logs == ["pod/first", "pod/second"]


def test_broken_log_is_read_again(deployment: Deployment) -> None:
    deployment.reply("get pods ", pods(pod(exit_code=None)), times=1)
    deployment.reply("get job ", job(None), times=1)
    deployment.reply(" logs ", "the beginning", 1, "error: unexpected EOF", times=1)
    ended = deployment.call(*RUN)

    first, second = [call for call in deployment.calls() if " logs " in call]
    assert ended.code == 0
    assert "--since" not in first
    assert re.search(r" --since=[1-9]s$", second)


def test_missing_log_does_not_hide_outcome(deployment: Deployment) -> None:
    deployment.reply("get job ", job("Failed"))
    deployment.reply("get pods ", pods(pod(exit_code=3)))
    deployment.reply(" logs ", "", 1, "error: the pod's log is gone")
    ended = deployment.call(*RUN)

    assert ended.code == 3
    assert sum(" logs " in call for call in deployment.calls()) == 3


def test_complete_log_is_read_once(deployment: Deployment) -> None:
    deployment.reply("get pods ", pods(pod(exit_code=None)), times=2)
    deployment.reply("get job ", job(None), times=2)
    deployment.call(*RUN)

    assert sum(" logs " in call for call in deployment.calls()) == 1


def test_run_over_its_deadline_says_so(deployment: Deployment) -> None:
    deployment.reply("get job ", job("Failed", "DeadlineExceeded"))
    deployment.reply("get pods ", pods())
    ended = deployment.call(*RUN)

    assert ended.code == 1
    assert "failed with exit code 1: DeadlineExceeded" in ended.errors


def test_launcher_out_of_memory_is_a_failed_run(deployment: Deployment) -> None:
    deployment.reply("get job ", job("Failed", "BackoffLimitExceeded"))
    deployment.reply("get pods ", pods(pod(exit_code=137, reason="OOMKilled")))
    ended = deployment.call(*RUN)

    assert ended.code == 1
    assert "OOMKilled BackoffLimitExceeded" in ended.errors


def test_transient_cluster_error_is_retried(deployment: Deployment) -> None:
    deployment.reply("get job ", "", 1, "Unable to connect to the server", times=1)
    ended = deployment.call(*RUN)

    assert ended.code == 0


def test_silent_cluster_is_exit_code_4(deployment: Deployment) -> None:
    deployment.reply("get job ", "", 1, "Unable to connect to the server")
    without_patience = (
        "from beam_pcc.cli import main as cli; from beam_pcc.deploy import jobs; jobs._API_TIMEOUT = 0.0; cli.entry()"
    )
    ended = deployment.call("deploy", *RUN, program=(sys.executable, "-c", without_patience))

    assert ended.code == 4
    assert "may go on: kubectl --kubeconfig local/kubeconfig-prod --namespace pcc-system get job " in ended.errors


def test_interrupted_follow_names_command_to_continue(deployment: Deployment) -> None:
    deployment.reply("get job ", job(None))
    deployment.reply("get pods ", pods())
    (deployment.state / "replies.json").write_text(json.dumps([asdict(reply) for reply in deployment.replies]))
    process = subprocess.Popen(
        [sys.executable, "-m", "beam_pcc", "deploy", *RUN],
        env=deployment.environment(),
        cwd=deployment.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any("get pods" in call for call in deployment.calls()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "goes on: kubectl --kubeconfig local/kubeconfig-prod --namespace pcc-system logs --follow job/" in errors


def test_run_is_the_daily_job_with_other_arguments(deployment: Deployment) -> None:
    deployment.call(*RUN, "--replace")

    actual, template = created_job(deployment), job_template()
    container = actual["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["beam-pcc", "submit"]
    figures = ["--metrics_port=9249", "--metrics_linger=20"]
    assert container["args"] == ["--partition=20261120", "--wait", "--attach", *figures, "--replace"]
    for of in (container, template["spec"]["template"]["spec"]["containers"][0]):
        del of["command"], of["args"]
    assert actual == template


def test_metrics_are_served_longer_than_scrape_interval(deployment: Deployment) -> None:
    deployment.call(*RUN)

    monitor = yaml.safe_load((ROOT / "k8s/flink-operator/observability/podmonitor.yaml").read_text())
    interval = int(monitor["spec"]["podMetricsEndpoints"][0]["interval"].removesuffix("s"))
    arguments = created_job(deployment)["spec"]["template"]["spec"]["containers"][0]["args"]
    (linger,) = [int(a.partition("=")[2]) for a in arguments if a.startswith("--metrics_linger=")]
    assert interval < linger < 2 * interval


def test_run_fixes_the_day_when_it_is_called(deployment: Deployment) -> None:
    deployment.call("run", "--partition", "yesterday")

    (day,) = [
        a for a in created_job(deployment)["spec"]["template"]["spec"]["containers"][0]["args"] if "partition" in a
    ]
    assert day.removeprefix("--partition=").isdigit()


def test_backfill_has_no_deadline(deployment: Deployment) -> None:
    deployment.call("backfill", "--from", "20261101", "--to", "20261130", "--parallel", "2")

    actual = created_job(deployment)
    container = actual["spec"]["template"]["spec"]["containers"][0]
    assert "activeDeadlineSeconds" not in actual["spec"]
    assert container["command"] == ["beam-pcc", "backfill"]
    assert container["args"] == ["--on-kubernetes", "--from=20261101", "--to=20261130", "--parallel=2"]


def test_run_keeps_its_deadline(deployment: Deployment) -> None:
    deployment.call(*RUN)

    assert created_job(deployment)["spec"]["activeDeadlineSeconds"] == 10800


def test_run_in_dev_is_in_its_namespace(deployment: Deployment) -> None:
    deployment.call(*RUN, "--overlay", "dev")

    assert deployment.stdin_of("kubectl --namespace pcc-dev create --filename -")
    assert not any("pcc-system" in call for call in deployment.calls())


@pytest.mark.parametrize(
    ("command", "answer", "message"),
    [
        (
            "create --filename -",
            "Error from server (Forbidden): exceeded quota: pcc-quota",
            "exceeded quota: pcc-quota",
        ),
        (
            "create job",
            'cronjobs.batch "pcc-daily" not found',
            'cronjobs.batch "pcc-daily" not found; is it deployed?',
        ),
        (
            "get job ",
            'Error from server (NotFound): jobs.batch "x" not found',
            "was deleted while it was followed",
        ),
    ],
    ids=["not taken", "nothing deployed", "deleted"],
)
def test_job_that_cannot_be_created_names_reason(
    deployment: Deployment, command: str, answer: str, message: str
) -> None:
    deployment.reply(command, "", 1, answer)
    ended = deployment.call(*RUN)

    assert ended.code == 1
    assert message in ended.errors


@pytest.mark.parametrize(
    "broken", [{}, {"spec": None}, {"spec": {"template": {"spec": {"containers": [{"name": "x"}]}}}}]
)
def test_job_without_a_launcher_is_refused(broken: dict) -> None:
    with pytest.raises(ConfigurationError, match="has no container launcher"):
        with_command(broken, ["a"], ["b"])


def test_with_command_does_not_modify_its_input(deployment: Deployment) -> None:
    before = job_template()
    with_command(before, ["a"], ["b"], deadline=False)

    assert before == job_template()


def test_false_job_condition_is_ignored() -> None:
    state = JobState.of({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, {"items": []})

    assert state.ended is None


def test_state_is_of_the_latest_pod() -> None:
    older, newer = pod("a", 4, created="2026-11-21T02:00:00Z"), pod("b", 3, created="2026-11-21T02:09:00Z")
    state = JobState.of(json.loads(job("Failed")), {"items": [newer, older]})

    assert state.exit_code == 3


def test_unscheduled_pod_has_reason() -> None:
    waiting = pod(exit_code=None, state={})
    waiting["status"] = {"conditions": [{"type": "PodScheduled", "message": "0/3 nodes are available"}]}
    (state,) = JobState.of({}, {"items": [waiting]}).pods

    assert (state.started, state.reason) == (False, "0/3 nodes are available")
