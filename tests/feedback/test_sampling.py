"""The sample for labelling: who is drawn, with which weights, and that what follows from them is unbiased."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError, WarehouseError
from beam_pcc.feedback import sampling
from beam_pcc.feedback.sampling import MIN_OF_STRATUM, allocate, draw, period_of_sample
from beam_pcc.publishing.warehouse.base import Warehouse
from beam_pcc.publishing.warehouse.feedback_table import Stratum
from tests.feedback.published import DATE, publish, warehouse_of

SCORES = np.random.default_rng(1).beta(0.3, 3, 1_500)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A day of 1,500 cases, most of them of low scores."""
    path = tmp_path_factory.mktemp("sampling") / "pcc.duckdb"
    made = warehouse_of(path)
    publish(path, SCORES.tolist(), threshold=0.37)
    publish(path, [0.2] * 30, day=DATE + dt.timedelta(days=1))
    return made


def ids(sample: sampling.Sample) -> list[str]:
    drawn: list[str] = sample.rows.column("case_id").to_pylist()
    return drawn


def test_the_same_seed_draws_the_same_cases(warehouse: Warehouse) -> None:
    first, again = (draw(warehouse, DATE, DATE, 60, seed=3) for _ in range(2))
    assert (first.name, first.rows.to_pylist()) == (again.name, again.rows.to_pylist())


def test_another_seed_draws_other_cases(warehouse: Warehouse) -> None:
    first, other = (draw(warehouse, DATE, DATE, 60, seed=seed) for seed in (3, 4))
    assert first.name != other.name
    assert set(ids(first)) != set(ids(other))


def test_no_case_is_drawn_twice(warehouse: Warehouse) -> None:
    sample = draw(warehouse, DATE, DATE, 200)
    assert len(set(ids(sample))) == 200


def test_weights_are_the_inverse_of_the_share_drawn(warehouse: Warehouse) -> None:
    sample = draw(warehouse, DATE, DATE, 100)
    strata = warehouse.strata(DATE, DATE)
    by_stratum: dict[str, list[tuple[float, int]]] = {}
    for row in sample.rows.to_pylist():
        by_stratum.setdefault(row["stratum"], []).append((row["weight"], row["drawn"]))
    sizes = sorted(round(rows[0][0] * len(rows)) for rows in by_stratum.values())
    assert sizes == sorted(strata.values())
    assert all(set(rows) == {(rows[0][0], len(rows))} for rows in by_stratum.values())


def test_strata_are_of_score_and_review(warehouse: Warehouse) -> None:
    inside = np.abs(SCORES - 0.37) < 0.1
    bins = np.minimum((SCORES * 10).astype(int), 9)
    expected = {(int(b), bool(r)): int(((bins == b) & (inside == r)).sum()) for b in range(10) for r in (False, True)}
    assert warehouse.strata(DATE, DATE) == {stratum: cases for stratum, cases in expected.items() if cases}


def test_weighted_sums_are_unbiased(warehouse: Warehouse) -> None:
    """Over many draws, the mean of an estimated total is the total: of PC found, PC missed, and false alarms."""
    truth = np.random.default_rng(2).random(len(SCORES)) < SCORES
    found, missed = truth & (SCORES >= 0.37), truth & (SCORES < 0.37)
    totals = np.array([found.sum(), missed.sum(), ((SCORES >= 0.37) & ~truth).sum(), len(SCORES)])
    estimates = []
    for seed in range(100):
        sample = draw(warehouse, DATE, DATE, 60, seed=seed)
        case = np.array([int(name[1:]) for name in ids(sample)])
        weight = sample.rows.column("weight").to_numpy()
        parts = (found[case], missed[case], (SCORES[case] >= 0.37) & ~truth[case], np.ones(len(case), dtype=bool))
        estimates.append([weight[part].sum() for part in parts])
    means = np.mean(estimates, axis=0)
    errors = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    assert (np.abs(means - totals) <= 3.5 * errors + 1e-6).all(), (means, totals, errors)
    assert (errors[:3] > 0).all()


def test_fewer_cases_than_wanted_are_all_drawn(warehouse: Warehouse) -> None:
    sample = draw(warehouse, DATE + dt.timedelta(days=1), DATE + dt.timedelta(days=1), 500)
    assert len(set(ids(sample))) == 30
    assert set(sample.rows.column("weight").to_pylist()) == {1.0}


