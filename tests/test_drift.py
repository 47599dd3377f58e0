"""How vectors lie against the baseline: sums that add up, shifts that tell one kind of change from another."""

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import drift, schemas
from beam_pcc.models.metadata import Baseline
from beam_pcc.pipeline.shadow import compare
from beam_pcc.publishing.drift_alarms import measure
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.statistics import RunStats, ShadowStats, psi
from beam_pcc.publishing.warehouse.base import Run, StagedFigures

RUN = Run("r", dt.date(2026, 11, 20), dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc))
SHIFTS = [f"{block}_{what}_shift" for block in schemas.BLOCKS for what in ("norm", "mean")]


def some(rows: int, seed: int = 0) -> schemas.Vectors:
    vectors = np.random.default_rng(seed).random((rows, schemas.VECTOR_DIM)).astype(np.float32)
    for part in schemas.BLOCKS.values():
        vectors[:, part] /= np.linalg.norm(vectors[:, part], axis=1, keepdims=True)
    return vectors


@given(st.lists(st.integers(0, 30), max_size=5), st.randoms())
def test_sums_of_parts_are_the_sum_of_the_whole(sizes: list[int], order: object) -> None:
    vectors = some(sum(sizes))
    parts = [drift.sums(part) for part in np.split(vectors, np.cumsum(sizes)[:-1])] if sizes else []
    order.shuffle(parts)  # type: ignore[attr-defined]
    whole, joined = drift.sums(vectors), sum(parts, drift.VectorSums())

    assert joined.rows == whole.rows
    np.testing.assert_allclose(joined.norms, whole.norms, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(joined.values, whole.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("broken", [(), (0,), (499, 500, 1_233)], ids=str)
def test_sums_of_a_large_batch_are_exact(broken: tuple[int, ...]) -> None:
    vectors = some(1_234)
    vectors[list(broken), 583] = 1e30  # its square is beyond float32
    sound = np.delete(vectors, broken, axis=0).astype(np.float64)
    sums = drift.sums(vectors)

    assert sums.rows == len(sound)
    norms = [np.linalg.norm(sound[:, part], axis=1).sum() for part in schemas.BLOCKS.values()]
    np.testing.assert_allclose(sums.norms, norms, rtol=1e-6)
    np.testing.assert_allclose(sums.values, sound.sum(axis=0), rtol=1e-5)


def test_the_same_vectors_have_not_shifted() -> None:
    vectors = some(500)
    for shift in drift.shifts(drift.baseline(vectors), drift.sums(vectors)).values():
        assert abs(shift.norm) < 1e-5
        assert shift.mean < 1e-4


def test_a_block_that_grew_shows_in_its_norm_alone() -> None:
    vectors = some(500)
    grown = vectors.copy()
    grown[:, schemas.BLOCKS["tfidf"]] *= 1.5
    found = drift.shifts(drift.baseline(vectors), drift.sums(grown))

    assert found["tfidf"].norm == pytest.approx(0.5, abs=1e-3)
    assert abs(found["embedding"].norm) < 1e-5


def test_a_block_that_turned_shows_in_its_mean() -> None:
    vectors = some(500)
    turned = vectors.copy()
    turned[:, schemas.BLOCKS["embedding"]] *= -1
    found = drift.shifts(drift.baseline(vectors), drift.sums(turned))

    assert abs(found["embedding"].norm) < 1e-5
    assert found["embedding"].mean > 1
    assert found["tfidf"].mean < 1e-4


def test_unscored_and_overflowing_rows_are_not_counted() -> None:
    vectors = some(4)
    vectors[1] = 3e38
    assert drift.sums(vectors, leave_out=[2]) == drift.sums(vectors[[0, 3]])
    assert drift.sums(vectors[[1]]) == drift.VectorSums()


def test_a_run_without_vectors_has_no_shift() -> None:
    assert drift.shifts(drift.baseline(some(10)), drift.VectorSums()) == {}


def baseline() -> Baseline:
    return Baseline((5,) * 10, {}, {}, drift.baseline(some(50)))


def test_a_baseline_comes_back_from_json() -> None:
    again = Baseline.from_json(json.loads(json.dumps(baseline().to_json())))

    assert again.score_histogram == (5,) * 10
    for name, block in baseline().blocks.items():
        assert (again.blocks[name].norm_mean, again.blocks[name].spread) == (block.norm_mean, block.spread)
        np.testing.assert_array_equal(again.blocks[name].mean, block.mean)


def test_baseline_of_an_older_version_gives_no_shift() -> None:
    old = Baseline.from_json({"score_histogram": [1] * 10})
    row = audited_row(RUN, StagedFigures(), RunStats(vectors=drift.sums(some(5))), old, ())
    assert row.baseline_histogram == (1,) * 10
    assert [getattr(row, name) for name in SHIFTS] == [None] * 4


def test_the_monitoring_row_gets_every_figure() -> None:
    figures = StagedFigures(10, score_histogram=(1,) * 10)
    stats = RunStats(10, vectors=drift.sums(some(10)), shadow=ShadowStats(8, 2))
    row = audited_row(RUN, figures, stats, baseline(), (), measure(figures, stats.vectors, baseline(), [], 0.25))

    assert row.shadow_flip_rate == 0.25
    assert row.score_histogram == (1,) * 10
    shifts = drift.shifts(baseline().blocks, stats.vectors)
    assert [getattr(row, name) for name in SHIFTS] == [
        value for block in schemas.BLOCKS for value in (shifts[block].norm, shifts[block].mean)
    ]


def test_a_shadow_is_compared_case_by_case() -> None:
    nan = float("nan")
    own, other = np.array([0.1, 0.6, 0.7, nan, 0.2]), np.array([0.2, 0.4, 0.9, 0.9, nan])
    found = compare(own, other, own_threshold=0.5, other_threshold=0.5)

    assert (found.rows, found.flipped) == (3, 1)
    assert sum(found.own_histogram) == sum(found.histogram) == 3
    assert compare(own, own, own_threshold=0.5, other_threshold=0.5).flipped == 0


def test_each_models_own_threshold_counts() -> None:
    own = np.array([0.3, 0.45, 0.6])
    assert compare(own, own, own_threshold=0.5, other_threshold=0.4).flipped == 1


def test_a_shadow_that_scores_alike_has_no_psi() -> None:
    found = compare(np.linspace(0, 1, 50), np.linspace(0, 1, 50), own_threshold=0.5, other_threshold=0.5)
    assert psi(found.own_histogram, found.histogram) == 0
