"""The steps of the graph, as PTransforms. Their DoFns call pure functions of other packages and count rows."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import PredictionResult, RunInference
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.checking import check
from beam_pcc.features import languages
from beam_pcc.features.featurizer import Featurizer, featurize, slices
from beam_pcc.features.windows import NOT_SCORED
from beam_pcc.models.handler import PccModelHandler
from beam_pcc.models.postprocess import REVIEW, postprocess
from beam_pcc.models.registry import ModelVersion
from beam_pcc.pipeline.bundles import StatsDoFn, VectorSummer
from beam_pcc.pipeline.shadow import CompareShadow
from beam_pcc.progress import counts
from beam_pcc.publishing import publish, statistics
from beam_pcc.publishing.publish import Outcome, Rules
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.statistics import RunStats, SumStats
from beam_pcc.publishing.warehouse.base import Run, StagedFile, Warehouse
from beam_pcc.shielding import shielded
from beam_pcc.terminal import logger

_log = logger(__name__)
_PROGRESS_SECONDS = 10.0


class Split(NamedTuple):
    """The outputs of a step: rows that pass, rejected rows by the step that found them, and statistics of both.

    Rows are RecordBatches. They never pass a Flatten: the in-process runner would keep all of them in memory.
    """

    rows: beam.PCollection[pa.RecordBatch]
    rejected: Mapping[str, beam.PCollection[pa.RecordBatch]]
    stats: Sequence[beam.PCollection[RunStats]]


class ValidateCases(beam.PTransform):
    """Rows of a source -> CASES. Messages become TEXTS first, then `Featurize` computes their vectors.

    A source of messages can have rows with a vector too: these are CASES at once, and pass through `Featurize`.

    Args:
        text_column: The column of messages; None if the source has vectors.
        featurizer: Computes the vectors of the messages.
    """

    def __init__(self, text_column: str | None = None, featurizer: Featurizer | None = None) -> None:
        self._text_column = text_column
        self._featurizer = featurizer

    def expand(self, rows: beam.PCollection[pa.RecordBatch]) -> Split:
        """One pass over the rows; a second over those that are texts."""
        found = rows | "Check" >> beam.ParDo(_Validate(self._text_column)).with_output_types(
            pa.RecordBatch
        ).with_outputs("rejected", "stats", main="valid")
        rejected, stats = {"Invalid": found.rejected}, (found.stats,)
        if self._featurizer is None:
            return Split(found.valid, rejected, stats)
        made = found.valid | Featurize(self._featurizer)
        return Split(made.rows, rejected | made.rejected, (*stats, *made.stats))


class Featurize(beam.PTransform):
    """TEXTS -> CASES, with the vectors of the messages; CASES stay. Later steps see no message."""

    def __init__(self, featurizer: Featurizer) -> None:
        self._featurizer = featurizer

    def expand(self, texts: beam.PCollection[pa.RecordBatch]) -> Split:
        """A worker loads the encoder at its first text."""
        made = texts | "Embed" >> beam.ParDo(_Featurize(self._featurizer)).with_output_types(
            pa.RecordBatch
        ).with_outputs("rejected", "stats", main="cases")
        return Split(made.cases, {"NotFeaturized": made.rejected}, (made.stats,))


class Score(beam.PTransform):
    """CASES -> STAGED_PREDICTIONS: Beam's RunInference with our handler, then labels; the rest is rejected.

    Args:
        model: Of the run.
        shadow: A second version that scores the same cases; it contributes statistics only.
        review_band: Distance to the threshold below which a case is marked.
    """

    def __init__(self, model: ModelVersion, shadow: ModelVersion | None, review_band: float) -> None:
        self._model = model
        self._shadow = shadow
        self._review_band = review_band

    def expand(self, cases: beam.PCollection[pa.RecordBatch]) -> Split:
        """One element is one batch."""
        classes, threshold = self._model.classes, self._model.metadata.threshold
        scores = cases | RunInference(PccModelHandler(self._model, self._review_band)).with_output_types(
            PredictionResult
        )
        features = self._model.metadata.features
        label = _Label(classes, threshold, self._review_band, features.languages if features else None)
        found = scores | "Postprocess" >> beam.ParDo(label).with_output_types(pa.RecordBatch).with_outputs(
            "rejected", "stats", main="predictions"
        )
        stats = [found.stats]
        if self._shadow is not None:
            compare = CompareShadow(self._shadow, classes, threshold)
            stats.append(scores | "Shadow" >> beam.ParDo(compare).with_output_types(RunStats))
        return Split(found.predictions, {"NotScored": found.rejected}, stats)


class Stage(beam.PTransform):
    """Predictions, and rejected rows by step -> the list of the files that hold them, of each bundle one for each."""

    def __init__(self, area: StagingArea) -> None:
        self._area = area

    def expand(
        self, rows: tuple[beam.PCollection[pa.RecordBatch], Mapping[str, beam.PCollection[pa.RecordBatch]]]
    ) -> beam.PCollection[list[StagedFile]]:
        """The list holds closed files only: files of a failed attempt are never loaded."""
        predictions, rejected = rows
        stage_predictions = publish.StageRows(self._area, "predictions", schemas.STAGED_PREDICTIONS)
        stage_rejected = publish.StageRows(self._area, "rejected", schemas.STAGED_REJECTED)
        files = [predictions | "Predictions" >> beam.ParDo(stage_predictions).with_output_types(StagedFile)]
        for step, found in rejected.items():
            files.append(found | step >> beam.ParDo(stage_rejected).with_output_types(StagedFile))
        return files | beam.Flatten() | beam.combiners.ToList()


class Publish(beam.PTransform):
    """Staged files and run statistics -> one Outcome: load, audit, and publish or refuse."""

    def __init__(self, warehouse: Warehouse, run: Run, area: StagingArea, rules: Rules) -> None:
        self._publish = publish.Publish(warehouse, run, area, rules)

    def expand(
        self, staged: tuple[beam.PCollection[list[StagedFile]], beam.PCollection[RunStats]]
    ) -> beam.PCollection[Outcome]:
        """Runs once: there is one list of files, and one sum."""
        files, stats = staged
        total = stats | "Sum" >> beam.CombineGlobally(SumStats())
        return files | "LoadAuditPublish" >> beam.ParDo(self._publish, beam.pvalue.AsSingleton(total))


def count(name: str, n: int) -> None:
    """Add to a counter of the run, and to that of this process."""
    if n:
        Metrics.counter(schemas.COUNTERS, name).inc(n)
        counts.add(name, n)


def _rejects(rejected: pa.RecordBatch) -> Counter[str]:
    reasons = statistics.reasons(rejected)
    for reason, n in reasons.items():
        count(f"{faults.COUNTER}{reason}", n)
    return reasons


@shielded
class _Validate(StatsDoFn):
    """Input rows -> CASES, and TEXTS of messages; tags `rejected` (STAGED_REJECTED) and `stats` (RunStats)."""

    def __init__(self, text_column: str | None = None) -> None:
        self._text_column = text_column

    def process(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Split one batch; one that the source's threads have checked is passed on."""
        count("rows_read", rows.num_rows)
        self.stats.rows_read += rows.num_rows
        for part in check(rows, self._text_column):
            if part.schema.equals(schemas.STAGED_REJECTED):
                self.stats.rejected += _rejects(part)
                yield TaggedOutput("rejected", part)
                continue
            count("batches", 1)
            count("rows_valid", part.num_rows)
            yield part


