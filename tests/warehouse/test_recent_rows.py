"""What is read of the monitoring rows: the history that a run is compared with, and the days of a report."""

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from beam_pcc.cases.monitoring_row import MonitoringRow, Status
from beam_pcc.publishing.warehouse.base import RUNS_OF_A_DAY
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from tests.monitoring_rows import monitoring_row, store

DAY = dt.date(2026, 11, 20)


def row(run_id: str, day: int, status: Status = "success", hour: int = 0) -> MonitoringRow:
    """A row of the day `day` days before DAY, written at `hour`."""
    date = DAY - dt.timedelta(days=day)
    written = dt.datetime.combine(date, dt.time(hour), dt.timezone.utc) + dt.timedelta(days=1)
    return monitoring_row(date, written, run_id=run_id, status=status)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(str(tmp_path / "pcc.duckdb"))


def recent(warehouse: DuckDBWarehouse, days: int = 28) -> list[str]:
    return [one.run_id for one in warehouse.recent_rows(DAY, days)]


def test_recent_rows_without_a_table(warehouse: DuckDBWarehouse) -> None:
    assert recent(warehouse) == []
    assert not Path(warehouse.address).exists()


def test_recent_rows_are_the_latest_success_of_each_day(warehouse: DuckDBWarehouse) -> None:
    rows = [
        row("today", 0),
        row("first", 1, hour=1),
        row("again", 1, hour=2),
        row("refused", 1, "refused", hour=3),
        row("failed", 2, "failed"),
        row("older", 3),
        row("tomorrow", -1),
    ]
    store(warehouse.address, rows)
    assert recent(warehouse) == ["again", "older"]


def test_recent_rows_are_of_the_newest_days(warehouse: DuckDBWarehouse) -> None:
    store(warehouse.address, [row(f"r{day}", day) for day in range(5, 0, -1)])
    assert recent(warehouse, days=2) == ["r1", "r2"]


def test_recent_rows_leave_out_an_unreadable_row(warehouse: DuckDBWarehouse) -> None:
    store(warehouse.address, [row("sound", 1), row("broken", 2)])
    with duckdb.connect(warehouse.address) as connection:
        connection.execute("UPDATE pcc_monitoring_logs SET reject_reasons = '{' WHERE run_id = 'broken'")
    assert recent(warehouse) == ["sound"]


def of_days(warehouse: DuckDBWarehouse, first: int, last: int) -> list[str]:
    """Run ids of the days `first` to `last` before DAY."""
    dates = (DAY - dt.timedelta(days=first), DAY - dt.timedelta(days=last))
    return [str(one["run_id"]) for one in warehouse.runs_of_days(*dates)]


def test_latest_day_is_that_of_the_data(warehouse: DuckDBWarehouse) -> None:
    """Not the day of the run that ended last."""
    assert warehouse.latest_day() is None
    assert not Path(warehouse.address).exists()
    warehouse.record(row("newest day", 1))
    warehouse.record(row("backfill", 9, hour=23))
    assert warehouse.latest_day() == DAY - dt.timedelta(days=1)


def test_runs_of_days_are_those_between(warehouse: DuckDBWarehouse) -> None:
    assert of_days(warehouse, 3, 1) == []
    rows = [row("b", 1, hour=2), row("a", 1, "failed", hour=1), row("too late", 0), row("c", 3), row("early", 4)]
    store(warehouse.address, rows)
    assert of_days(warehouse, 3, 1) == ["c", "a", "b"]


def test_runs_of_a_day_are_bounded(warehouse: DuckDBWarehouse) -> None:
    """The published run is among them, however often the day failed afterwards."""
    failed = [row(f"failed{hour:02}", 1, "failed", hour=hour) for hour in range(1, RUNS_OF_A_DAY + 5)]
    store(warehouse.address, [row("published", 1), *failed])
    rows = of_days(warehouse, 1, 1)
    assert len(rows) == RUNS_OF_A_DAY + 1
    assert (rows[0], rows[-1]) == ("published", f"failed{RUNS_OF_A_DAY + 4:02}")
