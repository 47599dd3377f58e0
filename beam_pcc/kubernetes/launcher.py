"""One run on Kubernetes: create its FlinkDeployment, follow it, tell how it ended, leave its monitoring row.

The split: `plan` validates and `deployment` renders the resource, `cluster_api` talks to Kubernetes, `pods` says what
is wrong, `follow` waits. A launcher may be lost at any time: whatever it knows is on the FlinkDeployment, in the
staging folder or in the monitoring table, and the next one goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from beam_pcc.config.run_ids import started_at
from beam_pcc.config.settings import RunConfig
from beam_pcc.errors import ConfigurationError, LostSightError, PccError, RunError, one_line
from beam_pcc.errors.messages import logged
from beam_pcc.kubernetes.cluster_api import AlreadyExistsError, Cluster
from beam_pcc.kubernetes.deployment import Resource, Submission
from beam_pcc.kubernetes.follow import Ended, follow, is_finished, job_state
from beam_pcc.kubernetes.plan import Planned
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.publish import Outcome, read_outcome
from beam_pcc.publishing.staging import StagingArea, staged_runs
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse
from beam_pcc.terminal import logger

_log = logger(__name__)
_SECONDS_TO_GO = 180.0  # for a deleted FlinkDeployment: the operator and the pods' grace period
_TRIES = 3  # to create it, while others create and delete the same
_ROWS = 20  # of the partition that are looked through for a run of ours


@dataclass(frozen=True)
class Started:
    """The run that there is: created by this launcher, found under way or ended, or gone with its resource."""

    submission: Submission
    how: Literal["created", "found", "gone"]


def start(cluster: Cluster, planned: Planned, *, replace: bool = False, attach: bool = False) -> Started:
    """Create the FlinkDeployment, or find the one to follow.

    An earlier attempt's run (of this Job, or of this --run_id) is always the one to follow, however far it is. With
    `attach`, so is another run of the day, under way or ended. With `replace`, one that has ended is removed first. One
    that is being deleted is waited for.

    Raises:
        ConfigurationError: There is one already: it says whose, of when, in which state.
        PccError: It cannot be created.
    """
    name = planned.submission.name
    for _ in range(_TRIES):
        there = cluster.get(name)
        before = Submission.of(there) if there else None
        if there is None:
            lost = _lost_run(planned)
            if lost:
                _log.info("%s: is gone, and the run %s with it", name, lost.run_id)
                return Started(lost, "gone")
        elif before and planned.is_own(before.run_id):
            _log.info("%s: following on, run %s", name, before.run_id)
            return Started(before, "found")
        elif job_state(there) == "DELETING":
            _log.info("%s: waiting until the one that is being deleted is gone", name)
            _wait_until_gone(cluster, name)
        elif replace and is_finished(there):
            remove(cluster, name)
        elif before and attach:
            _tell_found(name, there, before)
            return Started(before, "found")
        else:
            raise ConfigurationError(_taken(name, there, before))
        try:
            cluster.create(planned.with_model().resource)
        except AlreadyExistsError:
            continue
        _log.info("%s: created, run %s", name, planned.submission.run_id)
        _mark(planned)
        return Started(planned.submission, "created")
    raise ConfigurationError(f"FlinkDeployment {name} was created by somebody else just now; look, and submit again")


def _tell_found(name: str, there: Resource, before: Submission) -> None:
    if is_finished(there):
        _log.warning(
            "%s: already ran, submitted by %s at %s, run %s; this is its outcome, submit with --replace to run again",
            name,
            before.by,
            f"{before.at:%Y-%m-%d %H:%M:%SZ}",
            before.run_id,
        )
    else:
        _log.info("%s: following the run %s of %s", name, before.run_id, before.by)


def _mark(planned: Planned) -> None:
    """Leave the run's staging folder, by which `_lost_run` knows it should its FlinkDeployment be deleted."""
    warehouse = open_warehouse(planned.settings.publish, planned.settings.limits)
    try:
        StagingArea(warehouse.staging(planned.settings.publish.staging), planned.submission.run_id).begin()
    except Exception as error:  # the job makes the folder too, and says what is wrong
        _log.debug("the staging folder of %s: %s", planned.submission.run_id, error)


