"""One run from settings to outcome, and a backfill of many. A run always leaves its monitoring row."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import io
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beam_pcc.config.settings import Limits, RunConfig
from beam_pcc.errors import ConfigurationError, PccError, RunError
from beam_pcc.errors.messages import from_runner, logged
from beam_pcc.pipeline import graph
from beam_pcc.pipeline.launch import Launch, LaunchPlan
from beam_pcc.pipeline.options import beam_options
from beam_pcc.private_files import private_files
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.publish import Outcome, read_outcome
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse
from beam_pcc.terminal import logger

_log = logger(__name__)
_LOCK_TIMEOUT_WHEN_STOPPED = 10.0  # seconds for the failed row of a stopped run; Kubernetes kills 30 s after it asked
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM at the end."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@_restored_signal_handlers()
@private_files()
def run(config: RunConfig, options: PipelineOptions) -> Outcome:
    """Score and publish one partition.

    Args:
        config: What to score, with which model, to where, within which limits.
        options: Beam's own options: the runner and what it needs.

    Returns:
        How it ended: published, empty, or refused by the audits.

    Raises:
        PccError: It failed. The monitoring row says so too, if the warehouse can be written (and it was no dry run).
    """
    launch = Launch.of(config)
    launch.warehouse.check()
    try:
        with _stopping_on_signals():
            launch = plan = launch.plan()
            return _execute(_pipeline(plan, options), plan.area)
    except BaseException as error:
        failure = _as_failure(error)
        warehouse = launch.warehouse
        if isinstance(error, Stopped):  # whoever stopped the run does not wait for long
            warehouse = open_warehouse(config.publish, _with_short_timeouts(config.limits))
        if not config.publish.dry_run and not _record(warehouse, launch.run, failure):
            failure = RunError(f"stopped after partition {config.partition:%Y%m%d} was published: {failure}")
        if failure is error:
            raise
        raise failure from error
    finally:
        launch.area.remove()


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
    launch = Launch.of(config)
    launch.warehouse.check()
    try:
        with private_files():  # not the job file: it holds no case, and Flink may run as another user
            plan = launch.plan()
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
    graph.build(pipeline, plan)
    return pipeline


def _execute(pipeline: beam.Pipeline, area: StagingArea) -> Outcome:
    with contextlib.redirect_stderr(_WorkerStderr()):
        pipeline.run().wait_until_finish()
    outcome = read_outcome(area)
    if outcome is None:
        raise RunError(
            f"the run ended without an outcome in {area.root}; the workers must write to the same staging folder"
        )
    return outcome


def _as_failure(error: BaseException) -> PccError:
    if isinstance(error, Stopped):  # Beam adds the name of the step to the message
        return RunError(f"stopped by {str(error).split()[0]}")
    return from_runner(error)


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


class Stopped(BaseException):
    """Ctrl-C or SIGTERM, as an exception so that the failed row is still written."""


@contextlib.contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Stopped`; does nothing outside the main thread.

    After the first one, more are ignored until `_restored_signal_handlers` ends, so that the failed row is written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for signal_number in before:
            signal.signal(signal_number, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)


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
    for day in days:
        try:
            outcome: Outcome | PccError = run(day, options())
        except PccError as error:
            outcome = error
            if isinstance(error.__cause__, Stopped):
                report(day.partition, error)
                return False
        good = good and outcome.exit_code == 0
        report(day.partition, outcome)
    return good
