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

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_pcc import pipeline as graph
from beam_pcc.errors import ConfigurationError, PccError, RunError, from_runner
from beam_pcc.features import TextMode
from beam_pcc.models.registry import ModelVersion, Registry
from beam_pcc.publish import Outcome, Rules, monitoring_row, read_outcome
from beam_pcc.settings import RunSettings
from beam_pcc.sources import read_cases
from beam_pcc.staging import StagingArea, heal, new_run_id
from beam_pcc.text_mode import text_mode
from beam_pcc.warehouse import open_warehouse
from beam_pcc.warehouse.base import Run, Warehouse, prepare_tables

_log = logging.getLogger(__name__)
_PATIENCE_WHEN_STOPPED = 10.0  # seconds for the failed row of a stopped run; Kubernetes kills 30 s after it asked


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
    now = dt.datetime.now(dt.timezone.utc)
    identity = Run(new_run_id(settings.partition, now), settings.partition, now)
    warehouse = _warehouse(settings, settings.lock_timeout)
    area = StagingArea(warehouse.staging(settings.staging), identity.run_id)
    warehouse.check()
    try:
        with _stoppable():
            for run_id in heal(area.root, now):
                _log.info("removed what the dead run %s had staged", run_id)
            read = read_cases(settings, area.join("export"))
            model, shadow = _models(settings)
            text = text_mode(settings, model.metadata, shadow.metadata if shadow else None)
            identity = dataclasses.replace(
                identity,
                model_version=model.name,
                embedding_model=model.metadata.embedding_model,
                model_sha256=model.file.sha256,
                shadow_version=shadow.name if shadow else None,
            )
            prepare_tables(warehouse, dry_run=settings.dry_run)
            return _execute(settings, options, warehouse, identity, area, model, shadow, text, read)
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


def _models(settings: RunSettings) -> tuple[ModelVersion, ModelVersion | None]:
    """The model of the run, and the one that scores in its shadow; both loaded and checked."""
    registry = Registry(settings.models, settings.signer)
    version = registry.resolve(settings.model_version, force_latest=settings.force_latest)
    checked, _ = registry.load(version, sha256=settings.model_sha256)
    shadow = settings.shadow_version or registry.shadow()
    if shadow in (None, "none", version):
        return checked, None
    registry.require(shadow, "--shadow_version" if settings.shadow_version else "current.json")
    return checked, registry.load(shadow)[0]


def _execute(
    settings: RunSettings,
    options: PipelineOptions,
    warehouse: Warehouse,
    identity: Run,
    area: StagingArea,
    model: ModelVersion,
    shadow: ModelVersion | None,
    text: TextMode | None,
    read: beam.PTransform,
) -> Outcome:
    pipeline = beam.Pipeline(options=options)
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
        return warehouse.record(monitoring_row(identity, "failed", error=str(failure)))
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
    """Turn SIGINT and SIGTERM into `Stopped`; in a thread other than the main one, leave signals alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for signal_number in before:
            signal.signal(signal_number, signal.SIG_IGN)  # one is enough: let the failed row be written
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
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
