"""The runs that were submitted to a namespace and whose FlinkDeployments are there: list, look at, cancel."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from beam_pcc.cases.monitoring_row import MonitoringRow
from beam_pcc.config.settings import RunConfig
from beam_pcc.errors import ConfigurationError, PccError, RunError
from beam_pcc.kubernetes import launcher
from beam_pcc.kubernetes.cluster_api import Cluster
from beam_pcc.kubernetes.deployment import JOB_JAR, Resource, Submission, deployment_name, run_settings
from beam_pcc.kubernetes.follow import JobOutcome, is_finished, job_state
from beam_pcc.kubernetes.pods import diagnose
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.terminal import logger

_log = logger(__name__)


@dataclass(frozen=True)
class SubmittedRun:
    """A FlinkDeployment of a run.

    Attributes:
        submission: Who submitted which run, and when.
        state: Of its job; of the deployment as long as there is no job.
        deployment: The resource.
    """

    submission: Submission
    state: str
    deployment: Resource


def submitted_runs(cluster: Cluster) -> list[SubmittedRun]:
    """Every run whose FlinkDeployment is there, the latest partition first. Raises PccError."""
    runs = [
        SubmittedRun(submission, job_state(deployment), deployment)
        for deployment in cluster.deployments()
        if (submission := Submission.of(deployment))
    ]
    return sorted(runs, key=lambda run: run.submission.partition, reverse=True)


def submitted_run(cluster: Cluster, partition: dt.date) -> SubmittedRun:
    """The run of a partition. Raises ConfigurationError if its FlinkDeployment is not there."""
    name = deployment_name(partition)
    deployment = cluster.get(name)
    submission = Submission.of(deployment) if deployment else None
    if deployment is None or submission is None:
        raise ConfigurationError(
            f"no FlinkDeployment {name} of a run is in namespace {cluster.namespace}; see beam-pcc runs list"
        )
    return SubmittedRun(submission, job_state(deployment), deployment)


def settings_of(run: SubmittedRun) -> RunConfig:
    """The settings that the run was submitted with. Raises ConfigurationError."""
    try:
        pod = run.deployment["spec"]["jobManager"]["podTemplate"]["spec"]
        arguments = next(one["args"] for one in pod["initContainers"] if one["name"] == JOB_JAR)
    except (KeyError, TypeError, StopIteration):
        raise ConfigurationError(
            f"FlinkDeployment {run.submission.name} has other containers than submit makes"
        ) from None
    return run_settings(arguments, run.submission.partition)[0]


def problem_of(cluster: Cluster, run: SubmittedRun) -> str | None:
    """What keeps the run from starting or going on, as its pods and events say; None if it has ended."""
    if is_finished(run.deployment):
        return None
    pods = cluster.pods(run.submission.name) or []
    problem = diagnose(pods, cluster.warnings(run.deployment, pods))
    return problem.message if problem else None


def monitoring_row_of(run: SubmittedRun) -> MonitoringRow | None:
    """The monitoring row of the run, if it has one that can be read from here."""
    try:
        settings = settings_of(run)
        return open_warehouse(settings.publish, settings.limits).monitoring(run.submission.run_id)
    except PccError as error:
        _log.warning("the monitoring row of %s cannot be read: %s", run.submission.run_id, error)
        return None


def cancel(cluster: Cluster, run: SubmittedRun, by: str) -> Outcome | None:
    """Delete the FlinkDeployment of a run, and record that the run has failed.

    Args:
        cluster: The namespace.
        run: The run.
        by: Who cancels it.

    Returns:
        The outcome if the run had published before it could be stopped; None if it was cancelled.

    Raises:
        ConfigurationError: It has ended already.
        PccError: It cannot be deleted, or its outcome cannot be read.
    """
    name = run.submission.name
    if is_finished(run.deployment):
        raise ConfigurationError(f"{name} has ended already ({run.state}): there is nothing to cancel")
    reason = f"cancelled by {by}"
    try:
        return launcher.finish(cluster, settings_of(run), run.submission, JobOutcome(reason, terminated=False))
    except RunError as error:
        if str(error).startswith(reason):
            return None
        raise
