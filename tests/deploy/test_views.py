"""`beam-pcc deploy status`, `logs`, `ui`, `rollback` and `destroy`."""

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.deploy.jobs import ran_for
from tests.deploy.fakes import CURRENT, PREVIOUS, Deployment, cron_job, pod, pods

DAY = dt.date(2026, 11, 20)


def test_status_prints_image_and_model(deployment: Deployment) -> None:
    output = deployment.call("status").output

    assert f"image     {CURRENT}\n" in output
    assert f"before    {PREVIOUS}\n" in output
    assert "model     v20261101_020000\n" in output
    assert "daily run the daily run is at 0 2 * * *" in output


def test_status_of_dev_prints_no_daily_run(deployment: Deployment) -> None:
    deployment.reply("get cronjob pcc-daily", cron_job(suspend=True))
    deployment.reply("get configmap", json.dumps({"data": {}}))
    output = deployment.call("status", "--overlay", "dev").output

    assert "there is no daily run" in output
    assert "model     the registry's current version" in output


def test_status_without_deployment_is_an_error(deployment: Deployment) -> None:
    deployment.reply(
        "get cronjob pcc-daily", "", 1, 'Error from server (NotFound): cronjobs.batch "pcc-daily" not found'
    )
    ended = deployment.call("status")

    assert ended.code == 1
    assert '"pcc-daily" not found' in ended.errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "created", "expected"),
    [
        (("--partition=20261120", "--wait"), "2026-12-24T02:00:00Z", True),
        (("--partition=2026-11-20",), "2026-12-24T02:00:00Z", True),
        (("--partition=20261121",), "2026-11-21T02:00:00Z", False),
        (("--partition=yesterday",), "2026-11-21T02:00:00Z", True),
        (("--partition=yesterday",), "2026-11-20T02:00:00Z", False),
        (("--partition=today",), "2026-11-20T23:59:59Z", True),
        (("--from=20261101", "--to=20261120"), "2026-12-24T02:00:00Z", True),
        (("--from=20261101", "--to=20261119"), "2026-12-24T02:00:00Z", False),
        (("--partition=never",), "2026-11-21T02:00:00Z", False),
        (("--dry_run",), "2026-11-21T02:00:00Z", False),
        ((), "2026-11-21T02:00:00Z", False),
        (("--partition=20261120",), "today", False),
    ],
)
def test_launcher_matches_its_day(args: tuple[str, ...], created: str, expected: bool) -> None:
    assert ran_for(pod(args=args, created=created), DAY) is expected


@given(st.lists(st.text(max_size=30) | st.sampled_from(["--partition=today", "--from=20261101", "--to=x"]), max_size=4))
def test_ran_for_accepts_any_arguments(args: list[str]) -> None:
    assert ran_for(pod(args=tuple(args)), DAY) in (True, False)


@pytest.mark.parametrize("broken", [{}, {"spec": {}}, {"spec": {"containers": [{"name": "other"}]}}])
def test_malformed_pod_matches_no_day(broken: dict) -> None:
    assert ran_for(broken, DAY) is False


def test_logs_of_partition_are_of_latest_launcher(deployment: Deployment) -> None:
    deployment.reply(
        "get pods ",
        pods(
            pod("other", args=("--partition=20261119",), created="2026-11-21T09:00:00Z"),
            pod("later", args=("--partition=20261120",), created="2026-11-21T08:00:00Z"),
            pod("daily", args=("--partition=yesterday",), created="2026-11-21T02:00:00Z"),
        ),
    )
    ended = deployment.call("logs", "--partition", "20261120")

    assert ended.code == 0, ended.errors
    assert deployment.calls()[-1] == "kubectl --namespace pcc-system logs pod/later --container launcher --tail=-1"
    assert "kubectl --kubeconfig local/kubeconfig-prod --namespace pcc-system logs pod/daily" in ended.errors


def test_logs_without_launcher_are_an_error(deployment: Deployment) -> None:
    ended = deployment.call("logs", "--partition", "20261119")

    assert ended.code == 1
    assert "no launcher of partition 20261119 is left in pcc-system" in ended.errors


@pytest.mark.parametrize(
    ("of", "selected"),
    [
        ("jobmanager", "component=jobmanager --all-containers"),
        ("taskmanager", "component=taskmanager --container flink-main-container"),
        ("workers", "component=taskmanager --container python-workers"),
    ],
)
def test_logs_of_a_run(deployment: Deployment, of: str, selected: str) -> None:
    deployment.call("logs", "--partition", "20261120", "--of", of, "--overlay", "dev")

    call = f"kubectl --namespace pcc-dev logs --selector app=pcc-20261120,{selected} --tail=-1 --prefix"
    assert deployment.calls()[-1] == call


