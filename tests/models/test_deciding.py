"""The window of the highest P(PC) decides; its odds are discounted by the number of windows."""

import math
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import schemas
from beam_pcc.models import scoring
from beam_pcc.models.deciding import decide, score_cases
from beam_pcc.models.scoring import Scores
from tests.inputs import cases as some_cases

CLASSES = ("NOT_PC", "PC/access", "PC/deletion")


def scores(*privacy: tuple[float, float]) -> Scores:
    return Scores(np.array([(1 - sum(row), *row) for row in privacy]))


def counts(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_window_of_highest_p_decides() -> None:
    rows, decided = decide(scores((0.1, 0.1), (0.1, 0.6), (0.3, 0.1), (0.2, 0.0)), counts(3, 1), CLASSES, 0.0)
    assert rows.tolist() == [1, 3]
    np.testing.assert_allclose(decided.probabilities, [[0.3, 0.1, 0.6], [0.8, 0.2, 0.0]])


def test_first_of_equal_windows_decides() -> None:
    assert decide(scores((0.4, 0.1), (0.4, 0.1)), counts(2), CLASSES, 0.5)[0].tolist() == [0]


def test_odds_are_discounted_by_windows() -> None:
    _, decided = decide(scores((0.2, 0.6), (0, 0), (0, 0), (0, 0)), counts(4), CLASSES, 0.5)
    privacy = 1 - decided.probabilities[0, 0]
    assert math.log(privacy / (1 - privacy)) == pytest.approx(math.log(0.8 / 0.2) - 0.5 * math.log(4))
    assert decided.probabilities[0, 2] / decided.probabilities[0, 1] == pytest.approx(3)  # the subtype is the same
    np.testing.assert_allclose(decided.discounts, [0.5 * math.log(4)])


def test_message_of_one_window_keeps_its_bits() -> None:
    whole = scores((0.1, 0.3), (0.123456789, 0.2))
    np.testing.assert_array_equal(decide(whole, counts(1, 1), CLASSES, 0.7)[1].probabilities, whole.probabilities)


def test_message_with_a_failed_window_fails() -> None:
    failed = scores((0.1, 0.8), (0.1, 0.1), (0.5, 0.1))
    failed.probabilities[1] = np.nan
    _, decided = decide(Scores(failed.probabilities, {1: "the model raised X"}), counts(2, 1), CLASSES, 0.5)
    assert decided.errors == {0: "the model raised X"}
    assert np.isnan(decided.probabilities[0]).all()
    np.testing.assert_allclose(decided.probabilities[1], [0.4, 0.5, 0.1])


@given(
    st.lists(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=5), min_size=1, max_size=6),
    st.floats(0, 2),
)
def test_messages_are_decided_independently(messages: list[list[tuple[float, float]]], discount: float) -> None:
    together = decide(scores(*chain.from_iterable(messages)), counts(*map(len, messages)), CLASSES, discount)[
        1
    ].probabilities
    alone = [decide(scores(*one), counts(len(one)), CLASSES, discount)[1].probabilities[0] for one in messages]
    np.testing.assert_array_equal(together, alone)
    assert ((together >= 0) & (together <= 1)).all()
    highest = [max(sum(row) for row in one) for one in messages]
    assert (scoring.privacy_probability(together, CLASSES) <= np.array(highest) + 1e-9).all()


class FirstValue:
    """P(PC) is the first value of the vector."""

    classes_ = np.array(["NOT_PC", "PC"])

    def predict_proba(self, vectors: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - vectors[:, 0], vectors[:, 0]])


def batch_of(vectors: np.ndarray) -> pa.RecordBatch:
    batch = some_cases(len(vectors))
    place = batch.schema.get_field_index("vector")
    return batch.set_column(place, batch.schema.field(place), schemas.vector_column(vectors))


def vectors(*values: float) -> np.ndarray:
    made = np.zeros((len(values), schemas.VECTOR_DIM), np.float32)
    made[:, 0] = values
    return made


def test_batch_without_windows_is_scored_row_by_row() -> None:
    cases = batch_of(vectors(0.25, 0.75))
    decision = score_cases(FirstValue(), cases, ("NOT_PC", "PC"), 0.5)
    np.testing.assert_allclose(decision.scores.probabilities[:, 1], [0.25, 0.75])
    assert decision.scores.places is None


def test_batch_with_windows_gives_deciding_vectors() -> None:
    every = vectors(0.25, 0.1, 0.9, 0.3, 0.5)
    number = counts(1, 3, 1)
    places = [None, "sentence 1 of 3", "sentence 2 of 3", "sentence 3 of 3", None]
    cases = batch_of(every[[0, 1, 4]]).append_column(schemas.WINDOWS, schemas.window_column(every, places, number))
    decision = score_cases(FirstValue(), cases, ("NOT_PC", "PC"), 0.0)
    np.testing.assert_array_equal(decision.vectors, every[[0, 2, 4]])
    np.testing.assert_allclose(decision.scores.probabilities[:, 1], [0.25, 0.9, 0.5])
    assert decision.scores.places == (None, "sentence 2 of 3", None)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 3), st.integers(0, 8))
def test_window_column_is_read_back_from_any_slice(number: list[int], start: int, length: int) -> None:
    every = vectors(*np.linspace(0, 1, sum(number)))
    places = [f"sentence {row}" if many > 1 else None for many in number for row in range(many)]
    split = counts(*number)
    first = np.cumsum(split) - split
    cases = batch_of(every[first]).append_column(schemas.WINDOWS, schemas.window_column(every, places, split))
    part = cases.slice(start, length)
    kept = np.repeat(np.isin(np.arange(len(number)), np.arange(start, start + length)), split)
    got, got_counts, got_places = schemas.windows_of(part)
    np.testing.assert_array_equal(got, every[kept])
    assert got_counts.tolist() == number[start : start + length]
    assert got_places == [one for one, is_kept in zip(places, kept, strict=True) if is_kept]
