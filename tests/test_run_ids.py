"""Ids of runs tell their day and when they started."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.config.run_ids import is_of_job, is_run_id, new_run_id, started_at

DAY = dt.date(2026, 11, 20)


@given(st.dates(min_value=dt.date(1000, 1, 1)), st.datetimes(min_value=dt.datetime(1000, 1, 1)))
def test_id_holds_partition_and_start(day: dt.date, now: dt.datetime) -> None:
    made = new_run_id(day, now)

    assert is_run_id(made, day)
    assert started_at(made) == now.replace(microsecond=0, tzinfo=dt.timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261120",
        "20261121-20261121T020000Z-0123abcd",
        "20261120-20261121T020000Z-0123ABCD",
        "20261120-20261399T020000Z-0123abcd",
        "20261120-20261121T020000Z-0123abcd/..",
    ],
)
def test_anything_else_is_none_of_the_day(text: str) -> None:
    assert not is_run_id(text, DAY)


@given(st.dates(dt.date(1000, 1, 1), dt.date(9000, 1, 1)), st.text(min_size=1), st.text(min_size=1))
def test_a_job_knows_its_own_runs_of_the_day(day: dt.date, job: str, other: str) -> None:
    made = new_run_id(day, dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc), job)

    assert is_run_id(made, day)
    assert is_of_job(made, day, job)
    assert is_of_job(made, day, other) is (job == other)
    assert not is_of_job(made, day + dt.timedelta(days=1), job)
