"""The score histogram that SQL counts."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.publishing.statistics import score_histogram
from beam_pcc.publishing.warehouse.base import bin_conditions

scores = st.floats(0, 1).filter(lambda p: min(abs(p * 10 - round(p * 10)), 1) > 1e-9 or p in (0.0, 1.0))


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@given(st.lists(scores, min_size=1))
def test_sql_counts_the_bins_as_numpy_does(connection: duckdb.DuckDBPyConnection, values: list[float]) -> None:
    bins = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions("p"))
    counts = connection.execute(f"SELECT {bins} FROM (SELECT unnest(?) AS p)", [values]).fetchone()
    assert counts == score_histogram(np.array(values))


def test_nan_is_in_no_bin() -> None:
    bins = ", ".join(f"count(*) FILTER ({condition})" for condition in bin_conditions("'NaN'::DOUBLE"))
    assert duckdb.sql(f"SELECT {bins}").fetchone() == (0,) * 10
