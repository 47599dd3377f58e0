"""Metrics, their intervals, and the threshold for a stated precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.evaluation import metrics as evaluation
from beam_pcc.evaluation.comparison import Difference


def scored(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) < 0.3
    return truth, np.clip(0.3 + 0.3 * truth + 0.2 * rng.standard_normal(rows), 0.001, 0.999)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which the width of the bootstrap's intervals says nothing."""
    monkeypatch.setattr(evaluation, "RESAMPLES", 20)


def test_metrics_of_a_perfect_model() -> None:
    truth = np.array([True, False, True, False])
    found = evaluation.metrics(truth, truth.astype(float), 0.5)
    assert found == {"roc_auc": 1.0, "pr_auc": 1.0, "brier": 0.0, "precision": 1.0, "recall": 1.0}


def test_a_model_that_calls_nothing_pc_has_no_precision() -> None:
    found = evaluation.metrics(np.array([True, False]), np.array([0.4, 0.1]), 0.5)
    assert (found["precision"], found["recall"]) == (0.0, 0.0)


def test_intervals_hold_the_value_and_shrink_with_rows() -> None:
    few, many = (evaluation.intervals(*scored(rows), 0.5) for rows in (60, 3_000))
    value = evaluation.metrics(*scored(3_000), 0.5)

    for name in evaluation.METRICS:
        assert many[name][0] <= value[name] <= many[name][1]
        assert many[name][1] - many[name][0] < few[name][1] - few[name][0]


def test_intervals_are_the_same_each_time(few_resamples: None) -> None:
    assert evaluation.intervals(*scored(100), 0.5) == evaluation.intervals(*scored(100), 0.5)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), min_size=1, max_size=40), st.floats(0.05, 1.0))
def test_threshold_is_the_lowest_with_the_precision(rows: list[tuple[bool, float]], wanted: float) -> None:
    truth, probability = np.array([t for t, _ in rows]), np.array([p for _, p in rows])

    def precision(threshold: float) -> float:
        said = probability >= threshold
        return truth[said].mean() if said.any() else 0.0

    good = [p for p in probability if precision(p) >= wanted]
    assert evaluation.threshold_for(truth, probability, wanted) == (min(good) if good else None)


def test_unreachable_precision_has_no_threshold() -> None:
    assert evaluation.threshold_for(np.array([False, True]), np.array([0.9, 0.1]), 0.9) is None


def test_a_threshold_between_certain_scores_is_halfway() -> None:
    truth = np.array([True, True, False, False])
    assert evaluation.threshold_for(truth, np.array([1.0, 1.0, 0.2, 0.0]), 0.95) == 0.6
    assert evaluation.threshold_for(truth[:2], np.array([1.0, 1.0]), 0.95) == 0.5


def test_a_threshold_of_zero_is_not_chosen() -> None:
    assert evaluation.threshold_for(np.array([True, True]), np.array([0.0, 0.0]), 0.5) is None


def test_the_interval_of_a_perfect_share_has_a_width(few_resamples: None) -> None:
    truth = np.array([True, False] * 10)
    low, high = evaluation.intervals(truth, truth.astype(float), 0.5)["precision"]
    assert (round(low, 3), high) == (0.722, 1.0)  # Wilson, 10 of 10


def test_of_no_positive_row_the_precision_is_unknown(few_resamples: None) -> None:
    found = evaluation.intervals(np.array([True, False] * 10), np.full(20, 0.1), 0.5)
    assert found["precision"] == (0.0, 1.0)
    assert found["recall"][0] == 0.0


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [(0, 0, 1.0), (1, 9, 2 * 11 / 2**10), (9, 1, 2 * 11 / 2**10), (5, 5, 1.0), (0, 6, 2 / 2**6)],
)
def test_p_value_is_that_of_mcnemars_exact_test(first: int, second: int, p_value: float) -> None:
    assert Difference(first + second, first, second).p_value == pytest.approx(p_value)


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_so_many_rows_give_an_interval_of_that_width(share: float) -> None:
    rows = evaluation.rows_for(share, 0.2)
    low, high = evaluation.wilson(round(share * rows), rows)
    assert high - low <= 0.2
    low, high = evaluation.wilson(round(share * (rows // 2)), rows // 2)
    assert high - low > 0.2
