"""One run from a BigQuery table to published BigQuery tables."""

from __future__ import annotations

import base64
import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest
from google.cloud import bigquery, storage

from beam_pcc.models.scoring import GOLDEN_TOLERANCE
from tests.end_to_end.bigquery.conftest import SCHEMA, TABLES, Cloud, sample
from tests.end_to_end.conftest import BROKEN, DATE, DAY


@pytest.mark.parametrize("method", ["direct", "export", "arrow"])
def test_each_read_method_accounts_for_every_row(cloud: Cloud, method: str) -> None:
    cloud.seed(sample(2_000))

    ended = cloud.run("--read_method", method)

    assert ended.code == 0, ended.err
    rejected = cloud.query("SELECT reason, count(*) FROM pcc_quarantine WHERE ingestion_time > '1970-01-01' GROUP BY 1")
    assert dict(rejected) == BROKEN
    assert len(cloud.published()) == 2_000 - sum(BROKEN.values())


def test_result_equals_that_of_file_and_duckdb(cloud: Cloud, workspace) -> None:
    cloud.seed(sample(2_000))
    assert cloud.run("--read_method", "arrow").code == 0

    assert workspace.run("sample://2000").code == 0

    here = {row[0]: row for row in workspace.published()}
    there = {row[0]: row for row in cloud.published()}
    assert here.keys() == there.keys()
    for case_id, row in there.items():
        assert row[:3] == here[case_id][:3]
        assert row[3] == pytest.approx(here[case_id][3], abs=GOLDEN_TOLERANCE)  # other rows in the batch


def test_monitoring_row_matches_the_tables(cloud: Cloud) -> None:
    cloud.seed(sample(2_000))
    cloud.run()

    (row,) = cloud.monitoring()
    assert row["status"] == "success"
    assert row["partition_date"] == DATE
    assert (row["total_cases"], row["dropped_cases"]) == (2_000, sum(BROKEN.values()))
    assert row["passed_validation"] == len(cloud.published())
    assert json.loads(row["reject_reasons"]) == BROKEN
    assert row["error_message"] is None


def test_only_the_tables_remain(cloud: Cloud, bucket: storage.Bucket) -> None:
    cloud.seed(sample(500))
    assert cloud.run("--read_method", "export").code == 0

    assert cloud.output_tables() == TABLES
    assert not list(bucket.list_blobs(prefix=f"{cloud.name}/"))


def test_a_second_run_replaces_the_partition(cloud: Cloud) -> None:
    cloud.seed(sample(500))
    assert cloud.run().code == 0
    first = cloud.published()
    assert cloud.run().code == 0

    assert cloud.published() == first
    assert [row["status"] for row in cloud.monitoring()] == ["success", "success"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("DATE", pa.array([DATE])),
        ("INTEGER", pa.array([int(DAY)])),
        ("TIMESTAMP", pa.array(["2026-11-20T23:59:59"]).cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))),
    ],
)
@pytest.mark.parametrize("method", ["direct", "export", "arrow"])
def test_one_day_of_a_partitioned_table_is_read(cloud: Cloud, method: str, kind: str, values: pa.Array) -> None:
    rows = sample(500)
    other = pa.array([None], values.type)
    of_day = pa.array([n % 2 == 0 for n in range(len(rows))])
    column = pa.compute.if_else(of_day, values[0], other[0])
    schema = [*SCHEMA, bigquery.SchemaField("day", kind)]
    cloud.seed(rows.append_column("day", column), "cases", schema)

    source = f"bq://{cloud.source}.cases?partition_column=day"
    ended = cloud.run("--source", source, "--read_method", method, "--max_drop_rate", 1)

    assert ended.code == 0, ended.err
    assert cloud.monitoring()[0]["total_cases"] == 250


def test_vectors_may_be_bytes(cloud: Cloud) -> None:
    rows = sample(500).take(pa.array(range(100, 150)))  # none of these is broken
    vectors = [base64.b64encode(np.array(v, "<f4").tobytes()).decode() for v in rows["embedding_vector"].to_pylist()]
    schema = [SCHEMA[0], bigquery.SchemaField("embedding_vector", "STRING"), *SCHEMA[2:]]
    table = cloud.seed(rows.set_column(1, "embedding_vector", pa.array(vectors)), "encoded", schema)
    cloud.query(
        f"CREATE TABLE {cloud.source}.redacted_snapshot_{DAY} AS "
        f"SELECT case_id, FROM_BASE64(embedding_vector) AS embedding_vector, timestamp, text FROM {table}"
    )

    for method in ("direct", "export", "arrow"):
        ended = cloud.run("--read_method", method)
        assert ended.code == 0, ended.err
    assert [row["passed_validation"] for row in cloud.monitoring()] == [50, 50, 50]


