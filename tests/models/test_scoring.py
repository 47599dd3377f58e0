"""Vectors to probabilities: only failing rows get errors, and the parts of a linear decision add up to it."""

import errno
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from beam_pcc.cases import schemas
from beam_pcc.errors import WarehouseError
from beam_pcc.errors.bisecting import FAILURES, EveryRowFailsError
from beam_pcc.models.scoring import LinearExplainer, difference, needs_review, privacy_probability, score

ROWS = 60
BINARY = ("NOT_PC", "PC")
SUBTYPES = ("NOT_PC", "PC/access", "PC/deletion")
EMBEDDING, TFIDF = schemas.BLOCKS.values()


def data(classes: tuple[str, ...] = BINARY) -> tuple[schemas.Vectors, np.ndarray]:
    """Rows whose scale differs from feature to feature, so that a scaler has something to do."""
    rng = np.random.default_rng(7)
    labels = np.array(classes)[np.arange(ROWS) % len(classes)]
    shift = np.array([rng.standard_normal(schemas.VECTOR_DIM) for _ in classes])[np.arange(ROWS) % len(classes)]
    vectors = (rng.standard_normal((ROWS, schemas.VECTOR_DIM)) + 0.3 * shift) * rng.uniform(0.5, 2, schemas.VECTOR_DIM)
    return (vectors + rng.standard_normal(schemas.VECTOR_DIM)).astype(np.float32), labels


def regression() -> LogisticRegression:
    return LogisticRegression(C=0.05)


VECTORS, LABELS = data()
SCALED = make_pipeline(StandardScaler(), regression()).fit(VECTORS, LABELS)


class Says:
    """A classifier that says what it was given, whatever it is asked."""

    classes_ = np.array(BINARY)

    def __init__(self, *rows: list[float]) -> None:
        self._rows = rows

    def predict_proba(self, vectors: schemas.Vectors) -> np.ndarray:
        return np.array(self._rows)


@given(st.sets(st.integers(0, ROWS - 1)), st.integers(0, ROWS))
def test_exactly_the_rows_that_make_a_model_raise_are_left_out(failing: set[int], rows: int) -> None:
    failing = {row for row in failing if row < rows}
    vectors = VECTORS[:rows].copy()
    vectors[sorted(failing)] = 3e38  # float32 holds it, but not what the scaler makes of it

    scores = score(SCALED, vectors)

    assert set(scores.errors) == failing
    assert scores.probabilities.shape == (rows, 2)
    others = [row for row in range(rows) if row not in failing]
    assert np.isnan(scores.probabilities[sorted(failing)]).all()
    if others:
        np.testing.assert_allclose(scores.probabilities[others], SCALED.predict_proba(VECTORS[others]), rtol=1e-4)


def test_error_of_a_row_holds_the_type_and_no_value() -> None:
    vectors = VECTORS[:2].copy()
    vectors[1, 0] = np.inf

    assert score(SCALED, vectors).errors == {1: "the model raised ValueError"}


class Raises:
    """A classifier that raises: always, or for the rows that are not zeros."""

    classes_ = np.array(BINARY)

    def __init__(self, error: Exception, *, scores_zeros: bool = False) -> None:
        self.error = error
        self.calls = 0
        self._scores_zeros = scores_zeros

    def predict_proba(self, vectors: schemas.Vectors) -> np.ndarray:
        self.calls += 1
        if self._scores_zeros and not vectors.any():
            return np.full((len(vectors), 2), 0.5)
        raise self.error


@pytest.mark.parametrize("rows", [1, 3, FAILURES, 2_000])
def test_model_that_fails_on_every_row_ends_the_bisecting(rows: int) -> None:
    model = Raises(ValueError("a secret"))

    with pytest.raises(EveryRowFailsError, match=r"^ValueError$"):
        score(model, np.ones((rows, schemas.VECTOR_DIM), np.float32))
    assert model.calls < 4 * FAILURES


def test_rows_that_all_fail_are_row_errors_of_a_sound_model() -> None:
    scores = score(Raises(ValueError(), scores_zeros=True), VECTORS)
    assert set(scores.errors) == set(range(ROWS))


