"""`recent_rows`: the history that a run is compared with."""

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from beam_pcc.cases.monitoring_row import MonitoringRow, Status
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse

DAY = dt.date(2026, 11, 20)


def row(run_id: str, day: int, status: Status = "success", hour: int = 0) -> MonitoringRow:
    """A row of the day `day` days before DAY, written at `hour`."""
    date = DAY - dt.timedelta(days=day)
    written = dt.datetime.combine(date, dt.time(hour), dt.timezone.utc) + dt.timedelta(days=1)
    return MonitoringRow(
        run_id=run_id,
        partition_date=date,
        runtime_ts=written,
        status=status,
        total_cases=10,
        passed_validation=10,
        dropped_cases=0,
        ingestion_time=written,
        processing_duration_seconds=1.0,
        positive_cases=1,
        review_cases=1,
        reject_reasons={},
    )


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(str(tmp_path / "pcc.duckdb"))


def recent(warehouse: DuckDBWarehouse, days: int = 28) -> list[str]:
    return [one.run_id for one in warehouse.recent_rows(DAY, days)]


def test_recent_rows_without_a_table(warehouse: DuckDBWarehouse) -> None:
    assert recent(warehouse) == []
    assert not Path(warehouse.address).exists()


def test_recent_rows_are_the_latest_success_of_each_day(warehouse: DuckDBWarehouse) -> None:
    for one in (
        row("today", 0),
        row("first", 1, hour=1),
        row("again", 1, hour=2),
        row("refused", 1, "refused", hour=3),
        row("failed", 2, "failed"),
        row("older", 3),
        row("tomorrow", -1),
    ):
        warehouse.record(one)
    assert recent(warehouse) == ["again", "older"]


def test_recent_rows_are_of_the_newest_days(warehouse: DuckDBWarehouse) -> None:
    for day in range(5, 0, -1):
        warehouse.record(row(f"r{day}", day))
    assert recent(warehouse, days=2) == ["r1", "r2"]


def test_recent_rows_leave_out_an_unreadable_row(warehouse: DuckDBWarehouse) -> None:
    warehouse.record(row("sound", 1))
    warehouse.record(row("broken", 2))
    with duckdb.connect(warehouse.address) as connection:
        connection.execute("UPDATE pcc_monitoring_logs SET reject_reasons = '{' WHERE run_id = 'broken'")
    assert recent(warehouse) == ["sound"]
