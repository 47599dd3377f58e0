"""Folds a linear model into one matrix product: StandardScaler and a linear classifier, calibrated or not.

With W = coef / scale and b = intercept - mean W, the decisions of n rows are X W + b, which have no more columns than
there are classes. What follows is element-wise: `links` has softmax, sigmoid and temperature calibration. Another one
(isotonic) stays scikit-learn's own code: a copy of the estimator whose linear classifier passes its input on.

`decide` compares the two on rows, and says which of them scores.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.models import links, scoring
from beam_pcc.models.onnx_model import OnnxClassifier
from beam_pcc.models.scoring import EXTREME, Floats

Scorer: TypeAlias = Literal["estimator", "folded", "onnx"]
TOLERANCE = 1e-6
"""The largest difference of a probability between a folded model and its estimator."""

_BLOCK = 256  # rows that are converted to float64 at a time: they stay in the processor's cache
_RANDOM_ROWS = 256
_MIN_SCALE = 1e-20  # and rows up to EXTREME: no scaled value overflows float32
_MAX_WEIGHT = 1e15


class NotLinearError(ValueError):
    """The model cannot be folded; the text says why, as the end of a sentence about it."""


class FoldedClassifier:
    """Scores as the estimator that it was folded from, in float64.

    In float64 the scores of a row do not depend on the other rows of its batch: they differ by 1e-15 at most, those of
    the estimator by 1e-6. Rows with values beyond `EXTREME`, or not finite, are scored by the estimator, which may
    raise on them.

    Attributes:
        classes_: The classes in the order of the probabilities.
        n_features_in_: Width of the vectors.
        link: The estimator of decisions, (n, k), that gives the probabilities.
        weights: (n_features_in_, k) of the vectors.
        intercept: (k,).
    """

    def __init__(self, estimator: Any, link: Any, weights: Floats, intercept: Floats) -> None:
        self._estimator, self.link = estimator, link
        self.weights, self.intercept = weights, intercept
        self._probabilities = links.of(estimator) or link.predict_proba
        self.classes_ = estimator.classes_
        self.n_features_in_ = estimator.n_features_in_

    def predict_proba(self, vectors: schemas.Vectors) -> Floats:
        """(n, classes) of (n, 584) vectors. Raises what the estimator raises."""
        if not len(vectors):
            return self._of_estimator(vectors)
        decisions = self._decisions(vectors)
        # NaN fails each comparison, and so is not within.
        if vectors.min() >= -EXTREME and vectors.max() <= EXTREME and np.isfinite(decisions).all():
            return np.asarray(self._probabilities(decisions), dtype=np.float64)
        within = (np.abs(vectors).max(axis=1) <= EXTREME) & np.isfinite(decisions).all(axis=1)
        probabilities = np.empty((len(vectors), len(self.classes_)))
        probabilities[~within] = self._of_estimator(vectors[~within])
        if within.any():
            probabilities[within] = self._probabilities(decisions[within])
        return probabilities

    def _decisions(self, vectors: schemas.Vectors) -> Floats:
        decisions = np.empty((len(vectors), self.weights.shape[1]))
        block = np.empty((min(_BLOCK, len(vectors)), vectors.shape[1]))
        for start in range(0, len(vectors), _BLOCK):
            rows = vectors[start : start + _BLOCK]
            block[: len(rows)] = rows
            np.matmul(block[: len(rows)], self.weights, out=decisions[start : start + len(rows)])
        decisions += self.intercept
        return decisions

    def _of_estimator(self, vectors: schemas.Vectors) -> Floats:
        return np.asarray(self._estimator.predict_proba(vectors), dtype=np.float64)


class _Chain(NamedTuple):
    """The scalers of a model in order, its linear classifier, and the same model without the scalers."""

    scalers: list[Any]
    linear: Any
    link: Any


def fold(model: Any) -> FoldedClassifier:
    """Fold a loaded model. Raises NotLinearError."""
    chain = _chain(model)
    weights = np.asarray(chain.linear.coef_, dtype=np.float64).T
    intercept = np.zeros(weights.shape[1]) + np.asarray(chain.linear.intercept_, dtype=np.float64)
    with np.errstate(all="ignore"):
        for scaler in reversed(chain.scalers):
            if scaler.with_std:
                if scaler.scale_.min() < _MIN_SCALE:
                    raise NotLinearError("its scaler divides by numbers near zero")
                weights = weights / np.asarray(scaler.scale_, dtype=np.float64)[:, None]
            if scaler.with_mean:
                intercept = intercept - np.asarray(scaler.mean_, dtype=np.float64) @ weights
        if not (np.abs(weights) <= _MAX_WEIGHT).all() or not (np.abs(intercept) <= _MAX_WEIGHT).all():
            raise NotLinearError("its weights are too large")
    chain.linear.coef_ = np.eye(weights.shape[1])
    chain.linear.intercept_ = np.zeros(weights.shape[1])
    chain.linear.n_features_in_ = weights.shape[1]
    return FoldedClassifier(model, chain.link, np.ascontiguousarray(weights), intercept)


def _chain(model: Any) -> _Chain:
    """Take a model apart. Nothing of it is changed: what has to be is copied."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC

    if isinstance(model, LogisticRegression | SGDClassifier | LinearSVC):
        linear = copy.copy(model)
        return _Chain([], linear, linear)
    if isinstance(model, FrozenEstimator):
        return _chain(model.estimator)
    if isinstance(model, Pipeline):
        steps = [step for _, step in model.steps]
        inner = _chain(steps[-1])
        return inner._replace(scalers=[*_scalers(steps[:-1]), *inner.scalers])
    if isinstance(model, CalibratedClassifierCV):
        if len(model.calibrated_classifiers_) != 1:
            raise NotLinearError("its calibration is an ensemble")
        member = copy.copy(model.calibrated_classifiers_[0])
        inner = _chain(member.estimator)
        member.estimator = inner.link
        link = copy.copy(model)
        link.calibrated_classifiers_ = [member]
        link.n_features_in_ = inner.linear.coef_.shape[0]
        return inner._replace(link=link)
    raise NotLinearError(f"a {type(model).__name__} is not linear")


