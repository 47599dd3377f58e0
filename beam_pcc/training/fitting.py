"""The classifier: a calibrated logistic regression whose hyperparameters are chosen by cross-validation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import scoring

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


def choose_hyperparameters(x: schemas.Vectors, y: Labels, seed: int, *, scaled: bool) -> Hyperparameters:
    """Choose the regularisation, then the calibration, by the lowest Brier score of P(PC) in cross-validation.

    One temperature for all classes keeps their order; a sigmoid for each class also corrects the share of PC, which
    matters where PC is rare.
    """
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    truth, classes = y != schemas.NOT_PC, np.unique(y).tolist()

    def brier(model: Any, folds: int) -> float:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
        probabilities = cross_val_predict(model, x, y, cv=parts, method="predict_proba")
        step.advance()
        return float(brier_score_loss(truth, scoring.privacy_probability(probabilities, classes)))

    candidates = [Hyperparameters(scaled, c, "sigmoid") for c in (_C_SCALED if scaled else _C_UNSCALED)]
    with progress.task("choosing the regularisation", total=len(candidates), unit="candidates") as step:
        best = min(candidates, key=lambda hyperparameters: brier(_linear(hyperparameters, y), _FOLDS))
    methods = _calibration_methods()
    if len(methods) == 1:
        return best
    candidates = [best._replace(calibration=method) for method in methods]
    with progress.task("choosing the calibration", total=len(candidates), unit="candidates") as step:
        return min(candidates, key=lambda hyperparameters: brier(calibrated(hyperparameters, y), 3))


def _calibration_methods() -> list[str]:
    """The methods of the installed scikit-learn: temperature since 1.8."""
    import sklearn

    has_temperature = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
    return ["sigmoid", "temperature"] if has_temperature else ["sigmoid"]


@progress.task("choosing the threshold")
def choose_threshold(hyperparameters: Hyperparameters, x: schemas.Vectors, y: Labels, precision: float) -> float | None:
    """The lowest threshold that reaches the precision in cross-validation; None if none does."""
    from sklearn.model_selection import cross_val_predict

    probabilities = cross_val_predict(calibrated(hyperparameters, y), x, y, cv=_FOLDS, method="predict_proba")
    probability = scoring.privacy_probability(probabilities, np.unique(y).tolist())
    return evaluation.threshold_for(y != schemas.NOT_PC, probability, precision)
