"""Warnings about pods and events: the problems of this run, but none of a healthy start or of an earlier run."""

import datetime as dt
from typing import Any

import pytest

from beam_pcc.kubernetes.cluster_api import _belongs_to
from beam_pcc.kubernetes.pods import diagnose
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


# The warnings of a healthy start on a new node, in this order.
STARTUP_WARNINGS = ("FailedScheduling", "FailedMount", "FailedCreatePodSandBox", "Unhealthy")


@pytest.mark.parametrize("reason", STARTUP_WARNINGS)
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
def test_starting_pod_is_no_warning(reason: str, state: dict[str, Any]) -> None:
    assert diagnose([state], [event(reason)], NOW) is None


@pytest.mark.parametrize("reason", ["FailedMount", "FailedCreatePodSandBox", "Unhealthy"])
def test_pod_that_stays_unready_is_reported(reason: str) -> None:
    problem = diagnose([pod(180, ready=False)], [event(reason)], NOW)
    assert problem
    assert problem.message == f"Pod {NAME}-taskmanager-1: {reason}: m"


def test_unscheduled_pod_is_reported_after_a_while() -> None:
    assert diagnose([pod(119, ready=False, scheduled=False)], [event("FailedScheduling")], NOW) is None
    problem = diagnose([pod(121, ready=False, scheduled=False)], [event("FailedScheduling")], NOW)
    assert problem
    assert problem.message == f"pod {NAME}-taskmanager-1 finds no node: 0/3 nodes are available"


def test_refused_pod_is_reported_at_once() -> None:
    problem = diagnose([], [event("FailedCreate", "ReplicaSet", f"{NAME}-taskmanager-abc")], NOW)
    assert problem
    assert "FailedCreate" in problem.message


def test_evicted_pod_is_reported() -> None:
    evicted = {"metadata": {"name": "p"}, "status": {"reason": "Evicted", "message": "The node was low on memory."}}
    problem = diagnose([evicted], [], NOW)
    assert problem
    assert problem.message == "pod p: Evicted: The node was low on memory."


def test_events_of_services_are_ignored() -> None:
    assert diagnose([], [event("FailedToUpdateEndpointSlices", "Service", f"{NAME}-rest")], NOW) is None


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
def test_events_match_by_uid_or_time(about: dict[str, str], time: str, expected: bool) -> None:
    pods = [{"metadata": {"name": f"{NAME}-tm-1", "uid": "its pod", "ownerReferences": [{"uid": "its set"}]}}]
    assert _belongs_to({"involvedObject": about, "lastTimestamp": time}, RUN, pods) is expected


@pytest.mark.parametrize(
    "times",
    [
        {"eventTime": "2026-11-21T02:00:00.250000+00:00"},
        {"series": {"lastObservedTime": "2026-11-21T02:03:00.5Z"}, "eventTime": "2026-11-21T01:00:00.1Z"},
    ],
)
def test_all_time_formats_of_events_are_parsed(times: dict[str, Any]) -> None:
    assert _belongs_to({"involvedObject": {"name": f"{NAME}-x", "uid": "u"}, **times}, RUN, [])
    assert not _belongs_to({"involvedObject": {"name": f"{NAME}-x", "uid": "u"}}, RUN, [])


def test_healthy_start_logs_no_warning(launcher: Launcher) -> None:
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
        launcher.succeed(name)

    launcher.kubernetes.warn("FlinkDeployment", NAME, "Error", "of yesterday's run", uid="yesterday's", age=0)
    launcher.kubernetes.warn("Pod", f"{NAME}-old", "BackOff", "of yesterday's run", uid="old", age=3600)
    launcher.kubernetes.on_create = starts
    assert launcher.submit("--wait") == 0
    assert [record.message for record in launcher.log.records if record.levelname == "WARNING"] == []
