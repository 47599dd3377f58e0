"""Following one FlinkDeployment from its creation to its end, telling what a person should know on the way."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import ConfigurationError, LostSightError, PccError, RunError, one_line
from beam_pcc.errors.messages import from_runner
from beam_pcc.flink.explain import explain
from beam_pcc.flink.rest import FlinkCluster, Progress, failure, progress
from beam_pcc.kubernetes.cluster_api import Cluster, ExpiredError
from beam_pcc.kubernetes.deployment import Resource, Submission
from beam_pcc.kubernetes.pods import Trouble, can_work, trouble
from beam_pcc.terminal import logger

_log = logger(__name__)
_ENDED_BADLY = ("FAILED", "CANCELED", "SUSPENDED")
_REST = "http://{name}-rest.{namespace}:8081"  # the Service that the operator makes for a JobManager
_REST_SECONDS = 5.0  # for one call: it only tells how far the job is
_WORKERS = "localhost:50000"  # where the template's job looks for its Python workers


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        start: For the job to start.
        whole: For it to end.
        stall: For anything of a job to change.
        publishing: How much longer while it publishes: that step counts nothing, and may wait for a lock or for Google.
        look: Between two looks at its pods.
    """

    start: float = 900.0
    whole: float = 7200.0
    stall: float = 600.0
    publishing: float = 0.0
    look: float = 10.0


@dataclass(frozen=True)
class Ended:
    """How following ended.

    `reason` says why not well; `over` that the job can do nothing more; `usage` that it ends with exit code 2.
    """

    reason: str | None = None
    over: bool = True
    usage: bool = False


def job_state(deployment: Mapping[str, Any]) -> str:
    """What a person calls its state: that of the job where there is one, else how far the deployment is."""
    status = deployment.get("status") or {}
    if deployment["metadata"].get("deletionTimestamp"):
        return "DELETING"
    state: str = (status.get("jobStatus") or {}).get("state") or status.get("jobManagerDeploymentStatus") or "SUBMITTED"
    return state


def is_finished(deployment: Mapping[str, Any]) -> bool:
    """Whether its job can do nothing more."""
    return job_state(deployment) in ("FINISHED", *_ENDED_BADLY)


def follow(cluster: Cluster, submission: Submission, patience: Patience) -> Ended:
    """Follow a run to its end.

    A reason that time may mend (no node yet, an image that cannot be pulled) is told when it is new, and ends the run
    only with `patience`. One that time cannot mend ends it at once.

    Raises:
        LostSightError: The API server does not answer, or not to this account any more; the run may go on.
    """
    try:
        return _follow(cluster, submission, patience)
    except ConfigurationError as error:  # a right that was there when the run was created
        raise LostSightError(f"cannot follow the run {submission.run_id}, which may go on: {error}") from None


def _follow(cluster: Cluster, submission: Submission, patience: Patience) -> Ended:
    name, told, reason = submission.name, "", None
    began = False
    flink = _flink(cluster, name)
    watchdog = Watchdog(patience)
    current = cluster.get(name)
    while True:
        if current is None or Submission.of(current) != submission:
            return Ended(f"FlinkDeployment {name} was removed by somebody else")
        state, job = job_state(current), (current.get("status") or {}).get("jobStatus") or {}
        began = began or bool(job.get("startTime"))
        if state != told:
            _log.info("%s: %s", name, state)
            told = state
        if state == "FINISHED":
            return Ended()
        pods = cluster.pods(name)
        problem = trouble(pods or [], cluster.warnings(current, pods or []))
        if state in _ENDED_BADLY:
            return _ended_badly(current, problem, flink)
        if problem and problem.words != reason:
            reason = problem.words
            _log.warning("%s: %s", name, reason)
        end = _given_up(current, problem, began, submission, patience)
        if end is None and began and state != "DELETING":
            stalled = watchdog.look(state, progress(flink, job.get("jobId")), pods)
            end = Ended(f"{stalled}: {_because(current, problem)}", over=False) if stalled else None
        if end:
            return end
        current = _next(cluster, current, patience.look)


