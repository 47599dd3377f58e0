"""The classifier of a training: a calibrated logistic regression, and what of it is chosen on folds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import scoring

_FOLDS = 5
# C of the logistic regression: standardised, 584 features want strong shrinkage; those of text, as they are, little.
_SCALED = (0.001, 0.01, 0.1)
_PLAIN = (0.5, 1.0, 2.0, 4.0, 8.0)


class Shape(NamedTuple):
    """What is chosen: whether features are standardised, C of the regression, and how it is calibrated."""

    scaled: bool
    c: float
    calibration: str


def _weights(y: Labels) -> dict[str | int, float]:
    """PC (with its subtypes) and NOT_PC weigh the same in all; a subtype as much as it is often.

    scikit-learn numbers the classes where it predicts on folds, so each stands there under its number too.
    """
    negative = float((y == schemas.NOT_PC).mean())
    made: dict[str | int, float] = {}
    for number, c in enumerate(np.unique(y)):
        made[str(c)] = made[number] = 0.5 / (negative if c == schemas.NOT_PC else 1 - negative)
    return made


def _linear(shape: Shape, y: Labels) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=shape.c, max_iter=2_000, class_weight=_weights(y))
    return make_pipeline(StandardScaler(), regression) if shape.scaled else make_pipeline(regression)


def calibrated(shape: Shape, y: Labels) -> Any:
    """The estimator of that shape, not fitted yet. `y` are the labels that it will be fitted to."""
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(_linear(shape, y), method=shape.calibration, cv=_FOLDS, ensemble=False)


def best_shape(x: schemas.Vectors, y: Labels, seed: int, *, scaled: bool) -> Shape:
    """The regularisation, then the calibration, under which held-out folds of the training rows are told best.

    Best is the lowest Brier score of P(PC). One temperature for all classes keeps their order; a sigmoid for each class
    also corrects the share of PC, which matters where PC is rare.
    """
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    truth, classes = y != schemas.NOT_PC, np.unique(y).tolist()

    def brier(model: Any, folds: int) -> float:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
        found = cross_val_predict(model, x, y, cv=parts, method="predict_proba")
        return float(brier_score_loss(truth, scoring.privacy_probability(found, classes)))

    shapes = [Shape(scaled, c, "sigmoid") for c in (_SCALED if scaled else _PLAIN)]
    best = min(shapes, key=lambda shape: brier(_linear(shape, y), _FOLDS))
    both = [best._replace(calibration=method) for method in _calibrations()]
    return min(both, key=lambda shape: brier(calibrated(shape, y), 3)) if len(both) > 1 else best


def _calibrations() -> list[str]:
    """The methods that the installed scikit-learn has: temperature came with 1.8."""
    import sklearn

    new = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 8)
    return ["sigmoid", "temperature"] if new else ["sigmoid"]


def threshold_of(shape: Shape, x: schemas.Vectors, y: Labels, precision: float) -> float | None:
    """The lowest threshold that keeps the precision on folds that the model was not fitted on; None if none does."""
    from sklearn.model_selection import cross_val_predict

    found = cross_val_predict(calibrated(shape, y), x, y, cv=_FOLDS, method="predict_proba")
    probability = scoring.privacy_probability(found, np.unique(y).tolist())
    return evaluation.threshold_for(y != schemas.NOT_PC, probability, precision)
