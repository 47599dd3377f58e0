"""What a table says of itself: rows, the last change, and the streaming buffer."""

import datetime as dt
from typing import Any

import pytest
from google.cloud import bigquery

from beam_pcc.sources.bigquery import table_volume
from beam_pcc.sources.volume import SourceVolume

DAY = dt.date(2026, 11, 20)
NAMES = {"tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"}}
CHANGED = dt.datetime(2026, 11, 21, 1, tzinfo=dt.timezone.utc)


def milliseconds(time: dt.datetime) -> str:
    return str(int(time.timestamp() * 1000))


def table(**more: Any) -> bigquery.Table:
    return bigquery.Table.from_api_repr({**NAMES, "numRows": "40", "lastModifiedTime": milliseconds(CHANGED), **more})


def buffer(hours: int, rows: str = "7") -> dict[str, Any]:
    """A streaming buffer whose oldest row came so many hours after the day began."""
    oldest = dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc) + dt.timedelta(hours=hours)
    return {"streamingBuffer": {"estimatedRows": rows, "oldestEntryTime": milliseconds(oldest)}}


def test_shard_says_its_rows_and_last_change() -> None:
    assert table_volume(table()) == SourceVolume(rows=40, modified=CHANGED)


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED_VIEW", "EXTERNAL"])
def test_what_a_query_makes_is_counted_by_a_query(kind: str) -> None:
    """BigQuery says of a view that it has no rows."""
    assert table_volume(table(type=kind, numRows="0")).rows is None


def test_shard_with_a_buffer_still_fills() -> None:
    assert table_volume(table(**buffer(30))).buffered == 7


def test_buffer_without_an_estimate_still_fills() -> None:
    assert table_volume(table(**buffer(30, "0"))).buffered == 1


def test_table_of_many_days_says_nothing_of_one() -> None:
    assert table_volume(table(**buffer(10)), "timestamp", DAY) == SourceVolume()


@pytest.mark.parametrize("column", ["_PARTITIONTIME", "_PARTITIONDATE", "_partitiondate"])
@pytest.mark.parametrize(("hours", "rows"), [(23, 7), (24, 0), (30, 0)])
def test_buffer_of_a_day_of_ingestion(column: str, hours: int, rows: int) -> None:
    assert table_volume(table(**buffer(hours)), column, DAY) == SourceVolume(buffered=rows)


def test_buffer_of_the_last_day_there_is() -> None:
    assert table_volume(table(**buffer(23)), "_PARTITIONDATE", dt.date.max) == SourceVolume(buffered=7)


def test_a_snapshot_says_its_rows() -> None:
    assert table_volume(table(type="SNAPSHOT")).rows == 40