def test_model_without_true_probabilities_fails_on_every_row() -> None:
    with pytest.raises(EveryRowFailsError, match="not between 0 and 1"):
        score(Says([np.nan, 0.5]), VECTORS[:1])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("8 GiB"),
        pa.ArrowMemoryError("malloc failed"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(errno.ENOSPC, "No space left on device"),
        ModuleNotFoundError("No module named 'x'"),
        WarehouseError("as it was"),
    ],
    ids=repr,
)
def test_fault_of_the_machine_is_no_row_error(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        score(Raises(error, scores_zeros=True), VECTORS)
    assert raised.value is error


def test_no_rows_have_no_errors() -> None:
    scores = score(SCALED, VECTORS[:0])

    assert scores.probabilities.shape == (0, 2)
    assert scores.errors == {}


@pytest.mark.parametrize("bad", [[np.nan, 0.5], [np.nan, np.nan], [-0.1, 1.1], [0.0, np.inf], [1.5, 0.2]], ids=str)
def test_a_row_without_true_probabilities_is_guilty_and_its_neighbours_are_not(bad: list[float]) -> None:
    scores = score(Says([0.25, 0.75], bad, [1.0, 0.0]), VECTORS[:3])

    assert list(scores.errors) == [1]
    np.testing.assert_array_equal(scores.probabilities, [[0.25, 0.75], [np.nan, np.nan], [1.0, 0.0]])


class Overflows:
    """Gives sound probabilities, but overflows on the way to them, as a plain sigmoid does."""

    classes_ = np.array(BINARY)

    def predict_proba(self, vectors: schemas.Vectors) -> np.ndarray:
        p = 1.0 / (1.0 + np.exp(-vectors[:, 0]))
        return np.column_stack([1.0 - p, p])


def test_a_model_that_overflows_on_the_way_to_sound_probabilities_is_not_blamed_for_it() -> None:
    far = np.full((1, schemas.VECTOR_DIM), -1e4, np.float32)
    scores = score(Overflows(), far)  # in the tests, a warning is an error

    assert scores.errors == {}
    assert scores.probabilities.tolist() == [[1.0, 0.0]]


def test_the_probability_of_pc_is_that_of_all_privacy_classes_but_never_above_one() -> None:
    classes = ("PC/a", "NOT_PC", "PC", "PCX")
    p = privacy_probability(np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 3e-16, 0.0]]), classes)
    assert p.tolist() == [0.5, 1.0]


def test_review_is_for_what_is_nearer_to_the_threshold_than_the_band() -> None:
    p = np.array([0.25, 0.375, 0.5, 0.625, 0.75, np.nan])
    assert needs_review(p, 0.5, 0.25).tolist() == [False, True, True, True, False, False]


def test_a_model_gives_its_own_golden_rows_again() -> None:
    assert difference(score(SCALED, VECTORS[:5]).probabilities, SCALED.predict_proba(VECTORS[:5])) == pytest.approx(
        0.0, abs=1e-9
    )


def test_the_largest_difference_of_golden_rows_counts() -> None:
    assert (
        difference(score(Says([0.5, 0.5], [0.75, 0.25]), VECTORS[:2]).probabilities, np.array([[0.5, 0.5], [0.5, 0.5]]))
        == 0.25
    )


@pytest.mark.parametrize("expected", [[[0.25, 0.25, 0.5]], [[0.5, np.nan]]], ids=["other classes", "not a number"])
def test_golden_rows_that_cannot_be_compared_are_wholly_off(expected: list[list[float]]) -> None:
    assert difference(score(Says([0.5, 0.5]), VECTORS[:1]).probabilities, np.array(expected)) == 1.0


def deciders(model: Any) -> list[Any]:
    """The linear models whose mean decision a model's probabilities come from."""
    if not hasattr(model, "calibrated_classifiers_"):
        return [model]
    inner = [calibrated.estimator for calibrated in model.calibrated_classifiers_]
    return [e.estimator if isinstance(e, FrozenEstimator) else e for e in inner]


def center(model: Any) -> np.ndarray:
    """Where a linear model's features are zero: the mean of its scaler, if it has one."""
    scalers = [step for _, step in getattr(model, "steps", []) if isinstance(step, StandardScaler) and step.with_mean]
    return scalers[0].mean_ if scalers else np.zeros(schemas.VECTOR_DIM)


def decisions(model: Any, vectors: np.ndarray) -> np.ndarray:
    """(n, classes): the decision for each class; of a binary model, 0 and the decision for PC."""
    total = np.mean([m.decision_function(vectors) for m in deciders(model)], axis=0)
    return np.column_stack([np.zeros(len(total)), total]) if total.ndim == 1 else total


