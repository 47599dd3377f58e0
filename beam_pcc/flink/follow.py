"""Following one FlinkDeployment from its creation to its end, telling what a person should know on the way."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_pcc.errors import RunError, from_runner, one_line
from beam_pcc.flink.cluster_api import Cluster, ExpiredError
from beam_pcc.flink.deployment import Resource, Submission
from beam_pcc.flink.pods import Trouble, trouble

_log = logging.getLogger(__name__)
_ENDED_BADLY = ("FAILED", "CANCELED", "SUSPENDED")


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds: for the job to start, for it to end, and between two looks at its pods."""

    start: float = 900.0
    whole: float = 7200.0
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
        RunError: The API server does not answer; the run may go on.
    """
    name, told, reason = submission.name, "", None
    began = False
    current = cluster.get(name)
    while True:
        if current is None or Submission.of(current) != submission:
            return Ended(f"FlinkDeployment {name} was removed by somebody else")
        state = job_state(current)
        began = began or bool(((current.get("status") or {}).get("jobStatus") or {}).get("startTime"))
        if state != told:
            _log.info("%s: %s", name, state)
            told = state
        if state == "FINISHED":
            return Ended()
        problem = trouble(cluster.pods(name), cluster.warnings(name))
        if state in _ENDED_BADLY:
            return Ended(_why(current) or (problem.words if problem else f"the job is {state}"))
        if problem and problem.words != reason:
            reason = problem.words
            _log.warning("%s: %s", name, reason)
        end = _given_up(current, problem, began, submission, patience)
        if end:
            return end
        current = _next(cluster, current, patience.look)


def _given_up(
    current: Resource, problem: Trouble | None, began: bool, submission: Submission, patience: Patience
) -> Ended | None:
    passed = (dt.datetime.now(dt.timezone.utc) - submission.at).total_seconds()
    because = (problem.words if problem else None) or _why(current) or f"the job is {job_state(current)}"
    if problem and problem.fatal:
        return Ended(problem.words, over=False, usage=problem.usage)
    if not began and passed > patience.start:
        return Ended(f"the job did not start within {patience.start:g} s: {because}", over=False)
    if passed > patience.whole:
        return Ended(f"the job did not end within {patience.whole:g} s: {because}", over=False)
    return None


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
