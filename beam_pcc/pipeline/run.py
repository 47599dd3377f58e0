"""One run from settings to outcome, and a backfill of many. A run always leaves its monitoring row."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import logging
import shutil
from collections.abc import Callable, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, PipelineOptions

from beam_pcc import progress
from beam_pcc.cases import faults
from beam_pcc.config.settings import Limits, RunConfig
from beam_pcc.config.threads import available, shared_among
from beam_pcc.errors import ConfigurationError, PccError, RunError
from beam_pcc.errors.messages import from_runner, logged
from beam_pcc.pipeline import graph
from beam_pcc.pipeline.launch import Launch, LaunchPlan
from beam_pcc.pipeline.options import beam_options
from beam_pcc.pipeline.signals import StoppedError, StopSignals, stop_signals
from beam_pcc.private_files import private_files
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.publish import Outcome, read_outcome
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse
from beam_pcc.terminal import logger

_log = logger(__name__)
_LOCK_TIMEOUT_WHEN_STOPPED = 10.0  # seconds for the failed row of a stopped run; Kubernetes kills 30 s after it asked


@private_files()
def run(config: RunConfig, options: PipelineOptions) -> Outcome:
    """Score and publish one partition.

    Args:
        config: What to score, with which model, to where, within which limits.
        options: Beam's own options: the runner and what it needs.

    Returns:
        How it ended: published, empty, or refused by the audits.

    Raises:
        PccError: It failed, or was stopped. The monitoring row says so too, if the warehouse can be written (and it was
            no dry run).
    """
    with stop_signals() as signals:
        with signals.raised():
            launch = Launch.of(config)
            launch.warehouse.check()
        try:
            with signals.raised():
                launch = plan = launch.plan()
                outcome = _execute(_pipeline(plan, options), plan, signals)
        except BaseException as error:
            failure = signals.failure() if signals.received else from_runner(error)
            warehouse = launch.warehouse
            if signals.received:  # whoever stopped the run does not wait for long
                warehouse = open_warehouse(config.publish, _with_short_timeouts(config.limits))
            if not config.publish.dry_run and not _record(warehouse, launch.run, failure):
                failure = _ended_after(f"partition {config.partition:%Y%m%d} was published", failure)
            if failure is error:
                raise
            raise failure from error
        finally:
            with progress.task("removing the staged files"):
                launch.area.remove()
        if signals.received:  # during the clean-up
            raise _ended_after(outcome.done, signals.failure())
        return outcome


def run_partition(config: RunConfig, *beam_arguments: str) -> Outcome:
    """Score and publish one partition: `beam-pcc run` from Python.

    Args:
        config: The settings of the run.
        beam_arguments: Flags of Beam's own, such as "--runner=FlinkRunner"; without any, it runs in this process.

    Returns:
        How it ended: published, empty, or refused by the audits. Its `exit_code` is that of the command.

    Raises:
        PccError: It failed; ConfigurationError before any work started.
    """
    return run(config, beam_options(beam_arguments))


def prepare_job(config: RunConfig, options: PipelineOptions) -> str:
    """Check everything that `run` checks, create missing tables, and have a runner write the job down.

    Args:
        config: Of the run.
        options: Beam's options, with a runner that writes the job and does not run it (`options.job_jar_options`).

    Returns:
        The id of the job's run, by which its monitoring row is found.

    Raises:
        PccError: As from `run`; but no monitoring row is written, as nothing ran.
    """
    with stop_signals() as signals, signals.raised():
        launch = Launch.of(config)
        launch.warehouse.check()
        try:
            with private_files():  # not the job file: it holds no case, and Flink may run as another user
                plan = launch.plan()
            with progress.task("writing the job"):
                _pipeline(plan, options).run().wait_until_finish()
        except BaseException as error:
            launch.area.remove()
            raise from_runner(error) if isinstance(error, Exception) else error from error
        return launch.run.run_id


def _with_short_timeouts(limits: Limits) -> Limits:
    lock = min(limits.lock_timeout, _LOCK_TIMEOUT_WHEN_STOPPED)
    return dataclasses.replace(limits, lock_timeout=lock, retry_timeout=min(lock, limits.retry_timeout))


def _pipeline(plan: LaunchPlan, options: PipelineOptions) -> beam.Pipeline:
    named = options.view_as(GoogleCloudOptions)
    named.job_name = named.job_name or f"pcc-{plan.run.run_id.lower()}"
    pipeline = beam.Pipeline(options=options)
    shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)  # of other languages' jars; a killed run would leave it
    graph.build(pipeline, plan)
    return pipeline


def _execute(pipeline: beam.Pipeline, plan: LaunchPlan, signals: StopSignals) -> Outcome:
    area, volume = plan.area, plan.read.volume
    scoring = progress.task(
        "scoring",
        total=volume.rows if volume.exact else None,
        unit="rows",
        measure=lambda: _scored(progress.counts.now()),
    )
    direct = pipeline.options.view_as(DirectOptions)
    processes = direct.direct_num_workers if direct.direct_running_mode == "multi_processing" else 1
    with (
        progress.counts.following(),
        scoring,
        contextlib.redirect_stderr(_WorkerStderr()),
        shared_among(processes or available()),
    ):
        result = pipeline.run()
        signals.install()  # Beam's job server catches Ctrl-C itself, and may wait for its own lock then
        result.wait_until_finish()
    outcome = read_outcome(area)
    if outcome is None:
        raise RunError(
            f"the run ended without an outcome in {area.root}; the workers must write to the same staging folder"
        )
    return outcome


def _scored(counters: Mapping[str, int]) -> progress.Measured:
    """How many rows the graph has finished, by its counters."""
    rejected = faults.rejected_rows(counters)
    note = f"{rejected:,} rejected" if rejected else ""
    return progress.Measured(counters.get("rows_scored", 0) + rejected, note)


def _ended_after(done: str, failure: PccError) -> PccError:
    kind = StoppedError if isinstance(failure, StoppedError) else RunError
    return kind(f"stopped after {done}: {failure}")


def _record(warehouse: Warehouse, identity: Run, failure: PccError) -> bool:
    """Write the failed row; False if the run has published already.

    If the row cannot be written, that is logged: the reason of the failure is what the user must see.
    """
    with logged(_log.warning, "the monitoring row of %s could not be written", identity.run_id):
        return warehouse.record(failed_row(identity, failure))
    return True


class _WorkerStderr(io.TextIOBase):
    """Logs what in-process workers print on stderr (Beam prints each traceback there), for --debug."""

    def write(self, text: str) -> int:
        if text.strip():
            logging.getLogger("apache_beam").info("%s", text.rstrip())
        return len(text)


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    """Every day from `first` to `last`, both included. Raises ConfigurationError if that is none."""
    if last < first:
        raise ConfigurationError(f"--to {last:%Y%m%d} is before --from {first:%Y%m%d}; swap them")
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def backfill(
    days: list[RunConfig],
    options: Callable[[], PipelineOptions],
    report: Callable[[dt.date, Outcome | PccError], None],
) -> bool:
    """Run each day in order, going on after one that failed; True if all were published or empty.

    Args:
        days: The settings of each.
        options: Makes Beam's options of one run.
        report: Called with the day and its outcome or error, when the day ends.
    """
    good = True
    with stop_signals() as signals, progress.task("backfill", total=len(days), unit="days") as step:
        for day in days:
            if signals.received:  # between two days
                raise signals.failure()
            step.enter(f"{day.partition:%Y%m%d}")
            try:
                outcome: Outcome | PccError = run(day, options())
            except PccError as error:
                outcome = error
            good = good and outcome.exit_code == 0
            report(day.partition, outcome)
            step.advance()
            if isinstance(outcome, StoppedError):
                return False
    return good