def _scalers(steps: Sequence[Any]) -> list[Any]:
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    scalers: list[Any] = []
    for step in steps:
        inner = step.estimator if isinstance(step, FrozenEstimator) else step
        if isinstance(inner, Pipeline):
            scalers += _scalers([one for _, one in inner.steps])
        elif isinstance(inner, StandardScaler):
            scalers.append(inner)
        elif inner is not None and inner != "passthrough":
            raise NotLinearError(f"a {type(inner).__name__} is not folded")
    return scalers


def apply(scorer: Scorer, model: Any) -> Any:
    """What scores vectors: the model itself, or folded. `decide` has passed it."""
    return fold(model) if scorer == "folded" else model


class Decision(NamedTuple):
    """What scores a model, and a sentence that says why."""

    scorer: Scorer
    reason: str


def decide(model: Any, golden: schemas.Vectors, threshold: float) -> Decision:
    """Fold a model, and compare the two on its golden rows and on random ones.

    The estimator scores the rows in float64: in float32 it rounds by itself to about 1e-6, and a steep isotonic
    calibration multiplies that. If the golden rows are too far apart in float32 for `models verify`, the estimator
    stays.

    Args:
        model: An estimator that `artifact.check_classifier` passed.
        golden: (n, 584), may be none.
        threshold: Of P(PC).
    """
    if isinstance(model, OnnxClassifier):
        return Decision("onnx", model.description)
    try:
        folded = fold(model)
    except NotLinearError as error:
        return Decision("estimator", str(error))
    rows = np.concatenate([golden, random_vectors(_RANDOM_ROWS)])
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(model.predict_proba(rows.astype(np.float64)), dtype=np.float64)
            actual = folded.predict_proba(rows)
            rounded = np.asarray(model.predict_proba(golden), dtype=np.float64) if len(golden) else actual[:0]
    except ValueError as error:  # scikit-learn's, of scores that are not finite
        return Decision("estimator", f"it raises {type(error).__name__} on random rows")
    difference = scoring.difference(actual, expected)
    if not difference <= TOLERANCE:
        return Decision("estimator", f"folded, its probabilities differ by {difference:.2g}")
    if (rounding := scoring.difference(actual[: len(golden)], rounded)) > scoring.GOLDEN_TOLERANCE / 2:
        return Decision("estimator", f"it rounds its golden rows by {rounding:.2g}, which folding does not")
    classes = tuple(map(str, folded.classes_))
    if (_labels(actual, classes, threshold) != _labels(expected, classes, threshold)).any():
        return Decision("estimator", "folded, its labels differ")
    return Decision(
        "folded", f"differs by {difference:.1g} at most on {len(golden):,} golden and {_RANDOM_ROWS} random rows"
    )


def _labels(probabilities: Floats, classes: Sequence[str], threshold: float) -> npt.NDArray[np.int64]:
    """(n, 2): whether each row is PC, and its likeliest class."""
    is_privacy = scoring.privacy_probability(probabilities, classes) >= threshold
    return np.column_stack([is_privacy.astype(np.int64), probabilities.argmax(axis=1)])


def random_vectors(n: int) -> schemas.Vectors:
    """(n, 584), the same each time: half like a case's, half of random numbers of magnitudes from 0.01 to 100."""
    rng = np.random.default_rng(584)
    like_cases = rng.standard_normal((n, schemas.VECTOR_DIM))
    embedding, tfidf = schemas.BLOCKS.values()
    like_cases[:, embedding] /= np.linalg.norm(like_cases[:, embedding], axis=1, keepdims=True)
    sparse = np.where(rng.random((n, tfidf.stop - tfidf.start)) < 0.1, rng.random((n, tfidf.stop - tfidf.start)), 0.0)
    like_cases[:, tfidf] = sparse / np.maximum(np.linalg.norm(sparse, axis=1, keepdims=True), 1e-9)
    wide = rng.standard_normal((n, schemas.VECTOR_DIM)) * 10.0 ** rng.uniform(-2, 2, (n, 1))
    return np.where(np.arange(n)[:, None] % 2 == 0, like_cases, wide).astype(np.float32)
