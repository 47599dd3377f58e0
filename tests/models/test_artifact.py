"""Valid models of every allowed class load as they were saved; others are refused with a remedy."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from beam_pcc.models import artifact
from tests.models.refusals import refusal

WHERE = "models/v20261120_060000/model.file"
ROWS = 60
VECTORS = np.random.default_rng(7).normal(size=(ROWS, 584)).astype(np.float32)
TWO = ("NOT_PC", "PC")
THREE = ("NOT_PC", "PC/access", "PC/deletion")
METHODS = ["sigmoid", "isotonic", *(["temperature"] if hasattr(sklearn.calibration, "_TemperatureScaling") else [])]


def labels(classes: tuple[str, ...], kind: Any = object) -> np.ndarray:
    return np.array([classes[i % len(classes)] for i in range(ROWS)], dtype=kind)


def fit(model: Any, classes: tuple[str, ...] = TWO, kind: Any = object) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few iterations do not converge
        return model.fit(VECTORS, labels(classes, kind))


def svm() -> Any:
    return LinearSVC(max_iter=20, tol=1.0)


def sgd(loss: str) -> Any:
    return SGDClassifier(loss=loss, alpha=10.0, max_iter=3, random_state=1)


KINDS = {
    "logistic": lambda: LogisticRegression(max_iter=5),
    "logistic saga": lambda: LogisticRegression(solver="saga", max_iter=3, random_state=np.random.RandomState(3)),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=5)),
    "sgd log_loss": lambda: sgd("log_loss"),
    "sgd modified_huber": lambda: sgd("modified_huber"),
    "sgd averaged": lambda: sgd("log_loss").set_params(average=True, early_stopping=True),
    "forest": lambda: RandomForestClassifier(3, random_state=1),
    "forest grown by leaves": lambda: RandomForestClassifier(3, max_leaf_nodes=5, class_weight="balanced"),
    "perceptron": lambda: MLPClassifier((5, 4), max_iter=2, early_stopping=True, random_state=1),
    "perceptron by sgd": lambda: make_pipeline(StandardScaler(), MLPClassifier((3,), solver="sgd", max_iter=2)),
    "perceptron by lbfgs": lambda: MLPClassifier((), solver="lbfgs", activation="tanh", max_iter=2),
    "calibrated perceptron": lambda: CalibratedClassifierCV(MLPClassifier((4,), max_iter=2), cv=2, ensemble=False),
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3, max_leaf_nodes=4),
    "boosted with a generator": lambda: HistGradientBoostingClassifier(
        max_iter=2, min_samples_leaf=3, max_leaf_nodes=4, max_features=0.5, early_stopping=True, random_state=1
    ),
    **{
        f"svm {method} {ensemble}": lambda method=method, ensemble=ensemble: CalibratedClassifierCV(
            svm(), method=method, cv=2, ensemble=ensemble
        )
        for method in METHODS
        for ensemble in (True, False, "auto")
    },
    **{
        f"frozen {method}": lambda method=method: CalibratedClassifierCV(
            FrozenEstimator(fit(make_pipeline(StandardScaler(), sgd("hinge")), THREE)), method=method
        )
        for method in METHODS
    },
    "calibrated squared hinge": lambda: CalibratedClassifierCV(sgd("squared_hinge"), cv=2),
    "calibrated forest": lambda: CalibratedClassifierCV(RandomForestClassifier(2), cv=2),
    "calibrated boosted": lambda: CalibratedClassifierCV(KINDS["boosted"](), cv=2),
    "pipeline of a calibration": lambda: make_pipeline(StandardScaler(), CalibratedClassifierCV(svm(), cv=2)),
}


def saved(model: Any, how: str) -> tuple[bytes, str]:
    """The model's file, and its format."""
    if how == "skops":
        return skops.io.dumps(model), "skops"
    if how.startswith("pickle"):
        return pickle.dumps(model, protocol=int(how[-1])), "joblib"
    file = io.BytesIO()
    joblib.dump(model, file, compress=0 if how == "joblib" else (how, 3))
    return file.getvalue(), "joblib"


def load(data: bytes, file_format: str, **options: Any) -> Any:
    return artifact.load(data, file_format=file_format, where=WHERE, **options)


def error_of(call: Any, *arguments: Any, **options: Any) -> str:
    return refusal(f"{WHERE} ", call, *arguments, **options)


@pytest.fixture(scope="module")
def logistic() -> Any:
    return fit(LogisticRegression(max_iter=5))


