"""The classifiers that are trained, each calibrated, with hyperparameters that are chosen by cross-validation."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.labelled import Labels
from beam_pcc.models import scoring
from beam_pcc.training.windowed import (
    Messages,
    TrainingRows,
    choose_discount,
    folds,
    privacy_probability,
    training_rows,
)

_FOLDS = 5
_SLOW_FOLDS = 3  # of the choice between classifiers that take long to fit
# C of the logistic regression: 584 standardised features need strong regularisation, unscaled text features little.
_C_SCALED = (0.001, 0.01, 0.1)
_C_UNSCALED = (0.5, 1.0, 2.0, 4.0, 8.0)
# The L2 penalty of the leaves of boosted trees, and of the weights of a perceptron.
_PENALTIES = {"hist_gradient_boosting": (1.0, 20.0), "mlp": (0.01, 1.0, 10.0)}
_TREES, _LEAVES, _LEARNING_RATE = 60, 15, 0.1
# Of 584 weak features few bins and a tenth for each split learn as much in a third of the time (PR-AUC of 500 synthetic
# rows 0.54 for 0.45, of 2,000 0.74 for 0.73).
_BINS, _FEATURES_OF_SPLIT = 63, 0.1
_HIDDEN = 64
Classifier: TypeAlias = Literal["logistic", "hist_gradient_boosting", "mlp"]
CLASSIFIERS: tuple[Classifier, ...] = get_args(Classifier)


class Hyperparameters(NamedTuple):
    """How to fit.

    Attributes:
        scaled: Whether features are standardised.
        c: Of the logistic regression; of the others the L2 penalty.
        calibration: The method.
        classifier: Which one.
    """

    scaled: bool
    c: float
    calibration: str
    classifier: Classifier = "logistic"


def _class_weights(y: Labels) -> dict[str | int, float]:
    """Weights that give PC (with its subtypes) and NOT_PC the same total; subtypes keep their proportions.

    Also keyed by the number of the class, which scikit-learn uses in cross_val_predict.
    """
    negative = float((y == schemas.NOT_PC).mean())
    weights: dict[str | int, float] = {}
    for number, c in enumerate(np.unique(y)):
        weights[str(c)] = weights[number] = 0.5 / (negative if c == schemas.NOT_PC else 1 - negative)
    return weights


def linear(hyperparameters: Hyperparameters, y: Labels) -> Any:
    """The estimator without calibration, not fitted."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=hyperparameters.c, max_iter=2_000, class_weight=_class_weights(y))
    return make_pipeline(StandardScaler(), regression) if hyperparameters.scaled else make_pipeline(regression)


