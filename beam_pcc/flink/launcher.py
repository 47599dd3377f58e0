"""One run on Kubernetes: create its FlinkDeployment, follow it, tell how it ended, leave its monitoring row.

The split: `plan` validates and `deployment` renders the resource, `cluster_api` talks to Kubernetes, `pods` says what
is wrong, `follow` waits.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.flink.cluster_api import AlreadyExistsError, Cluster
from beam_pcc.flink.deployment import Resource, Submission
from beam_pcc.flink.follow import Ended, follow, is_finished, job_state
from beam_pcc.flink.plan import Planned
from beam_pcc.publish import Outcome, monitoring_row, read_outcome
from beam_pcc.settings import RunSettings
from beam_pcc.staging import StagingArea
from beam_pcc.warehouse import open_warehouse
from beam_pcc.warehouse.base import Run, Warehouse

_log = logging.getLogger(__name__)
_SECONDS_TO_GO = 180.0  # for a deleted FlinkDeployment: the operator and the pods' grace period


def create(cluster: Cluster, planned: Planned, *, replace: bool = False, attach: bool = False) -> Submission:
    """Create the FlinkDeployment; return the submission to follow: this one, or with `attach` one that is under way.

    Raises:
        ConfigurationError: There is one already: it says whose, of when, in which state.
    """
    name = planned.submission.name
    try:
        cluster.create(planned.resource)
    except AlreadyExistsError:
        there = cluster.get(name)
        before = Submission.of(there) if there else None
        if there and before and attach and not is_finished(there) and job_state(there) != "DELETING":
            _log.info("%s: following the run %s of %s", name, before.run_id, before.by)
            return before
        if there is not None:
            if not (replace and is_finished(there)):
                raise ConfigurationError(_taken(name, there, before)) from None
            remove(cluster, name)
        with contextlib.suppress(AlreadyExistsError):
            cluster.create(planned.resource)
            _log.info("%s: created, run %s", name, planned.submission.run_id)
            return planned.submission
        raise ConfigurationError(
            f"FlinkDeployment {name} was created by somebody else just now; look, and submit again"
        ) from None
    _log.info("%s: created, run %s", name, planned.submission.run_id)
    return planned.submission


def _taken(name: str, there: Resource, before: Submission | None) -> str:
    whose = f"by {before.by} at {before.at:%Y-%m-%d %H:%M:%SZ}" if before else "by hand"
    state = job_state(there)
    mend = "submit with --replace to run again" if is_finished(there) else "wait for it, or follow it with --attach"
    return f"FlinkDeployment {name} was created {whose} and is {state}: {mend}"


def remove(cluster: Cluster, name: str) -> None:
    """Delete a FlinkDeployment and wait until it and its pods are gone. Raises RunError if they stay."""
    cluster.delete(name)
    if not cluster.wait_until_gone(name, _SECONDS_TO_GO):
        raise RunError(
            f"FlinkDeployment {name} is still there {_SECONDS_TO_GO:g} s after it was deleted: is the operator up?"
        )


def finish(cluster: Cluster, settings: RunSettings, submission: Submission, ended: Ended) -> Outcome:
    """Tell how a run ended, from its monitoring row; where it left none, write the failed one.

    A run that was given up is removed first, so that it cannot publish after it was called failed.

    Raises:
        RunError: It failed, or (ConfigurationError) its configuration is wrong; the monitoring row says so too.
    """
    if not ended.over:
        remove(cluster, submission.name)
    warehouse = _warehouse(settings)
    area = StagingArea(warehouse.staging(settings.staging), submission.run_id)
    try:
        outcome = read_outcome(area) or _published(warehouse, submission)
        if outcome is not None:
            return outcome
        reason = ended.reason or "the job finished, but left no monitoring row; look at its TaskManager's log"
        kind = ConfigurationError if ended.usage else RunError
        failure = kind(f"{reason} (run {submission.run_id})")
        if not settings.dry_run:
            identity = Run(submission.run_id, submission.partition, submission.at)
            warehouse.record(monitoring_row(identity, "failed", error=str(failure)))
        raise failure
    finally:
        area.remove()


def _published(warehouse: Warehouse, submission: Submission) -> Outcome | None:
    row: dict[str, Any] | None = warehouse.monitoring(submission.run_id)
    return None if row is None else Outcome(row, refused=str(row["error_message"] or "").startswith("audits refused"))


def _warehouse(settings: RunSettings) -> Warehouse:
    return open_warehouse(
        settings.warehouse,
        lock_timeout=settings.lock_timeout,
        retry_timeout=settings.retry_timeout,
        temp_dataset=settings.temp_dataset,
        names={
            "pcc_inference_output": settings.output_table,
            "pcc_monitoring_logs": settings.monitoring_table,
            "pcc_quarantine": settings.quarantine_table,
        },
    )


def run(
    cluster: Cluster, planned: Planned, *, replace: bool = False, attach: bool = False
) -> tuple[Submission, Outcome]:
    """Create, follow, finish, and remove what is finished beyond `planned.keep`.

    Raises:
        ConfigurationError: It was not created.
        RunError: It failed.
    """
    submission = create(cluster, planned, replace=replace, attach=attach)
    try:
        return submission, finish(cluster, planned.settings, submission, follow(cluster, submission, planned.patience))
    finally:
        prune(cluster, planned.keep)


def prune(cluster: Cluster, keep: int) -> None:
    """Delete finished FlinkDeployments of runs but for the `keep` latest.

    That it fails must not hide how a run ended.
    """
    try:
        made = [(one, found) for one in cluster.deployments() if (found := Submission.of(one))]
        finished = sorted((found.at, found.name) for one, found in made if is_finished(one))
        for _, name in finished[: max(0, len(finished) - keep)]:
            cluster.delete(name)
            _log.info("%s: removed, %d finished ones stay", name, keep)
    except Exception as error:
        _log.warning("finished FlinkDeployments stay: %s", error)
