"""A linear model becomes one matrix product, if that gives the probabilities and labels of the estimator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.errors.bisecting import EveryRowFailsError
from beam_pcc.models import explaining, folding, scoring
from beam_pcc.models.registry import Registry
from tests.models.test_artifact import KINDS, METHODS, THREE, TWO, VECTORS, fit

NONE = np.empty((0, schemas.VECTOR_DIM), dtype=np.float32)


def scaled(**options: Any) -> Any:
    return make_pipeline(StandardScaler(**options), LogisticRegression(C=0.1))


def calibrated(method: str) -> Any:
    return CalibratedClassifierCV(scaled(), method=method, cv=3, ensemble=False)


LINEAR = {
    "regression": lambda: LogisticRegression(C=0.1),
    "scaled": scaled,
    "scaled without mean": lambda: scaled(with_mean=False),
    "scaled without deviation": lambda: scaled(with_std=False),
    "scaled twice": lambda: make_pipeline(make_pipeline(StandardScaler()), "passthrough", scaled(with_std=False)),
    **{f"calibrated {method}": lambda method=method: calibrated(method) for method in METHODS},
    **{f"scaled, calibrated {m}": lambda m=m: make_pipeline(StandardScaler(), calibrated(m)) for m in METHODS},
    **{name: KINDS[name] for name in KINDS if name.startswith("sgd") or (name[:3] == "svm" and name.endswith("False"))},
}
OTHERS = {
    "forest": (KINDS["forest"], "a RandomForestClassifier is not linear"),
    "boosted": (KINDS["boosted"], "a HistGradientBoostingClassifier is not linear"),
    "ensemble": (KINDS["svm sigmoid True"], "its calibration is an ensemble"),
    "other scaler": (lambda: make_pipeline(MinMaxScaler(), LogisticRegression()), "a MinMaxScaler is not folded"),
}
MODELS = {(kind, len(classes)): fit(LINEAR[kind](), classes) for kind in LINEAR for classes in (TWO, THREE)}


@pytest.mark.parametrize(("kind", "classes"), MODELS)
def test_linear_model_is_folded(kind: str, classes: int) -> None:
    decision = folding.decide(MODELS[kind, classes], VECTORS[:5], 0.5)
    assert decision.scorer == "folded", decision
    assert "on 5 golden and 256 random rows" in decision.reason


@pytest.mark.parametrize(("kind", "classes"), MODELS)
def test_folded_model_scores_as_estimator(kind: str, classes: int) -> None:
    model = MODELS[kind, classes]
    rows = np.concatenate([VECTORS, folding.random_vectors(100)])
    expected = model.predict_proba(rows.astype(np.float64))
    actual = folding.fold(model).predict_proba(rows)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=folding.TOLERANCE)
    np.testing.assert_array_equal(actual.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("kind", OTHERS)
def test_other_model_is_scored_by_estimator(kind: str) -> None:
    make, reason = OTHERS[kind]
    assert folding.decide(fit(make()), NONE, 0.5) == ("estimator", reason)


def test_folding_changes_nothing_of_the_estimator() -> None:
    model = MODELS["scaled, calibrated sigmoid", 3]
    before = model.predict_proba(VECTORS)
    folding.fold(model)
    np.testing.assert_array_equal(model.predict_proba(VECTORS), before)


def test_different_probabilities_keep_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    def folded(model: Any) -> folding.FoldedClassifier:
        one = fold(model)
        one.intercept[:] += 2e-5
        return one

    fold = folding.fold
    monkeypatch.setattr(folding, "fold", folded)
    scorer, reason = folding.decide(MODELS["scaled", 2], VECTORS[:5], 0.5)
    assert scorer == "estimator"
    assert reason.startswith("folded, its probabilities differ by")


def test_different_labels_keep_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["scaled", 2]
    folded = folding.fold(model)
    folded.intercept[:] -= 1e-8
    between = folded.predict_proba(VECTORS[:1])[0, 1] + 1e-10
    monkeypatch.setattr(folding, "fold", lambda _: folded)
    assert folding.decide(model, VECTORS[:1], between) == ("estimator", "folded, its labels differ")


def test_golden_rows_rounded_by_estimator_keep_it() -> None:
    model = fit(calibrated("isotonic"))
    calibrator = model.calibrated_classifiers_[0].calibrators[0]
    middle = float(np.median(calibrator.X_thresholds_))
    decisions = model.calibrated_classifiers_[0].estimator.decision_function(VECTORS)
    row = int(np.abs(decisions - middle).argmin())
    steep = decisions[row] + np.array([-3e-6, 3e-6])
    calibrator.X_thresholds_, calibrator.y_thresholds_ = steep, np.array([0.0, 1.0])
    calibrator.X_min_, calibrator.X_max_ = steep
    calibrator._build_f(steep, calibrator.y_thresholds_)
    scorer, reason = folding.decide(model, VECTORS[row : row + 1], 0.5)
    assert (scorer, reason[:31]) == ("estimator", "it rounds its golden rows by 0."), reason


@pytest.mark.parametrize("scale", [1e-30, 1e-19])
def test_scale_near_zero_is_not_folded(scale: float) -> None:
    model = fit(scaled())
    model.steps[0][1].scale_[7] = scale
    with pytest.raises(folding.NotLinearError):
        folding.fold(model)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 2e6])
def test_extreme_row_fails_or_scores_as_in_estimator(value: float) -> None:
    model = MODELS["scaled", 3]
    rows = VECTORS[:9].copy()
    rows[4, 100] = value
    ours, theirs = scoring.score(folding.fold(model), rows), scoring.score(model, rows)
    assert ours.errors == theirs.errors
    np.testing.assert_allclose(ours.probabilities[4], theirs.probabilities[4], rtol=0, atol=1e-15)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.sampled_from(sorted(MODELS)))
def test_scores_do_not_depend_on_batch_size(sizes: list[int], key: tuple[str, int]) -> None:
    folded = folding.fold(MODELS[key])
    rows = folding.random_vectors(sum(sizes))
    parts = np.split(rows, np.cumsum(sizes)[:-1])
    together = folded.predict_proba(rows)
    apart = np.concatenate([folded.predict_proba(part) for part in parts])
    # An isotonic calibration rounds its input to float32, so that a step of it may lie between two roundings.
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-6 if "isotonic" in key[0] else 1e-12)


@given(st.lists(st.integers(0, 299), max_size=20, unique=True))
def test_extreme_rows_leave_the_others_alone(places: list[int]) -> None:
    folded = folding.fold(MODELS["calibrated sigmoid", 3])
    rows = folding.random_vectors(300)
    expected = folded.predict_proba(rows)
    rows[places, 3] = 1e7
    actual = folded.predict_proba(rows)
    others = np.setdiff1d(np.arange(300), places)
    np.testing.assert_allclose(actual[others], expected[others], rtol=0, atol=1e-12)
    assert np.isfinite(actual).all()


@pytest.mark.parametrize("rows", [1, 2_000])
@pytest.mark.parametrize("value", [1e3, 1e5, scoring.EXTREME])
def test_large_rows_are_no_extreme_ones(value: float, rows: int) -> None:
    """Each value counts, not the sum of their squares: no row is left for the estimator, which refuses none."""
    vectors = np.full((rows, schemas.VECTOR_DIM), value, dtype=np.float32)
    model = fit(scaled())
    np.testing.assert_allclose(folding.fold(model).predict_proba(vectors), model.predict_proba(vectors), atol=1e-6)


def test_no_rows_give_what_the_estimator_gives() -> None:
    with pytest.raises(ValueError, match="0 sample"):
        folding.fold(MODELS["scaled", 2]).predict_proba(NONE)


def test_every_row_failing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    folded = folding.fold(fit(scaled()))
    folded.intercept[:] = np.nan
    folded._estimator.steps[1][1].coef_ = np.full((1, 584), np.nan)
    with pytest.raises(EveryRowFailsError):
        scoring.score(folded, VECTORS[:3])


def test_explanation_is_that_of_the_estimator() -> None:
    model = fit(calibrated("sigmoid"), THREE)
    mean = VECTORS.mean(axis=0)
    parts = []
    for scorer in (model, folding.fold(model)):
        explainer = explaining.Explainer(scorer, THREE, mean)
        odds = explaining.log_odds(scoring.privacy_probability(scorer.predict_proba(VECTORS), THREE))
        parts.append(explainer.blocks(VECTORS, odds))
        np.testing.assert_allclose(explainer.base + parts[-1].sum(axis=1), odds, atol=1e-9)
    np.testing.assert_allclose(parts[0], parts[1], atol=1e-4)


@pytest.fixture
def folder(tmp_path: Path, registry: Path) -> Path:
    shutil.copytree(registry, tmp_path / "models")
    return tmp_path / "models"


def test_registry_loads_the_folded_model(folder: Path) -> None:
    registry = Registry(str(folder))
    version, model = registry.load(registry.resolve())
    assert version.file.scorer == "folded"
    assert isinstance(model, folding.FoldedClassifier)
    assert isinstance(version.file.load(), folding.FoldedClassifier)


@pytest.mark.end_to_end
def test_verify_says_what_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "verify", "--models", str(folder)]) == 0
    assert "scored by   one matrix product (differs by" in capsys.readouterr().out
    assert cli.main(["models", "verify", "--models", str(folder), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["scorer"] == "folded"
