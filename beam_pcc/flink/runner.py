"""Runners for Flink: `SessionRunner` submits the job to a cluster and follows it, `JobJarRunner` only writes its jar.

Both write the same jar. A running job does not need this process.
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

from beam_pcc import progress
from beam_pcc.cases.schemas import COUNTERS
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.errors.messages import logged
from beam_pcc.flink.explain import explain
from beam_pcc.flink.jar import write_job_jar
from beam_pcc.flink.options import check_master
from beam_pcc.flink.rest import ENDED, FlinkCluster, counters
from beam_pcc.terminal import logger

_log = logger(__name__)
_POLL_INTERVAL = 1.0  # seconds
_COUNT_INTERVAL = 2.0  # seconds between two looks at the counters
_CANCEL_TIMEOUT = 8.0  # seconds to wait until a cancelled job ends


class SessionRunner(FlinkRunner):
    """Runs the job on the cluster at --flink_master."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Set the parallelism from the cluster's slots, then run the job.

        Raises:
            ConfigurationError: No Flink answers at the address, or it has too few slots.
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
        _set_worker_count(options, -(-flink.parallelism // max(1, slots.task_managers)))
        return super().run_pipeline(pipeline, options)

    def run_portable_pipeline(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> SessionResult:
        """Submit the job. An interruption cancels it."""
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
                    if name and (started := cluster.find(name, retry_timeout=_CANCEL_TIMEOUT)):
                        cluster.cancel(started, retry_timeout=_CANCEL_TIMEOUT)
                raise
        _log.info("the job runs: %s", cluster.job_page(job))
        return SessionResult(cluster, job, pool)


class JobJarRunner(FlinkRunner):
    """Writes the job to --output_executable_path and runs nothing."""

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        """Write the jar. The cluster sets the parallelism unless an option does."""
        _set_worker_count(options, max(0, options.view_as(FlinkRunnerOptions).parallelism))
        return super().run_pipeline(pipeline, options)

    def run_portable_pipeline(self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> PipelineResult:
        """Write the jar."""
        output = Path(options.view_as(PortableOptions).output_executable_path)
        options.view_as(PortableOptions).output_executable_path = None
        base = options.view_as(FlinkRunnerOptions).flink_job_server_jar
        write_job_jar(self._optimize_pipeline(pipeline, options), options, output, base=base)
        return _JarResult(PipelineState.DONE)


def _set_worker_count(options: PipelineOptions, slots: int) -> None:
    """Set one Python process per slot of a TaskManager unless the option is set: a process uses one core."""
    portable = options.view_as(PortableOptions)
    if int(portable.sdk_worker_parallelism) == 0:
        portable.sdk_worker_parallelism = slots


class _JarResult(PipelineResult):
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
        """The job's state in Flink's terms."""
        return self._cluster.state(self._job)

    def metrics(self) -> PortableMetrics:
        """Beam's metrics of the job."""
        return self._cluster.metrics(self._job)

    def wait_until_finish(self, duration: int | None = None) -> str:  # noqa: ARG002 - Beam's signature
        """Follow the job to its end, and count what it has done. An interruption cancels the job.

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
        """Not implemented: `wait_until_finish` cancels the job when it is interrupted."""
        raise NotImplementedError

    def _follow(self) -> str:
        started = counted_at = time.monotonic()
        previous = ""
        while (state := self._cluster.state(self._job)) not in ENDED:
            now = time.monotonic()
            if previous and state != previous:
                _log.info("%s after %.0f s", state.lower(), now - started)
            if now - counted_at >= _COUNT_INTERVAL:
                counted_at = now
                self._count()
            previous = state
            time.sleep(_POLL_INTERVAL)
        return state

    def _count(self) -> None:
        """Take over the job's counters; if they cannot be read now, the earlier ones stay: no error ends the job."""
        with logged(_log.debug, "its counters cannot be read now"):
            progress.counts.replace(counters(self._cluster.metrics(self._job, retry_timeout=0.0), COUNTERS))

    def _stop(self) -> None:
        """Cancel the job and wait until it has ended, so that it does not publish afterwards."""
        deadline = time.monotonic() + _CANCEL_TIMEOUT
        with contextlib.suppress(Exception):
            self._cluster.cancel(self._job, retry_timeout=_CANCEL_TIMEOUT)
            while self._cluster.state(self._job, retry_timeout=0.0) not in ENDED and time.monotonic() < deadline:
                time.sleep(0.2)
