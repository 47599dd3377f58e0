"""Jobs of the launcher: created from the deployed CronJob, followed to their end, and found by their day."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc.config.partitions import parse_partition
from beam_pcc.deploy.cluster import Cluster, Resource, parse_json
from beam_pcc.deploy.layer import CRON_JOB
from beam_pcc.errors import (
    EXIT_FAILED,
    EXIT_LOST,
    EXIT_PUBLISHED,
    ConfigurationError,
    LostSightError,
    RunError,
    one_line,
)

LAUNCHER = "launcher"  # the container's name
LAUNCHERS = "app.kubernetes.io/component=launcher"  # the label of its pods
MEANINGS = {
    0: "published, or the partition is empty",
    1: "the run failed",
    2: "wrong configuration",
    3: "the audits refused to publish",
    EXIT_LOST: "the launcher lost sight of a run that may go on",
}
_POLL_INTERVAL = 1.0  # seconds
_LOG_ATTEMPTS = 3  # to read the log of a launcher
_LOG_RETRY_INTERVAL = 60.0  # seconds until the log of a running launcher is read again after these attempts
_STATUS_LAG = 10.0  # seconds until the pod status shows that a container has ended
_API_TIMEOUT = 120.0  # seconds without an answer of the cluster


@dataclass(frozen=True)
class PodState:
    """One launcher's pod.

    Attributes:
        name: The pod's name.
        started: Whether its container has started, so that there is a log.
        exit_code: Of the container; None while it runs.
        reason: Why it ended (OOMKilled), or what it waits for.
    """

    name: str
    started: bool
    exit_code: int | None
    reason: str


@dataclass(frozen=True)
class JobState:
    """A Job and its pods, the oldest first.

    Attributes:
        ended: Complete or Failed; None while it runs.
        reason: Why it failed.
        pods: Its pods.
    """

    ended: str | None
    reason: str
    pods: tuple[PodState, ...]

    @classmethod
    def of(cls, job: Mapping[str, Any], pods: Mapping[str, Any]) -> JobState:
        """Parse the JSON that kubectl prints."""
        ended, reason = None, ""
        for condition in (job.get("status") or {}).get("conditions") or []:
            if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
                ended = condition["type"]
                reason = ": ".join(text for key in ("reason", "message") if (text := str(condition.get(key) or "")))
        items = sorted(pods.get("items") or [], key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
        return cls(ended, one_line(reason), tuple(_pod_state(pod) for pod in items))

    @property
    def exit_code(self) -> int:
        """The exit code of the last launcher; 1 if it is not one of a run."""
        if self.ended == "Complete":
            return EXIT_PUBLISHED
        codes = [pod.exit_code for pod in self.pods if pod.exit_code is not None]
        return codes[-1] if codes and codes[-1] in MEANINGS and codes[-1] != EXIT_PUBLISHED else EXIT_FAILED

    @property
    def description(self) -> str:
        """Why it ended, as a sentence."""
        last = self.pods[-1] if self.pods else None
        if last is not None and last.exit_code in MEANINGS and last.exit_code != EXIT_PUBLISHED:
            return MEANINGS[last.exit_code]
        return " ".join(text for text in (last.reason if last else "", self.reason) if text) or MEANINGS[self.exit_code]


def _pod_state(pod: Mapping[str, Any]) -> PodState:
    status = pod.get("status") or {}
    container: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses") or [] if c.get("name") == LAUNCHER), {}
    )
    state = container.get("state") or {}
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    reason = str(terminated.get("reason") or waiting.get("reason") or status.get("reason") or "")
    if not container:
        unscheduled = [
            c for c in status.get("conditions") or [] if c.get("type") == "PodScheduled" and c.get("message")
        ]
        reason = reason or (str(unscheduled[0]["message"]) if unscheduled else "")
    code = terminated.get("exitCode")
    return PodState(
        str(pod["metadata"]["name"]),
        bool(terminated or state.get("running")),
        code if isinstance(code, int) else None,
        one_line(reason, 200),
    )


def with_command(
    job: Mapping[str, Any], command: Sequence[str], arguments: Sequence[str], *, deadline: bool = True
) -> Resource:
    """A Job of the CronJob with another command of the launcher; without `deadline` its run time is not limited.

    Raises:
        ConfigurationError: The Job has no launcher container.
    """
    changed: Resource = copy.deepcopy(dict(job))
    try:
        spec = changed["spec"]
        launcher = next(c for c in spec["template"]["spec"]["containers"] if c["name"] == LAUNCHER)
    except (KeyError, TypeError, StopIteration):
        raise ConfigurationError(f"the CronJob {CRON_JOB} has no container {LAUNCHER}; deploy again") from None
    launcher["command"], launcher["args"] = list(command), list(arguments)
    if not deadline:
        spec.pop("activeDeadlineSeconds", None)
    return changed


def start(
    cluster: Cluster, name: str, command: Sequence[str], arguments: Sequence[str], *, deadline: bool = True
) -> None:
    """Create a Job from the CronJob with another command. Raises RunError if the cluster refuses it."""
    console = cluster.console
    create = ("create", "job", name, f"--from=cronjob/{CRON_JOB}", "--dry-run=client", "--output=json")
    result = console.ask(*cluster.kubectl_in_namespace(*create))
    if not result.succeeded:
        raise RunError(f"no Job can be made from the CronJob {CRON_JOB}: {result.error}; is it deployed?")
    console.note(
        f"its command becomes {json.dumps([*command, *arguments])}{'' if deadline else ', without a deadline'}"
    )
    text = ""
    if not console.dry_run:
        job = parse_json(result, "kubectl create job")
        text = json.dumps(with_command(job, command, arguments, deadline=deadline))
    result = console.ask(*cluster.kubectl_in_namespace("create", "--filename", "-"), stdin=text)
    if not result.succeeded:
        raise RunError(f"the cluster did not take the Job {name}: {result.error}")


def follow(cluster: Cluster, name: str, *, logs: bool = True, timeout: float | None = None) -> JobState:
    """Follow a Job until it is Complete or Failed, and print the logs of its launchers.

    Args:
        cluster: The cluster and namespace.
        name: The Job's name.
        logs: Whether to print the logs.
        timeout: Seconds to wait at most.

    Raises:
        RunError: It took longer than `timeout`, or it was deleted.
        LostSightError: The cluster did not answer.
    """
    console = cluster.console
    if console.dry_run:
        _state(cluster, name)
        if logs:
            console.change(*_log_command(cluster, "POD"))
        return JobState("Complete", "", ())
    logs_of: dict[str, _Log] = {}
    logged_reason = ""
    began = last_answer = time.monotonic()
    while True:
        state = _state(cluster, name)
        now = time.monotonic()
        if state is None:
            if now - last_answer > _API_TIMEOUT:
                raise LostSightError(
                    f"the cluster has not answered for {_API_TIMEOUT:g} s; the Job {name} may go on: "
                    f"{cluster.shown('get', 'job', name)}"
                )
            time.sleep(_POLL_INTERVAL)
            continue
        last_answer = now
        unread = [pod.name for pod in state.pods if logs and pod.started and not _is_read(pod, logs_of, now)]
        if unread:
            pod_name = unread[0]
            previous = logs_of.get(pod_name)
            since = None if previous is None else math.ceil(now - previous.at)
            code = console.watch(*_log_command(cluster, pod_name, since))
            failures = min((previous.failures if previous else 0) + 1, _LOG_ATTEMPTS) if code else 0
            logs_of[pod_name] = _Log(time.monotonic(), failures)
            time.sleep(_POLL_INTERVAL if code else 0)
            continue
        if state.ended:
            return state
        reason = next((pod.reason for pod in reversed(state.pods) if not pod.started and pod.reason), "")
        if reason and reason != logged_reason:
            logged_reason = reason
            console.say(f"waiting            {reason}")
        if timeout is not None and now - began > timeout:
            raise RunError(
                f"the Job {name} has not ended after {timeout:g} s{f' ({reason})' if reason else ''}; look at it: "
                f"{cluster.shown('describe', 'job', name)}"
            )
        time.sleep(_POLL_INTERVAL)


def _state(cluster: Cluster, name: str) -> JobState | None:
    """The Job and its pods; None if the cluster does not answer. Raises RunError if the Job was deleted."""
    console = cluster.console
    job = console.ask(*cluster.kubectl_in_namespace("get", "job", name, "--output", "json"))
    if not job.succeeded and "NotFound" in job.error:
        raise RunError(f"the Job {name} was deleted while it was followed; what it started may go on")
    if not job.succeeded:
        return None
    selector = ("--selector", f"batch.kubernetes.io/job-name={name}")
    pods = console.ask(*cluster.kubectl_in_namespace("get", "pods", *selector, "--output", "json"))
    if not pods.succeeded:
        return None
    return JobState.of(parse_json(job, "kubectl get job"), parse_json(pods, "kubectl get pods"))


@dataclass(frozen=True)
class _Log:
    """The last attempt to follow a pod's log.

    Attributes:
        at: When it ended, by the monotonic clock.
        failures: How often in a row kubectl failed; 0 if it read the log to its end.
    """

    at: float
    failures: int


def _is_read(pod: PodState, logs_of: Mapping[str, _Log], now: float) -> bool:
    """Whether to stop reading a pod's log. The connection may have broken while the launcher runs."""
    log = logs_of.get(pod.name)
    if log is None:
        return False
    if pod.exit_code is not None:
        return not log.failures or log.failures >= _LOG_ATTEMPTS
    pause = _LOG_RETRY_INTERVAL if log.failures >= _LOG_ATTEMPTS else _STATUS_LAG
    return log.failures in (0, _LOG_ATTEMPTS) and now - log.at < pause


def _log_command(cluster: Cluster, pod: str, seconds: int | None = None) -> list[str]:
    """The command that follows a pod's log, from its beginning or from `seconds` ago."""
    since = [] if seconds is None else [f"--since={seconds}s"]
    return cluster.kubectl_in_namespace("logs", "--follow", f"pod/{pod}", "--container", LAUNCHER, *since)


def ran_for(pod: Mapping[str, Any], partition: dt.date) -> bool:
    """Whether a launcher's pod ran for that day: by --partition, or by --from and --to of a backfill.

    `yesterday` and `today` in its arguments are relative to the day when the pod was created (UTC).
    """
    try:
        container: Mapping[str, Any] = next(c for c in pod["spec"]["containers"] if c["name"] == LAUNCHER)
        created = dt.datetime.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ").date()
        options = dict(word[2:].split("=", 1) for word in container["args"] if word.startswith("--") and "=" in word)
        if "partition" in options:
            return parse_partition(options["partition"], created) == partition
        return parse_partition(options["from"], created) <= partition <= parse_partition(options["to"], created)
    except (KeyError, TypeError, ValueError, StopIteration, ConfigurationError):
        return False
