"""Runners for Flink: `SessionRunner` submits to a cluster and follows the job, `JobJarRunner` only writes its jar.

Both make the same jar; nothing of the graph needs this process once the job runs.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
)
from apache_beam.pipeline import Pipeline
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.portable_runner import PortableMetrics
from apache_beam.runners.runner import PipelineResult, PipelineState

from beam_pcc.cases.schemas import COUNTERS
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.errors.messages import logged
from beam_pcc.flink.explain import explain
from beam_pcc.flink.jar import write_job_jar
from beam_pcc.flink.options import check_master
from beam_pcc.flink.rest import ENDED, FlinkCluster, counters
from beam_pcc.terminal import logger

_log = logger(__name__)
_PAUSE = 1.0  # seconds between looks at the job
_TELL_EVERY = 10.0  # seconds between lines of progress
_CANCEL_SECONDS = 8.0  # to wait for a cancelled job's end; who stops a run does not wait for long


class SessionRunner(FlinkRunner):
    """Runs the job on the cluster at --flink_master."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Look at the cluster first: how parallel the job is depends on it.

        Raises:
            ConfigurationError: No Flink answers there, or it has too few slots.
        """
        flink = options.view_as(FlinkRunnerOptions)
        self._cluster = FlinkCluster(check_master(flink.flink_master))
        slots = self._cluster.slots()
        if flink.parallelism < 1:
            flink.parallelism = max(1, slots.total)
        if slots.total < flink.parallelism:
            raise ConfigurationError(
                f"the Flink at {self._cluster.address} has {slots.total} slots, and the job needs {flink.parallelism}; "
                "add TaskManagers, or lower --parallelism"
            )
        if slots.free < flink.parallelism:
            _log.warning("%s of %s slots are free: the job waits for its turn", slots.free, slots.total)
        _a_worker_for_each_slot(options, -(-flink.parallelism // max(1, slots.task_managers)))
        return super().run_pipeline(pipeline, options)

    def run_portable_pipeline(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> SessionResult:
        """Submit the job; it is cancelled if that is interrupted."""
        cluster, name = self._cluster, options.view_as(GoogleCloudOptions).job_name
        pool = str(options.view_as(PortableOptions).environment_config)
        base = options.view_as(FlinkRunnerOptions).flink_job_server_jar
        optimized = self._optimize_pipeline(pipeline, options)
        with tempfile.TemporaryDirectory(prefix="beam-pcc-") as folder:
            jar = Path(folder) / "job.jar"
            write_job_jar(optimized, options, jar, base=base)
            try:
                job = cluster.submit(jar, uber=base is not None, job_name=name)
            except BaseException:
                with contextlib.suppress(RunError):
                    if name and (started := cluster.find(name, patience=_CANCEL_SECONDS)):
                        cluster.cancel(started, patience=_CANCEL_SECONDS)
                raise
        _log.info("the job runs: %s", cluster.job_page(job))
        return SessionResult(cluster, job, pool)


class JobJarRunner(FlinkRunner):
    """Writes the job to --output_executable_path and runs nothing."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """How parallel the job is, is for the cluster to say, unless it is given."""
        _a_worker_for_each_slot(options, max(0, options.view_as(FlinkRunnerOptions).parallelism))
        return super().run_pipeline(pipeline, options)

    def run_portable_pipeline(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> PipelineResult:
        """Write the jar."""
        output = Path(options.view_as(PortableOptions).output_executable_path)
        options.view_as(PortableOptions).output_executable_path = None
        base = options.view_as(FlinkRunnerOptions).flink_job_server_jar
        write_job_jar(self._optimize_pipeline(pipeline, options), options, output, base=base)
        return _Written(PipelineState.DONE)


def _a_worker_for_each_slot(options: PipelineOptions, slots: int) -> None:
    """Python works on one core a process, so each slot of a TaskManager gets one, unless it is said otherwise."""
    portable = options.view_as(PortableOptions)
    if int(portable.sdk_worker_parallelism) == 0:
        portable.sdk_worker_parallelism = slots


class _Written(PipelineResult):
    def wait_until_finish(self, duration: int | None = None) -> str:  # noqa: ARG002 - Beam's signature
        return str(self.state)


class SessionResult(PipelineResult):
    """A job on a cluster."""

    def __init__(self, cluster: FlinkCluster, job: str, worker_pool: str) -> None:
        super().__init__(PipelineState.RUNNING)
        self._cluster = cluster
        self._job = job
        self._worker_pool = worker_pool

    @property
    def state(self) -> str:
        """Flink's name of the job's state."""
        return self._cluster.state(self._job)

    def metrics(self) -> PortableMetrics:
        """Beam's metrics of the job."""
        return self._cluster.metrics(self._job)

    def wait_until_finish(self, duration: int | None = None) -> str:  # noqa: ARG002 - Beam's signature
        """Follow the job to its end, with a line of progress now and then; whatever interrupts this cancels the job.

        Raises:
            PccError: It failed, was cancelled, or cannot be followed any more.
        """
        try:
            state = self._follow()
        except BaseException:
            self._stop()
            raise
        if state == "FAILED":
            failed = self._cluster.failure(self._job)
            raise explain(failed.root, worker_pool=self._worker_pool, history=failed.history)
        if state == "CANCELED":
            raise RunError(f"the Flink job {self._job} was cancelled by somebody; run again")
        return str(PipelineState.DONE)

    def cancel(self) -> NoReturn:
        """Not offered: `wait_until_finish` cancels when it is interrupted."""
        raise NotImplementedError

    def _follow(self) -> str:
        started = told = time.monotonic()
        before = ""
        while (state := self._cluster.state(self._job)) not in ENDED:
            now = time.monotonic()
            if now - told >= _TELL_EVERY or (before and state != before):
                told = now
                _log.info("%s after %.0f s: %s", state.lower(), now - started, self._progress())
            before = state
            time.sleep(_PAUSE)
        return state

    def _progress(self) -> str:
        with logged(_log.debug, "no progress"):  # figures are for the person who waits; the job does not need them
            counted = counters(self._cluster.metrics(self._job, patience=0.0), COUNTERS)
            rejected = sum(n for name, n in counted.items() if name.startswith("rows_rejected_"))
            read, scored = counted.get("rows_read", 0), counted.get("rows_scored", 0)
            return f"{read:,} rows read, {scored:,} scored, {rejected:,} rejected"
        return "its figures cannot be read just now"

    def _stop(self) -> None:
        """Cancel the job if it still runs, and wait for its end a moment, so that it does not publish afterwards."""
        deadline = time.monotonic() + _CANCEL_SECONDS
        with contextlib.suppress(Exception):
            self._cluster.cancel(self._job, patience=_CANCEL_SECONDS)
            while self._cluster.state(self._job, patience=0.0) not in ENDED and time.monotonic() < deadline:
                time.sleep(0.2)
