"""The volume audit, waiting and exact copies, from BigQuery to BigQuery."""

from __future__ import annotations

import io
import json
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery, storage

from beam_pcc.sources.bigquery import ReadTable
from tests.end_to_end.bigquery.conftest import SCHEMA, Cloud, sample
from tests.end_to_end.bigquery.test_source_tables import insert
from tests.end_to_end.conftest import DATE, DAY


def sound(rows: int) -> pa.Table:
    """Rows of the sample that are not broken."""
    return sample(500).slice(100, rows)


def shrink(cloud: Cloud, rows: pa.Table, table: str = f"redacted_snapshot_{DAY}") -> None:
    cloud.client.delete_table(f"{cloud.source}.{table}")
    cloud.seed(rows)


def test_sharded_day_that_shrank_is_refused(cloud: Cloud) -> None:
    cloud.seed(sample(2_000))
    assert cloud.run().code == 0
    before = cloud.published()
    shrink(cloud, sound(3))
    ended = cloud.run()

    assert ended.code == 3, ended.err
    assert "3 rows are 0.1% of the 2,000 that are published for this day" in ended.out
    assert cloud.published() == before
    first, second = cloud.monitoring()
    assert (first["status"], first["source_rows"], first["source_files"]) == ("success", 2_000, None)
    assert (second["status"], second["source_rows"]) == ("refused", 3)
    assert json.loads(second["alerts"])[0]["action"] == "refuse"


def test_accepted_volume_replaces_the_day(cloud: Cloud) -> None:
    cloud.seed(sample(500))
    assert cloud.run().code == 0
    shrink(cloud, sound(3))

    assert cloud.run("--accept_volume").code == 0
    assert len(cloud.published()) == 3
    assert [alert["action"] for alert in json.loads(cloud.monitoring()[-1]["alerts"])] == ["accepted"]


@pytest.mark.parametrize("method", ["direct", "export", "arrow"])
def test_rows_of_a_partitioned_day_are_counted(cloud: Cloud, method: str) -> None:
    rows = sample(500)
    days = pa.array([int(DAY) if n % 2 == 0 else 20261119 for n in range(len(rows))])
    cloud.seed(rows.append_column("day", days), "cases", [*SCHEMA, bigquery.SchemaField("day", "INTEGER")])
    source = f"bq://{cloud.source}.cases?partition_column=day"
    ended = cloud.run("--source", source, "--read_method", method, "--max_drop_rate", 1)

    assert ended.code == 0, ended.err
    (row,) = cloud.monitoring()
    assert (row["source_rows"], row["total_cases"]) == (250, 250)


def test_rows_of_a_view_are_counted(cloud: Cloud) -> None:
    cloud.seed(sound(40), "rows")
    view = bigquery.Table(f"{cloud.source}.redacted_snapshot_{DAY}")
    view.view_query = f"SELECT case_id, embedding_vector, timestamp FROM `{cloud.source}.rows`"
    cloud.client.create_table(view)
    ended = cloud.run("--read_method", "export")

    assert ended.code == 0, ended.err
    (row,) = cloud.monitoring()
    assert (row["source_rows"], row["source_modified"], row["total_cases"]) == (40, None, 40)


def test_rows_of_a_day_of_ingestion_are_counted(cloud: Cloud) -> None:
    cloud.client.query(
        f"CREATE TABLE `{cloud.source}.cases` (case_id STRING, embedding_vector ARRAY<FLOAT64>, timestamp TIMESTAMP) "
        "PARTITION BY _PARTITIONDATE OPTIONS (require_partition_filter = TRUE)"
    ).result()
    insert(cloud, "cases", sound(40), _PARTITIONTIME=f"TIMESTAMP '{DATE}'")
    insert(cloud, "cases", sound(25), _PARTITIONTIME="TIMESTAMP '2026-11-19'")
    ended = cloud.run("--source", f"bq://{cloud.source}.cases?partition_column=_PARTITIONDATE")

    assert ended.code == 0, ended.err
    (row,) = cloud.monitoring()
    assert (row["source_rows"], row["total_cases"]) == (40, 40)


def test_fewer_rows_than_the_table_had_are_refused(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    table = cloud.seed(sample(500))
    volume = ReadTable.volume

    def delete_after_the_look(self: ReadTable) -> object:
        found = volume(self)
        cloud.client.query(f"DELETE FROM `{table}` WHERE case_id LIKE '%7'").result()
        return found

    monkeypatch.setattr(ReadTable, "volume", delete_after_the_look)
    ended = cloud.run()

    assert ended.code == 3, ended.err
    assert "rows read of 500 that the source had at launch" in ended.out


def test_footers_of_a_bucket_are_counted(cloud: Cloud, bucket: storage.Bucket) -> None:
    for number, rows in enumerate((30, 12)):
        file = io.BytesIO()
        pq.write_table(sound(50).slice(30 * number, rows), file)
        bucket.blob(f"{cloud.name}/in/{number}.parquet").upload_from_string(file.getvalue())
    ended = cloud.run("--source", f"gs://{bucket.name}/{cloud.name}/in/*.parquet")

    assert ended.code == 0, ended.err
    (row,) = cloud.monitoring()
    assert (row["source_rows"], row["source_files"], row["total_cases"]) == (42, 2, 42)
    assert row["source_modified"] is not None


def test_table_that_comes_late_is_waited_for(cloud: Cloud) -> None:
    timer = threading.Timer(2, lambda: cloud.seed(sound(40)))
    timer.start()
    ended = cloud.run("--wait_for_source", "60s")
    timer.join()

    assert ended.code == 0, ended.err
    assert len(cloud.published()) == 40


def test_rows_of_a_day_that_come_late_are_waited_for(cloud: Cloud) -> None:
    days = pa.array([int(DAY)] * 40)
    late = sound(40).append_column("day", days)
    table = cloud.seed(late.slice(0, 0), "cases", [*SCHEMA, bigquery.SchemaField("day", "INTEGER")])

    def load() -> None:
        time.sleep(2)
        cloud.seed(late, "late", [*SCHEMA, bigquery.SchemaField("day", "INTEGER")])
        cloud.client.query(f"INSERT INTO `{table}` SELECT * FROM `{cloud.source}.late`").result()

    loader = threading.Thread(target=load)
    loader.start()
    ended = cloud.run("--source", f"bq://{cloud.source}.cases?partition_column=day", "--wait_for_source", "60s")
    loader.join()

    assert ended.code == 0, ended.err
    assert len(cloud.published()) == 40


def test_exact_copies_are_dropped_and_counted(cloud: Cloud) -> None:
    rows = sound(40)
    later = pa.compute.add(rows["timestamp"], pa.scalar(1_000_000, pa.duration("us")))
    changed = rows.set_column(rows.schema.get_field_index("timestamp"), "timestamp", later)
    cloud.seed(pa.concat_tables([rows, rows.slice(0, 12), changed.slice(0, 2)]))
    ended = cloud.run()

    assert ended.code == 0, ended.err
    (row,) = cloud.monitoring()
    assert (row["total_cases"], row["passed_validation"], row["dropped_cases"], row["exact_copies"]) == (54, 40, 2, 12)
    assert json.loads(row["reject_reasons"]) == {"duplicate_case_id": 2}
    assert len(cloud.published()) == 40
    details = cloud.query("SELECT DISTINCT detail FROM pcc_quarantine WHERE ingestion_time > '1970-01-01'")
    assert details == [("one of 2 rows with this case_id; the latest is kept",)]