@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("kind", KINDS)
def test_allowed_model_scores_as_before_saving(kind, classes):
    if kind.startswith("frozen"):
        classes = THREE  # what was frozen has its classes
    model = fit(KINDS[kind](), classes)
    expected = model.predict_proba(VECTORS)
    for how in ("joblib", "zlib", "skops"):
        again = load(*saved(model, how))
        assert artifact.check_classifier(again, where=WHERE, classes=classes) == classes
        np.testing.assert_array_equal(again.predict_proba(VECTORS), expected)


@pytest.mark.parametrize("kind", ["logistic", "forest", "boosted", "svm isotonic True"])
@pytest.mark.parametrize("how", ["gzip", "bz2", "xz", "lzma", "pickle3", "pickle4", "pickle5"])
def test_other_compressions_and_pickles_load(kind, how):
    model = fit(KINDS[kind]())
    np.testing.assert_array_equal(load(*saved(model, how)).predict_proba(VECTORS), model.predict_proba(VECTORS))


@pytest.mark.parametrize("how", ["joblib", "skops"])
def test_labels_of_fixed_width_text_load_too(how):
    model = fit(KINDS["forest"](), THREE, kind=str)
    assert artifact.check_classifier(load(*saved(model, how)), where=WHERE) == THREE


@pytest.mark.parametrize("how", ["joblib", "pickle4", "skops"])
def test_isotonic_calibrator_of_one_threshold_loads(how):
    """All of a fold's scores are the same: then it says one value for all."""
    model = fit(KINDS["svm isotonic True"]())
    for one in model.calibrated_classifiers_:
        one.calibrators[0].fit(np.zeros(4), np.array([0.0, 1.0, 1.0, 1.0]))
        assert len(one.calibrators[0].X_thresholds_) == 1
    if how.startswith("skops"):
        for one in model.calibrated_classifiers_:
            del one.calibrators[0].f_
    again = load(*saved(model, how))
    assert artifact.check_classifier(again, where=WHERE) == TWO
    for one in model.calibrated_classifiers_:
        one.calibrators[0]._build_f(one.calibrators[0].X_thresholds_, one.calibrators[0].y_thresholds_)
    np.testing.assert_array_equal(again.predict_proba(VECTORS), model.predict_proba(VECTORS))


def test_no_op_steps_are_removed():
    model = fit(make_pipeline("passthrough", StandardScaler(), None, LogisticRegression(max_iter=5)))
    again = load(*saved(model, "joblib"))
    assert artifact.check_classifier(again, where=WHERE) == TWO
    np.testing.assert_array_equal(again.predict_proba(VECTORS), model.predict_proba(VECTORS))


@pytest.mark.parametrize("how", ["joblib", "pickle5", "skops"])
def test_training_leftovers_are_dropped(how):
    again = load(*saved(fit(KINDS["boosted with a generator"]()), how))
    assert not hasattr(again, "_feature_subsample_rng")
    assert not hasattr(again, "_label_encoder")
    assert again._bin_mapper.bin_thresholds_ == []
    assert again.random_state is None


def test_file_does_not_set_threads():
    model = fit(RandomForestClassifier(3, n_jobs=7, verbose=9))
    again = load(*saved(model, "joblib"))
    assert (again.n_jobs, again.verbose) == (None, 0)


def test_order_of_coefficients_is_kept():
    """It decides in which order BLAS adds, so that the last bit of a score would change."""
    model = fit(KINDS["logistic"](), THREE)
    model.coef_ = np.asfortranarray(model.coef_)
    again = load(*saved(model, "joblib"))
    assert again.coef_.flags.f_contiguous
    np.testing.assert_array_equal(again.predict_proba(VECTORS), model.predict_proba(VECTORS))


def test_models_of_single_precision_score_as_before():
    model = fit(KINDS["logistic"]())
    model.coef_, model.intercept_ = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    again = load(*saved(model, "joblib"))
    assert again.coef_.dtype == np.float32
    np.testing.assert_array_equal(again.predict_proba(VECTORS), model.predict_proba(VECTORS))


@pytest.mark.parametrize("how", ["joblib", "pickle4"])
def test_shared_estimator_is_built_once(how):
    frozen = FrozenEstimator(fit(RandomForestClassifier(3)))
    again = load(*saved(fit(CalibratedClassifierCV(frozen, cv=3, ensemble=True)), how))
    first, *others = (one.estimator for one in again.calibrated_classifiers_)
    assert all(one is first for one in others)


