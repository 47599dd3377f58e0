"""A DuckDB warehouse with predictions that a test makes up, and rows of feedback."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.config.settings import Publish
from beam_pcc.publishing.warehouse import open_warehouse
from beam_pcc.publishing.warehouse.base import Warehouse

DATE = dt.date(2026, 11, 20)
PUBLISHED = dt.datetime(2026, 11, 21, 2, tzinfo=dt.timezone.utc)
LABELLED = dt.datetime(2026, 11, 23, 10, tzinfo=dt.timezone.utc)


def warehouse_of(path: Path) -> Warehouse:
    """A new file with the tables."""
    warehouse = open_warehouse(Publish(str(path)))
    warehouse.apply_tables(warehouse.plan_tables())
    return warehouse


def publish(
    path: Path,
    probabilities: Sequence[float],
    *,
    day: dt.date = DATE,
    version: str = "v1",
    at: dt.datetime = PUBLISHED,
    threshold: float = 0.5,
    band: float = 0.1,
) -> None:
    """Replace a day by cases c0, c1 ... with these P(PC)."""
    rows = [
        {
            "case_id": f"c{number}",
            "predicted_label": schemas.PC if probability >= threshold else schemas.NOT_PC,
            "confidence": probability if probability >= threshold else 1 - probability,
            "model_version": version,
            "embedding_model": "e",
            "inference_timestamp": at,
            "prediction_notes": "review: margin 0.05" if abs(probability - threshold) < band else None,
            "ingestion_time": at,
            "partition_date": day,
            "run_id": f"{day:%Y%m%d}-{version}",
        }
        for number, probability in enumerate(probabilities)
    ]
    stored = pa.Table.from_pylist(rows, schema=schemas.OUTPUT)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM pcc_inference_output WHERE partition_date = ?", [day])
        connection.from_arrow(stored).insert_into("pcc_inference_output")


def feedback_row(**more: Any) -> dict[str, Any]:
    """A row of pcc_feedback: a PC that was published as PC."""
    row: dict[str, Any] = dict.fromkeys(schemas.FEEDBACK.names)
    return {
        **row,
        "case_id": "a",
        "label": "PC",
        "source": "team",
        "label_time": LABELLED,
        "partition_date": DATE,
        "predicted_label": "PC",
        "confidence": 0.9,
        "review": False,
        "model_version": "v1",
        "run_id": "r",
        "published_at": PUBLISHED,
        "ingestion_time": LABELLED,
        **more,
    }


def feedback_table(*rows: dict[str, Any]) -> pa.Table:
    """The rows as a warehouse gives them."""
    return pa.Table.from_pylist(list(rows), schema=schemas.readable(schemas.FEEDBACK, schemas.FEEDBACK.names))
