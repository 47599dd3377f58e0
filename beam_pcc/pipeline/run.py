"""One run from settings to outcome, and many of them in a row. Whatever happens, a run leaves its monitoring row."""

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
from typing import TypeAlias

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beam_pcc.config.run_ids import new_run_id, started_at
from beam_pcc.config.settings import RunSettings
from beam_pcc.errors import ConfigurationError, PccError, RunError, from_runner
from beam_pcc.features.featurizer import TextMode
from beam_pcc.models.registry import ModelVersion, Registry
from beam_pcc.pipeline import graph
from beam_pcc.pipeline.text_mode import text_mode
from beam_pcc.private_files import private_files
from beam_pcc.publishing.monitoring import failed_row
from beam_pcc.publishing.publish import Outcome, Rules, read_outcome
from beam_pcc.publishing.staging import StagingArea, heal
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Run, Warehouse, prepare_tables
from beam_pcc.sources import read_cases
from beam_pcc.terminal import logger

_log = logger(__name__)
_PATIENCE_WHEN_STOPPED = 10.0  # seconds for the failed row of a stopped run; Kubernetes kills 30 s after it asked
_Models: TypeAlias = "tuple[ModelVersion, ModelVersion | None]"  # the run's, and the one in its shadow
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def _signals_put_back() -> Iterator[None]:
    """Whatever is done about signals meanwhile, undo it at the end."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@_signals_put_back()
@private_files()
def run(settings: RunSettings, options: PipelineOptions) -> Outcome:
    """Score and publish one partition.

    Args:
        settings: What to score, with which model, to where, by which rules.
        options: Beam's own options: the runner and what it needs.

    Returns:
        How it ended: published, empty, or refused by the audits.

    Raises:
        PccError: It failed. The monitoring row says so too, if the warehouse can be written (and it was no dry run).
    """
    identity, warehouse, area = _start(settings)
    warehouse.check()
    try:
        with _stoppable():
            identity, models, text, read = _check(settings, identity, warehouse, area)
            return _execute(_wire(settings, options, warehouse, identity, area, models, text, read), area)
    except BaseException as error:
        failure = _explain(error)
        if isinstance(error, Stopped):  # who stops a run does not wait for long
            patience = min(settings.lock_timeout, _PATIENCE_WHEN_STOPPED)
            warehouse = _warehouse(settings, patience)
        if not settings.dry_run and not _record(warehouse, identity, failure):
            failure = RunError(f"stopped after partition {settings.partition:%Y%m%d} was published: {failure}")
        if failure is error:
            raise
        raise failure from error
    finally:
        area.remove()


def prepare_job(settings: RunSettings, options: PipelineOptions) -> str:
    """Check everything that `run` checks, make missing tables, and hand the job to a runner that does not run it.

    Args:
        settings: Of the run.
        options: Beam's options, with a runner that only writes the job down (`options.job_jar_options`).

    Returns:
        The id of the run that the job is. Its row in the monitoring table tells how it ended.

    Raises:
        PccError: As from `run`; but no monitoring row is written, as nothing ran.
    """
    identity, warehouse, area = _start(settings)
    warehouse.check()
    try:
        with private_files():  # and not the job itself: it holds no case, and Flink may be another user
            identity, models, text, read = _check(settings, identity, warehouse, area)
        _wire(settings, options, warehouse, identity, area, models, text, read).run().wait_until_finish()
    except BaseException as error:
        area.remove()
        raise from_runner(error) if isinstance(error, Exception) else error from error
    return identity.run_id


def _start(settings: RunSettings) -> tuple[Run, Warehouse, StagingArea]:
    now = dt.datetime.now(dt.timezone.utc)
    run_id = settings.run_id or new_run_id(settings.partition, now)
    # An id that was given tells the start too, so a JobManager that makes its job again makes the same one.
    identity = Run(run_id, settings.partition, started_at(run_id) or now)
    warehouse = _warehouse(settings, settings.lock_timeout)
    return identity, warehouse, StagingArea(warehouse.staging(settings.staging), identity.run_id)


def _check(
    settings: RunSettings, identity: Run, warehouse: Warehouse, area: StagingArea
) -> tuple[Run, _Models, TextMode | None, beam.PTransform]:
    """What must be in order before a worker starts: staging, the source, the models, the tables."""
    area.begin()
    for run_id in heal(area.root, min(identity.started_at, dt.datetime.now(dt.timezone.utc))):
        _log.info("removed what the dead run %s had staged", run_id)
    read = read_cases(settings, area.join("export"))
    models = _models(settings)
    model, shadow = models
    text = text_mode(settings, model.metadata, shadow.metadata if shadow else None)
    identity = dataclasses.replace(
        identity,
        model_version=model.name,
        embedding_model=model.metadata.embedding_model,
        model_sha256=model.file.sha256,
        shadow_version=shadow.name if shadow else None,
    )
    prepare_tables(warehouse, dry_run=settings.dry_run)
    return identity, models, text, read


def _warehouse(settings: RunSettings, patience: float) -> Warehouse:
    return open_warehouse(
        settings.warehouse,
        lock_timeout=patience,
        retry_timeout=min(patience, settings.retry_timeout),
        temp_dataset=settings.temp_dataset,
        names={
            "pcc_inference_output": settings.output_table,
            "pcc_monitoring_logs": settings.monitoring_table,
            "pcc_quarantine": settings.quarantine_table,
        },
    )


def _models(settings: RunSettings) -> _Models:
    """The model of the run, and the one that scores in its shadow; both loaded and checked."""
    registry = Registry(settings.models, settings.signer)
    version, shadow = choose_versions(registry, settings)
    checked = registry.check(version, sha256=settings.model_sha256)
    return checked, registry.check(shadow) if shadow else None


def choose_versions(registry: Registry, settings: RunSettings) -> tuple[str, str | None]:
    """The version that a run uses, and the one in its shadow, if any. Raises ModelError."""
    version = registry.resolve(settings.model_version, force_latest=settings.force_latest)
    shadow = settings.shadow_version or registry.shadow()
    if shadow in (None, "none", version):
        return version, None
    return version, registry.find(shadow, "--shadow_version" if settings.shadow_version else "current.json")


def _wire(
    settings: RunSettings,
    options: PipelineOptions,
    warehouse: Warehouse,
    identity: Run,
    area: StagingArea,
    models: _Models,
    text: TextMode | None,
    read: beam.PTransform,
) -> beam.Pipeline:
    named = options.view_as(GoogleCloudOptions)
    named.job_name = named.job_name or f"pcc-{identity.run_id.lower()}"
    pipeline = beam.Pipeline(options=options)
    model, shadow = models
    graph.build(
        pipeline,
        read=read,
        text=text,
        model=model,
        shadow=shadow,
        review_band=settings.review_band,
        warehouse=warehouse,
        run=identity,
        area=area,
        rules=Rules(
            max_drop_rate=settings.max_drop_rate,
            max_psi=settings.max_psi,
            replace_with_empty=settings.replace_with_empty,
            dry_run=settings.dry_run,
            baseline=model.metadata.baseline,
        ),
    )
    return pipeline


def _execute(pipeline: beam.Pipeline, area: StagingArea) -> Outcome:
    with contextlib.redirect_stderr(_WorkerWords()):
        pipeline.run().wait_until_finish()
    outcome = read_outcome(area)
    if outcome is None:
        raise RunError(
            f"the run ended without an outcome in {area.root}; the workers must write to the same staging folder"
        )
    return outcome


def _explain(error: BaseException) -> PccError:
    if isinstance(error, Stopped):  # in whichever step: Beam adds that to the words
        return RunError(f"stopped by {str(error).split()[0]}")
    return from_runner(error)


def _record(warehouse: Warehouse, identity: Run, failure: PccError) -> bool:
    """Write the failed row; False if the run has published already.

    That the row cannot be written must not hide why the run failed.
    """
    try:
        return warehouse.record(failed_row(identity, failure))
    except Exception as error:  # the failure itself is reported anyway
        _log.warning("the monitoring row of %s could not be written: %s", identity.run_id, error)
        return True


class _WorkerWords(io.TextIOBase):
    """Takes what in-process workers print on stderr (Beam prints each traceback there) into the log, for --debug."""

    def write(self, text: str) -> int:
        if text.strip():
            logging.getLogger("apache_beam").info("%s", text.rstrip())
        return len(text)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM, as an exception so that the failed row is still written."""


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Stopped`; in a thread other than the main one, leave signals alone.

    Once one has come, more of them are ignored until `_signals_put_back` ends: the failed row is still to be written.
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
    settings: list[RunSettings],
    options: Callable[[], PipelineOptions],
    tell: Callable[[dt.date, Outcome | PccError], None],
) -> bool:
    """Run each day in order, going on after one that failed; True if all were published or empty.

    Args:
        settings: Of each day.
        options: Makes Beam's options of one run.
        tell: Is told how each day ended, when it ended.
    """
    good = True
    for day in settings:
        try:
            outcome: Outcome | PccError = run(day, options())
        except PccError as error:
            outcome = error
            if isinstance(error.__cause__, Stopped):
                tell(day.partition, error)
                return False
        good = good and outcome.exit_code == 0
        tell(day.partition, outcome)
    return good
