"""Learning from messages in windows: which windows are learned from, calibration on those that decide, the discount."""

import numpy as np
import pytest

from beam_pcc.cases import schemas
from beam_pcc.training.fitting import Hyperparameters, deciding_rows, fit
from beam_pcc.training.windowed import Messages, TrainingRows, choose_discount, folds, privacy_probability

HYPERPARAMETERS = Hyperparameters(False, 4.0, "sigmoid")


def messages(n: int, windows: int, seed: int = 0, noise: float = 0.5) -> Messages:
    """Every other message is PC: one of its windows has a higher first value; without much noise a mark tells which."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((n * windows, schemas.VECTOR_DIM), np.float32)
    vectors[:, 0] = noise * rng.standard_normal(n * windows)
    places = rng.integers(0, windows, n)
    for message in range(0, n, 2):
        vectors[message * windows + places[message], :2] += 2.0, 1.0 if noise < 1 else 0.0
    labels = np.where(np.arange(n) % 2 == 0, "PC", "NOT_PC")
    return Messages(vectors, np.full(n, windows), labels)


def test_pc_message_is_learned_from_its_deciding_window() -> None:
    some = messages(60, 4)
    rows = deciding_rows(some, scaled=False)
    assert (rows.y == "NOT_PC").sum() == 30 * 4
    assert (rows.y == "PC").sum() == 30
    assert (rows.x[rows.y == "PC", 1] == 1.0).mean() > 0.9  # the window of the request, not its neighbours
    assert rows.decides.sum() == 60
    assert rows.decides[rows.y == "PC"].all()


def test_messages_of_one_window_are_learned_from_as_before() -> None:
    some = messages(40, 1)
    rows = deciding_rows(some, scaled=False)
    np.testing.assert_array_equal(rows.x, some.vectors)
    assert rows.decides.all()
    assert not rows.is_split


def test_probabilities_are_calibrated_on_deciding_windows() -> None:
    """Without that, seven windows of eight of NOT_PC messages pull down P(PC), to .42 on average."""
    known, others = messages(400, 8, seed=1, noise=1.0), messages(2_000, 8, seed=2, noise=1.0)
    model = fit(HYPERPARAMETERS, deciding_rows(known, scaled=False))
    _, probability = privacy_probability(model, others, 0.0)
    assert probability.mean() == pytest.approx(0.5, abs=0.03)


def test_fitted_model_does_not_hold_the_folds() -> None:
    assert fit(HYPERPARAMETERS, deciding_rows(messages(60, 3), scaled=False)).cv == 5


def test_windows_of_a_message_are_in_one_fold() -> None:
    rows = deciding_rows(messages(60, 4), scaled=False)
    for known, held in folds(rows, 5, 0):
        assert not set(rows.groups[known]) & set(rows.groups[held])


def test_discount_makes_up_for_the_number_of_windows() -> None:
    """Of short messages the model is calibrated; the maximum of several NOT_PC windows looks like PC without it."""
    known, others = messages(400, 1, seed=1, noise=1.0), messages(400, 1, seed=2, noise=1.0)
    model = fit(HYPERPARAMETERS, deciding_rows(known, scaled=False))
    discount = choose_discount(model, others, 0)
    assert 0.2 <= discount <= 1.5
    unrelated = messages(4_000, 1, seed=3, noise=1.0)
    not_pc = unrelated.take(np.flatnonzero(unrelated.labels == "NOT_PC"))
    long = Messages(not_pc.vectors, np.full(len(not_pc.labels) // 4, 4), not_pc.labels[::4])
    _, short = privacy_probability(model, not_pc, discount)
    _, without = privacy_probability(model, long, 0.0)
    _, with_discount = privacy_probability(model, long, discount)
    assert (without > 0.5).mean() > 2 * (short > 0.5).mean()
    assert (with_discount > 0.5).mean() < 0.75 * (without > 0.5).mean()


def test_discount_is_the_same_for_the_same_seed() -> None:
    some = messages(200, 2, noise=1.0)
    model = fit(HYPERPARAMETERS, deciding_rows(some, scaled=False))
    assert choose_discount(model, some, 3) == choose_discount(model, some, 3)


def test_take_keeps_windows_with_their_message() -> None:
    some = Messages(np.arange(6 * 584, dtype=np.float32).reshape(6, 584), np.array([1, 3, 2]), np.array(list("abc")))
    part = some.take(np.array([2, 0]))
    assert part.vectors[:, 0].tolist() == [4 * 584, 5 * 584, 0]
    assert (part.counts.tolist(), part.labels.tolist()) == ([2, 1], ["c", "a"])


def test_no_message_is_taken() -> None:
    part = messages(4, 2).take(np.empty(0, np.int64))
    assert part.vectors.shape == (0, schemas.VECTOR_DIM)


def test_rows_are_split_only_with_several_windows() -> None:
    whole = Messages.whole(np.zeros((3, 584), np.float32), np.array(["PC", "NOT_PC", "PC"]))
    assert not whole.are_split
    assert not TrainingRows(whole.vectors, whole.labels, np.ones(3, bool), whole.numbers).is_split
