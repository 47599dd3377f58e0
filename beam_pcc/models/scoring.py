"""Scores vectors, and explains scores of linear models. Pure functions, independent of Beam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.errors.bisecting import EveryRowFailsError, failing_rows
from beam_pcc.errors.machine import blames_no_row

Floats = npt.NDArray[np.float64]
# Probabilities of float32 vectors differ by up to 8e-7 with the order of sums; another CPU may differ a little more.
GOLDEN_TOLERANCE = 1e-5
EXTREME = 1e6  # larger values are the likeliest to overflow in a model: embeddings are within [-1, 1]


@dataclass(frozen=True)
class Scores:
    """The result of a model for a batch of n rows.

    Attributes:
        probabilities: (n, classes) float64; a row that could not be scored is NaN.
        errors: Row number to why it could not be scored: the type of the exception, as its text may hold values.
        blocks: (n, 2) float64: what the embedding and the TF-IDF block add to the log-odds of PC in explained rows
            (NaN in others); None if the model is not linear.
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
    """Whether P(PC) is nearer to the threshold than `band`; false for NaN."""
    return np.abs(probability - threshold) < band


def score(model: Any, vectors: schemas.Vectors) -> Scores:
    """Score (n, 584) float32 vectors. If the model raises, the batch is halved until only the failing rows are left.

    A row whose probabilities are not finite, or not within [0, 1], fails too.

    Raises:
        EveryRowFailsError: The model fails on these rows and on a vector of zeros, which it scored at launch.
        Exception: What the model raised is not about rows, such as a MemoryError.
    """
    with np.errstate(all="ignore"):
        errors: dict[int, str] = {}
        try:
            probabilities = _probabilities(model, vectors)
        except Exception as error:  # a model may raise anything for a row
            if blames_no_row(error):
                raise
            probabilities, errors = _score_bisecting(model, vectors)
        is_sound = ((probabilities >= 0.0) & (probabilities <= 1.0)).all(axis=1)
        unsound = [row for row in np.flatnonzero(~is_sound).tolist() if row not in errors]
        if unsound and len(unsound) == len(vectors):
            _require_sound_probabilities(model)
    probabilities[unsound] = np.nan
    return Scores(probabilities, errors | dict.fromkeys(unsound, _UNSOUND))


_UNSOUND = "the model's probabilities are not between 0 and 1"


def _probabilities(model: Any, vectors: schemas.Vectors) -> Floats:
    return np.asarray(model.predict_proba(vectors), dtype=np.float64)


def _score_bisecting(model: Any, vectors: schemas.Vectors) -> tuple[Floats, dict[int, str]]:
    probabilities = np.full((len(vectors), len(model.classes_)), np.nan)

    def compute(rows: Sequence[int]) -> None:
        probabilities[rows] = _probabilities(model, vectors[rows])

    extreme = np.flatnonzero(np.abs(vectors).max(axis=1) > EXTREME).tolist()
    failures = failing_rows(
        compute, range(len(vectors)), known_good=lambda: _probabilities(model, _ZEROS), first=extreme
    )
    return probabilities, {row: f"the model raised {type(error).__name__}" for row, error in failures.items()}


def _require_sound_probabilities(model: Any) -> None:
    """Raise EveryRowFailsError if the model has none for zeros either."""
    probabilities = _probabilities(model, _ZEROS)
    if not ((probabilities >= 0.0) & (probabilities <= 1.0)).all():
        raise EveryRowFailsError(_UNSOUND)


_ZEROS = np.zeros((1, schemas.VECTOR_DIM), dtype=np.float32)  # `artifact.check_classifier` has the model score zeros


def difference(actual: Floats, expected: Floats) -> float:
    """The largest difference between two tables of probabilities; 1 if their shapes differ or a value is NaN."""
    if actual.shape != expected.shape:
        return 1.0
    return float(np.nan_to_num(np.abs(actual - expected), nan=1.0).max(initial=0.0))


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
        parameters = _linear(model)
        return cls(*parameters, classes) if parameters else None

    def blocks(self, vectors: schemas.Vectors, probabilities: Floats) -> Floats:
        """(n, 2): for each block, its part of the log-odds of the likeliest privacy class against NOT_PC.

        Args:
            vectors: (n, 584).
            probabilities: (n, classes); the likeliest privacy class is explained.
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
        linear = [part for part in parts if part is not None]
        if len(linear) != len(parts) or not linear:
            return None
        return np.mean([weights for weights, _ in linear], axis=0), np.mean([center for _, center in linear], axis=0)
    if hasattr(model, "steps"):
        *before, (_, last) = model.steps
        parameters = _linear(last)
        if parameters is None or any(type(step).__name__ != "StandardScaler" for _, step in before):
            return None
        weights, center = parameters
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
