"""Monitoring rows of runs that a test makes up."""

import datetime as dt
from typing import Any

from beam_pcc.cases.monitoring_row import MonitoringRow


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
