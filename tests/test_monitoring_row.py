"""The monitoring row: declared once, the same after it was stored, and strict about what others stored."""

import dataclasses
import datetime as dt
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import (
    STATUSES,
    Alert,
    Alerts,
    Counts,
    Histogram,
    MonitoringRow,
    Shares,
    Status,
    columns,
)
from beam_pcc.errors import RunError
from beam_pcc.publishing.monitoring import audited_row, failed_row
from beam_pcc.publishing.publish import Outcome
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFigures
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from beam_pcc.reporting.days import state_of

UTC = dt.timezone.utc
RUN = Run("20261120-20261121T020001Z-0a1b2c3d", dt.date(2026, 11, 20), dt.datetime(2026, 11, 21, 2, tzinfo=UTC))
FIGURES = StagedFigures(predictions=90, distinct_case_ids=90, positive=12, rejected=Counter(empty_text=10))

counts = st.integers(0, 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    Status: st.sampled_from(STATUSES),
    int: counts,
    float: numbers,
    dt.date: st.dates(),
    dt.datetime: st.datetimes(timezones=st.just(UTC)),
    Counts: st.dictionaries(st.text(), counts),
    Shares: st.dictionaries(st.text(), st.floats(0, 1)),
    Histogram: st.lists(counts).map(tuple),
    Alerts: st.lists(st.builds(Alert, st.text(), numbers, numbers, st.text())).map(tuple),
}
rows = st.builds(
    MonitoringRow, **{c.name: st.none() | VALUES[c.type] if c.nullable else VALUES[c.type] for c in columns()}
).filter(lambda row: row.status != "failed" or not (row.total_cases or row.passed_validation or row.dropped_cases))
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.sampled_from(["[" * 10_000, "[-1]", '{"a": "b"}', "null", "success"])
)


def audited(rows_read: int = 100, *violations: str) -> MonitoringRow:
    return audited_row(RUN, FIGURES, RunStats(rows_read), None, violations)


def test_class_and_schema_have_the_same_columns() -> None:
    """The types are written out here: a change of one is a change of everybody's table."""
    kinds = {
        str: pa.string(),
        Status: pa.string(),
        Counts: pa.string(),
        Shares: pa.string(),
        Histogram: pa.string(),
        Alerts: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        dt.date: pa.date32(),
        dt.datetime: pa.timestamp("us", tz="UTC"),
    }
    fields = [field.name for field in dataclasses.fields(MonitoringRow)]

    assert schemas.MONITORING.names == fields
    for column, field in zip(columns(), schemas.MONITORING, strict=True):
        assert (field.type, field.nullable) == (kinds[column.type], column.nullable), field.name
        assert field.metadata[b"description"].decode() == column.description


def test_a_column_that_may_be_null_is_null_unless_given() -> None:
    for field, column in zip(dataclasses.fields(MonitoringRow), columns(), strict=True):
        assert (field.default is None) == column.nullable, field.name


@settings(max_examples=40)
@given(rows)
def test_a_row_comes_back_from_the_table(row: MonitoringRow) -> None:
    assert MonitoringRow.from_stored(row.to_stored()) == row


@settings(max_examples=40)
@given(rows, st.booleans())
def test_an_outcome_comes_back_from_its_file(row: MonitoringRow, dry_run: bool) -> None:
    outcome = Outcome(row, dry_run)
    assert Outcome.from_json(outcome.to_json().encode()) == outcome


@given(st.dictionaries(st.sampled_from(schemas.MONITORING.names), anything))
def test_any_stored_value_fits_or_is_named_in_one_line(changed: dict[str, Any]) -> None:
    stored = audited().to_stored() | changed
    try:
        assert MonitoringRow.from_stored(stored).run_id == stored["run_id"]
    except ValueError as error:
        name, _, words = str(error).partition(" is ")
        assert name in changed
        assert words.isprintable()