def test_days_of_a_period_are_drawn_together(warehouse: Warehouse) -> None:
    sample = draw(warehouse, DATE, DATE + dt.timedelta(days=1), 200)
    assert sample.cases == len(SCORES) + 30
    assert len(set(sample.rows.column("partition").to_pylist())) == 2


def test_days_without_predictions_are_an_error(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match="no case is published for 20250101; name days"):
        draw(warehouse, dt.date(2025, 1, 1), dt.date(2025, 1, 1), 10)


def test_too_few_for_the_strata_are_an_error(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match=r"--n 3 is too few: .* name at least"):
        draw(warehouse, DATE, DATE, 3)


def test_the_name_of_a_sample_tells_its_days() -> None:
    assert period_of_sample("20261120-20261122-200-0a1b2c3d") == (DATE, DATE + dt.timedelta(days=2), 200)


@pytest.mark.parametrize("name", ["", "mine", "20261399-20261122-200-0a1b2c3d", "20261120-20261122-200"])
def test_other_names_of_samples_tell_nothing(name: str) -> None:
    assert period_of_sample(name) is None


def test_names_of_strata_do_not_tell_the_score(warehouse: Warehouse) -> None:
    order = set()
    for seed in range(3):
        rows = draw(warehouse, DATE, DATE, 100, seed=seed).rows.to_pylist()
        lowest = {
            row["stratum"]: row["confidence"] if row["predicted_label"] == "PC" else 1 - row["confidence"]
            for row in rows
        }
        order.add(tuple(sorted(lowest, key=lambda name: lowest[name])))
    assert len(order) == 3


def test_what_a_labeller_gets_has_no_prediction(warehouse: Warehouse) -> None:
    rows = draw(warehouse, DATE, DATE, 60).rows
    assert sampling.without_predictions(rows).column_names == [
        "case_id",
        "partition",
        "sample",
        "stratum",
        "weight",
        "drawn",
    ]
    shown = sampling.with_predictions(rows).to_pylist()
    expected = {f"c{number}": score for number, score in enumerate(SCORES)}
    assert all(row["probability"] == pytest.approx(expected[row["case_id"]]) for row in shown)


class Unlucky:
    """A warehouse of 100 cases of one stratum that gives too few of them at first, or always."""

    def __init__(self, *, gone: bool) -> None:
        self.gone = gone
        self.asked: list[str] = []

    def strata(self, first: dt.date, last: dt.date) -> dict[Stratum, int]:
        return {(0, False): 1_000}

    def draw(self, first: dt.date, last: dt.date, seed: int, cutoffs: Mapping[Stratum, str]) -> pa.Table:
        self.asked += cutoffs.values()
        n = 5 if self.gone or len(self.asked) == 1 else 40
        columns = {
            "case_id": [f"c{number}" for number in range(n)],
            "partition_date": [DATE] * n,
            "predicted_label": ["PC"] * n,
            "confidence": [0.9] * n,
            "bin": [0] * n,
            "review": [False] * n,
            "key": [f"{number:016x}" for number in range(n)],
        }
        return pa.table(columns)


def test_a_cutoff_with_too_few_cases_is_raised() -> None:
    warehouse = Unlucky(gone=False)
    assert len(draw(warehouse, DATE, DATE, 20).rows) == 20
    assert len(warehouse.asked) == 2
    assert warehouse.asked[1] > warehouse.asked[0]


def test_cases_that_vanish_are_an_error() -> None:
    with pytest.raises(WarehouseError, match="changed while the sample was drawn"):
        draw(Unlucky(gone=True), DATE, DATE, 20)


SIZES = st.dictionaries(
    st.tuples(st.integers(0, 9), st.booleans()), st.one_of(st.integers(1, 40), st.integers(1, 10**7)), min_size=1
)


@given(SIZES, st.integers(1, 3_000))
def test_allocation_uses_all_and_no_more(sizes: dict[Stratum, int], n: int) -> None:
    least = sum(min(size, MIN_OF_STRATUM) for size in sizes.values())
    if n < least:
        with pytest.raises(ConfigurationError):
            allocate(sizes, n)
        return
    drawn = allocate(sizes, n)
    assert sum(drawn.values()) == min(n, sum(sizes.values()))
    assert all(min(size, MIN_OF_STRATUM) <= drawn[stratum] <= size for stratum, size in sizes.items())


def test_allocation_gives_small_strata_more_than_their_share() -> None:
    drawn = allocate({(0, False): 10_000, (9, False): 100}, 110)
    assert drawn[9, False] == pytest.approx(10, abs=2)
