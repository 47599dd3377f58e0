"""A run of which nothing changes ends; a slow one, or one that cannot be looked at, does not."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from beam_pcc.flink.rest import FlinkCluster, Progress, progress
from beam_pcc.kubernetes import follow
from beam_pcc.kubernetes.follow import Patience, Watchdog
from tests.flink.rest_api import JOB, SILENT, Flink, serving, vertex
from tests.launcher.conftest import NAME, Launcher

WORKS = [
    {"name": "flink-main-container", "state": {"running": {}}},
    {"name": "python-workers", "state": {"running": {}}},
]
DEAD = {
    "name": "python-workers",
    "restartCount": 9,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 70, "message": "boot: starting\nno space left\nthe pool has no worker\n"}},
}


def pod(*statuses: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "tm"}, "status": {"containerStatuses": list(statuses)}}


class Clock:
    """Time that passes when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(flink: Flink) -> Progress | None:
    return progress(lambda path: flink.paths()[path.removeprefix("/")], JOB)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(clock: Clock) -> Watchdog:
    return Watchdog(Patience(stall=600, publishing=300), clock)


def test_a_job_whose_counters_stand_still_has_stalled(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(counters={"rows_scored": 1234})
    assert watchdog.look("RUNNING", seen(flink), [pod(*WORKS)]) is None
    clock.now = 599
    assert watchdog.look("RUNNING", seen(flink), [pod(*WORKS)]) is None
    clock.now = 600
    stalled = watchdog.look("RUNNING", seen(flink), [pod(*WORKS)])
    assert stalled == (
        "the job has stalled: neither its state nor a counter changed for 600 s (RUNNING, 1,234 rows scored)"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"counters": {"rows_scored": 2}},
        {"vertices": [vertex("Score", "FINISHED")]},
        {"vertices": [vertex("Score", **{"write-records": 7})]},
        {"state": "RESTARTING"},
    ],
    ids=["counter", "step", "records", "state"],
)
def test_any_change_begins_the_wait_anew(watchdog: Watchdog, clock: Clock, change: dict[str, Any]) -> None:
    watchdog.look("RUNNING", seen(Flink(counters={"rows_scored": 1})), None)
    clock.now = 599
    changed = Flink(**{"counters": {"rows_scored": 1}, **change})
    watchdog.look("RUNNING", seen(changed), None)
    clock.now = 700
    assert watchdog.look("RUNNING", seen(changed), None) is None


