"""`beam-pcc submit` with a fake Kubernetes API server over HTTP."""

import json
import threading
import time
from typing import Any

import pytest
import yaml

from tests.launcher.conftest import NAME, Launcher
from tests.launcher.fake_api import CORE, FLINK, Fault


def only_row(launcher: Launcher) -> dict[str, Any]:
    import duckdb

    with duckdb.connect(launcher.warehouse.address) as connection:
        result = connection.execute("SELECT * FROM pcc_monitoring_logs")
        names = [column[0] for column in result.description or []]
        rows = result.fetchall()
    assert len(rows) == 1
    return dict(zip(names, rows[0], strict=True))


def test_run_is_created_followed_and_summarised(launcher: Launcher) -> None:
    assert launcher.submit("--wait") == 0
    assert "partition 20261120: published" in launcher.stdout
    assert launcher.run_id() in launcher.stdout
    for state in ("created", "RUNNING", "FINISHED"):
        assert f"{NAME}: {state}" in launcher.errors


def test_without_wait_run_is_only_created(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: None
    assert launcher.submit() == 0
    assert launcher.stdout.startswith(f"{NAME}: submitted, run 20261120-")
    assert not any("watch" in request or "pods" in request for request in launcher.kubernetes.requests)


def test_render_prints_resource_and_creates_nothing(launcher: Launcher) -> None:
    assert launcher.submit("--render", "--model_version=v20261119_020000") == 0
    shown = yaml.safe_load(launcher.stdout)
    assert shown["metadata"]["name"] == NAME
    assert "--model_version=v20261119_020000" in str(shown)
    assert not launcher.kubernetes.deployments


def test_running_run_is_not_started_twice(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    launcher.submit()
    first = launcher.run_id()
    assert launcher.submit("--wait", "--replace") == 2
    assert "was created by" in launcher.errors
    assert "is RUNNING" in launcher.errors
    assert launcher.run_id() == first


def test_finished_run_is_kept_unless_replaced(launcher: Launcher) -> None:
    launcher.submit("--wait")
    first = launcher.run_id()
    assert launcher.submit("--wait") == 2
    assert "submit with --replace to run again" in launcher.errors
    launcher.kubernetes.seconds_to_go = 0.3
    assert launcher.submit("--wait", "--replace") == 0
    assert launcher.run_id() != first


def test_attach_follows_the_running_run(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    launcher.submit()
    run_id = launcher.run_id()
    threading.Timer(0.5, launcher.succeed, [NAME]).start()
    assert launcher.submit("--wait", "--attach") == 0
    assert run_id in launcher.stdout


def test_refused_audits_are_exit_code_3(launcher: Launcher) -> None:
    def refused(name: str) -> None:
        launcher.publish(name, "40.0% of the rows rejected")
        launcher.kubernetes.job(name, "FINISHED")

    launcher.kubernetes.on_create = refused
    assert launcher.submit("--wait") == 3
    assert "REFUSED" in launcher.stdout
    assert only_row(launcher)["status"] == "refused"


def test_failed_job_gets_row_with_our_error_message(launcher: Launcher) -> None:
    trace = "java.lang.RuntimeException: Error received from SDK harness: Traceback:\nbeam_pcc.errors.SourceError: gone"
    error = json.dumps({"type": "x", "message": "Job failed", "throwableList": [{"message": trace}]})
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "FAILED", error=error)
    assert launcher.submit("--wait") == 1
    row = only_row(launcher)
    assert row["status"] == "failed"
    assert row["run_id"] == launcher.run_id()
    assert row["error_message"].startswith("gone (run 20261120-")
    assert row["error_message"] in launcher.errors


def test_finished_job_without_row_has_failed(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "FINISHED")
    assert launcher.submit("--wait") == 1
    assert "left no monitoring row" in only_row(launcher)["error_message"]


def test_job_jar_error_ends_run_with_its_exit_code(launcher: Launcher) -> None:
    output = "12:00:00 INFO x\nbeam-pcc: gs://my-bucket-models/pcc holds no version; train one\n"

    def refuses(name: str) -> None:
        container = {
            "name": "job-jar",
            "restartCount": 0,
            "image": "x",
            "imageID": "",
            "ready": False,
            "state": {"terminated": {"exitCode": 2, "reason": "Error", "message": output}},
        }
        launcher.kubernetes.pod(f"{name}-jm", name, initContainerStatuses=[container])
        launcher.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING")

    launcher.kubernetes.on_create = refuses
    assert launcher.submit("--wait") == 2
    assert only_row(launcher)["error_message"].startswith("gs://my-bucket-models/pcc holds no version; train one (run")
    assert not launcher.kubernetes.deployments  # its pod would restart for ever


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            "its image cannot be pulled (ImagePullBackOff: Back-off pulling image)",
        ),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "ran out of memory (OOMKilled)"),
        ({"terminated": {"exitCode": 1, "reason": "Error", "message": "no such file"}}, "exit code 1: no such file"),
    ],
)
def test_failing_pod_is_logged_and_ends_run_at_timeout(
    launcher: Launcher, container: dict[str, Any], words: str
) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.start_timeout"] = "1.5"

    def hangs(name: str) -> None:
        status = {"name": "python-workers", "restartCount": 1, "image": "x", "imageID": "", "ready": False}
        launcher.kubernetes.pod(f"{name}-tm-1", name, containerStatuses=[{**status, "state": container}])
        launcher.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING")

    launcher.kubernetes.on_create = hangs
    assert launcher.submit("--wait") == 1
    assert launcher.errors.count(words) >= 2  # in the log, and in the final error
    assert "did not start within 1.5 s" in only_row(launcher)["error_message"]
    assert not launcher.kubernetes.deployments


