"""Follows a FlinkDeployment from its creation to its end, and logs its states and problems."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc import progress
from beam_pcc.errors import ConfigurationError, LostSightError, PccError, RunError, one_line
from beam_pcc.errors.messages import from_runner
from beam_pcc.flink.explain import explain
from beam_pcc.flink.rest import FlinkCluster, Progress, failure
from beam_pcc.flink.rest import progress as snapshot
from beam_pcc.kubernetes.cluster_api import Cluster, ExpiredError
from beam_pcc.kubernetes.deployment import Resource, Submission
from beam_pcc.kubernetes.pods import Diagnosis, diagnose, has_running_task_manager
from beam_pcc.progress import Task
from beam_pcc.terminal import logger

_log = logger(__name__)
_FAILED_STATES = ("FAILED", "CANCELED", "SUSPENDED")
_REST = "http://{name}-rest.{namespace}:8081"  # the Service that the operator creates for a JobManager
_REST_TIMEOUT = 5.0  # seconds for one request, which only reads the progress
_WORKERS = "localhost:50000"  # the address of the Python workers in the template


@dataclass(frozen=True)
class Timeouts:
    """Seconds to wait.

    Attributes:
        start: Until the job starts.
        total: Until the job ends.
        stall: Until the state or a counter of the job changes.
        publishing: Added to `stall` while the job publishes: that step has no counters and may wait for a lock.
        poll: Between two reads of the pods.
    """

    start: float = 900.0
    total: float = 7200.0
    stall: float = 600.0
    publishing: float = 0.0
    poll: float = 10.0


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended, or why it is no longer followed.

    Attributes:
        reason: Why it did not succeed; None if it did.
        terminated: The job has ended by itself and can change nothing any more.
        usage: The configuration is wrong: exit code 2.
    """

    reason: str | None = None
    terminated: bool = True
    usage: bool = False


def job_state(deployment: Mapping[str, Any]) -> str:
    """The state of the job, or of the deployment as long as there is no job."""
    status = deployment.get("status") or {}
    if deployment["metadata"].get("deletionTimestamp"):
        return "DELETING"
    state: str = (status.get("jobStatus") or {}).get("state") or status.get("jobManagerDeploymentStatus") or "SUBMITTED"
    return state


def is_finished(deployment: Mapping[str, Any]) -> bool:
    """Whether its job has ended."""
    return job_state(deployment) in ("FINISHED", *_FAILED_STATES)


def follow(cluster: Cluster, submission: Submission, timeouts: Timeouts) -> JobOutcome:
    """Follow a run to its end.

    Logs each new problem. A problem that may pass (no node yet, an image that cannot be pulled) ends the run only when
    a timeout expires; a fatal one ends it at once.

    Raises:
        LostSightError: The API server does not answer or refuses this account; the run may go on.
    """
    try:
        with progress.task(submission.name, unit="rows scored") as step:
            return _follow(cluster, submission, timeouts, step)
    except ConfigurationError as error:  # a permission was revoked after the run was created
        raise LostSightError(f"cannot follow the run {submission.run_id}, which may go on: {error}") from None


def _follow(cluster: Cluster, submission: Submission, timeouts: Timeouts, step: Task) -> JobOutcome:
    name, logged_state, logged_problem = submission.name, "", None
    started = False
    flink = _flink_client(cluster, name)
    watchdog = Watchdog(timeouts)
    current = cluster.get(name)
    while True:
        if current is None or Submission.of(current) != submission:
            return JobOutcome(f"FlinkDeployment {name} was removed by somebody else")
        state, job = job_state(current), (current.get("status") or {}).get("jobStatus") or {}
        started = started or bool(job.get("startTime"))
        if state != logged_state:
            _log.info("%s: %s", name, state)
            logged_state = step.note = state
        if state == "FINISHED":
            return JobOutcome()
        pods = cluster.pods(name)
        problem = diagnose(pods or [], cluster.warnings(current, pods or []))
        if state in _FAILED_STATES:
            return _failed(current, problem, flink)
        if problem and problem.message != logged_problem:
            logged_problem = problem.message
            _log.warning("%s: %s", name, problem.message)
        outcome = _give_up(current, problem, started, submission, timeouts)
        if outcome is None and started and state != "DELETING":
            seen = snapshot(flink, job.get("jobId"))
            if seen is not None:
                step.update(seen.counters.get("rows_scored", 0))
            stalled = watchdog.check(state, seen, pods)
            outcome = JobOutcome(f"{stalled}: {_cause(current, problem)}", terminated=False) if stalled else None
        if outcome:
            return outcome
        current = _next_state(cluster, current, timeouts.poll)


