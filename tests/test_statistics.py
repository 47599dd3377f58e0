"""The numbers of a run: they add up in any order, and drift is measured as the literature says."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.cases import faults
from beam_pcc.cases.faults import rejected
from beam_pcc.models.metadata import SCORE_BINS
from beam_pcc.publishing.statistics import RunStats, ShadowStats, SumStats, psi, reasons, score_histogram

counts = st.integers(0, 10**9)
histograms = st.lists(counts, min_size=SCORE_BINS, max_size=SCORE_BINS).map(tuple)
stats = st.builds(
    RunStats,
    counts,
    st.dictionaries(st.sampled_from([fault.code for fault in faults.FAULTS]), st.integers(1, 10**9)).map(Counter),
    shadow=st.builds(ShadowStats, counts, counts, histograms, histograms),
    languages=st.dictionaries(st.sampled_from(["en", "de", "unknown"]), st.integers(1, 10**9)).map(Counter),
    untrained_language=counts,
)
filled = histograms.filter(sum)
# A sum has few ways to go wrong, and its parts take long to draw.
few = settings(max_examples=25)


@few
@given(stats, stats, stats)
def test_parts_of_a_run_add_up_however_they_are_grouped(a: RunStats, b: RunStats, c: RunStats) -> None:
    assert (a + b) + c == a + (b + c)


@few
@given(stats, stats)
def test_parts_of_a_run_add_up_in_any_order(a: RunStats, b: RunStats) -> None:
    assert a + b == b + a


@few
@given(stats)
def test_nothing_added_changes_nothing(a: RunStats) -> None:
    assert a + RunStats() == a


def test_sum_holds_rows_reasons_and_scores() -> None:
    zeros = (0,) * (SCORE_BINS - 1)
    a = RunStats(10, Counter(non_finite=2), shadow=ShadowStats(histogram=(7, *zeros)))
    b = RunStats(5, Counter(non_finite=1, model_error=1), shadow=ShadowStats(histogram=(2, *zeros)))

    total = RunStats(15, Counter(non_finite=3, model_error=1), shadow=ShadowStats(histogram=(9, *zeros)))
    assert a + b == total


@few
@given(st.lists(stats, max_size=6), st.integers(0, 6))
def test_a_runner_may_split_the_sum_as_it_likes(parts: list[RunStats], at: int) -> None:
    combine = SumStats()

    def of(some: list[RunStats]) -> RunStats:
        accumulator = combine.create_accumulator()
        for part in some:
            accumulator = combine.add_input(accumulator, part)
        return accumulator

    split = combine.extract_output(combine.merge_accumulators([of(parts[:at]), of(parts[at:])]))
    assert split == combine.extract_output(of(parts))


def test_the_sum_of_nothing_is_zero() -> None:
    combine = SumStats()
    assert combine.extract_output(combine.merge_accumulators([])) == RunStats()


def test_reasons_counts_the_rows_of_each_reason() -> None:
    names = [faults.NON_FINITE.code, faults.MODEL_ERROR.code, faults.NON_FINITE.code]
    batch = rejected(pa.array(["a", None, "b"]), names, [""] * 3)

    assert reasons(batch) == {faults.NON_FINITE.code: 2, faults.MODEL_ERROR.code: 1}
    assert reasons(batch.slice(3)) == {}


@given(st.lists(st.floats(0.0, 1.0)))
def test_a_histogram_counts_every_score_once(scores: list[float]) -> None:
    histogram = score_histogram(np.array(scores, np.float64))

    assert len(histogram) == SCORE_BINS
    assert sum(histogram) == len(scores)


def test_histogram_bins_are_equal_and_include_both_ends() -> None:
    assert score_histogram(np.array([0.0, 0.05, 0.15, 0.95, 1.0])) == (2, 1, 0, 0, 0, 0, 0, 0, 0, 2)


@given(filled)
def test_psi_of_equal_histograms_is_zero(histogram: tuple[int, ...]) -> None:
    assert psi(histogram, histogram) == 0.0


@given(st.lists(st.integers(100, 10**6), min_size=SCORE_BINS, max_size=SCORE_BINS), st.integers(2, 1_000))
def test_psi_of_equal_shares_is_nearly_zero(histogram: list[int], times: int) -> None:
    assert psi(histogram, [n * times for n in histogram]) == pytest.approx(0.0, abs=1e-3)


@given(filled, filled)
def test_psi_with_empty_bins_is_finite_and_not_negative(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    drift = psi(a, b)

    assert drift is not None
    assert math.isfinite(drift)
    assert drift >= 0.0


@given(filled, filled)
def test_psi_is_symmetric(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert psi(a, b) == pytest.approx(psi(b, a))


@pytest.mark.parametrize(("a", "b"), [((0, 0), (1, 2)), ((1, 2), (0, 0)), ((0, 0), (0, 0))])
def test_psi_of_an_empty_histogram_is_unknown(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    assert psi(a, b) is None


def test_psi_of_a_known_shift() -> None:
    # Half a count more in each bin: 1.5 and 3.5 of 5, shares 0.3 and 0.7; then the other way round.
    # (0.7 - 0.3) ln(0.7 / 0.3) + (0.3 - 0.7) ln(0.3 / 0.7) = 0.8 ln(7 / 3) = 0.677838
    assert psi([1, 3], [3, 1]) == pytest.approx(0.677838, abs=1e-6)
