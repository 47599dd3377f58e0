"""The plan of a day: its figures, the load jobs of many files, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.publishing import capacity
from beam_pcc.publishing.capacity import URIS_OF_A_JOB, load_jobs, plan

PAGE = Path(__file__).parent.parent / "docs/capacity.md"


def test_the_page_has_the_table_of_the_code() -> None:
    text = PAGE.read_text()
    assert capacity.with_table(text) == text


def test_a_page_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the sizes"):
        capacity.with_table("# Capacity")


def test_hundred_million_cases() -> None:
    day = plan(100_000_000, 32)
    assert (day.batches, day.read_bytes) == (50_000, 467_200_000_000)
    assert (day.files, day.row_groups, day.load_jobs) == (96, 32 * 32, 2)
    assert day.seconds == pytest.approx(75 + 100e6 / (32 * 30_000) + 20 + 200)


def test_row_groups_hold_all_cases() -> None:
    assert plan(1, 4).row_groups == 4
    assert plan(400_001, 4).row_groups == 8


def test_limits_of_a_table_hold() -> None:
    assert plan(10**10, 200_000).load_jobs <= capacity.JOBS_OF_A_DAY


@given(st.integers(0, 3 * URIS_OF_A_JOB + 1))
def test_load_jobs_name_each_file_once(files: int) -> None:
    uris = [str(number) for number in range(files)]
    jobs = list(load_jobs(uris))
    assert [uri for job in jobs for uri in job] == uris
    assert all(0 < len(job) <= URIS_OF_A_JOB for job in jobs)
    assert len(jobs) == -(-files // URIS_OF_A_JOB)
