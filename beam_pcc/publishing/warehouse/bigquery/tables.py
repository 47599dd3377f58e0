"""The published tables as BigQuery keeps them, and how one that exists differs. Pure functions, but for the types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from google.cloud import bigquery

from beam_pcc.cases import schemas
from beam_pcc.gcp.names import TableId
from beam_pcc.publishing.warehouse.base import TablePlan

PARTITIONED_BY = "ingestion_time"
EXPIRY_DAYS = 7  # of what holds cases; monitoring rows have a setting
_MILLISECONDS_OF_A_DAY = 24 * 60 * 60 * 1000
_TYPES = {
    pa.string(): "STRING",
    pa.int64(): "INTEGER",
    pa.float64(): "FLOAT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP",
}
_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}  # their names in SQL
_SAME = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}  # BigQuery knows types by two names


def fields(schema: pa.Schema) -> list[bigquery.SchemaField]:
    """A table's columns, described."""
    return [_field(field) for field in schema]


def _field(field: pa.Field) -> bigquery.SchemaField:
    description = field.metadata[b"description"].decode()
    mode = "NULLABLE" if field.nullable else "REQUIRED"
    return bigquery.SchemaField(field.name, _TYPES[field.type], mode=mode, description=description)


def wanted(table: TableId, schema: pa.Schema, expiry_days: int = EXPIRY_DAYS) -> bigquery.Table:
    """The table as it is made: partitioned by the day of ingestion, with an expiry, a partition filter required."""
    made = bigquery.Table(str(table), schema=fields(schema))
    made.time_partitioning = bigquery.TimePartitioning(
        type_=bigquery.TimePartitioningType.DAY,
        field=PARTITIONED_BY,
        expiration_ms=expiry_days * _MILLISECONDS_OF_A_DAY,
    )
    made.require_partition_filter = True
    return made


def expires_before(present: bigquery.Table, days: int) -> bool:
    """Whether the rows of a table go sooner than this many days after their ingestion."""
    partitioning = present.time_partitioning
    return bool(
        partitioning and partitioning.expiration_ms and int(partitioning.expiration_ms) < days * _MILLISECONDS_OF_A_DAY
    )


def with_expiry(present: bigquery.Table, days: int) -> bigquery.Table:
    """The table with an expiry of this many days, for the partitions that it has too."""
    partitioning = present.time_partitioning
    partitioning.expiration_ms = days * _MILLISECONDS_OF_A_DAY
    present.time_partitioning = partitioning
    return present


def keep_statement(table: TableId, days: int) -> str:
    """The same in SQL."""
    return f"ALTER TABLE `{table}` SET OPTIONS (partition_expiration_days = {days});"


def create_statement(table: TableId, schema: pa.Schema, expiry_days: int = EXPIRY_DAYS) -> str:
    """The same table in SQL."""
    columns = ",\n".join(f"  {_declaration(field)}" for field in fields(schema))
    return (
        f"CREATE TABLE `{table}` (\n{columns}\n)\nPARTITION BY DATE({PARTITIONED_BY})\n"
        f"OPTIONS (partition_expiration_days = {expiry_days}, require_partition_filter = TRUE);"
    )


def add_statement(table: TableId, field: pa.Field) -> str:
    """In SQL, one more column; one that is added later must be nullable."""
    return f"ALTER TABLE `{table}` ADD COLUMN IF NOT EXISTS {_declaration(_field(field.with_nullable(True)))};"


def _declaration(field: bigquery.SchemaField) -> str:
    kind = _STANDARD.get(field.field_type, field.field_type)
    required = " NOT NULL" if field.mode == "REQUIRED" else ""
    description = field.description.replace("\\", "\\\\").replace("'", "\\'")
    return f"{field.name} {kind}{required} OPTIONS (description = '{description}')"


def compare(name: str, present: bigquery.Table | None, schema: pa.Schema) -> TablePlan:
    """What is to be done about one table: make it, add columns, or nothing can be done (conflicts).

    A column may be nullable where ours is required, and a table may have nullable columns of its own: rows still fit.
    """
    if present is None:
        return TablePlan(create=[name])
    found = {field.name: field for field in present.schema}
    conflicts, missing = [], []
    for field in fields(schema):
        existing = found.pop(field.name, None)
        if existing is None:
            missing.append(field.name)
        elif _kind(existing) != field.field_type or existing.mode == "REPEATED":
            conflicts.append(f"{name}.{field.name} is {_told(existing)}, not {field.field_type}")
        elif existing.mode == "REQUIRED" and field.mode == "NULLABLE":
            conflicts.append(f"{name}.{field.name} is REQUIRED, and we write NULL there")
    conflicts += [f"{name}.{field.name} is REQUIRED, and we do not write it" for field in _required(found.values())]
    return TablePlan(add={name: missing} if missing else {}, conflicts=conflicts)


def _kind(field: bigquery.SchemaField) -> str:
    kind: str = field.field_type
    return _SAME.get(kind, kind)


def _told(field: bigquery.SchemaField) -> str:
    return f"REPEATED {_kind(field)}" if field.mode == "REPEATED" else _kind(field)


def _required(left: Iterable[bigquery.SchemaField]) -> list[bigquery.SchemaField]:
    return [field for field in left if field.mode == "REQUIRED"]


def with_columns(present: bigquery.Table, names: Iterable[str], schema: pa.Schema) -> bigquery.Table:
    """The table with more columns; a column that is added later must be nullable."""
    added = [_field(schema.field(name).with_nullable(True)) for name in names]
    present.schema = [*present.schema, *added]
    return present


def parameters(row: Mapping[str, Any]) -> list[bigquery.ScalarQueryParameter]:
    """The values of columns of the monitoring or the output table, by name, as query parameters."""
    dtypes = {field.name: _TYPES[field.type] for field in (*schemas.OUTPUT, *schemas.MONITORING)}
    return [
        bigquery.ScalarQueryParameter(name, _STANDARD.get(dtypes[name], dtypes[name]), value)
        for name, value in row.items()
    ]