def test_unscheduled_pod_and_refused_pod_are_logged(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.start_timeout"] = "4"

    def hangs(name: str) -> None:
        unschedulable = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient memory.",
        }
        launcher.kubernetes.warn("ReplicaSet", f"{name}-abc", "FailedCreate", "exceeded quota: pcc-quota")
        launcher.kubernetes.warn("Pod", "pcc-19990101-x", "Other", "of another run")
        launcher.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING")
        threading.Timer(0.4, launcher.kubernetes.pod, [f"{name}-jm", name], {"conditions": [unschedulable]}).start()

    launcher.kubernetes.on_create = hangs
    assert launcher.submit("--wait") == 1
    assert "FailedCreate: exceeded quota: pcc-quota" in launcher.errors
    assert "finds no node: 0/3 nodes are available" in launcher.errors
    assert "of another run" not in launcher.errors


def test_run_that_times_out_is_deleted_and_failed(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.timeout"] = "1"
    launcher.kubernetes.on_create = lambda name: launcher.kubernetes.job(name, "RUNNING")
    assert launcher.submit("--wait") == 1
    assert "did not end within 1 s: the job is RUNNING" in only_row(launcher)["error_message"]
    assert not launcher.kubernetes.deployments


def test_run_that_published_at_timeout_is_published(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.timeout"] = "1"

    def slow(name: str) -> None:
        launcher.kubernetes.job(name, "RUNNING")
        launcher.publish(name)

    launcher.kubernetes.on_create = slow
    assert launcher.submit("--wait") == 0
    assert "published" in launcher.stdout


def test_deployment_deleted_by_somebody_is_failed(launcher: Launcher) -> None:
    def removed(name: str) -> None:
        launcher.kubernetes.job(name, "RUNNING")
        launcher.kubernetes.delete(name)

    launcher.kubernetes.on_create = removed
    assert launcher.submit("--wait") == 1
    assert "was removed by somebody else" in only_row(launcher)["error_message"]


def test_finished_deployments_beyond_keep_are_deleted(launcher: Launcher) -> None:
    for day in ("20261117", "20261118", "20261119"):
        assert launcher.submit("--wait", "--keep=2", day=day) == 0
    assert launcher.submit("--wait", "--keep=2") == 0
    assert sorted(launcher.kubernetes.deployments) == ["pcc-20261119", NAME]


@pytest.mark.parametrize("status", [0, 500, 503, 429])
def test_transient_api_error_is_retried(launcher: Launcher, status: int) -> None:
    launcher.kubernetes.faults += [
        Fault(f"GET {CORE}/configmaps", status),
        Fault(f"POST {FLINK}", status),
        Fault(f"GET {FLINK}?watch", status),
        Fault(f"GET {CORE}/pods", status),
    ]
    assert launcher.submit("--wait") == 0


def test_create_with_lost_response_is_no_conflict(launcher: Launcher) -> None:
    launcher.kubernetes.faults.append(Fault(f"POST {FLINK}", 0, after=True))
    assert launcher.submit("--wait") == 0
    assert len(launcher.kubernetes.deployments) == 1


def test_expired_watch_is_restarted(launcher: Launcher) -> None:
    launcher.kubernetes.expired = 10**9
    assert launcher.submit("--wait") == 0


def test_unavailable_api_server_is_one_line(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_pcc.kubernetes.cluster_api.RETRY_TIMEOUT", 0.5)
    launcher.kubernetes.faults.append(Fault(f"GET {CORE}", 503, "ServiceUnavailable", times=99))
    assert launcher.submit("--wait") == 4
    assert "did not answer well for 0.5 s (503 Service Unavailable)" in launcher.errors


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(f"POST {FLINK}", 403, "Forbidden", "exceeded quota: pcc-quota"), "exceeded quota: pcc-quota"),
        (Fault(f"POST {FLINK}", 422, "Invalid", "spec.mode: not supported"), "did not take FlinkDeployment"),
        (Fault(f"POST {FLINK}", 404, "NotFound", "404 page not found"), "run deploy-to-eks.sh check"),
        (Fault(f"GET {CORE}/configmaps", 401, "Unauthorized"), "see docs/eks-deployment.md"),
    ],
)
def test_permanent_error_is_exit_code_2(launcher: Launcher, fault: Fault, words: str) -> None:
    launcher.kubernetes.faults.append(fault)
    assert launcher.submit("--wait") == 2
    assert words in launcher.errors
    assert launcher.kubernetes.requests.count(fault.request) <= 1  # a retry would not help


