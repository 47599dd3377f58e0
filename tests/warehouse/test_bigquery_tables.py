"""How a BigQuery table that exists differs from the one that is written."""

import pytest
from google.cloud import bigquery

from beam_pcc.cases import schemas
from beam_pcc.gcp.names import TableId
from beam_pcc.publishing.warehouse.base import TablePlan
from beam_pcc.publishing.warehouse.bigquery.tables import (
    add_statement,
    compare,
    create_statement,
    expires_before,
    keep_statement,
    wanted,
    with_columns,
    with_expiry,
)

NAME = "pcc_quarantine"
SCHEMA = schemas.TABLES[NAME]
ID = TableId("my-project", "d", NAME)


def table(**changed: bigquery.SchemaField | None) -> bigquery.Table:
    """The table as it should be, but for some columns (None: it is not there)."""
    made = wanted(ID, SCHEMA)
    fields = {field.name: field for field in made.schema} | changed
    made.schema = [field for field in fields.values() if field is not None]
    return made


def test_missing_table_is_created() -> None:
    assert compare(NAME, None, SCHEMA) == TablePlan(create=[NAME])


def test_a_table_of_ours_needs_nothing() -> None:
    assert compare(NAME, table(), SCHEMA) == TablePlan()


def test_table_has_partitioning_expiry_and_filter() -> None:
    made = table()
    assert made.time_partitioning.field == "ingestion_time"
    assert made.time_partitioning.expiration_ms == 7 * 86_400_000
    assert made.require_partition_filter


@pytest.mark.parametrize(("days", "early"), [(7, True), (399, True), (400, False), (1_000, False), (None, False)])
def test_only_a_shorter_expiry_is_early(days: int | None, early: bool) -> None:
    """Neither a table that keeps its rows longer nor one that keeps them for ever is changed."""
    present = table()
    present.time_partitioning.expiration_ms = None if days is None else days * 86_400_000
    assert expires_before(present, 400) is early


def test_table_without_partitions_has_no_expiry() -> None:
    present = table()
    present.time_partitioning = None
    assert not expires_before(present, 400)


def test_longer_expiry_keeps_the_partitioning() -> None:
    kept = with_expiry(table(), 400)
    assert (kept.time_partitioning.field, kept.time_partitioning.expiration_ms) == ("ingestion_time", 400 * 86_400_000)
    assert keep_statement(ID, 400) == (
        "ALTER TABLE `my-project.d.pcc_quarantine` SET OPTIONS (partition_expiration_days = 400);"
    )


@pytest.mark.parametrize("schema", schemas.TABLES.values(), ids=schemas.TABLES.keys())
def test_every_column_is_described(schema) -> None:
    assert all(field.description for field in wanted(ID, schema).schema)


def test_a_missing_column_can_be_added() -> None:
    assert compare(NAME, table(detail=None), SCHEMA) == TablePlan(add={NAME: ["detail"]})


def test_an_added_column_is_nullable_and_stands_last() -> None:
    wider = with_columns(table(detail=None), ["detail"], SCHEMA)
    assert (wider.schema[-1].name, wider.schema[-1].mode) == ("detail", "NULLABLE")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (bigquery.SchemaField("reason", "INTEGER"), "pcc_quarantine.reason is INTEGER, not STRING"),
        (bigquery.SchemaField("reason", "STRING", "REPEATED"), "pcc_quarantine.reason is REPEATED STRING, not STRING"),
        (bigquery.SchemaField("case_id", "STRING", "REQUIRED"), "case_id is REQUIRED, and we write NULL there"),
        (bigquery.SchemaField("team", "STRING", "REQUIRED"), "pcc_quarantine.team is REQUIRED, and we do not write it"),
    ],
)
def test_a_column_that_our_rows_do_not_fit_is_a_conflict(column: bigquery.SchemaField, said: str) -> None:
    plan = compare(NAME, table(**{column.name: column}), SCHEMA)

    assert not plan.add
    (conflict,) = plan.conflicts
    assert said in conflict


@pytest.mark.parametrize(
    "column",
    [
        bigquery.SchemaField("reason", "STRING", "NULLABLE"),
        bigquery.SchemaField("team", "STRING", "NULLABLE"),
        bigquery.SchemaField("tags", "STRING", "REPEATED"),
    ],
)
def test_a_column_that_our_rows_fit_is_no_difference(column: bigquery.SchemaField) -> None:
    assert compare(NAME, table(**{column.name: column}), SCHEMA) == TablePlan()


def test_types_have_two_names() -> None:
    schema = schemas.MONITORING
    made = wanted(ID, schema)
    made.schema = [
        bigquery.SchemaField(f.name, {"INTEGER": "INT64", "FLOAT": "FLOAT64"}.get(f.field_type, f.field_type), f.mode)
        for f in made.schema
    ]
    assert compare("pcc_monitoring_logs", made, schema) == TablePlan()


def test_create_statement_has_all_of_the_table() -> None:
    sql = create_statement(ID, SCHEMA)
    assert "case_id STRING OPTIONS (description = 'Identifier of the case, where it has one')" in sql
    assert "reason STRING NOT NULL OPTIONS (description = 'Reason code')" in sql
    assert sql.endswith("OPTIONS (partition_expiration_days = 7, require_partition_filter = TRUE);")


def test_a_quote_in_a_description_is_escaped() -> None:
    sql = add_statement(ID, schemas.MONITORING.field("drift_psi"))
    assert sql.endswith(r"drift_psi FLOAT64 OPTIONS (description = 'PSI of the scores against the model\'s baseline');")
