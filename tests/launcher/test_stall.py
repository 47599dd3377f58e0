"""The watchdog ends a run without progress, but not a slow one or one whose metrics cannot be read."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from beam_pcc.flink.rest import FlinkCluster, Progress, progress
from beam_pcc.kubernetes import follow
from beam_pcc.kubernetes.follow import Timeouts, Watchdog
from tests.flink.rest_api import JOB, SILENT, Flink, serving, vertex
from tests.launcher.conftest import NAME, Launcher

RUNNING = [
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
    """A clock that the test sets."""

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
    return Watchdog(Timeouts(stall=600, publishing=300), clock)


def test_job_with_unchanged_counters_has_stalled(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(counters={"rows_scored": 1234})
    assert watchdog.check("RUNNING", seen(flink), [pod(*RUNNING)]) is None
    clock.now = 599
    assert watchdog.check("RUNNING", seen(flink), [pod(*RUNNING)]) is None
    clock.now = 600
    stalled = watchdog.check("RUNNING", seen(flink), [pod(*RUNNING)])
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
def test_any_change_restarts_the_stall_timeout(watchdog: Watchdog, clock: Clock, change: dict[str, Any]) -> None:
    watchdog.check("RUNNING", seen(Flink(counters={"rows_scored": 1})), None)
    clock.now = 599
    changed = Flink(**{"counters": {"rows_scored": 1}, **change})
    watchdog.check("RUNNING", seen(changed), None)
    clock.now = 700
    assert watchdog.check("RUNNING", seen(changed), None) is None


def test_idle_time_is_no_progress(watchdog: Watchdog, clock: Clock) -> None:
    watchdog.check("RUNNING", seen(Flink()), None)
    clock.now = 601
    idle = Flink(vertices=[vertex("Score", **{"accumulated-idle-time": 600_000})])
    assert watchdog.check("RUNNING", seen(idle), None)


def test_publishing_job_has_longer_stall_timeout(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(vertices=[vertex("Score", "FINISHED"), vertex("Publish/Publish")])
    watchdog.check("RUNNING", seen(flink), None)
    clock.now = 899
    assert watchdog.check("RUNNING", seen(flink), None) is None
    clock.now = 900
    assert watchdog.check("RUNNING", seen(flink), None)


def test_long_job_without_counters_has_not_stalled(watchdog: Watchdog, clock: Clock) -> None:
    for hours in range(9):
        clock.now = hours * 3600
        assert watchdog.check("RUNNING", None, [pod(*RUNNING)]) is None
        assert watchdog.check("RUNNING", None, None) is None


@pytest.mark.parametrize("pods", [[], [pod(RUNNING[0], DEAD)]], ids=["no pod", "dead workers"])
def test_job_without_running_pods_has_stalled(watchdog: Watchdog, clock: Clock, pods: list[dict[str, Any]]) -> None:
    assert watchdog.check("RUNNING", None, pods) is None
    clock.now = 601
    assert watchdog.check("RUNNING", None, pods) == "the job has stalled: no TaskManager could work for 601 s"


def test_pod_that_runs_sometimes_is_no_stall(watchdog: Watchdog, clock: Clock) -> None:
    for minute in range(60):
        clock.now = minute * 60
        assert watchdog.check("RUNNING", None, [pod(*RUNNING)] if minute % 9 == 0 else []) is None


def test_missing_counters_are_no_stall(watchdog: Watchdog, clock: Clock) -> None:
    flink = Flink(counters={"rows_scored": 1})
    watchdog.check("RUNNING", seen(flink), None)
    clock.now = 900
    assert watchdog.check("RUNNING", None, None) is None
    flink.counters["rows_scored"] = 2
    assert watchdog.check("RUNNING", seen(flink), None) is None


def test_order_of_accumulators_is_no_progress() -> None:
    there, back = Flink(counters={"a": 1, "b": 2}), Flink(counters={"b": 2, "a": 1})
    first, second = seen(there), seen(back)
    assert first
    assert second
    assert first.same(second)


@pytest.mark.parametrize("answer", [None, {}, {"jobs": []}, [], "x", {"vertices": [{}], "state": "RUNNING"}])
def test_malformed_response_is_no_progress(answer: Any) -> None:
    assert progress(lambda path: answer, None) is None
    assert progress(lambda path: answer, JOB) is None


def test_flink_is_called_directly_in_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    flink = Flink(counters={"rows_scored": 5})
    with serving(flink) as address:
        monkeypatch.setattr(follow, "_REST", address)
        cluster: Any = SimpleNamespace(inside=True, namespace="pcc-system")
        healthy = progress(follow._flink_client(cluster, NAME), None)
        flink.faults.append(["GET v1/jobs", 503, 1])
        unavailable = progress(follow._flink_client(cluster, NAME), JOB)
        monkeypatch.setattr(follow, "_REST_TIMEOUT", 0.2)
        flink.faults.append(["GET v1/jobs", SILENT, 1])
        silent = progress(follow._flink_client(cluster, NAME), JOB)

    assert healthy
    assert (healthy.state, healthy.counters) == ("RUNNING", {"rows_scored": 5})
    assert (unavailable, silent) == (None, None)


def test_service_address_is_the_operators() -> None:
    addresses: list[str] = []

    class Cluster(FlinkCluster):
        def __init__(self, address: str, **_: Any) -> None:
            addresses.append(address)
            super().__init__(address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow, "FlinkCluster", Cluster)
        cluster: Any = SimpleNamespace(inside=True, namespace="pcc-system")
        follow._flink_client(cluster, NAME)
    assert addresses == ["http://pcc-20261120-rest.pcc-system:8081"]


def test_stalled_run_is_deleted_and_failed(launcher: Launcher) -> None:
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


def test_slow_run_is_not_ended(launcher: Launcher) -> None:
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


def test_run_with_unreadable_counters_is_not_ended(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "1"

    def unseen(name: str) -> None:
        statuses = [{"image": "x", "imageID": "", "ready": True, "restartCount": 0, **one} for one in RUNNING]
        launcher.kubernetes.pod(f"{name}-taskmanager-1", name, containerStatuses=statuses)
        launcher.kubernetes.job(name, "RUNNING")
        threading.Timer(4.0, launcher.succeed, [name]).start()

    launcher.kubernetes.on_create = unseen
    assert launcher.submit("--wait") == 0
    assert launcher.errors.count("Flink's counters cannot be read") == 1


def test_stall_timeout_is_read_from_config(launcher: Launcher) -> None:
    launcher.kubernetes.config_maps["pcc-config"]["launcher.stall_timeout"] = "soon"
    assert launcher.submit() == 2
    assert "launcher.stall_timeout is 'soon': use a number above 0" in launcher.errors