def test_ctrl_c_does_not_end_the_run(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("beam_pcc.kubernetes.launcher.follow", interrupted)
    assert launcher.submit("--wait") == 4
    assert "submit --partition 20261120 --wait --attach" in launcher.errors
    assert NAME in launcher.kubernetes.deployments


def test_transient_operator_error_does_not_end_run(launcher: Launcher) -> None:
    def late(name: str) -> None:
        status = {"jobManagerDeploymentStatus": "ERROR", "lifecycleState": "FAILED", "error": "ErrImagePull"}
        launcher.kubernetes.update(name, **status)
        threading.Timer(0.8, launcher.succeed, [name]).start()

    launcher.kubernetes.on_create = late
    assert launcher.submit("--wait") == 0


def test_wrong_settings_create_nothing(launcher: Launcher) -> None:
    assert launcher.submit("--max_drop_rate=7") == 2
    assert launcher.submit("--parallelsim=2") == 2
    assert "did you mean --parallelism?" in launcher.errors
    launcher.kubernetes.config_maps["pcc-config"]["run.models"] = ""
    assert launcher.submit() == 2
    assert "--models is missing" in launcher.errors
    assert not launcher.kubernetes.deployments


def test_backfill_runs_days_in_parallel_despite_failure(launcher: Launcher) -> None:
    running, most = set(), []

    def some_fail(name: str) -> None:
        running.add(name)
        most.append(len(running))
        threading.Event().wait(0.3)
        running.discard(name)
        if name.endswith("19"):
            launcher.kubernetes.job(name, "FAILED", error="a disk is full")
        else:
            launcher.succeed(name)

    launcher.kubernetes.on_create = some_fail
    code = launcher.call("backfill", "--on-kubernetes", "--from=20261118", "--to=20261121", "--parallel=2", "--keep=9")
    assert code == 1
    assert max(most) == 2
    assert len(launcher.kubernetes.deployments) == 4
    lines = sorted(line for line in launcher.stdout.splitlines() if line.startswith("202611"))
    assert [line.split()[1] for line in lines] == ["published", "failed", "published", "published"]


def test_metrics_can_be_scraped_after_end_of_run(launcher: Launcher) -> None:
    import re
    import urllib.request

    scrapes: list[str] = []

    def scrape() -> None:
        port = re.search(r"figures stay at port (\d+)", launcher.log.text)
        if port:
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=5) as answer:
                scrapes.append(answer.read().decode())
        elif not scrapes:
            threading.Timer(0.1, scrape).start()

    scrape()
    assert launcher.submit("--wait", "--metrics_port=0", "--metrics_linger=1") == 0
    lines = (line.rsplit(" ", 1) for line in scrapes[0].splitlines() if not line.startswith("#"))
    values = {name: float(value) for name, value in lines}
    assert values['pcc_run_exit_code{partition="20261120"}'] == 0
    assert values['pcc_run_cases{partition="20261120"}'] == 98
    assert values['pcc_run_drift_psi{partition="20261120"}'] == 0.31
    assert values['pcc_run_alerts{partition="20261120"}'] == 1
    assert values['pcc_run_active{partition="20261120"}'] == 0
    assert values['pcc_run_partition_timestamp_seconds{partition="20261120"}'] == 1795132800
    started, ended = (
        values[f'pcc_run_{when}_timestamp_seconds{{partition="20261120"}}'] for when in ("started", "ended")
    )
    assert started <= ended <= time.time() + 1


