"""`beam-pcc tables ...`: creates, queries and exports the tables of a warehouse."""

from __future__ import annotations

import argparse
from pathlib import Path

from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.cli.results import TEXT, add_output_argument
from beam_pcc.cli.tabular import FORMATS
from beam_pcc.cli.warehouse_flags import add_warehouse_arguments, checked_warehouse
from beam_pcc.config.options import resolve
from beam_pcc.config.settings import Publish, add_expiry_argument
from beam_pcc.errors import ConfigurationError
from beam_pcc.private_files import private_files
from beam_pcc.terminal import say, show

_EXPORT_NOTES = "Each file is written aside and renamed, so it is whole at any time. docs/contracts.md has the columns."


def add(commands: Commands) -> None:
    """Declare the commands."""
    tables = group(commands, "tables", "the tables of a warehouse", example="create --warehouse pcc.duckdb")
    create = command(
        tables, "create", "make the tables that are missing", _tables_create, example="--warehouse pcc.duckdb"
    )
    add_warehouse_arguments(create)
    create.add_argument(
        "--render", dest="dry_run", action="store_true", help="print what would be made, and its SQL; make nothing"
    )
    create.add_argument("--dry_run", dest="earlier_spelling", action="store_true", help=argparse.SUPPRESS)
    create.add_argument("--add_columns", action="store_true", help="add columns that an existing table lacks")
    add_expiry_argument(create)
    query = command(
        tables,
        "query",
        "run one query and print the result",
        _tables_query,
        example="--warehouse pcc.duckdb 'FROM pcc_monitoring_logs'",
    )
    add_warehouse_arguments(query)
    add_output_argument(query, "csv", "markdown")
    query.add_argument("sql", metavar="SQL", help="for example: FROM pcc_monitoring_logs")
    export = command(
        tables,
        "export",
        "write tables to Parquet files",
        _tables_export,
        notes=_EXPORT_NOTES,
        example="--warehouse pcc.duckdb --output export pcc_inference_output",
    )
    add_warehouse_arguments(export)
    export.add_argument(
        "--output", default="export", metavar="FOLDER", help="where to write TABLE.parquet (default: %(default)s)"
    )
    export.add_argument("tables", nargs="*", metavar="TABLE", help="which tables (default: all)")


def _tables_create(flags: argparse.Namespace) -> int:
    if flags.earlier_spelling:
        raise ConfigurationError(
            "tables create --dry_run is called --render now: --dry_run is of a run that publishes nothing"
        )
    from beam_pcc.publishing.warehouse.base import prepare_tables

    given = {name: getattr(flags, name) for name in ("warehouse", "monitoring_expiry_days", "feedback_expiry_days")}
    warehouse = checked_warehouse(resolve(Publish, given), flags)
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

    warehouse = checked_warehouse(Publish(flags.warehouse), flags)
    text = warehouse.query(flags.sql, FORMATS[flags.output])
    say(*text.splitlines()) if flags.output == TEXT else show(text)
    return 0


def _tables_export(flags: argparse.Namespace) -> int:
    from beam_pcc.cases import schemas
    from beam_pcc.publishing.export import export_tables

    warehouse = checked_warehouse(Publish(flags.warehouse), flags)
    names = flags.tables or list(schemas.TABLES)
    with private_files():
        rows = export_tables(warehouse, list(dict.fromkeys(names)), Path(flags.output))
    for name, count in rows.items():
        say(f"{Path(flags.output) / name}.parquet: {count:,} {'row' if count == 1 else 'rows'}")
    return 0
