"""The published tables as DuckDB keeps them, and how those of a file differ. Works on an open connection."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.publishing.warehouse.base import TablePlan

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}


def columns(schema: pa.Schema) -> str:
    """A table's columns, as CREATE TABLE has them."""
    return ", ".join(f"{f.name} {_TYPES[f.type]}{'' if f.nullable else ' NOT NULL'}" for f in schema)


def plan(connection: duckdb.DuckDBPyConnection) -> TablePlan:
    """Compare the tables with what this version writes."""
    todo = TablePlan()
    for name, schema in schemas.TABLES.items():
        found = connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() "
            "AND schema_name = 'main' AND table_name = ? ORDER BY column_index",
            [name],
        ).fetchall()
        if not found:
            todo += TablePlan(create=[name])
            continue
        present, wanted = dict(found), {f.name: _TYPES[f.type] for f in schema}
        conflicts = [
            f"{name}.{column} is {present[column]}, not {kind}"
            for column, kind in wanted.items()
            if present.get(column, kind) != kind
        ]
        missing = [column for column in wanted if column not in present]
        todo += TablePlan(add={name: missing} if missing else {}, conflicts=conflicts)
    return todo


def make_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Whole tables only: a run does not change those that are there."""
    apply(connection, TablePlan(create=plan(connection).create))


def apply(connection: duckdb.DuckDBPyConnection, todo: TablePlan) -> None:
    """Make the missing tables and columns."""
    for statement in statements(todo):
        connection.execute(statement)


def statements(todo: TablePlan) -> list[str]:
    """What makes the missing tables and columns."""
    made = [f"CREATE TABLE IF NOT EXISTS {name} ({columns(schemas.TABLES[name])});" for name in todo.create]
    return made + [
        f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {column} {_TYPES[schemas.TABLES[name].field(column).type]};"
        for name, added in todo.add.items()
        for column in added
    ]