def test_submit_prints_json(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: None
    assert launcher.submit("--output", "json") == 0
    result = json.loads(launcher.stdout)
    assert (result["status"], result["deployment"], result["run_id"]) == ("submitted", NAME, launcher.run_id())


def test_submit_with_wait_prints_json(launcher: Launcher) -> None:
    assert launcher.submit("--wait", "--output", "json") == 0
    result = json.loads(launcher.stdout)
    assert (result["status"], result["exit_code"], result["deployment"]) == ("success", 0, NAME)
    assert result["monitoring"]["run_id"] == launcher.run_id()


def test_submit_error_is_json_too(launcher: Launcher) -> None:
    launcher.submit("--wait")
    assert launcher.submit("--output", "json") == 2
    assert "submit with --replace" in json.loads(launcher.stdout)["error"]


def test_render_prints_json(launcher: Launcher) -> None:
    assert launcher.submit("--render", "--output", "json") == 0
    assert json.loads(launcher.stdout)["metadata"]["name"] == NAME
    assert not launcher.kubernetes.deployments


def test_dry_run_is_passed_on_to_the_run(launcher: Launcher) -> None:
    launcher.kubernetes.on_create = lambda name: None
    assert launcher.submit("--dry_run") == 0
    assert "--dry_run" in str(launcher.kubernetes.deployments[NAME])
    assert "--render prints the FlinkDeployment" in launcher.errors


def test_dry_run_of_a_file_names_render(launcher: Launcher) -> None:
    assert launcher.submit("--dry_run", "--manifests", "rendered.yaml") == 2
    assert "to print the FlinkDeployment, use --render" in launcher.errors
    assert not launcher.kubernetes.deployments


def test_output_flags_are_not_passed_on(launcher: Launcher) -> None:
    flags = ["--on_kubernetes", "--output", "json", "--summary_file", "/dev/null"]
    assert launcher.call("backfill", "--from", "20261120", "--to", "20261120", *flags) in (0, 2)
    assert "unknown argument" not in launcher.errors
    assert "summary_file" not in str(launcher.kubernetes.deployments)
