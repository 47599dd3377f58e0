"""Scores vectors. Pure functions, independent of Beam."""

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
        base: The log-odds of PC of the mean training vector.
        blocks: (n, 2) float64: what the embedding and the TF-IDF block add to the base in explained rows (NaN in
            others); None if the version has no mean vector.
    """

    probabilities: Floats
    errors: dict[int, str] = field(default_factory=dict)
    blocks: Floats | None = None
    base: float = np.nan


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
