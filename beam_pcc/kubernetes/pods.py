"""Why a run does not come forward, in one line, from what Kubernetes says of its pods and events. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import EXIT_USAGE, one_line
from beam_pcc.kubernetes.deployment import JOB_JAR, WORKERS

_WAITING = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "InvalidImageName": "its image cannot be pulled",
    "ErrImageNeverPull": "its image cannot be pulled",
    "CreateContainerConfigError": "its container cannot be made",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
    "CrashLoopBackOff": "it keeps ending",
}
_JOB_JAR_TRIES = 3  # of an initContainer that fails for reasons that may pass
# A pod that starts on a healthy cluster may be without a node, a mount or a network for a moment, and its probes fail
# until it listens. All this is told only of a pod that is this old and not ready.
STARTING = 120.0  # seconds
_OF_SERVICES = ("Service", "Endpoints", "EndpointSlice")  # events of these follow what pods do


@dataclass(frozen=True)
class Trouble:
    """One reason; `fatal` if waiting cannot help."""

    words: str
    fatal: bool = False
    usage: bool = False  # wrong configuration: exit code 2


def trouble(
    pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], now: dt.datetime | None = None
) -> Trouble | None:
    """The most telling reason of all, or None if nothing is wrong: what is fatal first, pods before events."""
    now = now or dt.datetime.now(dt.timezone.utc)
    well = {pod["metadata"]["name"] for pod in pods if _is_ready(pod) or _is_starting(pod, now)}
    found = [reason for pod in pods for reason in _of_pod(pod, now)]
    found += [reason for event in events if (reason := _of_event(event, well))]
    return next((reason for reason in found if reason.fatal), found[0] if found else None)


def can_work(pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a TaskManager is there whose containers all run: without one nothing can come forward."""
    for pod in pods:
        statuses = pod.get("status", {}).get("containerStatuses") or []
        if any(one["name"] == WORKERS for one in statuses) and all(
            (one.get("state") or {}).get("running") is not None for one in statuses
        ):
            return True
    return False


def _is_ready(pod: Mapping[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return bool(statuses) and all(one.get("ready") for one in statuses)


def _is_starting(pod: Mapping[str, Any], now: dt.datetime) -> bool:
    """Whether the pod, or a container of it, has only just been started."""
    running = [
        (one.get("state") or {}).get("running") or {} for one in pod.get("status", {}).get("containerStatuses") or []
    ]
    times = [pod["metadata"].get("creationTimestamp"), *(one.get("startedAt") for one in running)]
    return any(time and (now - _time(time)).total_seconds() < STARTING for time in times)


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def _of_pod(pod: Mapping[str, Any], now: dt.datetime) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False" and not _is_starting(pod, now):
            yield Trouble(f"pod {name} finds no node: {one_line(condition.get('message') or condition.get('reason'))}")
    if status.get("reason"):  # Evicted, NodeLost, ...: of the pod as a whole
        yield Trouble(f"pod {name}: {one_line(status['reason'])}: {one_line(status.get('message') or '')}".rstrip(": "))
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            yield from _of_container(name, container)


def _of_container(pod: str, status: Mapping[str, Any]) -> Iterator[Trouble]:
    container = status["name"]
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    if ended and ended.get("reason") == "OOMKilled":
        yield Trouble(
            f"container {container} of pod {pod} ran out of memory (OOMKilled); give it more, see docs/capacity.md"
        )
    elif ended and ended.get("exitCode") and container == JOB_JAR:
        said = _last_lines(ended.get("message") or "") or f"it ended with exit code {ended['exitCode']}"
        usage = ended["exitCode"] == EXIT_USAGE
        hopeless = usage or status.get("restartCount", 0) >= _JOB_JAR_TRIES
        yield Trouble(said, fatal=hopeless, usage=usage)
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _WAITING and not ended:
        yield Trouble(
            f"container {container} of pod {pod}: {_WAITING[reason]} "
            f"({reason}: {one_line(waiting.get('message', ''))})",
            fatal=reason == "InvalidImageName",
        )
    elif ended and ended.get("exitCode") and container != JOB_JAR and ended.get("reason") != "OOMKilled":
        said = _last_lines(ended.get("message") or "")
        yield Trouble(
            f"container {container} of pod {pod} ended with exit code {ended['exitCode']}: {said}".rstrip(": ")
        )


def _of_event(event: Mapping[str, Any], well: set[str]) -> Trouble | None:
    """Quotas, mounts, evictions, refused pods: whatever Kubernetes warns of, in its own words."""
    about = event["involvedObject"]
    kind, name = about.get("kind", "object"), about.get("name", "?")
    if event.get("type") != "Warning" or kind in _OF_SERVICES or (kind == "Pod" and name in well):
        return None
    if event.get("reason") == "FailedScheduling":
        return None  # the pod itself says whether it still has no node
    return Trouble(f"{kind} {name}: {event.get('reason', '')}: {one_line(event.get('message', ''))}")


def _last_lines(text: str) -> str:
    """What a container said last: the error of ours in it, or its last three lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("beam-pcc: ")]
    return one_line(ours[-1].removeprefix("beam-pcc: ") if ours else " / ".join(lines[-3:]))
