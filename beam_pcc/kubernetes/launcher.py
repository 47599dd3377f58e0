"""One run on Kubernetes: create its FlinkDeployment, follow it, report how it ended, leave its monitoring row.

`plan` validates, `deployment` renders the resource, `cluster_api` calls Kubernetes, `pods` diagnoses problems, `follow`
waits. A launcher may be killed at any time: its state is in the FlinkDeployment, the staging folder and the monitoring
table, from which the next launcher continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from beam_pcc import progress
from beam_pcc.config.run_ids import started_at
from beam_pcc.config.settings import RunConfig
from beam_pcc.errors import ConfigurationError, LostSightError, PccError, RunError, one_line
from beam_pcc.errors.messages import logged
from beam_pcc.kubernetes.cluster_api import AlreadyExistsError, Cluster
from beam_pcc.kubernetes.deployment import Resource, Submission
from beam_pcc.kubernetes.follow import JobOutcome, follow, is_finished, job_state
from beam_pcc.kubernetes.plan import DeploymentPlan
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.publish import Outcome, read_outcome
from beam_pcc.publishing.staging import StagingArea, staged_runs
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse
from beam_pcc.terminal import logger

_log = logger(__name__)
_DELETE_TIMEOUT = 180.0  # seconds: covers the operator and the grace period of the pods
_CREATE_ATTEMPTS = 3  # while others create and delete the same FlinkDeployment
_ROWS = 20  # latest monitoring rows of the partition to search for an earlier run of this launcher


@dataclass(frozen=True)
class StartedRun:
    """The run to follow.

    Attributes:
        submission: Who submitted it.
        resource: Its FlinkDeployment was created by this launcher, exists, or was deleted.
    """

    submission: Submission
    resource: Literal["created", "existing", "deleted"]


def start(cluster: Cluster, plan: DeploymentPlan, *, replace: bool = False, attach: bool = False) -> StartedRun:
    """Create the FlinkDeployment, or return the existing run to follow.

    The run of an earlier attempt (of this Job, or with this --run_id) is always followed, in whatever state. `attach`
    follows another run of the day too. `replace` deletes a finished one first. Waits for one that is being deleted.

    Raises:
        ConfigurationError: One exists; the message names its submitter, time and state.
        PccError: It cannot be created.
    """
    name = plan.submission.name
    for _ in range(_CREATE_ATTEMPTS):
        existing = cluster.get(name)
        submission = Submission.of(existing) if existing else None
        if existing is None:
            deleted = _find_deleted_run(plan)
            if deleted:
                _log.info("%s: run %s was started earlier, its FlinkDeployment was deleted", name, deleted.run_id)
                return StartedRun(deleted, "deleted")
        elif submission and plan.is_own(submission.run_id):
            _log.info("%s: following run %s again", name, submission.run_id)
            return StartedRun(submission, "existing")
        elif job_state(existing) == "DELETING":
            _log.info("%s: waiting until the earlier one is deleted", name)
            _wait_until_gone(cluster, name)
        elif replace and is_finished(existing):
            remove(cluster, name)
        elif submission and attach:
            _log_attached(name, existing, submission)
            return StartedRun(submission, "existing")
        else:
            raise ConfigurationError(_conflict_message(name, existing, submission))
        try:
            cluster.create(plan.with_model().resource)
        except AlreadyExistsError:
            continue
        _log.info("%s: created, run %s", name, plan.submission.run_id)
        _create_staging_folder(plan)
        return StartedRun(plan.submission, "created")
    raise ConfigurationError(f"FlinkDeployment {name} was created by somebody else just now; look, and submit again")


def _log_attached(name: str, deployment: Resource, submission: Submission) -> None:
    if is_finished(deployment):
        _log.warning(
            "%s: already ran, submitted by %s at %s, run %s; this is its outcome, submit with --replace to run again",
            name,
            submission.by,
            f"{submission.at:%Y-%m-%d %H:%M:%SZ}",
            submission.run_id,
        )
    else:
        _log.info("%s: following the run %s of %s", name, submission.run_id, submission.by)


def _create_staging_folder(plan: DeploymentPlan) -> None:
    """Create the run's staging folder, in which `_find_deleted_run` finds it if its FlinkDeployment is deleted."""
    warehouse = open_warehouse(plan.settings.publish, plan.settings.limits)
    try:
        StagingArea(warehouse.staging(plan.settings.publish.staging), plan.submission.run_id).begin()
    except Exception as error:  # the job creates the folder too, and reports the error
        _log.debug("the staging folder of %s: %s", plan.submission.run_id, error)


def _find_deleted_run(plan: DeploymentPlan) -> Submission | None:
    """The run of an earlier attempt of this launcher whose FlinkDeployment was deleted, or None.

    Searches the monitoring rows and staging folders. If they cannot be read, the run starts anyway: publishing a day
    twice leaves the same tables.
    """
    partition = plan.settings.partition
    if plan.job is None and plan.settings.publish.run_id is None:
        return None
    try:
        warehouse = open_warehouse(plan.settings.publish, plan.settings.limits)
        run_ids = {str(row["run_id"]) for row in warehouse.runs(_ROWS, partition)}
        run_ids |= staged_runs(warehouse.staging(plan.settings.publish.staging))
    except Exception as error:
        _log.warning("whether this launcher's run was there before cannot be seen: %s", one_line(error))
        return None
    own = sorted(run_id for run_id in run_ids if plan.is_own(run_id))
    if not own:
        return None
    return Submission(own[-1], partition, plan.submission.by, started_at(own[-1]) or plan.submission.at)