def test_digest_is_sha256():
    assert artifact.digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_file_with_other_digest_is_refused(logistic):
    data, file_format = saved(logistic, "joblib")
    digest = artifact.digest(data)
    assert load(data, file_format, pins={"a": digest, "b": digest.upper(), "c": None}).n_features_in_ == 584
    other = "0" * 64
    error = error_of(load, data, file_format, pins={"a": digest, "b": other})
    assert f"has the SHA-256 digest {digest}, not {other} as b says; " in error


def test_digest_is_compared_before_parsing():
    assert "has the SHA-256 digest" in error_of(load, b"not a pickle", "joblib", pins={"a": "0" * 64})


def test_too_large_model_file_is_refused(monkeypatch, logistic):
    data, file_format = saved(logistic, "joblib")
    monkeypatch.setattr(artifact, "MAX_MODEL_BYTES", len(data) - 1)
    assert "train a smaller model" in error_of(load, data, file_format)


def test_unknown_format_is_refused(logistic):
    assert "is no pmml model" in error_of(load, saved(logistic, "joblib")[0], "pmml")


@pytest.mark.parametrize("how", ["joblib", "skops"])
def test_model_of_another_scikit_learn_is_refused(how, monkeypatch):
    model = fit(KINDS["pipeline"]())
    monkeypatch.setattr(sklearn.base, "__version__", "1.2.3")
    data = saved(model, how)
    monkeypatch.undo()
    error = error_of(load, *data)
    assert f"was saved with scikit-learn 1.2.3, but this is {sklearn.__version__}; train anew" in error


def test_warning_filters_are_as_before(logistic):
    before = list(warnings.filters)
    load(*saved(logistic, "joblib"))
    assert warnings.filters == before


@pytest.mark.parametrize("how", ["joblib", "skops"])
@pytest.mark.parametrize(
    "model",
    [LinearRegression(), HistGradientBoostingRegressor(max_iter=1), ExtraTreesClassifier(2), svm(), StandardScaler()],
    ids=lambda model: type(model).__name__,
)
def test_other_class_than_allowed_is_refused(model, how):
    target = labels(TWO) if "Class" in type(model).__name__ or "SVC" in type(model).__name__ else np.arange(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(VECTORS, target)
    assert type(model).__name__ in error_of(load, *saved(model, how))


def check(model: Any, **options: Any) -> str:
    return error_of(artifact.check_classifier, model, where=WHERE, **options)


def test_classifier_without_probabilities_is_refused():
    assert "gives no probabilities; calibrate it" in check(fit(sgd("hinge")))


def test_untrained_classifier_is_refused():
    assert "cannot score vectors of 584 values" in check(LogisticRegression())


def test_width_of_the_vectors_is_checked(logistic):
    assert "was trained on 584 features, but vectors have 384" in check(logistic, feature_count=384)


@pytest.mark.parametrize(
    "classes",
    [("NOT_PC", "OTHER"), ("PC", "PC/access"), ("NOT_PC", "PC/"), ("NOT_PC", "pc"), ("NOT_PC", "PC", "spam")],
    ids=" ".join,
)
def test_unknown_classes_are_refused(classes):
    error = check(fit(KINDS["logistic"](), classes))
    assert f"has the classes {', '.join(classes)}; label the training data" in error


def test_classes_that_are_no_text_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KINDS["logistic"]().fit(VECTORS, np.arange(ROWS) % 2)
    assert "has the classes 0, 1; label" in check(model)


def test_classes_must_match_metadata_in_order(logistic):
    assert artifact.check_classifier(logistic, where=WHERE, classes=["NOT_PC", "PC"]) == TWO
    assert "has the classes NOT_PC, PC, but its metadata says PC, NOT_PC;" in check(logistic, classes=["PC", "NOT_PC"])


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_non_finite_probabilities_are_refused(spoil):
    model = fit(KINDS["logistic"]())
    model.intercept_[:] = spoil
    model.coef_[:] = spoil
    assert "gives no probabilities" in check(model)


def test_one_probability_too_few_is_refused():
    model = fit(KINDS["logistic"](), THREE)
    model.coef_, model.intercept_ = model.coef_[:2], model.intercept_[:2]
    assert "gives no probabilities" in check(model)


def test_import_is_light():
    heavy = "import sys, beam_pcc.models.artifact; print({'sklearn', 'joblib', 'skops', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