def _lost_run(planned: Planned) -> Submission | None:
    """The run that an earlier attempt of ours started and whose FlinkDeployment is gone, or None.

    It left a monitoring row, or its staging folder. That neither can be looked at is no reason not to run: publishing a
    day again leaves what once leaves.
    """
    partition = planned.settings.partition
    if planned.job is None and planned.settings.publish.run_id is None:
        return None
    try:
        warehouse = open_warehouse(planned.settings.publish, planned.settings.limits)
        run_ids = {str(row["run_id"]) for row in warehouse.runs(_ROWS, partition)}
        run_ids |= staged_runs(warehouse.staging(planned.settings.publish.staging))
    except Exception as error:
        _log.warning("whether this launcher's run was there before cannot be seen: %s", one_line(error))
        return None
    own = sorted(run_id for run_id in run_ids if planned.is_own(run_id))
    if not own:
        return None
    return Submission(own[-1], partition, planned.submission.by, started_at(own[-1]) or planned.submission.at)


def _taken(name: str, there: Resource, before: Submission | None) -> str:
    whose = f"by {before.by} at {before.at:%Y-%m-%d %H:%M:%SZ}" if before else "by hand"
    state = job_state(there)
    mend = "submit with --replace to run again" if is_finished(there) else "wait for it, or follow it with --attach"
    return f"FlinkDeployment {name} was created {whose} and is {state}: {mend}"


def remove(cluster: Cluster, name: str) -> None:
    """Delete a FlinkDeployment and wait until it and its pods are gone. Raises RunError if they stay."""
    cluster.delete(name)
    _wait_until_gone(cluster, name)


def _wait_until_gone(cluster: Cluster, name: str) -> None:
    if not cluster.wait_until_gone(name, _SECONDS_TO_GO):
        raise RunError(
            f"FlinkDeployment {name} is still there {_SECONDS_TO_GO:g} s after it was deleted: is the operator up?"
        )


def finish(cluster: Cluster, settings: RunConfig, submission: Submission, ended: Ended) -> Outcome:
    """Tell how a run ended, from its monitoring row; where it left none, write the failed one. May be done again.

    A run that was given up is removed first, so that it cannot publish after it was called failed.

    Raises:
        RunError: It failed, or (ConfigurationError) its configuration is wrong; the monitoring row says so too.
        LostSightError: It could not be removed, or how it ended cannot be read now.
    """
    if not ended.over:
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
            reason = ended.reason or "the job finished, but left no monitoring row; look at its TaskManager's log"
            kind = ConfigurationError if ended.usage else RunError
            failure = kind(f"{reason} (run {submission.run_id})")
            _record(warehouse, settings, submission, failure)
            raise failure
        if outcome.monitoring.status == "failed":  # as an earlier launcher wrote it
            raise RunError(outcome.monitoring.error_message)
        return outcome
    finally:
        if not settings.publish.dry_run:  # it leaves no row: its outcome stays here for a launcher that asks again
            area.remove()


def _record(warehouse: Warehouse, settings: RunConfig, submission: Submission, failure: PccError) -> None:
    """Write the failed row. That it cannot be written must not hide why the run failed."""
    if settings.publish.dry_run:
        return
    identity = Run(submission.run_id, submission.partition, submission.at)
    with logged(_log.warning, "the monitoring row of %s could not be written", submission.run_id):
        warehouse.record(failed_row(identity, failure))


def _published(warehouse: Warehouse, submission: Submission) -> Outcome | None:
    row = warehouse.monitoring(submission.run_id)
    return None if row is None else Outcome(row)


def run(
    cluster: Cluster, planned: Planned, *, replace: bool = False, attach: bool = False
) -> tuple[Submission, Outcome]:
    """Create or find, follow, finish, and remove what is finished beyond `planned.keep`.

    Raises:
        ConfigurationError: It was not created.
        RunError: It failed.
        LostSightError: It may go on, but cannot be followed.
    """
    started = start(cluster, planned, replace=replace, attach=attach)
    submission = started.submission
    try:
        if started.how == "gone":
            ended = Ended(f"FlinkDeployment {submission.name} was removed by somebody else")
        else:
            ended = follow(cluster, submission, planned.patience)
        outcome = finish(cluster, planned.settings, submission, ended)
    except LostSightError:
        raise
    except PccError:
        prune(cluster, planned.keep)
        raise
    prune(cluster, planned.keep)
    return submission, outcome


def prune(cluster: Cluster, keep: int) -> None:
    """Delete finished FlinkDeployments of runs but for the `keep` latest.

    That it fails must not hide how a run ended.
    """
    with logged(_log.warning, "finished FlinkDeployments stay"):
        made = [(one, found) for one in cluster.deployments() if (found := Submission.of(one))]
        finished = sorted((found.at, found.name) for one, found in made if is_finished(one))
        for _, name in finished[: max(0, len(finished) - keep)]:
            cluster.delete(name)
            _log.info("%s: removed, %d finished ones stay", name, keep)
