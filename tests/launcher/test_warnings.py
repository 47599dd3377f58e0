"""What is told of pods and events: what is wrong with this run, and nothing of a healthy start or of an earlier run."""

import datetime as dt
from typing import Any

import pytest

from beam_pcc.kubernetes.cluster_api import _is_of
from beam_pcc.kubernetes.pods import trouble
from tests.launcher.conftest import NAME, Launcher

NOW = dt.datetime(2026, 11, 21, 2, 10, tzinfo=dt.timezone.utc)
CREATED = "2026-11-21T02:00:00Z"
RUN = {"metadata": {"name": NAME, "uid": "this", "creationTimestamp": CREATED}}


def ago(seconds: float, now: dt.datetime = NOW) -> str:
    return f"{now - dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def pod(age: float, *, ready: bool, scheduled: bool = True, started: float | None = None) -> dict[str, Any]:
    running = {"running": {"startedAt": ago(age if started is None else started)}}
    condition = {"type": "PodScheduled", "status": str(scheduled), "message": "0/3 nodes are available"}
    statuses = [{"name": name, "ready": ready, "state": running} for name in ("flink-main-container", "python-workers")]
    return {
        "metadata": {"name": f"{NAME}-taskmanager-1", "creationTimestamp": ago(age)},
        "status": {"conditions": [condition], "containerStatuses": statuses if scheduled else []},
    }


def event(reason: str, kind: str = "Pod", name: str = f"{NAME}-taskmanager-1") -> dict[str, Any]:
    return {"type": "Warning", "reason": reason, "message": "m", "involvedObject": {"kind": kind, "name": name}}


# What a healthy start on a node that has to be made first may warn of, in this order.
HEALTHY = ("FailedScheduling", "FailedMount", "FailedCreatePodSandBox", "Unhealthy")


@pytest.mark.parametrize("reason", HEALTHY)
@pytest.mark.parametrize(
    "state",
    [
        pod(5, ready=False, scheduled=False),
        pod(40, ready=False),
        pod(500, ready=False, started=30),
        pod(500, ready=True),
    ],
    ids=["no node yet", "starting", "started again", "ready"],
)
def test_a_pod_that_starts_is_no_warning(reason: str, state: dict[str, Any]) -> None:
    assert trouble([state], [event(reason)], NOW) is None


@pytest.mark.parametrize("reason", ["FailedMount", "FailedCreatePodSandBox", "Unhealthy"])
def test_a_pod_that_stays_so_is_told(reason: str) -> None:
    found = trouble([pod(180, ready=False)], [event(reason)], NOW)
    assert found
    assert found.words == f"Pod {NAME}-taskmanager-1: {reason}: m"


def test_a_pod_without_a_node_is_told_when_that_lasts() -> None:
    assert trouble([pod(119, ready=False, scheduled=False)], [event("FailedScheduling")], NOW) is None
    found = trouble([pod(121, ready=False, scheduled=False)], [event("FailedScheduling")], NOW)
    assert found
    assert found.words == f"pod {NAME}-taskmanager-1 finds no node: 0/3 nodes are available"


def test_a_refused_pod_is_told_at_once() -> None:
    found = trouble([], [event("FailedCreate", "ReplicaSet", f"{NAME}-taskmanager-abc")], NOW)
    assert found
    assert "FailedCreate" in found.words


def test_an_evicted_pod_is_told() -> None:
    evicted = {"metadata": {"name": "p"}, "status": {"reason": "Evicted", "message": "The node was low on memory."}}
    found = trouble([evicted], [], NOW)
    assert found
    assert found.words == "pod p: Evicted: The node was low on memory."


def test_events_of_services_say_nothing_of_a_run() -> None:
    assert trouble([], [event("FailedToUpdateEndpointSlices", "Service", f"{NAME}-rest")], NOW) is None


@pytest.mark.parametrize(
    ("about", "time", "expected"),
    [
        ({"name": NAME, "uid": "this"}, "2026-11-21T01:00:00Z", True),
        ({"name": NAME, "uid": "yesterday's"}, "2026-11-21T02:05:00Z", False),
        ({"name": f"{NAME}-tm-1", "uid": "its pod"}, "2026-11-21T01:00:00Z", True),
        ({"name": f"{NAME}-tm", "uid": "its set"}, "2026-11-21T01:00:00Z", True),
        ({"name": f"{NAME}-tm-0", "uid": "gone"}, "2026-11-21T02:00:00Z", True),
        ({"name": f"{NAME}-tm-0", "uid": "of the run before"}, "2026-11-21T01:59:59Z", False),
        ({"name": "pcc-20261121-tm", "uid": "neighbour"}, "2026-11-21T02:05:00Z", False),
        ({"name": f"{NAME}1-tm", "uid": "of a longer name"}, "2026-11-21T02:05:00Z", False),
    ],
)
def test_events_are_told_apart_by_uid_or_time(about: dict[str, str], time: str, expected: bool) -> None:
    pods = [{"metadata": {"name": f"{NAME}-tm-1", "uid": "its pod", "ownerReferences": [{"uid": "its set"}]}}]
    assert _is_of({"involvedObject": about, "lastTimestamp": time}, RUN, pods) is expected


@pytest.mark.parametrize(
    "times",
    [
        {"eventTime": "2026-11-21T02:00:00.250000+00:00"},
        {"series": {"lastObservedTime": "2026-11-21T02:03:00.5Z"}, "eventTime": "2026-11-21T01:00:00.1Z"},
    ],
)
def test_every_form_of_an_events_time_is_read(times: dict[str, Any]) -> None:
    assert _is_of({"involvedObject": {"name": f"{NAME}-x", "uid": "u"}, **times}, RUN, [])
    assert not _is_of({"involvedObject": {"name": f"{NAME}-x", "uid": "u"}}, RUN, [])


def test_a_healthy_start_prints_no_warning(launcher: Launcher) -> None:
    def starts(name: str) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        manager, worker = f"{name}-abc-1", f"{name}-taskmanager-1"
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
        launcher.kubernetes.update(name, jobManagerDeploymentStatus="DEPLOYING", lifecycleState="DEPLOYED")
        for one in (manager, worker):
            launcher.kubernetes.pod(one, name, conditions=[waiting])
            launcher.kubernetes.warn("Pod", one, "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
            launcher.kubernetes.pods[-1]["metadata"]["creationTimestamp"] = ago(1, now)
        launcher.kubernetes.pause()
        for one in (manager, worker):
            launcher.kubernetes.warn("Pod", one, "FailedMount", "failed to sync configmap cache: timed out")
            launcher.kubernetes.warn("Pod", one, "Unhealthy", "Readiness probe failed: Connection refused")
            state = {"image": "x", "imageID": "", "ready": False, "restartCount": 0, "started": True}
            state |= {"name": "flink-main-container", "state": {"running": {"startedAt": ago(1, now)}}}
            launcher.kubernetes.pod(one, name, containerStatuses=[state])
        launcher.kubernetes.warn("Service", f"{name}-rest", "FailedToUpdateEndpoint", "object has been modified")
        launcher.kubernetes.pause()
        launcher.finishes(name)

    launcher.kubernetes.warn("FlinkDeployment", NAME, "Error", "of yesterday's run", uid="yesterday's", age=0)
    launcher.kubernetes.warn("Pod", f"{NAME}-old", "BackOff", "of yesterday's run", uid="old", age=3600)
    launcher.kubernetes.on_create = starts
    assert launcher.submit("--wait") == 0
    assert [record.message for record in launcher.log.records if record.levelname == "WARNING"] == []