def estimator(hyperparameters: Hyperparameters, y: Labels) -> Any:
    """The classifier without calibration, not fitted; a pipeline, which takes no weights of rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # These two get no weights of classes: the calibration gives P(PC) its level, the perceptron takes none, and with
    # weights scikit-learn 1.9 finds the bins of the trees percentile by percentile in Python, a hundred times slower.
    if hyperparameters.classifier == "hist_gradient_boosting":
        return make_pipeline(
            HistGradientBoostingClassifier(
                max_iter=_TREES,
                max_leaf_nodes=_LEAVES,
                learning_rate=_LEARNING_RATE,
                l2_regularization=hyperparameters.c,
                max_bins=_BINS,
                max_features=_FEATURES_OF_SPLIT,
                early_stopping=False,
                random_state=0,
            )
        )
    if hyperparameters.classifier == "mlp":
        return make_pipeline(
            StandardScaler(),
            MLPClassifier((_HIDDEN,), alpha=hyperparameters.c, early_stopping=True, max_iter=100, random_state=0),
        )
    return linear(hyperparameters, y)


def calibrated(hyperparameters: Hyperparameters, y: Labels) -> Any:
    """The estimator with these hyperparameters, not fitted. `y` are the labels that it will be fitted to."""
    from sklearn.calibration import CalibratedClassifierCV

    return CalibratedClassifierCV(
        estimator(hyperparameters, y), method=hyperparameters.calibration, cv=_FOLDS, ensemble=False
    )


def fit(hyperparameters: Hyperparameters, rows: TrainingRows) -> Any:
    """Fit the classifier to all rows, and calibrate it on the windows that decide."""
    model = calibrated(hyperparameters, rows.y)
    if not rows.is_split:
        return model.fit(rows.x, rows.y)
    model.set_params(cv=folds(rows, _FOLDS, seed=0))
    with warnings.catch_warnings():
        # The pipeline takes no weights: they count for the calibration only, as they should.
        warnings.filterwarnings("ignore", message=".*does not appear to accept sample_weight")
        model.fit(rows.x, rows.y, sample_weight=rows.decides.astype(np.float64))
    return model.set_params(cv=_FOLDS)  # the folds are not part of the model


def deciding_rows(messages: Messages, *, scaled: bool) -> TrainingRows:
    """The windows to learn from, found by a logistic regression of medium regularisation, whatever learns from them."""
    choices = _C_SCALED if scaled else _C_UNSCALED
    return training_rows(
        messages, linear(Hyperparameters(scaled, choices[len(choices) // 2], "sigmoid"), messages.labels)
    )


def choose_hyperparameters(
    rows: TrainingRows, seed: int, *, scaled: bool, classifier: Classifier = "logistic"
) -> Hyperparameters:
    """Choose the regularisation, then the calibration, by the lowest Brier score of P(PC) in cross-validation.

    Of a message with several windows the deciding one counts. One temperature for all classes keeps their order; a
    sigmoid for each class also corrects the share of PC, which matters where PC is rare. Classifiers that take long to
    fit are calibrated by sigmoids.
    """
    from sklearn.metrics import brier_score_loss
    from sklearn.model_selection import cross_val_predict

    x, y = rows.x, rows.y
    truth, classes = y != schemas.NOT_PC, np.unique(y).tolist()

    def brier(model: Any, number: int) -> float:
        probabilities = cross_val_predict(model, x, y, cv=folds(rows, number, seed), method="predict_proba")
        step.advance()
        probability = scoring.privacy_probability(probabilities, classes)
        return float(brier_score_loss(truth[rows.decides], probability[rows.decides]))

    choices = _PENALTIES.get(classifier, _C_SCALED if scaled else _C_UNSCALED)
    candidates = [Hyperparameters(scaled, c, "sigmoid", classifier) for c in choices]
    with progress.task("choosing the regularisation", total=len(candidates), unit="candidates") as step:
        folds_of_choice = _FOLDS if classifier == "logistic" else _SLOW_FOLDS
        best = min(candidates, key=lambda hyperparameters: brier(estimator(hyperparameters, y), folds_of_choice))
    methods = _calibration_methods() if classifier == "logistic" else ["sigmoid"]
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
def choose_threshold(
    hyperparameters: Hyperparameters, messages: Messages, precision: float, discount: float
) -> float | None:
    """The lowest threshold that reaches the precision in cross-validation; None if none does."""
    labels = messages.labels
    probability = np.empty(len(labels))
    for known, held in messages.folds(_FOLDS):
        model = fit(hyperparameters, deciding_rows(messages.take(known), scaled=hyperparameters.scaled))
        probability[held] = privacy_probability(model, messages.take(held), discount)[1]
    return evaluation.threshold_for(labels != schemas.NOT_PC, probability, precision)


@progress.task("choosing the discount of long messages")
def choose_discount_held_out(hyperparameters: Hyperparameters, messages: Messages, seed: int) -> float:
    """The discount (see `WindowLimits`), of a classifier that is fitted on four fifths and judged on the rest."""
    known, held = next(messages.folds(_FOLDS, seed))
    model = fit(hyperparameters, deciding_rows(messages.take(known), scaled=hyperparameters.scaled))
    return choose_discount(model, messages.take(held), seed)
