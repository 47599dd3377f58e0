"""Vectors to probabilities: only failing rows get errors."""

import errno

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beam_pcc.cases import schemas
from beam_pcc.errors import WarehouseError
from beam_pcc.errors.bisecting import FAILURES, EveryRowFailsError
from beam_pcc.models.scoring import difference, needs_review, privacy_probability, score

ROWS = 60
BINARY = ("NOT_PC", "PC")


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
