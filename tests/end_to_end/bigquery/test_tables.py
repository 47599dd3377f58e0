"""`tables create` on BigQuery: creates missing tables, checks existing ones, and changes nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from beam_pcc.cases import schemas
from tests.end_to_end.bigquery.conftest import Cloud, sample


def create(cloud: Cloud, *more: str) -> tuple[int, str, str]:
    ended = cloud.call("tables", "create", "--warehouse", f"bq://{cloud.output}", *more)
    return ended.code, ended.out, ended.err


def make(cloud: Cloud, name: str, *columns: bigquery.SchemaField) -> bigquery.Table:
    return cloud.client.create_table(bigquery.Table(f"{cloud.output}.{name}", schema=columns))


def columns(cloud: Cloud, name: str) -> dict[str, str]:
    return {field.name: field.field_type for field in cloud.client.get_table(f"{cloud.output}.{name}").schema}


def printed(cloud: Cloud, *more: str) -> list[str]:
    """The SQL statements that a dry run prints."""
    _, _, text = create(cloud, "--render", *more)[1].partition("\n")
    return [statement for statement in re.split(r"(?<=;)\n", text.strip() + "\n") if statement]


def test_the_sql_that_is_rendered_makes_the_tables(cloud: Cloud) -> None:
    statements = printed(cloud)
    for statement in statements:
        cloud.query(statement)

    assert create(cloud)[:2] == (0, f"bq://{cloud.output}: all tables are there\n")
    options = [
        re.findall(r"OPTIONS \((partition_.*)\)", one) for one in statements
    ]  # the emulator forgets the first one
    assert options == [
        [f"partition_expiration_days = {days}, require_partition_filter = TRUE"] for days in (7, 400, 7, 90)
    ] + [[]]


def test_the_sql_that_is_rendered_adds_the_columns(cloud: Cloud) -> None:
    create(cloud)
    cloud.query(f"ALTER TABLE `{cloud.output}.pcc_quarantine` DROP COLUMN detail")
    for statement in printed(cloud, "--add_columns"):
        cloud.query(statement)

    assert create(cloud)[:2] == (0, f"bq://{cloud.output}: all tables are there\n")


def test_the_view_of_the_documentation_works(cloud: Cloud) -> None:
    text = (Path(__file__).parents[3] / "docs/bigquery.md").read_text().replace("my-project.pcc.", f"{cloud.output}.")
    (view,) = [sql for sql in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if cloud.output in sql]

    cloud.seed(sample(250))
    assert cloud.run("--read_method", "arrow").code == 0
    cloud.query(view)
    ((status, total, missing),) = cloud.query("SELECT status, total_cases, missing_vector FROM daily")
    assert (status, total, missing) == ("success", 250, 1)


def test_tables_have_partitions_and_descriptions(cloud: Cloud) -> None:
    code, out, err = create(cloud)

    assert code == 0, err
    assert f"made {', '.join(schemas.TABLES)}, pcc_publish_lock\n" in out
    for name, schema in schemas.TABLES.items():
        table = cloud.client.get_table(f"{cloud.output}.{name}")
        assert [field.name for field in table.schema] == schema.names
        assert all(field.description for field in table.schema)
        assert table.time_partitioning.field == "ingestion_time"
        days = {"pcc_monitoring_logs": 400, "pcc_feedback": 90}.get(name, 7)
        assert table.time_partitioning.expiration_ms == days * 86_400_000
        assert table.require_partition_filter


def expiry_days(cloud: Cloud, name: str) -> int:
    table = cloud.client.get_table(f"{cloud.output}.{name}")
    return int(table.time_partitioning.expiration_ms) // 86_400_000


def test_early_expiry_of_monitoring_rows_is_lengthened(cloud: Cloud) -> None:
    """Only of monitoring rows, only by `tables create`, and never shortened."""
    assert create(cloud, "--monitoring_expiry_days", "7")[0] == 0
    assert (expiry_days(cloud, "pcc_monitoring_logs"), expiry_days(cloud, "pcc_quarantine")) == (7, 7)

    assert "would keep pcc_monitoring_logs 400 days" in create(cloud, "--render")[1]
    assert any("SET OPTIONS (partition_expiration_days = 400)" in one for one in printed(cloud))
    cloud.seed(sample(250))
    assert cloud.run("--read_method", "arrow").code == 0
    assert expiry_days(cloud, "pcc_monitoring_logs") == 7

    assert create(cloud)[1] == f"bq://{cloud.output}: keeps from now on pcc_monitoring_logs 400 days\n"
    assert (expiry_days(cloud, "pcc_monitoring_logs"), expiry_days(cloud, "pcc_quarantine")) == (400, 7)
    assert create(cloud, "--monitoring_expiry_days", "30")[1] == f"bq://{cloud.output}: all tables are there\n"


def test_creating_tables_twice_reports_that_they_exist(cloud: Cloud) -> None:
    create(cloud)
    assert create(cloud)[:2] == (0, f"bq://{cloud.output}: all tables are there\n")


def test_render_creates_no_tables(cloud: Cloud) -> None:
    code, out, _ = create(cloud, "--render")

    assert code == 0
    assert "would make pcc_inference_output" in out
    assert cloud.output_tables() == set()


def test_table_of_other_schema_is_an_error(cloud: Cloud) -> None:
    make(cloud, "pcc_quarantine", bigquery.SchemaField("case_id", "INTEGER"))

    code, _, err = create(cloud, "--add_columns")

    assert code == 2
    assert "pcc_quarantine.case_id is INTEGER, not STRING" in err
    assert err.count("\n") == 1
    assert cloud.output_tables() == {"pcc_quarantine"}
    assert columns(cloud, "pcc_quarantine") == {"case_id": "INTEGER"}


def test_table_without_column_is_an_error(cloud: Cloud) -> None:
    make(cloud, "pcc_quarantine", bigquery.SchemaField("case_id", "STRING"))

    code, _, err = create(cloud)

    assert code == 2
    assert "pcc_quarantine lacks reason, detail" in err
    assert "--add_columns" in err
    assert cloud.output_tables() == {"pcc_quarantine"}


def test_add_columns_adds_missing_columns(cloud: Cloud) -> None:
    own = bigquery.SchemaField("of_the_analysts", "STRING")
    make(cloud, "pcc_quarantine", bigquery.SchemaField("case_id", "STRING"), own)

    code, out, err = create(cloud, "--add_columns")

    assert code == 0, err
    assert "added pcc_quarantine.reason" in out
    assert columns(cloud, "pcc_quarantine").keys() == {*schemas.QUARANTINE.names, "of_the_analysts"}


def test_run_into_other_schema_fails_before_reading(cloud: Cloud) -> None:
    cloud.seed(sample(250))
    make(cloud, "pcc_inference_output", bigquery.SchemaField("case_id", "INTEGER"))

    ended = cloud.run()

    assert ended.code == 2
    assert "pcc_inference_output.case_id is INTEGER, not STRING" in ended.err
    assert cloud.client.get_table(f"{cloud.output}.pcc_inference_output").num_rows == 0


@pytest.mark.parametrize("method", ["direct", "export", "arrow"])
def test_the_text_column_is_never_read(cloud: Cloud, method: str) -> None:
    cloud.seed(sample(250))

    ended = cloud.run("--read_method", method)

    assert ended.code == 0, ended.err
    everything = str(cloud.query("SELECT * FROM pcc_quarantine WHERE ingestion_time > '1970-01-01'"))
    assert "my secret" not in everything + ended.out + ended.err


def test_export_holds_what_was_published(cloud: Cloud, tmp_path: Path) -> None:
    cloud.seed(sample(500))
    assert cloud.run().code == 0

    ended = cloud.call("tables", "export", "--warehouse", f"bq://{cloud.output}", "--output", tmp_path / "export")

    assert ended.code == 0, ended.err
    table = pq.read_table(tmp_path / "export" / "pcc_inference_output.parquet")
    assert (table.schema.names, table.schema.types) == (schemas.OUTPUT.names, schemas.OUTPUT.types)
    assert sorted(table["case_id"].to_pylist()) == sorted(row[0] for row in cloud.published())
