"""What a day of so many cases takes: files, load jobs, bytes, time. The numbers of docs/capacity.md come from here.

`python -m beam_pcc.publishing.capacity docs/capacity.md` writes its table.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from beam_pcc.cases.schemas import BATCH_ROWS, VECTOR_DIM

URIS_OF_A_JOB = 10_000
"""How many files one BigQuery load job may name."""
JOBS_OF_A_DAY = 1_500
"""How many load jobs BigQuery lets write into one table on one day."""
ROW_GROUP_ROWS = 100_000
"""Rows of a row group of a staged file."""

_START, _PUBLISH, _PUBLISHED = 75.0, 20.0, 500_000  # seconds, seconds, cases a second
_CASES_OF_A_SLOT = 30_000  # a second
_STAGED_BYTES = 30  # of a case: measured by benchmarks/publishing.py
_FLOAT64 = 8
_DAYS = ((10_000, 1), (100_000, 1), (1_000_000, 2), (10_000_000, 4), (100_000_000, 16))  # cases, TaskManagers
_SLOTS = 2  # of a TaskManager
_STAGING_STEPS = 3  # predictions, and two steps that reject rows
_MARKS = ("<!-- sizes: made by make reference -->\n", "<!-- end of the sizes -->\n")


class Plan(NamedTuple):
    """What one day takes.

    Attributes:
        cases: Of the day.
        slots: Of all TaskManagers.
        batches: That flow through the graph.
        read_bytes: Of vectors as REPEATED FLOAT64.
        files: That are staged at most, without retries: a slot writes its predictions, the rows that validation
            rejects, and those that the model cannot score; of messages, also those that the encoder cannot read.
        row_groups: Of these files at least.
        staged_bytes: Of these files.
        load_jobs: That load them into BigQuery, one for each kind at least.
        seconds: From the start to the published day.
    """

    cases: int
    slots: int
    batches: int
    read_bytes: int
    files: int
    row_groups: int
    staged_bytes: int
    load_jobs: int
    seconds: float


def plan(cases: int, slots: int) -> Plan:
    """Plan a day. In a batch job of Flink, one bundle is all that a slot does, so a step of a slot stages one file."""
    return Plan(
        cases=cases,
        slots=slots,
        batches=math.ceil(cases / BATCH_ROWS),
        read_bytes=cases * VECTOR_DIM * _FLOAT64,
        files=_STAGING_STEPS * slots,
        row_groups=slots * math.ceil(cases / slots / ROW_GROUP_ROWS),
        staged_bytes=cases * _STAGED_BYTES,
        load_jobs=sum(math.ceil(steps * slots / URIS_OF_A_JOB) for steps in (1, _STAGING_STEPS - 1)),
        seconds=_START + cases / (slots * _CASES_OF_A_SLOT) + _PUBLISH + cases / _PUBLISHED,
    )


def load_jobs(uris: Sequence[str]) -> Iterator[Sequence[str]]:
    """The files of each load job, in order; none without files."""
    for start in range(0, len(uris), URIS_OF_A_JOB):
        yield uris[start : start + URIS_OF_A_JOB]


def table() -> str:
    """Markdown: days of growing sizes."""
    lines = [
        "| cases a day | TaskManagers x slots | T | vectors read (float64) | batches | staged | files | row groups "
        "| load jobs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cases, task_managers in _DAYS:
        of = plan(cases, task_managers * _SLOTS)
        lines.append(
            f"| {of.cases:,} | {task_managers} x {_SLOTS} | {of.seconds / 60:.1f} min | {_bytes(of.read_bytes)} "
            f"| {of.batches:,} | {_bytes(of.staged_bytes)} | {of.files:,} | {of.row_groups:,} | {of.load_jobs} |"
        )
    return "\n".join(lines) + "\n"


def _bytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"


def with_table(text: str) -> str:
    """The page with the table anew. Raises ValueError if it lacks the markers."""
    start, end = _MARKS
    before, has_start, rest = text.partition(start)
    _, has_end, after = rest.partition(end)
    if not (has_start and has_end):
        raise ValueError(f"the page has no place for the sizes: {start.strip()} ... {end.strip()}")
    return f"{before}{start}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
