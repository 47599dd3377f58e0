"""Why a run does not come forward, in one line, from what Kubernetes says of its pods and events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import EXIT_USAGE, one_line
from beam_pcc.flink.deployment import JOB_JAR

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


@dataclass(frozen=True)
class Trouble:
    """One reason; `fatal` if waiting cannot help."""

    words: str
    fatal: bool = False
    usage: bool = False  # wrong configuration: exit code 2


def trouble(pods: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """The most telling reason of all, or None if nothing is wrong: what is fatal first, pods before events."""
    found = [reason for pod in pods for reason in _of_pod(pod)]
    found += [reason for event in events if (reason := _of_event(event))]
    return next((reason for reason in found if reason.fatal), found[0] if found else None)


def _of_pod(pod: Mapping[str, Any]) -> Iterator[Trouble]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield Trouble(f"pod {name} finds no node: {one_line(condition.get('message') or condition.get('reason'))}")
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
        said = _last_line(ended.get("message") or "") or f"it ended with exit code {ended['exitCode']}"
        usage = ended["exitCode"] == EXIT_USAGE
        hopeless = usage or status.get("restartCount", 0) >= _JOB_JAR_TRIES
        yield Trouble(said.removeprefix("beam-pcc: "), fatal=hopeless, usage=usage)
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _WAITING and not ended:
        yield Trouble(
            f"container {container} of pod {pod}: {_WAITING[reason]} "
            f"({reason}: {one_line(waiting.get('message', ''))})",
            fatal=reason == "InvalidImageName",
        )
    elif ended and ended.get("exitCode") and container != JOB_JAR and ended.get("reason") != "OOMKilled":
        said = _last_line(ended.get("message") or "")
        yield Trouble(
            f"container {container} of pod {pod} ended with exit code {ended['exitCode']}: {said}".rstrip(": ")
        )


def _of_event(event: Mapping[str, Any]) -> Trouble | None:
    """Quotas, mounts, evictions, refused pods: whatever Kubernetes warns of, in its own words."""
    if event.get("type") != "Warning":
        return None
    about = event["involvedObject"]
    where = f"{about.get('kind', 'object')} {about.get('name', '?')}"
    return Trouble(f"{where}: {event.get('reason', '')}: {one_line(event.get('message', ''))}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("beam-pcc: ")]
    return one_line((ours or lines or [""])[-1])