@pytest.mark.parametrize("word", ["today", "yesterday"])
def test_today_and_yesterday_are_accepted(deployment: Deployment, word: str) -> None:
    today = dt.datetime.now(dt.timezone.utc).date()
    day = f"{today if word == 'today' else today - dt.timedelta(days=1):%Y%m%d}"
    for command in (["run"], ["logs", "--of", "workers"], ["ui"]):
        assert day in deployment.call(*command, "--partition", word, "--dry-run").output
    assert day in deployment.call("backfill", "--from", word, "--to", "today", "--dry-run").output


def test_ui_of_a_run(deployment: Deployment) -> None:
    ended = deployment.call("ui", "--partition", "20261120")

    assert deployment.calls()[-1] == "kubectl --namespace pcc-system port-forward service/pcc-20261120-rest 8081:8081"
    assert "http://localhost:8081" in ended.errors


def test_ui_of_the_session_is_in_dev(deployment: Deployment) -> None:
    deployment.call("ui", "--session")

    assert deployment.calls()[-1] == "kubectl --namespace pcc-dev port-forward service/pcc-session-rest 8081:8081"


def test_prod_has_no_session(deployment: Deployment) -> None:
    ended = deployment.call("ui", "--session", "--overlay", "prod")

    assert (ended.code, "the overlay prod has no session cluster" in ended.errors) == (2, True)


def test_rollback_restores_image_in_both_resources(deployment: Deployment) -> None:
    ended = deployment.call("rollback")

    assert ended.code == 0, ended.errors
    calls = "\n".join(deployment.calls())
    assert f"set image cronjob/pcc-daily launcher={PREVIOUS}" in calls
    assert f'{{"data":{{"image":"{PREVIOUS}"}}}}' in calls
    assert f"annotate --overwrite cronjob pcc-daily beam-pcc/previous-image={CURRENT}" in calls


@pytest.mark.parametrize("previous", [None, "", "x:latest", 'a"; rm -rf /'])
def test_rollback_without_previous_image_is_an_error(deployment: Deployment, previous: str | None) -> None:
    deployment.reply("get cronjob", cron_job(previous=previous))
    ended = deployment.call("rollback")

    assert (ended.code, "no image was deployed before this one" in ended.errors) == (2, True)
    assert not any(" set image " in call for call in deployment.calls())


@pytest.mark.parametrize(("model", "pinned"), [("v20261101_020000", "v20261101_020000"), ("none", "")])
def test_rollback_of_the_model_pins_it(deployment: Deployment, model: str, pinned: str) -> None:
    deployment.call("rollback", "--model", model, "--overlay", "dev")

    patch = json.dumps({"data": {"run.model_version": pinned}}, separators=(",", ":"))
    assert (
        f"kubectl --namespace pcc-dev patch configmap pcc-config --type=merge --patch '{patch}'" in deployment.calls()
    )


def test_destroy_removes_runs_before_the_namespace(deployment: Deployment) -> None:
    deployment.reply("get crd flinkdeployments")
    deployment.call("destroy", "--yes")

    runs, namespace = deployment.calls()[-2:]
    assert runs.startswith("kubectl --namespace pcc-system delete flinkdeployments --all")
    assert namespace.startswith("kubectl delete namespace pcc-system")


def test_destroy_without_operator_deletes_namespace(deployment: Deployment) -> None:
    ended = deployment.call("destroy", "--yes", "--overlay", "dev")

    assert ended.code == 0
    assert deployment.calls()[-1].startswith("kubectl delete namespace pcc-dev")
    assert not any("delete flinkdeployments" in call for call in deployment.calls())


@pytest.mark.parametrize(
    "command",
    [
        ["fly"],
        ["run"],
        ["run", "--partition", "2026"],
        ["run", "--partition", "20261345"],
        ["run", "--partition", "20260230"],
        ["run", "--partition", "tomorrow"],
        ["run", "--partition"],
        ["run", "--partition", "20261120", "--fast"],
        ["run", "--partition", "20261120", "--overlay", "test"],
        ["apply", "--overlay", "test"],
        ["apply", "--overlay", "../base"],
        ["apply", "--image", "x:latest"],
        ["backfill", "--from", "20261101"],
        ["backfill", "--from", "20261103", "--to", "20261101"],
        ["backfill", "--from", "20261301", "--to", "20261303"],
        ["backfill", "--from", "20261101", "--to", "20261103", "--parallel", "0"],
        ["backfill", "--from", "20261101", "--to", "20261103", "--parallel", "many"],
        ["logs", "--of", "workers"],
        ["logs", "--of", "cooks", "--partition", "20261120"],
        ["logs", "--partition", "20261345"],
        ["ui"],
        ["ui", "--partition", "20261345"],
        ["ui", "--partition", "20261120", "--session"],
        ["rollback", "--model", "newest"],
        ["rollback", "--model", ""],
        ["destroy"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_2(deployment: Deployment, command: list[str]) -> None:
    ended = deployment.call(*command)

    assert ended.code == 2
    assert ended.errors.startswith("beam-pcc: ")
    assert len(ended.errors.splitlines()) == 1
    assert deployment.calls() == []
