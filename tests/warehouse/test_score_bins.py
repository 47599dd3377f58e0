"""The score histogram that SQL counts."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.publishing.statistics import score_histogram
from beam_pcc.publishing.warehouse.base import bin_conditions
from beam_pcc.publishing.warehouse.duckdb.sql import bin_of

scores = st.floats(0, 1).filter(lambda p: min(abs(p * 10 - round(p * 10)), 1) > 1e-9 or p in (0.0, 1.0))


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


edges = st.integers(0, 10).map(lambda place: place / 10)
any_score = st.one_of(scores, edges, edges.map(lambda edge: np.nextafter(edge, 2).item()), st.floats(), st.none())


@given(any_score)
def test_duckdb_finds_the_bin_that_a_score_meets(connection: duckdb.DuckDBPyConnection, score: float | None) -> None:
    conditions = ", ".join(f"coalesce({condition}, false)" for condition in bin_conditions("p"))
    query = f"SELECT [{conditions}], {bin_of('p')} FROM (SELECT CAST(? AS DOUBLE) AS p)"
    (met, place), *_ = connection.execute(query, [score]).fetchall()
    assert [number for number, is_met in enumerate(met) if is_met] == ([] if place is None else [place])


@given(st.lists(scores, min_size=1))
def test_sql_counts_the_bins_as_numpy_does(connection: duckdb.DuckDBPyConnection, values: list[float]) -> None:
    bins = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions("p"))
    counts = connection.execute(f"SELECT {bins} FROM (SELECT unnest(?) AS p)", [values]).fetchone()
    assert counts == score_histogram(np.array(values))


def test_nan_is_in_no_bin() -> None:
    bins = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions("'NaN'::DOUBLE"))
    assert duckdb.sql(f"SELECT {bins}").fetchone() == (0,) * 10
