"""The classifier: a calibrated logistic regression whose hyperparameters are chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import scoring

Groups: TypeAlias = "npt.NDArray[np.int64] | None"
"""(n,) the message of each row, whose rows stay in one fold; None if each row has its own."""
_FOLDS = 5
# C of the logistic regression: 584 standardised features need strong regularisation, unscaled text features little.
_C_SCALED = (0.001, 0.01, 0.1)
_C_UNSCALED = (0.5, 1.0, 2.0, 4.0, 8.0)


class Hyperparameters(NamedTuple):
    """Whether features are standardised, C of the regression, and the calibration method."""

    scaled: bool
    c: float
    calibration: str


def _class_weights(y: Labels) -> dict[str | int, float]:
    """Weights that give PC (with its subtypes) and NOT_PC the same total; subtypes keep their proportions.

    Also keyed by the number of the class, which scikit-learn uses in cross_val_predict.
    """
    negative = float((y == schemas.NOT_PC).mean())
    weights: dict[str | int, float] = {}
    for number, c in enumerate(np.unique(y)):
        weights[str(c)] = weights[number] = 0.5 / (negative if c == schemas.NOT_PC else 1 - negative)
    return weights


def _linear(hyperparameters: Hyperparameters, y: Labels) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=hyperparameters.c, max_iter=2_000, class_weight=_class_weights(y))
    return make_pipeline(StandardScaler(), regression) if hyperparameters.scaled else make_pipeline(regression)


def calibrated(hyperparameters: Hyperparameters, y: Labels) -> Any:
    """The estimator with these hyperparameters, not fitted. `y` are the labels that it will be fitted to."""
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(
        _linear(hyperparameters, y), method=hyperparameters.calibration, cv=_FOLDS, ensemble=False
    )


def fit(hyperparameters: Hyperparameters, x: schemas.Vectors, y: Labels, groups: Groups = None) -> Any:
    """The fitted estimator. Copies of a message would make its calibration too sure, if they were in other folds."""
    model = calibrated(hyperparameters, y)
    if groups is None:
        return model.fit(x, y)
    model.set_params(cv=list(_splits(x, y, groups, _FOLDS)))
    return model.fit(x, y).set_params(cv=_FOLDS)  # the splits are no part of the model file


def _splits(x: schemas.Vectors, y: Labels, groups: Groups, folds: int, seed: int | None = None) -> Iterable[Any]:
    """Pairs of row numbers: to fit, and to predict. Shuffled if there is a seed."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    how = {"n_splits": folds, "shuffle": seed is not None, "random_state": seed}
    parts = StratifiedKFold(**how) if groups is None else StratifiedGroupKFold(**how)
    splits: Iterable[Any] = parts.split(x, y, groups)
    return splits


def _held_out(
    hyperparameters: Hyperparameters, x: schemas.Vectors, y: Labels, groups: Groups, splits: Iterable[Any]
) -> scoring.Floats:
    """(n,) P(PC) of each row by an estimator that was fitted and calibrated without its fold."""
    probability = np.empty(len(y))
    for rows, others in splits:
        model = fit(hyperparameters, x[rows], y[rows], None if groups is None else groups[rows])
        probability[others] = scoring.privacy_probability(model.predict_proba(x[others]), model.classes_.tolist())
    return probability


def choose_hyperparameters(
    x: schemas.Vectors, y: Labels, seed: int, *, scaled: bool, groups: Groups = None
) -> Hyperparameters:
    """Choose the regularisation, then the calibration, by the lowest Brier score of P(PC) in cross-validation.

    One temperature for all classes keeps their order; a sigmoid for each class also corrects the share of PC, which
    matters where PC is rare.
    """
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import cross_val_predict

    truth, classes = y != schemas.NOT_PC, np.unique(y).tolist()
    folds = list(_splits(x, y, groups, _FOLDS, seed))

    def brier_uncalibrated(hyperparameters: Hyperparameters) -> float:
        probabilities = cross_val_predict(_linear(hyperparameters, y), x, y, cv=folds, method="predict_proba")
        return float(brier_score_loss(truth, scoring.privacy_probability(probabilities, classes)))

    candidates = [Hyperparameters(scaled, c, "sigmoid") for c in (_C_SCALED if scaled else _C_UNSCALED)]
    best = min(candidates, key=brier_uncalibrated)
    methods = _calibration_methods()
    if len(methods) == 1:
        return best
    fewer = list(_splits(x, y, groups, 3, seed))
    return min(
        (best._replace(calibration=method) for method in methods),
        key=lambda candidate: float(brier_score_loss(truth, _held_out(candidate, x, y, groups, fewer))),
    )


def _calibration_methods() -> list[str]:
    """The methods of the installed scikit-learn: temperature since 1.8."""
    import sklearn

    has_temperature = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
    return ["sigmoid", "temperature"] if has_temperature else ["sigmoid"]


def choose_threshold(
    hyperparameters: Hyperparameters, x: schemas.Vectors, y: Labels, precision: float, groups: Groups = None
) -> float | None:
    """The lowest threshold that reaches the precision in cross-validation; None if none does."""
    probability = _held_out(hyperparameters, x, y, groups, _splits(x, y, groups, _FOLDS))
    return evaluation.threshold_for(y != schemas.NOT_PC, probability, precision)