@shielded
class _Featurize(StatsDoFn):
    """TEXTS -> CASES, which stay; tags `rejected` (texts that cannot be encoded) and `stats`."""

    def __init__(self, featurizer: Featurizer) -> None:
        self._featurizer = featurizer

    def process(self, texts: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Compute the vectors of one batch; the first one loads the encoder."""
        if not texts.schema.equals(schemas.TEXTS):
            yield texts
            return
        for part in slices(texts, self._featurizer):
            cases, rejected = featurize(part, self._featurizer)
            count("rows_featurized", cases.num_rows)
            if rejected.num_rows:
                self.stats.rejected += _rejects(rejected)
                yield TaggedOutput("rejected", rejected)
            if cases.num_rows:
                yield cases


@shielded
class _Label(StatsDoFn):
    """PredictionResult -> STAGED_PREDICTIONS; tags `rejected` (rows the model cannot score) and `stats`."""

    def __init__(
        self,
        classes: Sequence[str],
        threshold: float,
        review_band: float,
        trained_languages: Mapping[str, float] | None = None,
    ) -> None:
        self._classes = tuple(classes)
        self._threshold = threshold
        self._review_band = review_band
        self._trained_languages = trained_languages

    def setup(self) -> None:
        """Start the clock of the progress lines."""
        self._vectors: VectorSummer | None = None
        self._done = 0
        self._logged = self._started = time.monotonic()

    def start_bundle(self) -> None:
        """Give up what a failed bundle left, and begin with nothing."""
        super().start_bundle()
        self.teardown()
        self._vectors = VectorSummer()

    def process(self, result: PredictionResult) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Label one batch."""
        cases = result.example
        if self._vectors is not None:
            self._vectors.add(schemas.vectors_of(cases), list(result.inference.errors))
        is_text = schemas.LANGUAGE in cases.schema.names
        of_messages = cases.column(schemas.LANGUAGE).to_pylist() if is_text else []
        untrained = languages.untrained(of_messages, self._trained_languages) if is_text else None
        predictions, rejected = postprocess(
            cases,
            result.inference,
            classes=self._classes,
            threshold=self._threshold,
            review_band=self._review_band,
            now=dt.datetime.now(dt.timezone.utc),
            untrained=untrained,
        )
        in_untrained = sum(language is not None for language in untrained or ())
        count("untrained_language", in_untrained)
        positive = pc.sum(pc.equal(predictions.column("predicted_label"), schemas.PC)).as_py() or 0
        count("rows_scored", predictions.num_rows)
        count("label_pc", positive)
        count("label_not_pc", predictions.num_rows - positive)
        notes = pc.fill_null(pc.starts_with(predictions.column("prediction_notes"), REVIEW), False)
        count("review", pc.sum(notes).as_py() or 0)
        cut = pc.match_substring(predictions.column("prediction_notes"), NOT_SCORED)
        count("partly_scored", pc.sum(cut).as_py() or 0)
        self.stats.rejected += _rejects(rejected)
        self.stats.languages += Counter(of_messages)
        self.stats.untrained_language += in_untrained
        if rejected.num_rows:
            yield TaggedOutput("rejected", rejected)
        if predictions.num_rows:
            yield predictions
        if not counts.followed:  # in a process apart from the launcher, such as a worker of Flink
            self._log_progress(predictions.num_rows)

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput]:
        """Pass on the sum, when that of the vectors is there."""
        if self._vectors is not None:
            self.stats.vectors = self._vectors.result()
        yield from super().finish_bundle()
        self.teardown()

    def teardown(self) -> None:
        """Release the threads, also when the bundle failed."""
        vectors, self._vectors = self._vectors, None
        if vectors is not None:
            vectors.close()

    def _log_progress(self, rows: int) -> None:
        """Log the progress of this worker every few seconds."""
        self._done += rows
        now = time.monotonic()
        if now - self._logged >= _PROGRESS_SECONDS:
            self._logged = now
            _log.info("%s cases scored here, %.0f a second", f"{self._done:,}", self._done / (now - self._started))
