"""Metrics on labelled rows with confidence intervals, and the threshold for a required precision.

All compare PC (with its subtypes) with NOT_PC.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc import progress
from beam_pcc.models.scoring import Floats

Truth = npt.NDArray[np.bool_]
METRICS = ("roc_auc", "pr_auc", "brier", "precision", "recall")
RESAMPLES = 200
CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Standard errors on each side of a normal interval of this confidence."""
MIN_ROWS_OF_CLASS = 2
"""Of PC and of NOT_PC: the bootstrap cannot resample a single row."""
_BATCH = 10  # resamples in memory at once


def metrics(truth: Truth, probability: Floats, threshold: float) -> dict[str, float]:
    """ROC-AUC, PR-AUC (average precision), Brier score, and precision and recall at the threshold.

    Precision is 0 if no row reaches the threshold.
    """
    from sklearn import metrics as sk

    positive = probability >= threshold
    values = (
        *_ranking(truth, probability),
        sk.precision_score(truth, positive, zero_division=0),
        sk.recall_score(truth, positive, zero_division=0),
    )
    return {name: round(float(value), 6) for name, value in zip(METRICS, values, strict=True)}


def _ranking(truth: Truth, probability: Floats) -> tuple[float, float, float]:
    """The metrics without a threshold: ROC-AUC, PR-AUC, Brier score."""
    from sklearn import metrics as sk

    return (
        sk.roc_auc_score(truth, probability),
        sk.average_precision_score(truth, probability),
        sk.brier_score_loss(truth, probability),
    )


@progress.task("computing intervals of the metrics")
def intervals(truth: Truth, probability: Floats, threshold: float, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % intervals of the metrics.

    ROC-AUC, PR-AUC and Brier score: percentiles of the bootstrap (Efron), which resamples the classes separately, so
    that every resample has both. Precision and recall are shares of rows: Wilson's interval, whose width is not 0 for
    a share of 0 or 1.

    Args:
        truth: At least MIN_ROWS_OF_CLASS rows of each class.
        probability: P(PC) of the same rows.
        threshold: Of P(PC) at which a case is PC.
        seed: Of the resamples.
    """
    from scipy import stats

    def statistic(of_pc: Floats, of_not_pc: Floats) -> tuple[float, float, float]:
        labels = np.repeat([True, False], [len(of_pc), len(of_not_pc)])
        return _ranking(labels, np.concatenate([of_pc, of_not_pc]))

    low, high = stats.bootstrap(
        (probability[truth], probability[~truth]),
        statistic,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    positive = probability >= threshold
    hits = int((truth & positive).sum())
    bounds = [*zip(low, high, strict=True), wilson(hits, int(positive.sum())), wilson(hits, int(truth.sum()))]
    return {name: (round(float(a), 6), round(float(b), 6)) for name, (a, b) in zip(METRICS, bounds, strict=True)}


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The interval of a share of rows; (0, 1) for no rows."""
    from scipy import stats

    if not rows:
        return 0.0, 1.0
    low, high = stats.binomtest(hits, rows).proportion_ci(CONFIDENCE, method="wilson")
    return low, high


def wilson_of_share(share: Any, rows: Any) -> tuple[Any, Any]:
    """Wilson's score interval (1927) of a share of rows, whose number need not be whole; also of arrays."""
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * np.sqrt(share * (1 - share) / rows + Z**2 / (4 * rows**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def rows_for(share: float, width: float) -> int:
    """How many rows make Wilson's interval of this share at most this wide."""
    low, high = 1, 100_000
    while low < high:
        middle = (low + high) // 2
        bounds = wilson(round(share * middle), middle)
        low, high = (low, middle) if bounds[1] - bounds[0] <= width else (middle + 1, high)
    return low


def threshold_for(truth: Truth, probability: Floats, precision: float) -> float | None:
    """The lowest threshold (with the highest recall) whose precision is at least `precision`; None if there is none.

    Args:
        truth: Of rows that the model was not fitted on.
        probability: P(PC) of the same rows.
        precision: Above 0, at most 1.
    """
    from sklearn.metrics import precision_recall_curve

    if not truth.any():
        return None
    precisions, _, thresholds = precision_recall_curve(truth, probability)  # thresholds ascend
    usable = np.flatnonzero((precisions[:-1] >= precision) & (thresholds > 0))
    if not len(usable):
        return None
    lower, score = np.insert(thresholds, 0, 0.0)[usable[0] :][:2]
    # A threshold is below 1: if all rows that reach it score 1, use the middle between 1 and the next score.
    return float(score if score < 1 else (score + lower) / 2)
