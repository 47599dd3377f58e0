"""Why a run makes no progress, in one line, from the status of its pods and the events. Pure functions."""

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
_JOB_JAR_RETRIES = 3  # restarts of the initContainer after a transient error
# While a pod starts, it may lack a node, a mount or a network for a moment, and its probes fail until it listens.
# Report these problems only for a pod that is older than this and not ready.
STARTING = 120.0  # seconds
_SERVICE_KINDS = ("Service", "Endpoints", "EndpointSlice")  # their events only repeat what happens to pods


@dataclass(frozen=True)
class Diagnosis:
    """One problem; `fatal` if waiting cannot help."""

    message: str
    fatal: bool = False
    usage: bool = False  # wrong configuration: exit code 2


def diagnose(
    pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]], now: dt.datetime | None = None
) -> Diagnosis | None:
    """The most important problem, or None: fatal ones first, pods before events."""
    now = now or dt.datetime.now(dt.timezone.utc)
    healthy = {pod["metadata"]["name"] for pod in pods if _is_ready(pod) or _is_starting(pod, now)}
    problems = [problem for pod in pods for problem in _diagnose_pod(pod, now)]
    problems += [problem for event in events if (problem := _diagnose_event(event, healthy))]
    return next((problem for problem in problems if problem.fatal), problems[0] if problems else None)


def has_running_task_manager(pods: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all containers of at least one TaskManager run: without one a job makes no progress."""
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


def _diagnose_pod(pod: Mapping[str, Any], now: dt.datetime) -> Iterator[Diagnosis]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False" and not _is_starting(pod, now):
            message = one_line(condition.get("message") or condition.get("reason"))
            yield Diagnosis(f"pod {name} finds no node: {message}")
    if status.get("reason"):  # Evicted, NodeLost, ...: of the pod itself, not of a container
        message = one_line(status.get("message") or "")
        yield Diagnosis(f"pod {name}: {one_line(status['reason'])}: {message}".rstrip(": "))
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(field) or []:
            yield from _diagnose_container(name, container)


def _diagnose_container(pod: str, status: Mapping[str, Any]) -> Iterator[Diagnosis]:
    container = status["name"]
    terminated = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    if terminated and terminated.get("reason") == "OOMKilled":
        yield Diagnosis(
            f"container {container} of pod {pod} ran out of memory (OOMKilled); give it more, see docs/capacity.md"
        )
    elif terminated and terminated.get("exitCode") and container == JOB_JAR:
        message = _last_lines(terminated.get("message") or "") or f"it ended with exit code {terminated['exitCode']}"
        usage = terminated["exitCode"] == EXIT_USAGE
        fatal = usage or status.get("restartCount", 0) >= _JOB_JAR_RETRIES
        yield Diagnosis(message, fatal=fatal, usage=usage)
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _WAITING and not terminated:
        yield Diagnosis(
            f"container {container} of pod {pod}: {_WAITING[reason]} "
            f"({reason}: {one_line(waiting.get('message', ''))})",
            fatal=reason == "InvalidImageName",
        )
    elif terminated and terminated.get("exitCode") and container != JOB_JAR and terminated.get("reason") != "OOMKilled":
        message = _last_lines(terminated.get("message") or "")
        yield Diagnosis(
            f"container {container} of pod {pod} ended with exit code {terminated['exitCode']}: {message}".rstrip(": ")
        )


def _diagnose_event(event: Mapping[str, Any], healthy: set[str]) -> Diagnosis | None:
    """The text of a warning event: quotas, mounts, evictions, refused pods."""
    about = event["involvedObject"]
    kind, name = about.get("kind", "object"), about.get("name", "?")
    if event.get("type") != "Warning" or kind in _SERVICE_KINDS or (kind == "Pod" and name in healthy):
        return None
    if event.get("reason") == "FailedScheduling":
        return None  # the pod's status says whether it still has no node
    return Diagnosis(f"{kind} {name}: {event.get('reason', '')}: {one_line(event.get('message', ''))}")


def _last_lines(text: str) -> str:
    """The last error line of beam-pcc in a container's output, or the last three lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("beam-pcc: ")]
    return one_line(ours[-1].removeprefix("beam-pcc: ") if ours else " / ".join(lines[-3:]))
