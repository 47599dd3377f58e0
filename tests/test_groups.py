"""Shares of groups of rows, and intervals that allow for rows of one writer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from beam_pcc.errors import ConfigurationError
from beam_pcc.evaluation import groups
from beam_pcc.evaluation.labelled import Labelled

LABELS = np.array(["PC/access", "PC", "NOT_PC", "NOT_PC", "NOT_PC"])
PROBABILITY = np.array([0.9, 0.1, 0.6, 0.2, 0.3])
ROWS = Labelled(
    LABELS, texts=tuple("abcde"), columns={"lang": ("en", "de", "en", "de", None), "writer": ("x", "x", "y", "y", "y")}
)


def test_each_value_of_a_column_is_a_group() -> None:
    measured = groups.evaluate(ROWS, PROBABILITY, 0.5, ["lang"], None)
    shares = {
        group.value: (group.right.value, group.pc_found.value, group.not_pc_kept.value, group.right.rows)
        for group in measured
    }

    assert [group.column for group in measured] == [None, "lang", "lang", "lang"]
    assert shares == {
        None: (0.6, 0.5, pytest.approx(2 / 3, abs=1e-6), 5),
        "de": (0.5, 0.0, 1.0, 2),
        "en": (0.5, 1.0, 0.0, 2),
        "none": (1.0, None, 1.0, 1),
    }


def test_threshold_decides() -> None:
    (all_rows,) = groups.evaluate(ROWS, PROBABILITY, 0.05, [], None)
    assert (all_rows.pc_found.value, all_rows.not_pc_kept.value) == (1.0, 0.0)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_interval_of_a_writer_each_is_wilsons(right: list[bool]) -> None:
    share = groups.share(np.array(right), np.arange(len(right)))
    low, high = binomtest(sum(right), len(right)).proportion_ci(0.95, method="wilson")
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60))
def test_interval_holds_its_share_and_is_no_narrower(rows: list[tuple[bool, int]]) -> None:
    right, writers = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    share, alone = groups.share(right, writers), groups.share(right, np.arange(len(rows)))
    assert 0 <= share.low <= (share.value or 0) + 1e-6
    assert (share.value or 0) - 1e-6 <= share.high <= 1
    assert share.high - share.low >= alone.high - alone.low - 2e-6


def test_interval_of_few_writers_is_wide() -> None:
    """Ten rows each, all right or all wrong: as much as one row of each writer."""
    right = np.repeat([True, True, True, False, True, False], 10)
    share = groups.share(right, np.repeat(np.arange(6), 10))
    alone = groups.share(right, np.arange(60))
    assert share.high - share.low > 2.5 * (alone.high - alone.low)


def test_rows_without_a_writer_are_of_one_each() -> None:
    rows = Labelled(np.array(["PC", "NOT_PC"] * 10), texts=("",) * 20, columns={"writer": (None,) * 20})
    probability = np.linspace(0, 1, 20)
    assert groups.evaluate(rows, probability, 0.5, [], "writer") == groups.evaluate(rows, probability, 0.5, [], None)


@pytest.mark.parametrize("values", [tuple(str(n) for n in range(51)), ("x" * 41,) * 51])
def test_a_column_of_content_is_refused(values: tuple[str, ...]) -> None:
    rows = Labelled(np.array(["PC"] * 51), texts=("",) * 51, columns={"body": values})
    with pytest.raises(ConfigurationError, match="--by body: the column has") as error:
        groups.evaluate(rows, np.ones(51), 0.5, ["body"], None)
    assert "xxx" not in str(error.value)