def test_time_that_flink_adds_up_is_no_progress(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.look("RUNNING", seen(Flink()), None)
    clock.now = 601
    idle = Flink(vertices=[vertex("Score", **{"accumulated-idle-time": 600_000})])
    assert watchdog.look("RUNNING", seen(idle), None)


def test_a_job_that_publishes_may_be_quiet_for_longer(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(vertices=[vertex("Score", "FINISHED"), vertex("Publish/Publish")])
    watchdog.look("RUNNING", seen(flink), None)
    clock.now = 899
    assert watchdog.look("RUNNING", seen(flink), None) is None
    clock.now = 900
    assert watchdog.look("RUNNING", seen(flink), None)


def test_without_counters_a_long_job_has_not_stalled(watchdog: Watchdog, clock: Clock) -> None:
    for hours in range(9):
        clock.now = hours * 3600
        assert watchdog.look("RUNNING", None, [pod(*WORKS)]) is None
        assert watchdog.look("RUNNING", None, None) is None


@pytest.mark.parametrize("pods", [[], [pod(WORKS[0], DEAD)]], ids=["no pod", "dead workers"])
def test_without_counters_pods_that_cannot_work_prove_a_stall(
    watchdog: Watchdog, clock: Clock, pods: list[dict[str, Any]]
) -> None:
    assert watchdog.look("RUNNING", None, pods) is None
    clock.now = 601
    assert watchdog.look("RUNNING", None, pods) == "the job has stalled: no TaskManager could work for 601 s"


def test_a_pod_that_works_now_and_then_proves_nothing(watchdog: Watchdog, clock: Clock) -> None:
    for minute in range(60):
        clock.now = minute * 60
        assert watchdog.look("RUNNING", None, [pod(*WORKS)] if minute % 9 == 0 else []) is None


def test_counters_that_are_gone_for_a_while_prove_nothing(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(counters={"rows_scored": 1})
    watchdog.look("RUNNING", seen(flink), None)
    clock.now = 900
    assert watchdog.look("RUNNING", None, None) is None
    flink.counters["rows_scored"] = 2
    assert watchdog.look("RUNNING", seen(flink), None) is None


def test_the_order_of_accumulators_is_no_progress() -> None:
    there, back = Flink(counters={"a": 1, "b": 2}), Flink(counters={"b": 2, "a": 1})
    first, second = seen(there), seen(back)
    assert first
    assert second
    assert first.same(second)


@pytest.mark.parametrize("answer", [None, {}, {"jobs": []}, [], "x", {"vertices": [{}], "state": "RUNNING"}])
def test_an_answer_of_another_form_is_no_progress(answer: Any) -> None:
    assert progress(lambda path: answer, None) is None
    assert progress(lambda path: answer, JOB) is None


def test_inside_the_cluster_flink_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    flink = Flink(counters={"rows_scored": 5})
    with serving(flink) as address:
        monkeypatch.setattr(follow, "_REST", address)
        cluster: Any = SimpleNamespace(inside=True, namespace="pcc-system")
        found = progress(follow._flink(cluster, NAME), None)
        flink.faults.append(["GET v1/jobs", 503, 1])
        missed = progress(follow._flink(cluster, NAME), JOB)
        monkeypatch.setattr(follow, "_REST_SECONDS", 0.2)
        flink.faults.append(["GET v1/jobs", SILENT, 1])
        silent = progress(follow._flink(cluster, NAME), JOB)

    assert found
    assert (found.state, found.counted) == ("RUNNING", {"rows_scored": 5})
    assert (missed, silent) == (None, None)


def test_the_service_is_the_operators() -> None:
    asked: list[str] = []

    class Cluster(FlinkCluster):
        def __init__(self, address: str, **_: Any) -> None:
            asked.append(address)
            super().__init__(address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "FlinkCluster", Cluster)
        cluster: Any = SimpleNamespace(inside=True, namespace="pcc-system")
        follow._flink(cluster, NAME)
    assert asked == ["http://pcc-20261120-rest.pcc-system:8081"]


def test_a_stalled_run_is_removed_and_failed_with_its_reason(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "2"
    launcher.kubernetes.flink = Flink(counters={"rows_scored": 7}).paths()

    def stalls(name: str) -> None:
        status = {"image": "x", "imageID": "", "ready": False, **DEAD}
        launcher.kubernetes.pod(f"{name}-taskmanager-1", name, containerStatuses=[status])
        launcher.kubernetes.job(name, "RUNNING")

    launcher.kubernetes.on_create = stalls
    assert launcher.submit("--wait") == 1
    (row,) = launcher.warehouse.runs(9)
    assert row["status"] == "failed"
    assert "the job has stalled: neither its state nor a counter changed" in row["error_message"]
    assert "RUNNING, 7 rows scored" in row["error_message"]
    assert (
        f"container python-workers of pod {NAME}-taskmanager-1 ended with exit code 70: boot: starting / "
        "no space left / the pool has no worker" in row["error_message"]
    )
    assert not launcher.kubernetes.deployments


def test_a_slow_run_is_left_alone(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "2"

    def slow(name: str) -> None:
        launcher.kubernetes.job(name, "RUNNING")
        for scored in range(12):
            launcher.kubernetes.flink = Flink(counters={"rows_scored": scored}).paths()
            time.sleep(0.5)
        launcher.publish(name)
        launcher.kubernetes.job(name, "FINISHED")

    launcher.kubernetes.on_create = slow
    assert launcher.submit("--wait") == 0


def test_a_run_whose_counters_cannot_be_seen_is_left_alone(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "1"

    def unseen(name: str) -> None:
        statuses = [{"image": "x", "imageID": "", "ready": True, "restartCount": 0, **one} for one in WORKS]
        launcher.kubernetes.pod(f"{name}-taskmanager-1", name, containerStatuses=statuses)
        launcher.kubernetes.job(name, "RUNNING")
        threading.Timer(4.0, launcher.finishes, [name]).start()

    launcher.kubernetes.on_create = unseen
    assert launcher.submit("--wait") == 0
    assert launcher.errors.count("Flink's counters cannot be seen") == 1


def test_the_limit_is_in_the_config(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "soon"
    assert launcher.submit() == 2
    assert "launcher.stall_timeout is 'soon': use a number above 0" in launcher.errors
