"""What a run did, in numbers that add up: `RunStats`, its CombineFn, and drift (PSI)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases.drift import VectorSums
from beam_pcc.models.metadata import SCORE_BINS
from beam_pcc.models.scoring import Floats

Histogram: TypeAlias = tuple[int, ...]
EMPTY: Histogram = (0,) * SCORE_BINS


@dataclass(frozen=True)
class ShadowStats:
    """What a shadow model said of the cases that both it and the run's own model could score."""

    rows: int = 0
    flipped: int = 0
    own_histogram: Histogram = EMPTY
    histogram: Histogram = EMPTY

    def __add__(self, other: ShadowStats) -> ShadowStats:
        return ShadowStats(
            self.rows + other.rows,
            self.flipped + other.flipped,
            _added(self.own_histogram, other.own_histogram),
            _added(self.histogram, other.histogram),
        )


@dataclass
class RunStats:
    """Sums over any part of a run; `+` joins the parts in any order.

    `vectors` sums the vectors that were scored; `languages` counts messages by language, and `untrained_language` those
    in a language that the model was not trained on.
    """

    rows_read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    vectors: VectorSums = field(default_factory=VectorSums)
    shadow: ShadowStats = field(default_factory=ShadowStats)
    languages: Counter[str] = field(default_factory=Counter)
    untrained_language: int = 0

    def __add__(self, other: RunStats) -> RunStats:
        return RunStats(
            self.rows_read + other.rows_read,
            self.rejected + other.rejected,
            self.vectors + other.vectors,
            self.shadow + other.shadow,
            self.languages + other.languages,
            self.untrained_language + other.untrained_language,
        )


def _added(some: Histogram, more: Histogram) -> Histogram:
    return tuple(a + b for a, b in zip(some, more, strict=True))


class SumStats(beam.CombineFn):
    """Adds up RunStats; of nothing, the zero RunStats."""

    def create_accumulator(self) -> RunStats:
        """The zero."""
        return RunStats()

    def add_input(self, accumulator: RunStats, element: RunStats) -> RunStats:
        """Add one part."""
        return accumulator + element

    def merge_accumulators(self, accumulators: Iterable[RunStats]) -> RunStats:
        """Add up parts of parts."""
        return sum(accumulators, RunStats())

    def extract_output(self, accumulator: RunStats) -> RunStats:
        """The sum itself."""
        return accumulator


def reasons(rejected: pa.RecordBatch) -> Counter[str]:
    """Reason code to number of rows, of a STAGED_REJECTED batch."""
    counts = pc.value_counts(rejected.column("reason"))
    return Counter(dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)))


def score_histogram(probability: Floats) -> Histogram:
    """Counts of P(PC) in SCORE_BINS equal bins over [0, 1]."""
    return tuple(np.histogram(probability, bins=SCORE_BINS, range=(0.0, 1.0))[0].tolist())


def psi(baseline: Sequence[int], current: Sequence[int]) -> float | None:
    """Population stability index of two histograms over the same bins; None if either is empty.

    PSI = sum over bins of (q - p) * ln(q / p), with p and q the bins' shares (Siddiqi, Credit Risk Scorecards, 2006).
    Half a count is added to each bin, so that an empty one does not make it infinite.
    """
    if not sum(baseline) or not sum(current):
        return None
    return float(psi_of_draws(np.asarray(baseline), np.asarray(current)))


def psi_of_draws(baseline: npt.NDArray[Any], current: npt.NDArray[Any]) -> Floats:
    """PSI along the last axis of two arrays of counts; each row one pair of histograms."""
    expected, actual = ((n + 0.5) / (n.sum(axis=-1, keepdims=True) + 0.5 * n.shape[-1]) for n in (baseline, current))
    values: Floats = ((actual - expected) * np.log(actual / expected)).sum(axis=-1)
    return values
