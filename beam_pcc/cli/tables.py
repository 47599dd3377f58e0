"""`beam-pcc tables ...`: creates, queries and exports the tables of a warehouse."""

from __future__ import annotations

import argparse
from pathlib import Path

from beam_pcc.cli.parser import Commands, add_lock_timeout, command, group
from beam_pcc.config.options import resolve
from beam_pcc.config.settings import WAREHOUSE_ADDRESSES, Limits, Publish, add_expiry_argument
from beam_pcc.private_files import private_files
from beam_pcc.terminal import say

_EXPORT_NOTES = """example:
  beam-pcc tables export --warehouse local/pcc.duckdb --output export pcc_inference_output

Each file is written aside and renamed, so it is whole at any time. docs/contracts.md describes its columns."""


def add(commands: Commands) -> None:
    """Declare the commands."""
    tables = group(commands, "tables", "the tables of a warehouse")
    create = command(tables, "create", "make the tables that are missing", _tables_create)
    create.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    create.add_argument("--dry_run", action="store_true", help="say what would be made, with the SQL; make nothing")
    create.add_argument("--add_columns", action="store_true", help="add columns that an existing table lacks")
    add_expiry_argument(create)
    query = command(tables, "query", "run one query and print the result", _tables_query)
    query.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    query.add_argument("sql", metavar="SQL", help="for example: FROM pcc_monitoring_logs")
    export = command(tables, "export", "write tables to Parquet files", _tables_export, notes=_EXPORT_NOTES)
    export.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    export.add_argument(
        "--output", default="export", metavar="FOLDER", help="where to write TABLE.parquet (default: %(default)s)"
    )
    export.add_argument("tables", nargs="*", metavar="TABLE", help="which tables (default: all)")
    for parser in (create, query, export):
        add_lock_timeout(parser)


def _tables_create(flags: argparse.Namespace) -> int:
    from beam_pcc.publishing.warehouse import open_warehouse
    from beam_pcc.publishing.warehouse.base import prepare_tables

    given = {name: getattr(flags, name) for name in ("warehouse", "monitoring_expiry_days")}
    warehouse = open_warehouse(resolve(Publish, given), Limits(lock_timeout=flags.lock_timeout))
    warehouse.check()
    with private_files():
        plan = prepare_tables(warehouse, dry_run=flags.dry_run, add_columns=flags.add_columns, set_expiry=True)
    columns = [f"{table}.{column}" for table, names in plan.add.items() for column in names]
    kept = [f"{table} {days} days" for table, days in plan.keep.items()]
    verbs = ("would make", "would add", "would keep") if flags.dry_run else ("made", "added", "keeps from now on")
    changes = [
        f"{verb} {', '.join(names)}" for verb, names in zip(verbs, (plan.create, columns, kept), strict=True) if names
    ]
    say(f"{flags.warehouse}: {'; '.join(changes) or 'all tables are there'}")
    if flags.dry_run:
        for statement in warehouse.table_sql(plan):
            say("", *statement.splitlines())
    return 0


def _tables_query(flags: argparse.Namespace) -> int:
    from beam_pcc.publishing.warehouse import open_warehouse

    warehouse = open_warehouse(Publish(flags.warehouse), Limits(lock_timeout=flags.lock_timeout))
    warehouse.check()
    say(*warehouse.query(flags.sql).splitlines())
    return 0


def _tables_export(flags: argparse.Namespace) -> int:
    from beam_pcc.cases import schemas
    from beam_pcc.publishing.export import export_tables
    from beam_pcc.publishing.warehouse import open_warehouse

    warehouse = open_warehouse(Publish(flags.warehouse), Limits(lock_timeout=flags.lock_timeout))
    warehouse.check()
    names = flags.tables or list(schemas.TABLES)
    with private_files():
        rows = export_tables(warehouse, list(dict.fromkeys(names)), Path(flags.output))
    for name, count in rows.items():
        say(f"{Path(flags.output) / name}.parquet: {count:,} {'row' if count == 1 else 'rows'}")
    return 0