class Watchdog:
    """Says when a job that should run has stalled; only on what proves it, as a healthy job may be slow.

    Flink's figures prove it when they are the same as `stall` seconds ago. Where they cannot be seen, only pods do, if
    no TaskManager could have worked at any look of that time.
    """

    def __init__(self, patience: Patience, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._state = ""
        self._figures: tuple[float, Progress] | None = None  # the last change, and what it led to
        self._idle_since: float | None = None  # since when no pod can work
        self._blind = False

    def look(self, state: str, progress: Progress | None, pods: Sequence[Resource] | None) -> str | None:
        """Take what is seen now (None: it cannot be seen); the words for a stall, or None."""
        now = self._clock()
        if state != self._state:
            self._state, self._figures, self._idle_since = state, None, None
        if progress is None and not self._blind:
            self._blind = True
            _log.info("Flink's counters cannot be seen: a stall is told by its pods alone")
        if pods is None or can_work(pods):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if progress is not None and (self._figures is None or not progress.same(self._figures[1])):
            self._figures, self._idle_since = (now, progress), None
        if progress is not None and self._figures is not None and now - self._figures[0] >= self._limit(progress):
            scored = progress.counted.get("rows_scored", 0)
            return (
                f"the job has stalled: neither its state nor a counter changed for {now - self._figures[0]:.0f} s "
                f"({progress.state}, {scored:,} rows scored)"
            )
        if self._idle_since is not None and now - self._idle_since >= self._patience.stall:
            return f"the job has stalled: no TaskManager could work for {now - self._idle_since:.0f} s"
        return None

    def _limit(self, progress: Progress) -> float:
        publishes = any("Publish" in step for step in progress.steps)
        return self._patience.stall + (self._patience.publishing if publishes else 0.0)


def _flink(cluster: Cluster, name: str) -> Callable[[str], Any]:
    """What asks the JobManager's REST API: directly from inside of the cluster, else through the API server."""
    if not cluster.inside:
        return lambda path: cluster.flink(name, path.removeprefix("/"))
    address = _REST.format(name=name, namespace=cluster.namespace)
    return FlinkCluster(address, patience=0.0, seconds=_REST_SECONDS).get


def _ended_badly(current: Resource, problem: Trouble | None, flink: Callable[[str], Any]) -> Ended:
    """Why a job failed: Flink's history of it where that can be had, else the operator's words; and what pods say."""
    state = job_state(current)
    why = _why(current)
    job = ((current.get("status") or {}).get("jobStatus") or {}).get("jobId")
    if state == "FAILED" and job:
        try:
            failed = failure(flink, job)
            if failed.history:
                why = str(explain(failed.root, worker_pool=_WORKERS, history=failed.history))
        except (PccError, AttributeError, TypeError) as error:
            _log.debug("Flink does not say why: %s", error)
    return Ended("; ".join(words for words in (why, problem and problem.words) if words) or f"the job is {state}")


def _given_up(
    current: Resource, problem: Trouble | None, began: bool, submission: Submission, patience: Patience
) -> Ended | None:
    passed = (dt.datetime.now(dt.timezone.utc) - submission.at).total_seconds()
    because = _because(current, problem)
    if problem and problem.fatal:
        return Ended(problem.words, over=False, usage=problem.usage)
    if not began and passed > patience.start:
        return Ended(f"the job did not start within {patience.start:g} s: {because}", over=False)
    if passed > patience.whole:
        return Ended(f"the job did not end within {patience.whole:g} s: {because}", over=False)
    return None


def _because(current: Resource, problem: Trouble | None) -> str:
    return (problem.words if problem else None) or _why(current) or f"the job is {job_state(current)}"


def _next(cluster: Cluster, current: Resource, seconds: float) -> Resource | None:
    """The next state of the deployment, or the same after `seconds`: the pods may have changed meanwhile."""
    try:
        for changed in cluster.changes(current["metadata"]["name"], current["metadata"]["resourceVersion"], seconds):
            return changed
    except ExpiredError:
        pass
    return cluster.get(current["metadata"]["name"])


def _why(deployment: Mapping[str, Any]) -> str | None:
    """Of the operator's `status.error`, JSON of an exception and its causes: our own words, or the root cause's."""
    said = (deployment.get("status") or {}).get("error")
    if not said:
        return None
    try:
        told = json.loads(said)
        words = [str(told.get("message") or ""), *(str(cause.get("message") or "") for cause in told["throwableList"])]
    except (ValueError, KeyError, TypeError, AttributeError):
        words = [str(said)]
    for text in reversed(words):
        if "beam_pcc.errors." in text:
            return str(from_runner(RuntimeError(text)))
    return one_line(str(RunError(next((text for text in reversed(words) if text.strip()), said))))
