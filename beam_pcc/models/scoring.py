"""Vectors to probabilities, and what moved them. Pure functions around a loaded model; nothing of Beam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.errors import one_line

Floats = npt.NDArray[np.float64]
# Probabilities of float32 vectors differ by up to 8e-7 with the order of sums; another CPU may differ a little more.
GOLDEN_TOLERANCE = 1e-5
EXTREME = 1e6  # a value of a vector beyond it is the likeliest to overflow in a model: embeddings are within [-1, 1]


@dataclass(frozen=True)
class Scores:
    """What a model said of a batch of n rows.

    Attributes:
        probabilities: (n, classes) float64; a row that could not be scored is NaN.
        errors: Row number to why it could not be scored, in one line.
        blocks: (n, 2) float64: what the embedding and the TF-IDF block added to the log-odds of PC, for the rows
            that were explained (the others NaN); None if the model is not linear.
    """

    probabilities: Floats
    errors: dict[int, str] = field(default_factory=dict)
    blocks: Floats | None = None


def privacy_probability(probabilities: Floats, classes: Sequence[str]) -> Floats:
    """P(PC) of each row, (n,): the sum over the class PC and its subtypes, kept within [0, 1] against rounding."""
    clipped: Floats = np.clip(probabilities[:, privacy_classes(classes)].sum(axis=1), 0.0, 1.0)
    return clipped


def privacy_classes(classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Positions of the class PC and of its subtypes PC/..."""
    return np.flatnonzero([c == schemas.PC or c.startswith(schemas.SUBTYPE_PREFIX) for c in classes])


def needs_review(probability: Floats, threshold: float, band: float) -> npt.NDArray[np.bool_]:
    """Whether P(PC) is nearer to the threshold than `band`; of a NaN, no."""
    return np.abs(probability - threshold) < band


def score(model: Any, vectors: schemas.Vectors) -> Scores:
    """Score (n, 584) float32 vectors; if the model raises, part them until only the guilty rows are left.

    A row whose probabilities are not finite, or not within [0, 1], counts as guilty too.
    """
    with np.errstate(all="ignore"):
        return _score(model, vectors)


def _score(model: Any, vectors: schemas.Vectors) -> Scores:
    rows = len(vectors)
    try:
        probabilities = np.asarray(model.predict_proba(vectors), dtype=np.float64)
    except Exception as error:  # whatever a model raises is about these rows
        if rows <= 1:
            said = f"{type(error).__name__}: {one_line(error, 160)}"
            return Scores(np.full((rows, len(model.classes_)), np.nan), dict.fromkeys(range(rows), said))
        return _score_apart(model, vectors, _suspects(vectors))
    with np.errstate(invalid="ignore"):
        sound = ((probabilities >= 0.0) & (probabilities <= 1.0)).all(axis=1)
    if sound.all():
        return Scores(probabilities)
    probabilities[~sound] = np.nan
    said = "the model's probabilities are not between 0 and 1"
    return Scores(probabilities, dict.fromkeys(np.flatnonzero(~sound).tolist(), said))


def _suspects(vectors: schemas.Vectors) -> npt.NDArray[np.bool_]:
    """Which rows of a failed batch to ask about apart: the extreme ones, and where that tells nothing, one half."""
    extreme: npt.NDArray[np.bool_] = np.abs(vectors).max(axis=1) > EXTREME
    if extreme.any() and not extreme.all():
        return extreme
    return np.arange(len(vectors)) < len(vectors) // 2


def _score_apart(model: Any, vectors: schemas.Vectors, suspects: npt.NDArray[np.bool_]) -> Scores:
    probabilities = np.empty((len(vectors), len(model.classes_)))
    errors: dict[int, str] = {}
    for rows in (np.flatnonzero(suspects), np.flatnonzero(~suspects)):
        part = _score(model, vectors[rows])
        probabilities[rows] = part.probabilities
        errors |= {int(rows[row]): said for row, said in part.errors.items()}
    return Scores(probabilities, errors)


def difference(found: Floats, expected: Floats) -> float:
    """The largest difference between two tables of probabilities; of other shapes, or where one is NaN, it is 1."""
    if found.shape != expected.shape:
        return 1.0
    return float(np.nan_to_num(np.abs(found - expected), nan=1.0).max(initial=0.0))


class LinearExplainer:
    """What each block of a vector adds to the log-odds of PC, for a linear model (scaled or calibrated or both)."""

    def __init__(self, weights: Floats, center: Floats, classes: Sequence[str]) -> None:
        self._weights = weights  # (classes, 584)
        self._center = center  # (584,)
        self._privacy = privacy_classes(classes)
        self._other = np.setdiff1d(np.arange(len(classes)), self._privacy)

    @classmethod
    def of(cls, model: Any, classes: Sequence[str]) -> LinearExplainer | None:
        """The explainer of `model`, or None if it is not linear."""
        found = _linear(model)
        return cls(*found, classes) if found else None

    def blocks(self, vectors: schemas.Vectors, probabilities: Floats) -> Floats:
        """(n, 2): for each block, its part of the log-odds of the likeliest privacy class against NOT_PC.

        Args:
            vectors: (n, 584).
            probabilities: (n, classes), of which the likeliest privacy class is the one that gets published.
        """
        centered = vectors - self._center
        parts = np.stack([centered[:, b] @ self._weights[:, b].T for b in schemas.BLOCKS.values()], axis=1)
        likeliest = self._privacy[probabilities[:, self._privacy].argmax(axis=1)]
        toward = np.take_along_axis(parts, likeliest[:, None, None], axis=2)[:, :, 0]
        blocks: Floats = toward - parts[:, :, self._other].mean(axis=2)
        return blocks


def _linear(model: Any) -> tuple[Floats, Floats] | None:
    """Weights (classes, 584) and center (584,) so that the decision is (x - center) @ weights.T + constant."""
    if hasattr(model, "calibrated_classifiers_"):
        parts = [_linear(calibrated.estimator) for calibrated in model.calibrated_classifiers_]
        found = [part for part in parts if part is not None]
        if len(found) != len(parts) or not found:
            return None
        return np.mean([w for w, _ in found], axis=0), np.mean([c for _, c in found], axis=0)
    if hasattr(model, "steps"):
        *before, (_, last) = model.steps
        found_last = _linear(last)
        if found_last is None or any(type(step).__name__ != "StandardScaler" for _, step in before):
            return None
        weights, center = found_last
        for _, scaler in reversed(before):
            scale = scaler.scale_ if scaler.scale_ is not None else 1.0
            mean = scaler.mean_ if scaler.with_mean else 0.0
            weights, center = weights / scale, center * scale + mean
        return weights, center
    if type(model).__name__ == "FrozenEstimator":
        return _linear(model.estimator)
    if hasattr(model, "coef_"):
        weights = np.asarray(model.coef_, dtype=np.float64)
        if len(weights) == 1:  # binary: the decision is for classes_[1]
            weights = np.vstack([np.zeros_like(weights), weights])
        return weights, np.zeros(weights.shape[1])
    return None
