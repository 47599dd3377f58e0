"""Each kind of source table is read by each method that can read it. The emulator has no external tables."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from google.cloud import bigquery

from beam_pcc.config.settings import ReadMethod
from beam_pcc.sources import ReadCases
from beam_pcc.sources.bigquery import ReadOptions, ReadTable, find_part
from tests.conftest import ReadAll
from tests.end_to_end.bigquery.conftest import SCHEMA, Cloud, sample
from tests.end_to_end.conftest import DATE, DAY
from tests.inputs import settings

METHODS = ["direct", "export", "arrow"]
NEXT_DAY = DATE + dt.timedelta(days=1)


def case_ids(read_all: ReadAll, cloud: Cloud, source: str, method: str) -> list[str]:
    """The ids of the rows that are read, in order."""
    read = ReadCases(settings(f"bq://{cloud.source}.{source}", DATE, read_method=method), f"{cloud.staging}/export")
    return sorted(str(i) for batch in read_all(read) for i in batch.column("case_id").to_pylist())


def ids_of(rows: pa.Table) -> list[str]:
    return sorted(map(str, rows.column("case_id").to_pylist()))


def make(cloud: Cloud, name: str, schema: list[bigquery.SchemaField], **layout: object) -> bigquery.Table:
    """An empty table; `layout` are properties of it."""
    table = bigquery.Table(f"{cloud.source}.{name}", schema=schema)
    for key, value in layout.items():
        setattr(table, key, value)
    return cloud.client.create_table(table)


def insert(cloud: Cloud, table: str, rows: pa.Table, **values: str) -> list[str]:
    """Add the rows by a query, with these expressions as the values of columns; their ids, in order."""
    cloud.seed(rows, f"rows_{len(rows)}")
    values = {name: name for name in ("case_id", "embedding_vector", "timestamp")} | values
    sql = "INSERT INTO `{0}.{1}` ({2}) SELECT {3} FROM `{0}.rows_{4}`".format(
        cloud.source, table, ", ".join(f"`{name}`" for name in values), ", ".join(values.values()), len(rows)
    )
    cloud.client.query(sql).result()
    return ids_of(rows)


@pytest.mark.parametrize(
    ("method", "column"), [("direct", "_PARTITIONDATE"), ("export", "_PARTITIONTIME"), ("arrow", "_PARTITIONDATE")]
)
def test_day_of_an_ingestion_time_table_is_read(cloud: Cloud, read_all: ReadAll, method: str, column: str) -> None:
    cloud.client.query(  # the emulator keeps the time of ingestion in tables that SQL makes
        f"CREATE TABLE `{cloud.source}.cases` (case_id STRING, embedding_vector ARRAY<FLOAT64>, timestamp TIMESTAMP) "
        "PARTITION BY _PARTITIONDATE OPTIONS (require_partition_filter = TRUE)"
    ).result()
    expected = insert(cloud, "cases", sample(60), _PARTITIONTIME=f"TIMESTAMP '{DATE}'")
    insert(cloud, "cases", sample(40, NEXT_DAY), _PARTITIONTIME=f"TIMESTAMP '{NEXT_DAY}'")

    assert case_ids(read_all, cloud, f"cases?partition_column={column}", method) == expected


@pytest.mark.parametrize("method", METHODS)
def test_shard_that_requires_a_filter_is_read(cloud: Cloud, read_all: ReadAll, method: str) -> None:
    by_time = bigquery.TimePartitioning(field="timestamp")
    make(cloud, f"cases_{DAY}", SCHEMA[:3], time_partitioning=by_time, require_partition_filter=True)
    expected = insert(cloud, f"cases_{DAY}", sample(60))
    insert(cloud, f"cases_{DAY}", sample(1), case_id="'no time'", timestamp="NULL")

    assert case_ids(read_all, cloud, "cases_{partition}", method) == sorted([*expected, "no time"])


@pytest.mark.parametrize(
    ("method", "column", "address"),
    [("direct", "order", "ORDER"), ("export", "a day", "a%20day"), ("arrow", "日付", "日付")],
)
def test_day_by_a_column_that_needs_quotes(
    cloud: Cloud, read_all: ReadAll, method: str, column: str, address: str
) -> None:
    make(cloud, "support-cases", [*SCHEMA[:3], bigquery.SchemaField(column, "DATE")])
    expected = insert(cloud, "support-cases", sample(60), **{column: f"DATE '{DATE}'"})
    insert(cloud, "support-cases", sample(40, NEXT_DAY), **{column: f"DATE '{NEXT_DAY}'"})

    assert case_ids(read_all, cloud, f"support-cases?partition_column={address}", method) == expected


def test_view_is_exported(cloud: Cloud, read_all: ReadAll) -> None:
    cloud.seed(sample(60), "rows")
    view = bigquery.Table(f"{cloud.source}.cases")
    view.view_query = f"SELECT case_id, embedding_vector, timestamp, DATE(timestamp) AS day FROM `{cloud.source}.rows`"
    cloud.client.create_table(view)

    read = case_ids(read_all, cloud, "cases?partition_column=day", "export")

    assert read == ids_of(sample(60))


@pytest.mark.parametrize("method", ["direct", "arrow"])
def test_view_is_refused_before_the_run(cloud: Cloud, method: str) -> None:
    cloud.seed(sample(60), "rows")
    view = bigquery.Table(f"{cloud.source}.cases_{DAY}")
    view.view_query = f"SELECT * FROM `{cloud.source}.rows`"
    cloud.client.create_table(view)

    ended = cloud.run("--source", f"bq://{cloud.source}.cases_{{partition}}", "--read_method", method)

    assert ended.code == 2
    assert f"cases_{DAY} is a view: use --read_method export" in ended.err


@pytest.mark.parametrize("method", METHODS)
def test_column_that_needs_quotes_is_selected(cloud: Cloud, read_all: ReadAll, method: ReadMethod) -> None:
    schema = [SCHEMA[0], SCHEMA[2], bigquery.SchemaField("select the text", "STRING")]
    rows = pa.table({"case_id": ["a"], "timestamp": [dt.datetime(2026, 11, 20)], "select the text": ["hello"]})
    cloud.seed(rows, "cases", schema)
    address = f"bq://{cloud.source}.cases?partition_column=timestamp"
    part = find_part(address, DATE, retry_timeout=20, text_column="select the text", read_method=method)

    options = ReadOptions(method, part.table.home, f"{cloud.staging}/export", batch_rows=100, retry_timeout=20)
    (batch,) = read_all(ReadTable(part, options))

    assert batch.column("select the text").to_pylist() == ["hello"]


def test_rows_of_a_view_are_counted(cloud: Cloud) -> None:
    cloud.seed(sample(60), "rows")
    view = bigquery.Table(f"{cloud.source}.cases_{DAY}")
    view.view_query = f"SELECT * FROM `{cloud.source}.rows`"
    cloud.client.create_table(view)
    config = settings(f"bq://{cloud.source}.cases_{{partition}}", DATE, read_method="export")

    assert ReadCases(config, f"{cloud.staging}/export").volume.rows == 60
