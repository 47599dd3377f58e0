"""The report of a warehouse in BigQuery: which rows it reads, and the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from uuid import uuid4

import pytest

from beam_pcc.cases.monitoring_row import MonitoringRow
from beam_pcc.config.settings import Publish
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import RUNS_OF_A_DAY, Warehouse
from tests.end_to_end.bigquery.conftest import Cloud
from tests.test_report_days import date, run


@pytest.fixture
def warehouse(cloud: Cloud) -> Warehouse:
    return open_warehouse(Publish(f"bq://{cloud.output}"))


def record(warehouse: Warehouse, *runs: MonitoringRow) -> None:
    """Under run ids of their own: a job's id is one of the whole project."""
    for one in runs:
        warehouse.record(dataclasses.replace(one, run_id=f"{one.run_id[:-8]}{uuid4().hex[:8]}"))


def test_report_of_days_in_bigquery(cloud: Cloud, warehouse: Warehouse, tmp_path: Path) -> None:
    assert warehouse.latest_day() is None
    record(warehouse, run(-2), run(-1, "failed"), run(0), run(-2, "failed", 9))
    page = tmp_path / "report.html"
    ended = cloud.call("report", "--warehouse", f"bq://{cloud.output}", "--output", page, "--to", f"{date(0):%Y%m%d}")

    assert (ended.code, ended.err) == (0, "")
    text = page.read_text()
    assert f"Partition {date(0)}" in text
    assert f"{date(-1)}: failed" in text
    assert "A later run failed, what was published stays" in text


def test_runs_of_days_are_bounded(warehouse: Warehouse) -> None:
    failures = [run(-1, "failed", hour) for hour in range(3, RUNS_OF_A_DAY + 6)]
    record(warehouse, run(-5), run(-1), *failures, run(0))
    assert warehouse.latest_day() == date(0)
    rows = warehouse.runs_of_days(date(-4), date(-1))
    assert [row["status"] for row in rows] == ["success"] + ["failed"] * RUNS_OF_A_DAY
    assert rows[-1]["runtime_ts"].hour == RUNS_OF_A_DAY + 5
