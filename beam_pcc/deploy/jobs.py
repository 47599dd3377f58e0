"""Jobs of the launcher: made from the deployed CronJob, followed to their end, and found by their day."""

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
from beam_pcc.deploy.cluster import Cluster, Resource, as_data
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

LAUNCHER = "launcher"  # the container
LAUNCHERS = "app.kubernetes.io/component=launcher"  # the label of its pods
MEANINGS = {
    0: "published, or the partition is empty",
    1: "the run failed",
    2: "wrong configuration",
    3: "the audits refused to publish",
    EXIT_LOST: "the launcher lost sight of a run that may go on",
}
_POLL = 1.0  # seconds
_ATTEMPTS = 3  # to read the log of a launcher that has ended
_NEXT_ATTEMPTS = 60.0  # seconds until the log of one that goes on is tried again
_STATUS_LAG = 10.0  # seconds until a container that has ended is known to have
_SILENT = 120.0  # seconds that the cluster may not answer for


@dataclass(frozen=True)
class PodState:
    """One launcher's pod.

    Attributes:
        name: The pod's.
        started: Whether its container runs or ran, so that there is a log.
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
        ended: Complete or Failed; None while it goes on.
        reason: Why it failed.
        pods: Its pods.
    """

    ended: str | None
    reason: str
    pods: tuple[PodState, ...]

    @classmethod
    def of(cls, job: Mapping[str, Any], pods: Mapping[str, Any]) -> JobState:
        """Read it from what kubectl prints as JSON."""
        ended, reason = None, ""
        for condition in (job.get("status") or {}).get("conditions") or []:
            if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
                ended = condition["type"]
                reason = ": ".join(text for key in ("reason", "message") if (text := str(condition.get(key) or "")))
        items = sorted(pods.get("items") or [], key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
        return cls(ended, one_line(reason), tuple(_pod_state(pod) for pod in items))

    @property
    def exit_code(self) -> int:
        """That of the run: what the last launcher exited with; 1 if that is none of a run's."""
        if self.ended == "Complete":
            return EXIT_PUBLISHED
        codes = [pod.exit_code for pod in self.pods if pod.exit_code is not None]
        return codes[-1] if codes and codes[-1] in MEANINGS and codes[-1] != EXIT_PUBLISHED else EXIT_FAILED

    @property
    def description(self) -> str:
        """Why it ended as it did, in words."""
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


def altered(
    job: Mapping[str, Any], command: Sequence[str], arguments: Sequence[str], *, deadline: bool = True
) -> Resource:
    """A Job of the CronJob with another command of the launcher; without `deadline` it may take as long as it takes.

    Raises:
        ConfigurationError: It is no Job with a launcher.
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
    """Create a Job as the CronJob's but for its command. Raises RunError if the cluster does not take it."""
    console = cluster.console
    answer = console.ask(
        *cluster.here("create", "job", name, f"--from=cronjob/{CRON_JOB}", "--dry-run=client", "--output=json")
    )
    if not answer.succeeded:
        raise RunError(f"no Job can be made from the CronJob {CRON_JOB}: {answer.error}; is it deployed?")
    console.note(
        f"its command becomes {json.dumps([*command, *arguments])}{'' if deadline else ', without a deadline'}"
    )
    text = ""
    if not console.dry_run:
        job = as_data(answer, "kubectl create job")
        text = json.dumps(altered(job, command, arguments, deadline=deadline))
    answer = console.ask(*cluster.here("create", "--filename", "-"), given=text)
    if not answer.succeeded:
        raise RunError(f"the cluster did not take the Job {name}: {answer.error}")


def follow(cluster: Cluster, name: str, *, logs: bool = True, limit: float | None = None) -> JobState:
    """Follow a Job until it is Complete or Failed, and show its launchers' logs meanwhile.

    Args:
        cluster: Where it is.
        name: The Job's.
        logs: Whether to show them.
        limit: Seconds after which it is not waited for any longer.

    Raises:
        RunError: It took longer than `limit`, it was deleted, or the cluster did not answer (exit code 4).
    """
    console = cluster.console
    if console.dry_run:
        _state(cluster, name)
        if logs:
            console.change(*_log_command(cluster, "POD"))
        return JobState("Complete", "", ())
    logs_of: dict[str, _Log] = {}
    told = ""
    began = answered = time.monotonic()
    while True:
        state = _state(cluster, name)
        now = time.monotonic()
        if state is None:
            if now - answered > _SILENT:
                raise LostSightError(
                    f"the cluster has not answered for {_SILENT:g} s; the Job {name} may go on: "
                    f"{cluster.shown('get', 'job', name)}"
                )
            time.sleep(_POLL)
            continue
        answered = now
        unread = [pod for pod in state.pods if logs and pod.started and not _is_read(pod, logs_of, now)]
        if unread:
            name_of_pod = unread[0].name
            before = logs_of.get(name_of_pod)
            since = None if before is None else math.ceil(now - before.at)
            code = console.watch(*_log_command(cluster, name_of_pod, since))
            failures = min((before.failures if before else 0) + 1, _ATTEMPTS) if code else 0
            logs_of[name_of_pod] = _Log(time.monotonic(), failures)
            time.sleep(_POLL if code else 0)
            continue
        if state.ended:
            return state
        waits = next((pod.reason for pod in reversed(state.pods) if not pod.started and pod.reason), "")
        if waits and waits != told:
            told = waits
            console.say(f"waiting            {waits}")
        if limit is not None and now - began > limit:
            raise RunError(
                f"the Job {name} has not ended after {limit:g} s{f' ({waits})' if waits else ''}; look at it: "
                f"{cluster.shown('describe', 'job', name)}"
            )
        time.sleep(_POLL)


def _state(cluster: Cluster, name: str) -> JobState | None:
    """The Job and its pods; None if the cluster does not answer. Raises RunError if the Job is gone."""
    console = cluster.console
    job = console.ask(*cluster.here("get", "job", name, "--output", "json"))
    if not job.succeeded and "NotFound" in job.error:
        raise RunError(f"the Job {name} was deleted while it was followed; what it started may go on")
    if not job.succeeded:
        return None
    selector = ("--selector", f"batch.kubernetes.io/job-name={name}")
    pods = console.ask(*cluster.here("get", "pods", *selector, "--output", "json"))
    if not pods.succeeded:
        return None
    return JobState.of(as_data(job, "kubectl get job"), as_data(pods, "kubectl get pods"))


@dataclass(frozen=True)
class _Log:
    """How following a pod's log ended.

    Attributes:
        at: When, by the monotonic clock.
        failures: How often in a row it was broken off; 0 if kubectl says that this was the whole log.
    """

    at: float
    failures: int


def _is_read(pod: PodState, logs_of: Mapping[str, _Log], now: float) -> bool:
    """Whether nothing more is to come of a pod's log. A connection may have broken while its launcher goes on."""
    log = logs_of.get(pod.name)
    if log is None:
        return False
    if pod.exit_code is not None:
        return not log.failures or log.failures >= _ATTEMPTS
    pause = _NEXT_ATTEMPTS if log.failures >= _ATTEMPTS else _STATUS_LAG
    return log.failures in (0, _ATTEMPTS) and now - log.at < pause


def _log_command(cluster: Cluster, pod: str, seconds: int | None = None) -> list[str]:
    """Follow a pod's log, from its beginning or from so many seconds ago."""
    since = [] if seconds is None else [f"--since={seconds}s"]
    return cluster.here("logs", "--follow", f"pod/{pod}", "--container", LAUNCHER, *since)


def ran_for(pod: Mapping[str, Any], partition: dt.date) -> bool:
    """Whether a launcher's pod was started for that day: by --partition, or by --from and --to of a backfill.

    `yesterday` and `today` of its arguments count from the day on which it was made (UTC).
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
