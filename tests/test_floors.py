"""The floors that a version must keep whatever another does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.evaluation import floors
from beam_pcc.evaluation.paired import Scored


def rows(number: int = 200, share: float = 0.15) -> np.ndarray:
    return np.arange(number) < round(number * share)


def test_random_scores_fail_the_ranking_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "_SAMPLES", 200)
    rng = np.random.default_rng(0)
    truth = rows()
    passed = [not floors.ranking(truth, Scored(rng.random(len(truth)), 0.5)).failed for _ in range(100)]
    assert sum(passed) <= 12  # 5 % are expected


def test_equal_scores_fail_the_ranking_floor() -> None:
    floor = floors.ranking(rows(), Scored(np.full(200, 0.4), 0.5))
    assert floor.failed
    assert floor.value == pytest.approx(0.15)


def test_better_than_chance_passes_the_ranking_floor() -> None:
    truth = rows(40, 0.25)
    probability = np.clip(0.3 + 0.3 * truth + 0.2 * np.random.default_rng(0).standard_normal(40), 0, 1)
    floor = floors.ranking(truth, Scored(probability, 0.5))
    assert not floor.failed
    assert floor.value > floor.limit > 0.25


@pytest.mark.parametrize(("threshold", "failed"), [(0.7, False), (0.700001, True)])
def test_a_version_that_finds_nothing_fails(threshold: float, failed: bool) -> None:
    truth = rows()
    floor = floors.finding(truth, Scored(np.where(truth, 0.7, 0.9), threshold))
    assert (floor.failed, floor.value) == (failed, 0.0 if failed else 1.0)


def test_wrong_probabilities_fail_the_calibration_floor() -> None:
    truth = rows(400)
    floor = floors.calibration(truth, Scored(np.full(400, 0.5), 0.5))
    assert floor.failed
    assert floor.value == pytest.approx(0.35)
    assert floor.limit == floors.MAX_CALIBRATION_ERROR


def test_calibrated_version_is_not_refused_on_few_rows() -> None:
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(30):
        probability = rng.random(25)
        failed += floors.calibration(rng.random(25) < probability, Scored(probability, 0.5)).failed
    assert failed <= 2  # 1 % are expected


def test_calibration_error_of_known_scores() -> None:
    truth = np.array([True, False, True, True])
    assert floors.calibration_error(truth, np.array([0.55, 0.55, 1.0, 0.95])) == pytest.approx((0.1 + 0.05) / 4)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=50))
def test_calibration_error_is_a_share(drawn: list[tuple[bool, float]]) -> None:
    truth, probability = (np.array(column) for column in zip(*drawn, strict=True))
    assert 0 <= floors.calibration_error(truth, probability) <= 1