class Watchdog:
    """Detects a stalled job. Needs proof, since a healthy job may be slow.

    A job has stalled if Flink's metrics have not changed for `stall` seconds. If the metrics cannot be read, it has
    stalled if no TaskManager ran at any check during that time.
    """

    def __init__(self, timeouts: Timeouts, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._state = ""
        self._last_change: tuple[float, Progress] | None = None  # its time, and the progress since
        self._idle_since: float | None = None  # since when no TaskManager runs
        self._metrics_missing = False

    def check(self, state: str, progress: Progress | None, pods: Sequence[Resource] | None) -> str | None:
        """Compare with the last check; the error message if the job has stalled, else None.

        Args:
            state: Of the job.
            progress: None if Flink's metrics cannot be read.
            pods: None if they cannot be listed.
        """
        now = self._clock()
        if state != self._state:
            self._state, self._last_change, self._idle_since = state, None, None
        if progress is None and not self._metrics_missing:
            self._metrics_missing = True
            _log.info("Flink's counters cannot be read: a stall is detected from the pods alone")
        if pods is None or has_running_task_manager(pods):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if progress is not None and (self._last_change is None or not progress.same(self._last_change[1])):
            self._last_change, self._idle_since = (now, progress), None
        if progress is not None and self._last_change is not None:
            unchanged = now - self._last_change[0]
            if unchanged >= self._limit(progress):
                scored = progress.counters.get("rows_scored", 0)
                return (
                    f"the job has stalled: neither its state nor a counter changed for {unchanged:.0f} s "
                    f"({progress.state}, {scored:,} rows scored)"
                )
        if self._idle_since is not None and now - self._idle_since >= self._timeouts.stall:
            return f"the job has stalled: no TaskManager could work for {now - self._idle_since:.0f} s"
        return None

    def _limit(self, progress: Progress) -> float:
        publishes = any("Publish" in step for step in progress.steps)
        return self._timeouts.stall + (self._timeouts.publishing if publishes else 0.0)


def _flink_client(cluster: Cluster, name: str) -> Callable[[str], Any]:
    """A function that gets paths of the JobManager's REST API: directly in the cluster, else by the API server."""
    if not cluster.inside:
        return lambda path: cluster.flink(name, path.removeprefix("/"))
    address = _REST.format(name=name, namespace=cluster.namespace)
    return FlinkCluster(address, retry_timeout=0.0, timeout=_REST_TIMEOUT).get


def _failed(current: Resource, problem: Diagnosis | None, flink: Callable[[str], Any]) -> JobOutcome:
    """Why a job failed: from Flink's exception history, else the operator's error; then the diagnosis of the pods."""
    state = job_state(current)
    reason = _operator_error(current)
    job = ((current.get("status") or {}).get("jobStatus") or {}).get("jobId")
    if state == "FAILED" and job:
        try:
            failed = failure(flink, job)
            if failed.history:
                reason = str(explain(failed.root, worker_pool=_WORKERS, history=failed.history))
        except (PccError, AttributeError, TypeError) as error:
            _log.debug("Flink's exception history cannot be read: %s", error)
    messages = [message for message in (reason, problem and problem.message) if message]
    return JobOutcome("; ".join(messages) or f"the job is {state}")


def _give_up(
    current: Resource, problem: Diagnosis | None, started: bool, submission: Submission, timeouts: Timeouts
) -> JobOutcome | None:
    """The outcome if the problem is fatal or a timeout has expired, else None."""
    elapsed = (dt.datetime.now(dt.timezone.utc) - submission.at).total_seconds()
    cause = _cause(current, problem)
    if problem and problem.fatal:
        return JobOutcome(problem.message, terminated=False, usage=problem.usage)
    if not started and elapsed > timeouts.start:
        return JobOutcome(f"the job did not start within {timeouts.start:g} s: {cause}", terminated=False)
    if elapsed > timeouts.total:
        return JobOutcome(f"the job did not end within {timeouts.total:g} s: {cause}", terminated=False)
    return None


def _cause(current: Resource, problem: Diagnosis | None) -> str:
    return (problem.message if problem else None) or _operator_error(current) or f"the job is {job_state(current)}"


def _next_state(cluster: Cluster, current: Resource, timeout: float) -> Resource | None:
    """The next state of the deployment, or the same one after `timeout` seconds, when the pods are read again."""
    try:
        for changed in cluster.changes(current["metadata"]["name"], current["metadata"]["resourceVersion"], timeout):
            return changed
    except ExpiredError:
        pass
    return cluster.get(current["metadata"]["name"])


def _operator_error(deployment: Mapping[str, Any]) -> str | None:
    """The message in the operator's `status.error`, JSON of an exception and its causes: ours, or the root cause's."""
    error = (deployment.get("status") or {}).get("error")
    if not error:
        return None
    try:
        parsed = json.loads(error)
        causes = [str(cause.get("message") or "") for cause in parsed["throwableList"]]
        messages = [str(parsed.get("message") or ""), *causes]
    except (ValueError, KeyError, TypeError, AttributeError):
        messages = [str(error)]
    for message in reversed(messages):
        if "beam_pcc.errors." in message:
            return str(from_runner(RuntimeError(message)))
    return one_line(str(RunError(next((message for message in reversed(messages) if message.strip()), error))))
