"""Intervals of shares: known values, what they must contain, and how often they contain the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.feedback.intervals import UNKNOWN, Cells, counted, precision, prevalence, recall


def cells(
    rows: list[int],
    weight: list[float],
    share: list[float],
    published: list[bool],
    stratum: list[int] | None = None,
    answered: list[int] | None = None,
    pool: list[int] | None = None,
) -> Cells:
    numbers = np.array(rows, np.float64)
    return Cells(
        numbers,
        np.array(weight, np.float64),
        np.array(share, np.float64),
        np.array(published, np.float64),
        1 - 1 / np.array(weight, np.float64),
        np.arange(len(rows)) if stratum is None else np.array(stratum),
        numbers if answered is None else np.array(answered, np.float64),
        np.arange(len(rows)) if pool is None else np.array(pool),
    )


def test_rows_of_equal_weight_have_wilsons_interval() -> None:
    from scipy import stats

    low, high = stats.binomtest(27, 40).proportion_ci(0.95, method="wilson")
    assert counted(27, 40) == (0.675, pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_share_of_no_rows_is_unknown() -> None:
    assert counted(0, 0) == UNKNOWN
    assert precision(cells([5], [10], [0.2], [False])) == UNKNOWN
    assert recall(cells([5], [10], [0.0], [True])) == UNKNOWN


def test_one_stratum_of_a_large_population_has_wilsons_interval() -> None:
    value, low, high = prevalence(cells([40], [1e9], [0.675], [True]))
    wanted = counted(27, 40)
    assert value == wanted.value
    assert (low, high) == (pytest.approx(wanted.low, abs=0.002), pytest.approx(wanted.high, abs=0.002))


def test_a_census_leaves_nothing_open() -> None:
    whole = cells([40, 60], [1, 1], [0.5, 0.1], [True, False])
    assert precision(whole) == (0.5, 0.5, 0.5)
    assert recall(whole) == (0.769231, 0.769231, 0.769231)


def test_a_stratum_without_a_hit_says_how_many_may_be_missed() -> None:
    """50 of 100,000 cases that were published as NOT_PC were looked at, and none is PC: many may yet be."""
    value, low, high = recall(cells([50, 50], [2, 2_000], [1.0, 0.0], [True, False]))
    assert (value, high) == (1.0, 1.0)
    assert low < 100 / (100 + 0.06 * 100_000)


def test_more_labels_make_the_interval_narrower() -> None:
    few, many = (recall(cells([n, n], [5_000 / n, 50_000 / n], [0.9, 0.02], [True, False])) for n in (50, 500))
    assert many.high - many.low < (few.high - few.low) / 2


def test_the_chance_of_sizes_widens_the_interval() -> None:
    """Precision of two cells that share a stratum with others: how many are published as PC is by chance too."""
    alone = cells([30, 10], [10, 100], [0.9, 0.2], [True, True])
    mixed = cells([30, 10], [10, 100], [0.9, 0.2], [True, True], [0, 1], [60, 60])
    one, other = precision(alone), precision(mixed)
    assert other.value == one.value
    assert other.low < one.low
    assert other.high > one.high


CELL = st.tuples(st.integers(1, 200), st.floats(1, 1e6), st.floats(0, 1), st.booleans())


@given(st.lists(CELL, min_size=1, max_size=6))
def test_an_interval_contains_its_estimate(parts: list[tuple[int, float, float, bool]]) -> None:
    made = cells(*map(list, zip(*parts, strict=True)))  # type: ignore[arg-type]
    for estimate in (precision(made), recall(made), prevalence(made)):
        assert 0.0 <= estimate.low <= estimate.high <= 1.0
        assert estimate.value is None or estimate.low <= estimate.value <= estimate.high


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    """Of 300 samples of strata with scores from 0.02 to 0.95, of each 12 to 40 cases are labelled."""
    rng = np.random.default_rng(5)
    sizes, labelled = np.array([8_000, 600, 300, 200, 400]), np.array([40, 15, 12, 12, 20])
    truth = [rng.random(size) < chance for size, chance in zip(sizes, (0.02, 0.2, 0.5, 0.7, 0.95), strict=True)]
    published = [False, False, True, True, True]
    found = sum(part.sum() for part, is_pc in zip(truth, published, strict=True) if is_pc)
    right = {
        precision: found / sizes[2:].sum(),
        recall: found / sum(part.sum() for part in truth),
        prevalence: sum(part.sum() for part in truth) / sizes.sum(),
    }
    hits = dict.fromkeys(right, 0)
    for _ in range(300):
        shares = [float(rng.choice(part, n, replace=False).mean()) for part, n in zip(truth, labelled, strict=True)]
        made = cells(labelled.tolist(), (sizes / labelled).tolist(), shares, published)
        for estimate, value in right.items():
            interval = estimate(made)
            hits[estimate] += bool(interval.low <= value <= interval.high)
    assert all(270 <= count <= 300 for count in hits.values()), hits


def test_intervals_of_many_samples_miss_on_neither_side() -> None:
    """A small sample of each of 20 days, in which the PC that were missed are rare."""
    rng = np.random.default_rng(6)
    days, found, missed = 20, rng.binomial(100, 0.9, 20), rng.binomial(1_400, 0.02, 20)
    truth = found.sum() / (found.sum() + missed.sum())
    numbers = [0] * days + [1] * days
    below = above = 0
    for _ in range(200):
        shares = [rng.hypergeometric(found, 100 - found, 25) / 25, rng.hypergeometric(missed, 1_400 - missed, 35) / 35]
        published = [number == 0 for number in numbers]
        rows, weights = [25] * days + [35] * days, [4.0] * days + [40.0] * days
        interval = recall(cells(rows, weights, np.concatenate(shares).tolist(), published, pool=numbers))
        below, above = below + (truth < interval.low), above + (truth > interval.high)
    assert below <= 12
    assert above <= 12
