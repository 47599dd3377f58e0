"""How good a model is on labelled rows: metrics with confidence intervals, and the threshold for a stated precision.

All are of PC (with its subtypes) against NOT_PC.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beam_pcc.models.scoring import Floats

Truth = npt.NDArray[np.bool_]
METRICS = ("roc_auc", "pr_auc", "brier", "precision", "recall")
RESAMPLES = 200
_INTERVAL = (2.5, 97.5)  # percentiles: a 95 % interval


def metrics(truth: Truth, probability: Floats, threshold: float) -> dict[str, float]:
    """ROC-AUC, PR-AUC (average precision), Brier score, and precision and recall at the threshold."""
    from sklearn import metrics as sk

    said = probability >= threshold
    measured = {
        "roc_auc": sk.roc_auc_score(truth, probability),
        "pr_auc": sk.average_precision_score(truth, probability),
        "brier": float(np.mean((probability - truth) ** 2)),
        "precision": _share(truth & said, said),
        "recall": _share(truth & said, truth),
    }
    return {name: round(float(value), 6) for name, value in measured.items()}


def intervals(truth: Truth, probability: Floats, threshold: float, *, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % intervals of the metrics by the bootstrap (Efron): percentiles over resamples of the rows.

    A resample keeps the number of each class, so that each metric is defined in all.
    """
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(RESAMPLES):
        rows = np.concatenate([rng.choice(of_class, len(of_class)) for of_class in classes])
        for name, value in metrics(truth[rows], probability[rows], threshold).items():
            found[name].append(value)
    ends = {name: np.percentile(values, _INTERVAL) for name, values in found.items()}
    return {name: (round(float(low), 6), round(float(high), 6)) for name, (low, high) in ends.items()}


def threshold_for(truth: Truth, probability: Floats, precision: float) -> float | None:
    """The lowest threshold, so of the highest recall, whose precision is at least `precision`; None if there is none.

    Args:
        truth: Of rows that the model was not fitted on.
        probability: P(PC) of the same rows.
        precision: Between 0 and 1.
    """
    order = np.argsort(-probability, kind="stable")
    ranked, right = probability[order], np.cumsum(truth[order])
    reached = right / np.arange(1, len(order) + 1) >= precision
    last_of_score = np.append(ranked[:-1] != ranked[1:], True)  # a threshold takes all rows of one score, or none
    fit = np.flatnonzero(reached & last_of_score & (ranked > 0))
    if not len(fit):
        return None
    score, lower = np.append(ranked, 0.0)[fit[-1] :][:2]
    # A threshold is below 1: where all that are taken score 1, it is halfway to the next score.
    return float(score if score < 1 else (score + lower) / 2)


def calibration(truth: Truth, probability: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """For each bin of P(PC) that has rows: mean P(PC), share of PC, number of rows."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        rows = place == number
        if rows.any():
            found.append((float(probability[rows].mean()), float(truth[rows].mean()), int(rows.sum())))
    return found


def precision_recall(truth: Truth, probability: Floats) -> list[tuple[float, float]]:
    """(recall, precision) at each rank, from the most certain row on."""
    order = np.argsort(-probability, kind="stable")
    right = np.cumsum(truth[order])
    return list(zip((right / max(1, right[-1])).tolist(), (right / np.arange(1, len(order) + 1)).tolist(), strict=True))


def _share(part: Truth, whole: Truth) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0