def calibrated(model: Any, **how: Any) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(model, cv=3, **how)


LINEAR = {
    "logistic": regression,
    "scaled": lambda: make_pipeline(StandardScaler(), regression()),
    "scaled by deviation only": lambda: make_pipeline(StandardScaler(with_mean=False), regression()),
    "scaled by mean only": lambda: make_pipeline(StandardScaler(with_std=False), regression()),
    "calibrated": lambda: calibrated(make_pipeline(StandardScaler(), regression()), ensemble=False),
    "calibrated ensemble": lambda: calibrated(make_pipeline(StandardScaler(), regression()), ensemble=True),
    "calibrated isotonic": lambda: calibrated(regression(), method="isotonic", ensemble=False),
    "calibrated machine": lambda: calibrated(LinearSVC(C=0.01), ensemble=False),
    "descent": lambda: SGDClassifier(loss="log_loss", alpha=1.0, random_state=0),
}


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR.keys())
@pytest.mark.parametrize("classes", [BINARY, SUBTYPES], ids=["binary", "subtypes"])
def test_the_blocks_add_up_to_the_decision_for_pc_against_not_pc(classes: tuple[str, ...], make: Any) -> None:
    vectors, labels = data(classes)
    model = make().fit(vectors, labels)
    assert tuple(model.classes_) == classes

    explainer = LinearExplainer.of(model, classes)

    assert explainer is not None
    zero = np.mean([center(m) for m in deciders(model)], axis=0)
    moved = decisions(model, vectors) - decisions(model, zero[None, :])
    probabilities = model.predict_proba(vectors)
    published = 1 + probabilities[:, 1:].argmax(axis=1)
    expected = np.take_along_axis(moved, published[:, None], axis=1)[:, 0] - moved[:, 0]
    np.testing.assert_allclose(explainer.blocks(vectors, probabilities).sum(axis=1), expected, rtol=1e-4, atol=1e-4)


def test_the_subtype_that_is_published_is_explained_even_when_an_intercept_decided_it() -> None:
    vectors, labels = data(SUBTYPES)
    model = regression().fit(vectors, labels)
    model.intercept_ = np.array([0.0, 100.0, 0.0])  # PC/access, whatever the vector says
    explainer = LinearExplainer.of(model, SUBTYPES)
    assert explainer is not None

    blocks = explainer.blocks(vectors, model.predict_proba(vectors))

    np.testing.assert_allclose(blocks.sum(axis=1), vectors @ (model.coef_[1] - model.coef_[0]), rtol=1e-4, atol=1e-4)


def test_each_block_depends_on_its_own_part_of_the_vector_only() -> None:
    explainer = LinearExplainer.of(SCALED, BINARY)
    assert explainer is not None
    other_terms = VECTORS.copy()
    other_terms[:, TFIDF] = 0.0

    probabilities = SCALED.predict_proba(VECTORS)
    before, after = explainer.blocks(VECTORS, probabilities), explainer.blocks(other_terms, probabilities)

    np.testing.assert_array_equal(before[:, 0], after[:, 0])
    assert (before[:, 1] != after[:, 1]).all()


def test_a_frozen_model_is_explained_as_the_model_in_it() -> None:
    frozen = calibrated(FrozenEstimator(SCALED)).fit(VECTORS, LABELS)
    explainer, plain = LinearExplainer.of(frozen, BINARY), LinearExplainer.of(SCALED, BINARY)
    assert explainer is not None
    assert plain is not None
    probabilities = SCALED.predict_proba(VECTORS)
    np.testing.assert_allclose(explainer.blocks(VECTORS, probabilities), plain.blocks(VECTORS, probabilities))


NOT_LINEAR = {
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=2),
    "calibrated forest": lambda: calibrated(RandomForestClassifier(5, random_state=0), ensemble=False),
    "scaled forest": lambda: make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
    "other scaler": lambda: make_pipeline(MinMaxScaler(), regression()),
}


@pytest.mark.parametrize("make", NOT_LINEAR.values(), ids=NOT_LINEAR.keys())
def test_a_model_that_is_not_linear_has_no_explainer(make: Any) -> None:
    assert LinearExplainer.of(make().fit(VECTORS, LABELS), BINARY) is None
