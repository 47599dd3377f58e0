"""From the decisions of a linear model to its probabilities, element by element.

It is what scikit-learn computes, without the checks that it makes of its input at each step, which take several times
as long. Calibrations that are not here (isotonic) stay scikit-learn's own code, see `folding`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from beam_pcc.models.scoring import Floats

Link: TypeAlias = Callable[[Floats], Floats]
"""(n, k) decisions to (n, classes) probabilities; k is 1 for two classes, else the number of classes."""


def of(model: Any) -> Link | None:
    """The link of a fitted model, behind any scalers; None if it is not known here."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.svm import LinearSVC

    model = _last(model)
    if isinstance(model, LogisticRegression) and getattr(model, "multi_class", "auto") != "ovr":
        return _logistic if len(model.classes_) == 2 else _softmax
    if not isinstance(model, CalibratedClassifierCV):
        return None
    (member,) = model.calibrated_classifiers_
    inner = _last(member.estimator)
    if not isinstance(inner, LogisticRegression | SGDClassifier | LinearSVC):
        return None
    if not np.array_equal(inner.classes_, member.classes):
        return None
    if member.method == "temperature":
        return _tempered(float(member.calibrators[0].beta_), len(member.classes))
    if member.method == "sigmoid":
        return _sigmoids(*(np.array([getattr(one, name) for one in member.calibrators]) for name in ("a_", "b_")))
    return None


def _last(model: Any) -> Any:
    """The last step of a pipeline of pipelines."""
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline

    while isinstance(model, Pipeline | FrozenEstimator):
        model = model.estimator if isinstance(model, FrozenEstimator) else model.steps[-1][1]
    return model


def _logistic(decisions: Floats) -> Floats:
    from scipy.special import expit

    return _of_two(expit(decisions[:, 0]))


def _of_two(positive: Floats) -> Floats:
    return np.column_stack([1.0 - positive, positive])


def _softmax(decisions: Floats) -> Floats:
    powers: Floats = np.exp(decisions - decisions.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _tempered(beta: float, classes: int) -> Link:
    """Temperature scaling (Guo et al., 2017). The decision d of two classes stands for the logits -d and d."""
    if classes == 2:
        return lambda decisions: _logistic(2.0 * beta * decisions)
    return lambda decisions: _softmax(beta * decisions)


def _sigmoids(slope: Floats, offset: Floats) -> Link:
    """A sigmoid for each class (Platt, 1999), normalised over the classes; alike for all if each of them is 0."""
    from scipy.special import expit

    def link(decisions: Floats) -> Floats:
        each: Floats = expit(-(slope * decisions + offset))
        if len(slope) == 1:
            return _of_two(each[:, 0])
        total = each.sum(axis=1, keepdims=True)
        probabilities: Floats = np.full_like(each, 1.0 / len(slope))
        np.divide(each, total, out=probabilities, where=total != 0)
        return probabilities

    return link