def test_an_empty_table_is_an_empty_partition(cloud: Cloud) -> None:
    cloud.seed(sample(500).slice(0, 0))

    for method in ("direct", "export", "arrow"):
        ended = cloud.run("--read_method", method)
        assert ended.code == 0, ended.err
    assert {row["status"] for row in cloud.monitoring()} == {"empty"}


def test_a_dry_run_writes_nothing(cloud: Cloud) -> None:
    cloud.seed(sample(500))

    ended = cloud.run("--dry_run")

    assert ended.code == 0, ended.err
    assert "nothing published" in ended.out
    assert cloud.output_tables() == set()


def test_a_refused_run_keeps_what_was_published(cloud: Cloud) -> None:
    cloud.seed(sample(500))
    assert cloud.run().code == 0
    before = cloud.published()

    ended = cloud.run("--max_drop_rate", 0.001)

    assert ended.code == 3
    assert cloud.published() == before
    last = cloud.monitoring()[-1]
    assert last["status"] == "refused"
    assert "rejected" in last["error_message"]


def test_backfill_publishes_each_day_of_sharded_tables(cloud: Cloud) -> None:
    for day in ("20261119", "20261120"):
        cloud.seed(sample(250), f"redacted_snapshot_{day}")
    flags = cloud.flags("--read_method", "arrow")[3:]

    ended = cloud.call("backfill", "--from", "20261119", "--to", "20261121", *flags)

    assert ended.code == 1, ended.err  # the third day has no table
    assert [line.split()[:2] for line in ended.out.splitlines()] == [
        ["20261119", "published"],
        ["20261120", "published"],
        ["20261121", "failed"],
    ]


def test_table_names_are_read_from_environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.seed(sample(250))
    monkeypatch.setenv("BQ_SOURCE_TABLE", f"{cloud.source}.redacted_snapshot_{{partition}}")
    monkeypatch.setenv("BQ_OUTPUT_TABLE", f"{cloud.output}.elsewhere")
    monkeypatch.setenv("BQ_MONITORING_TABLE", f"{cloud.output}.runs")
    monkeypatch.setenv("PARTITION_DATE", DAY)

    ended = cloud.call(
        *("run", "--warehouse", f"bq://{cloud.output}", "--models", cloud.models, "--staging", cloud.staging)
    )

    assert ended.code == 0, ended.err
    assert cloud.output_tables() == {"elsewhere", "runs", "pcc_quarantine", "pcc_feedback", "pcc_publish_lock"}


def test_the_query_of_the_summary_works(cloud: Cloud) -> None:
    cloud.seed(sample(500))
    query = cloud.run().out.split('"')[1]

    ended = cloud.call("tables", "query", "--warehouse", f"bq://{cloud.output}", query)

    assert ended.code == 0, ended.err
    assert "NOT_PC" in ended.out


def test_backfill_publishes_each_day_of_partitioned_table(cloud: Cloud) -> None:
    rows = sample(500)
    days = pa.array([DATE, DATE - dt.timedelta(days=1)] * 250)
    cloud.seed(rows.append_column("day", days), "cases", [*SCHEMA, bigquery.SchemaField("day", "DATE")])
    flags = cloud.flags("--read_method", "arrow", "--source", f"bq://{cloud.source}.cases?partition_column=day")[3:]

    ended = cloud.call("backfill", "--from", "20261119", "--to", DAY, *flags)

    assert ended.code == 0, ended.err
    assert [line.split()[:4] for line in ended.out.splitlines()] == [
        ["20261119", "published", "250", "cases,"],
        ["20261120", "published", "250", "cases,"],
    ]


@pytest.mark.parametrize("sql", ["SELECT * FROM nothing", "SELEC"])
def test_a_query_that_cannot_be_run_is_one_line(cloud: Cloud, sql: str) -> None:
    ended = cloud.call("tables", "query", "--warehouse", f"bq://{cloud.output}", sql)

    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("beam-pcc: the query cannot be run: ")


def test_published_case_is_explained(cloud: Cloud) -> None:
    cloud.seed(sample(500))
    assert cloud.run("--read_method", "arrow").code == 0
    case_id = f"case-{DAY}-{1:09d}"
    flags = ("--source", cloud.sharded, "--warehouse", f"bq://{cloud.output}", "--models", cloud.models)
    ended = cloud.call(
        "explain", "--case", case_id, "--partition", DAY, *flags, "--read_method", "arrow", "--output", "json"
    )

    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    (row,) = [row for row in cloud.published() if row[0] == case_id]
    assert (result["label"], result["published"]["label"]) == (row[1], row[1])
    assert result["published"]["confidence"] == row[3]
    assert result["confidence"] == pytest.approx(row[3], abs=GOLDEN_TOLERANCE)