MISFITS = [
    ("run_id", None, "null"),
    ("run_id", 7, "not a text"),
    ("status", "paused", "none of success, empty, refused, failed"),
    ("total_cases", -1, "not a count"),
    ("total_cases", True, "not a count"),
    ("drift_psi", math.nan, "not a finite number"),
    ("drift_psi", "0.1", "not a finite number"),
    ("partition_date", "2026-11-20", "not a date"),
    ("runtime_ts", dt.datetime(2026, 11, 20), "not a time with a zone"),
    ("reject_reasons", "[" * 10_000, "not JSON"),
    ("reject_reasons", "[]", "not a JSON object"),
    ("reject_reasons", '{"empty_text": -1}', "not a count"),
    ("score_histogram", "{}", "not a JSON array"),
    ("alerts", "[1]", "not a JSON array of objects"),
    ("alerts", '[{"name": "x", "value": null, "limit": 1.0, "action": "alert"}]', "not a finite number"),
]


@pytest.mark.parametrize(("column", "value", "words"), MISFITS)
def test_a_value_that_does_not_fit_its_column_is_named(column: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{column} is {words}$"):
        MonitoringRow.from_stored(audited().to_stored() | {column: value})


@given(st.binary() | st.recursive(anything, st.lists).map(repr).map(str.encode))
def test_bytes_that_are_no_outcome_are_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json has words of its own
        Outcome.from_json(content)


@pytest.mark.parametrize("values", [{}, {"dry_run": False}, {"dry_run": False, "monitoring": {}}, [], None])
def test_json_that_is_no_outcome_is_a_value_error(values: object) -> None:
    with pytest.raises(ValueError, match=r"not the outcome|not a JSON object|run_id is null"):
        Outcome.from_json(json.dumps(values).encode())


@pytest.mark.parametrize(
    ("status", "exit_code", "refused"),
    [("success", 0, False), ("empty", 0, False), ("refused", 3, True), ("failed", 1, False)],
)
def test_the_status_alone_decides_how_a_run_ended(status: Status, exit_code: int, refused: bool) -> None:
    row = dataclasses.replace(audited(), status=status, error_message="audits refused to publish: no")
    assert (Outcome(row).exit_code, Outcome(row).refused) == (exit_code, refused)


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (audited(), "success"),
        (audited(0), "empty"),
        (audited(100, "too many"), "refused"),
        (audited(0, "0 rows read, but 90 predictions"), "refused"),
        (failed_row(RUN, RunError("a disk is full")), "failed"),
    ],
)
def test_each_end_of_a_run_has_its_status(row: MonitoringRow, status: str) -> None:
    assert row.status == status


@pytest.mark.parametrize("counted", ["total_cases", "passed_validation", "dropped_cases"])
def test_a_failed_row_that_counted_rows_was_refused(counted: str) -> None:
    """As versions before `refused` wrote it."""
    stored = failed_row(RUN, RunError("whatever")).to_stored() | {counted: 1}
    assert MonitoringRow.from_stored(stored).status == "refused"


def test_a_failed_row_that_counted_nothing_stays_failed() -> None:
    row = failed_row(RUN, RunError("audits refused to publish: no"))
    assert MonitoringRow.from_stored(row.to_stored()).status == "failed"


def test_an_outcome_of_an_earlier_version_is_read() -> None:
    stored = audited(100, "too many").to_json() | {"status": "failed"}
    older = {"monitoring": stored, "refused": True, "dry_run": True}
    assert Outcome.from_json(json.dumps(older).encode()) == Outcome(MonitoringRow.from_json(stored), dry_run=True)
    assert Outcome.from_json(json.dumps(older).encode()).refused


def test_a_row_comes_back_from_duckdb(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(str(tmp_path / "pcc.duckdb"))
    row = dataclasses.replace(audited(), drift_psi=0.25, baseline_histogram=(1, 2), notes="drift")
    assert warehouse.record(row)
    assert warehouse.monitoring(RUN.run_id) == row
    assert warehouse.monitoring("another") is None


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_in_the_contracts_and_the_report(status: Status) -> None:
    contracts = (Path(__file__).parent.parent / "docs/contracts.md").read_text()
    (line,) = [line for line in contracts.splitlines() if line.startswith("| status |")]
    assert f"`{status}`" in line
    assert state_of({"status": status, "alerts": None}) != "other"