def _conflict_message(name: str, deployment: Resource, submission: Submission | None) -> str:
    creator = f"by {submission.by} at {submission.at:%Y-%m-%d %H:%M:%SZ}" if submission else "by hand"
    finished = is_finished(deployment)
    remedy = "submit with --replace to run again" if finished else "wait for it, or follow it with --attach"
    return f"FlinkDeployment {name} was created {creator} and is {job_state(deployment)}: {remedy}"


def remove(cluster: Cluster, name: str) -> None:
    """Delete a FlinkDeployment and wait until it and its pods are gone. Raises RunError if they remain."""
    cluster.delete(name)
    _wait_until_gone(cluster, name)


def _wait_until_gone(cluster: Cluster, name: str) -> None:
    with progress.task(f"{name}: waiting until it is deleted"):
        is_gone = cluster.wait_until_gone(name, _DELETE_TIMEOUT)
    if not is_gone:
        raise RunError(
            f"FlinkDeployment {name} is still there {_DELETE_TIMEOUT:g} s after it was deleted: is the operator up?"
        )


def finish(cluster: Cluster, settings: RunConfig, submission: Submission, job: JobOutcome) -> Outcome:
    """Read the outcome of a run from its monitoring row; without a row, write a failed one. Safe to repeat.

    A job that has not terminated is deleted first, so that it cannot publish after it is recorded as failed.

    Raises:
        RunError: It failed, or (ConfigurationError) its configuration is wrong; the monitoring row has the same error.
        LostSightError: It cannot be deleted, or its outcome cannot be read now.
    """
    if not job.terminated:
        try:
            remove(cluster, submission.name)
        except PccError as error:
            raise LostSightError(f"the run {submission.run_id} was given up, but may go on: {error}") from None
    warehouse = open_warehouse(settings.publish, settings.limits)
    area = StagingArea(warehouse.staging(settings.publish.staging), submission.run_id)
    try:
        outcome = read_outcome(area) or _published(warehouse, submission)
    except ConfigurationError:
        raise
    except Exception as error:  # each filesystem has its own errors
        raise LostSightError(f"how the run {submission.run_id} ended cannot be read: {one_line(error)}") from None
    try:
        if outcome is None:
            reason = job.reason or "the job finished, but left no monitoring row; look at its TaskManager's log"
            error_type = ConfigurationError if job.usage else RunError
            failure = error_type(f"{reason} (run {submission.run_id})")
            _record_failure(warehouse, settings, submission, failure)
            raise failure
        if outcome.monitoring.status == "failed":  # written by an earlier launcher
            raise RunError(outcome.monitoring.error_message)
        return outcome
    finally:
        if not settings.publish.dry_run:  # a dry run has no row: keep its outcome for a launcher that attaches later
            area.remove()


def _record_failure(warehouse: Warehouse, settings: RunConfig, submission: Submission, failure: PccError) -> None:
    """Write the failed row. Logs an error while writing, which must not hide why the run failed."""
    if settings.publish.dry_run:
        return
    identity = Run(submission.run_id, submission.partition, submission.at)
    with logged(_log.warning, "the monitoring row of %s could not be written", submission.run_id):
        warehouse.record(failed_row(identity, failure))


def _published(warehouse: Warehouse, submission: Submission) -> Outcome | None:
    row = warehouse.monitoring(submission.run_id)
    return None if row is None else Outcome(row)


def run(
    cluster: Cluster, plan: DeploymentPlan, *, replace: bool = False, attach: bool = False
) -> tuple[Submission, Outcome]:
    """Start or attach to the run, follow and finish it, then delete the oldest finished runs.

    Raises:
        ConfigurationError: It was not created.
        RunError: It failed.
        LostSightError: It may go on, but cannot be followed.
    """
    started = start(cluster, plan, replace=replace, attach=attach)
    submission = started.submission
    try:
        if started.resource == "deleted":
            job = JobOutcome(f"FlinkDeployment {submission.name} was removed by somebody else")
        else:
            job = follow(cluster, submission, plan.timeouts)
        outcome = finish(cluster, plan.settings, submission, job)
    except LostSightError:
        raise
    except PccError:
        prune(cluster, plan.keep)
        raise
    prune(cluster, plan.keep)
    return submission, outcome


def prune(cluster: Cluster, keep: int) -> None:
    """Delete the finished FlinkDeployments of runs except the `keep` latest. Only logs an error."""
    with logged(_log.warning, "finished FlinkDeployments stay"):
        finished = sorted(
            (submission.at, submission.name)
            for deployment in cluster.deployments()
            if (submission := Submission.of(deployment)) and is_finished(deployment)
        )
        for _, name in finished[: max(0, len(finished) - keep)]:
            cluster.delete(name)
            _log.info("%s: deleted, the %d latest finished ones are kept", name, keep)
