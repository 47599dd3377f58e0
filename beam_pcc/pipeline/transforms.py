"""The DoFns between reading and staging: each maps a pure function of a neighbouring module and counts what it did."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import PredictionResult
from apache_beam.pvalue import TaggedOutput

from beam_pcc.cases import drift, schemas
from beam_pcc.cases.text_validation import validate_texts
from beam_pcc.cases.validation import validate
from beam_pcc.features.featurizer import Featurizer, featurize
from beam_pcc.models.postprocess import postprocess
from beam_pcc.publishing import statistics
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.shielding import shielded
from beam_pcc.terminal import logger

_log = logger(__name__)
_PROGRESS_SECONDS = 10.0


def count(name: str, n: int) -> None:
    """Add to a counter of the run."""
    if n:
        Metrics.counter(schemas.COUNTERS, name).inc(n)


def _rejects(rejected: pa.RecordBatch) -> Counter[str]:
    reasons = statistics.reasons(rejected)
    for reason, n in reasons.items():
        count(f"rows_rejected_{reason}", n)
    return reasons


@shielded
class Validate(beam.DoFn):
    """Input rows -> CASES; tags `rejected` (STAGED_REJECTED), `stats` (RunStats) and, of messages, `texts` (TEXTS)."""

    def __init__(self, text_column: str | None = None) -> None:
        self._text_column = text_column

    def process(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Split one batch."""
        texts = None
        if self._text_column is None:
            cases, rejected = validate(rows)
        else:
            texts, cases, rejected = validate_texts(rows, self._text_column)
        count("batches", 1)
        count("rows_read", rows.num_rows)
        count("rows_valid", cases.num_rows + (texts.num_rows if texts else 0))
        if texts is not None and texts.num_rows:
            yield TaggedOutput("texts", texts)
        yield TaggedOutput("stats", RunStats(rows_read=rows.num_rows, rejected=_rejects(rejected)))
        if rejected.num_rows:
            yield TaggedOutput("rejected", rejected)
        if cases.num_rows:
            yield cases


@shielded
class Featurize(beam.DoFn):
    """TEXTS -> CASES; tags `rejected` (texts that no vector could be made of) and `stats`."""

    def __init__(self, featurizer: Featurizer) -> None:
        self._featurizer = featurizer

    def process(self, texts: pa.RecordBatch) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Make the vectors of one batch. The encoder is loaded when the first one comes."""
        cases, rejected = featurize(texts, self._featurizer)
        count("rows_featurized", cases.num_rows)
        if rejected.num_rows:
            yield TaggedOutput("stats", RunStats(rejected=_rejects(rejected)))
            yield TaggedOutput("rejected", rejected)
        if cases.num_rows:
            yield cases


@shielded
class Label(beam.DoFn):
    """PredictionResult -> STAGED_PREDICTIONS; tags `rejected` (rows the model cannot score) and `stats`."""

    def __init__(self, classes: Sequence[str], threshold: float, review_band: float) -> None:
        self._classes = tuple(classes)
        self._threshold = threshold
        self._review_band = review_band

    def setup(self) -> None:
        """Start the clock of this worker's progress lines."""
        self._done = 0
        self._told = self._started = time.monotonic()

    def process(self, result: PredictionResult) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Label one batch."""
        predictions, rejected = postprocess(
            result.example,
            result.inference,
            classes=self._classes,
            threshold=self._threshold,
            review_band=self._review_band,
            now=dt.datetime.now(dt.timezone.utc),
        )
        positive = pc.sum(pc.equal(predictions.column("predicted_label"), schemas.PC)).as_py() or 0
        count("rows_scored", predictions.num_rows)
        count("label_pc", positive)
        count("label_not_pc", predictions.num_rows - positive)
        count("review", predictions.num_rows - predictions.column("prediction_notes").null_count)
        yield TaggedOutput(
            "stats",
            RunStats(
                rejected=_rejects(rejected),
                score_histogram=statistics.score_histogram(statistics.predicted(predictions)),
                vectors=drift.sums(schemas.vectors_of(result.example), leave_out=list(result.inference.errors)),
            ),
        )
        if rejected.num_rows:
            yield TaggedOutput("rejected", rejected)
        if predictions.num_rows:
            yield predictions
        self._tell(predictions.num_rows)

    def _tell(self, rows: int) -> None:
        """A line of progress now and then, from each worker, into its log."""
        self._done += rows
        now = time.monotonic()
        if now - self._told >= _PROGRESS_SECONDS:
            self._told = now
            _log.info("%s cases scored here, %.0f a second", f"{self._done:,}", self._done / (now - self._started))
