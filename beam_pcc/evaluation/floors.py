"""What a version must do at least, whatever another does: rank better than chance, find something, be calibrated.

Knows nothing of a registry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from beam_pcc.evaluation.metrics import Truth
from beam_pcc.evaluation.paired import Scored, values
from beam_pcc.models.metadata import SCORE_BINS
from beam_pcc.models.scoring import Floats

MAX_CALIBRATION_ERROR = 0.15
_SAMPLES = 1_000
_MOST_CELLS = 20_000_000  # rows times samples: of many rows fewer samples tell as much
_RANKING_CHANCE = 0.05
_CALIBRATION_CHANCE = 0.01


class Floor(NamedTuple):
    """The value of a version, and the limit that it must keep."""

    name: str
    value: float
    limit: float
    message: str
    failed: bool


def ranking(truth: Truth, scored: Scored, *, seed: int = 0) -> Floor:
    """PR-AUC must be above the share of PC, by more than a random order of the rows reaches in 95 % of the cases."""
    share = float(truth.mean())
    value = _average_precision(truth, scored.probability)
    rng = np.random.default_rng(seed)
    by_chance = np.array(
        [_average_precision(rng.permutation(truth), scored.probability) for _ in range(_samples(truth))]
    )
    limit = max(share, float(np.quantile(by_chance, 1 - _RANKING_CHANCE)))
    failed = not value > limit
    message = f"pr_auc {value:.3f}, {'not ' if failed else ''}above the {limit:.3f} of chance (share of PC {share:.3f})"
    return Floor("better than chance", value, limit, message, failed)


def _average_precision(truth: Truth, probability: Floats) -> float:
    """One sample with each row once."""
    return float(values(truth, Scored(probability, 0.5), np.ones((1, len(truth))))[0, 1])


def _samples(truth: Truth) -> int:
    return max(100, min(_SAMPLES, _MOST_CELLS // len(truth)))


def finding(truth: Truth, scored: Scored) -> Floor:
    """Recall at the threshold must be above 0."""
    found, rows = int((scored.probability[truth] >= scored.threshold).sum()), int(truth.sum())
    message = f"recall {found / rows:.3f} at the threshold {scored.threshold:.3f} ({found:,} of {rows:,})"
    return Floor("finds PC", found / rows, 0.0, message, not found)


def calibration(truth: Truth, scored: Scored, *, seed: int = 0) -> Floor:
    """The calibration error must be within MAX_CALIBRATION_ERROR, or within what chance explains on few rows.

    Chance: rows that are PC exactly as often as the version says have a larger error in 1 % of the samples
    (consistency resampling, Broecker and Smith, 2007).
    """
    value = calibration_error(truth, scored.probability)
    rng = np.random.default_rng(seed)
    by_chance = [
        calibration_error(rng.random(len(truth)) < scored.probability, scored.probability)
        for _ in range(_samples(truth))
    ]
    limit = max(MAX_CALIBRATION_ERROR, float(np.quantile(by_chance, 1 - _CALIBRATION_CHANCE)))
    failed = value > limit
    message = f"calibration error {value:.3f}, {'above' if failed else 'within'} {limit:.3f}"
    return Floor("calibrated", value, limit, message, failed)


def calibration_error(truth: Truth, probability: Floats) -> float:
    """The expected calibration error: |share of PC - mean P(PC)| in SCORE_BINS equal bins, weighted by their rows."""
    bins = np.minimum((probability * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    excess = np.bincount(bins, weights=truth - probability, minlength=SCORE_BINS)
    return float(np.abs(excess).sum() / len(truth))
