"""The parts of a score: with the base they are its log-odds in sum, for any model."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from beam_pcc.cases import schemas
from beam_pcc.models.explaining import SUREST, Explainer, log_odds, rounded
from beam_pcc.models.scoring import privacy_probability
from tests.models.test_scoring import BINARY, data, regression

SUBTYPES = ("NOT_PC", "PC/access", "PC/deletion")
EMBEDDING, TFIDF = schemas.BLOCKS.values()


def scaled() -> Any:
    return make_pipeline(StandardScaler(), regression())


def calibrated(model: Any, **how: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(model, cv=3, **how)


MODELS = {
    "logistic": regression,
    "scaled": scaled,
    "calibrated": lambda: calibrated(scaled(), ensemble=False),
    "calibrated ensemble": lambda: calibrated(scaled(), ensemble=True),
    "calibrated isotonic": lambda: calibrated(regression(), method="isotonic", ensemble=False),
    "calibrated machine": lambda: calibrated(LinearSVC(C=0.01), ensemble=False),
    "frozen": lambda: calibrated(FrozenEstimator(scaled().fit(*data()))),
    "descent": lambda: SGDClassifier(loss="log_loss", alpha=1.0, random_state=0),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=2),
}
FITTED: dict[tuple[str, tuple[str, ...]], Any] = {}


def fitted(name: str, classes: tuple[str, ...]) -> Any:
    if (name, classes) not in FITTED:
        FITTED[name, classes] = MODELS[name]().fit(*data(BINARY if name == "frozen" else classes))
    return FITTED[name, classes]


def odds_of(model: Any, vectors: schemas.Vectors) -> np.ndarray:
    return log_odds(privacy_probability(model.predict_proba(vectors), tuple(model.classes_)))


def explainer_of(model: Any, vectors: schemas.Vectors) -> Explainer:
    return Explainer(model, tuple(model.classes_), vectors.mean(axis=0))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("classes", [BINARY, SUBTYPES], ids=["binary", "subtypes"])
def test_base_and_blocks_are_the_log_odds_in_sum(name: str, classes: tuple[str, ...]) -> None:
    vectors, _ = data(classes)
    model = fitted(name, classes)
    explainer, odds = explainer_of(model, vectors), odds_of(model, vectors)

    blocks = explainer.blocks(vectors, odds)

    assert explainer.base == pytest.approx(odds_of(model, vectors.mean(axis=0)[None, :])[0])
    np.testing.assert_allclose(explainer.base + blocks.sum(axis=1), odds, atol=1e-9)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from([BINARY, SUBTYPES]),
    hnp.arrays(np.float32, (3, schemas.VECTOR_DIM), elements=st.floats(-100, 100, width=32), fill=st.just(0.5)),
)
def test_any_vector_is_explained_to_its_log_odds(name: str, classes: tuple[str, ...], vectors: schemas.Vectors) -> None:
    model = fitted(name, classes)
    explainer, odds = explainer_of(model, data(classes)[0]), odds_of(model, vectors)

    blocks = explainer.blocks(vectors, odds)
    terms = explainer.terms(vectors[0], float(odds[0]), float(blocks[0, 1]))

    np.testing.assert_allclose(explainer.base + blocks.sum(axis=1), odds, atol=1e-9)
    assert terms.terms.sum() + terms.rest == pytest.approx(blocks[0, 1], abs=1e-9)


@pytest.mark.parametrize("name", ["logistic", "scaled", "descent"])
def test_parts_of_a_linear_model_are_weights_times_the_distance(name: str) -> None:
    vectors, _ = data()
    model = fitted(name, BINARY)
    weights = (model[-1].coef_ / model[0].scale_ if name == "scaled" else model.coef_)[0]
    weighted = weights * (vectors - vectors.mean(axis=0))
    odds = odds_of(model, vectors)
    assert np.abs(odds).max() < 13
    explainer = explainer_of(model, vectors)

    blocks = explainer.blocks(vectors, odds)
    terms = explainer.terms(vectors[0], float(odds[0]), float(blocks[0, 1]))

    np.testing.assert_allclose(blocks[:, 0], weighted[:, EMBEDDING].sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(blocks[:, 1], weighted[:, TFIDF].sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(terms.terms, weighted[0, TFIDF], atol=1e-4)
    assert terms.rest == pytest.approx(0, abs=1e-4)


def test_the_mean_vector_has_no_parts() -> None:
    vectors, _ = data()
    model = fitted("calibrated", BINARY)
    mean = vectors.mean(axis=0)[None, :]

    np.testing.assert_allclose(explainer_of(model, vectors).blocks(mean, odds_of(model, mean)), 0, atol=1e-9)


def test_parts_of_a_class_point_to_it() -> None:
    """As relative to zero both blocks did not."""
    vectors, labels = data()
    model = fitted("calibrated", BINARY)
    sums = explainer_of(model, vectors).blocks(vectors, odds_of(model, vectors)).sum(axis=1)

    assert sums[labels == "PC"].mean() > 0 > sums[labels == "NOT_PC"].mean()


class Steps:
    """Probabilities 0 and 1, and an error for what is far from both."""

    classes_ = np.array(BINARY)

    def predict_proba(self, vectors: schemas.Vectors) -> np.ndarray:
        if (np.abs(vectors) > 5).any():
            raise ValueError("far")
        p = (vectors.sum(axis=1) > 0).astype(float)
        return np.column_stack([1 - p, p])


def test_log_odds_of_certainty_are_finite() -> None:
    vectors = np.ones((1, schemas.VECTOR_DIM), np.float32)
    explainer = Explainer(Steps(), BINARY, -vectors[0])

    blocks = explainer.blocks(vectors, odds_of(Steps(), vectors))

    assert explainer.base == pytest.approx(np.log(SUREST / (1 - SUREST)))
    assert explainer.base + blocks.sum() == pytest.approx(-explainer.base)


def test_row_whose_blocks_cannot_be_scored_alone_has_no_parts() -> None:
    vectors = np.ones((2, schemas.VECTOR_DIM), np.float32)
    vectors[1, 0] = 9
    blocks = Explainer(Steps(), BINARY, -vectors[0]).blocks(vectors, np.array([1.0, 1.0]))

    assert np.isfinite(blocks[0]).all()
    assert np.isnan(blocks[1]).any()


def test_mean_that_cannot_be_scored_explains_nothing() -> None:
    mean = np.full(schemas.VECTOR_DIM, 9, np.float32)
    explainer = Explainer(Steps(), BINARY, mean)

    assert np.isnan(explainer.base)
    assert np.isnan(explainer.blocks(mean[None, :] * 0, np.array([1.0]))).all()


def test_no_rows_have_no_parts() -> None:
    vectors, _ = data()
    assert explainer_of(fitted("logistic", BINARY), vectors).blocks(vectors[:0], np.empty(0)).shape == (0, 2)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(1, 6)), elements=st.floats(-40, 40)),
    st.integers(0, 3),
)
def test_rounded_parts_are_the_rounded_total(parts: np.ndarray, digits: int) -> None:
    total = parts.sum(axis=1)
    whole, pieces = rounded(total, parts, digits)

    np.testing.assert_allclose(pieces.sum(axis=1), whole, atol=1e-9)
    np.testing.assert_allclose(whole, total, atol=0.51 * 10.0**-digits)
    np.testing.assert_allclose(pieces, parts, atol=(parts.shape[1] / 2 + 1) * 10.0**-digits)
    assert not (np.signbit(whole) & (whole == 0)).any()
