"""Monitoring rows of runs that a test makes up."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import MonitoringRow
from beam_pcc.publishing.warehouse.duckdb import tables


def monitoring_row(partition: dt.date, written: dt.datetime, **more: Any) -> MonitoringRow:
    """The row of a run that published 100 cases, but for what is given."""
    fields: dict[str, Any] = {
        "run_id": f"{partition:%Y%m%d}-{written:%Y%m%dT%H%M%SZ}-00000000",
        "partition_date": partition,
        "runtime_ts": written,
        "ingestion_time": written,
        "status": "success",
        "total_cases": 100,
        "passed_validation": 90,
        "dropped_cases": 10,
        "positive_cases": 9,
        "review_cases": 1,
        "processing_duration_seconds": 5.0,
        "reject_reasons": {},
    }
    return MonitoringRow(**fields | more)


def store(database: str | Path, rows: Iterable[MonitoringRow]) -> None:
    """Add many rows to a DuckDB file at once: a warehouse opens and copies the file for each that it records."""
    stored = pa.Table.from_pylist([row.to_stored() for row in rows], schema=schemas.MONITORING)
    with duckdb.connect(str(database)) as connection:
        tables.make_missing(connection)
        connection.from_arrow(stored).insert_into("pcc_monitoring_logs")
