"""`beam-pcc tables ...`: creates and queries the tables of a warehouse."""

from __future__ import annotations

import argparse

from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.cli.results import TEXT, add_output_argument
from beam_pcc.cli.tabular import FORMATS
from beam_pcc.config.settings import WAREHOUSE_ADDRESSES, Publish
from beam_pcc.errors import ConfigurationError
from beam_pcc.private_files import private_files
from beam_pcc.terminal import say, show


def add(commands: Commands) -> None:
    """Declare the commands."""
    tables = group(commands, "tables", "the tables of a warehouse", example="create --warehouse pcc.duckdb")
    create = command(
        tables, "create", "make the tables that are missing", _tables_create, example="--warehouse pcc.duckdb"
    )
    create.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    create.add_argument(
        "--render", dest="dry_run", action="store_true", help="print what would be made, and its SQL; make nothing"
    )
    create.add_argument("--dry_run", dest="earlier_spelling", action="store_true", help=argparse.SUPPRESS)
    create.add_argument("--add_columns", action="store_true", help="add columns that an existing table lacks")
    query = command(
        tables,
        "query",
        "run one query and print the result",
        _tables_query,
        example="--warehouse pcc.duckdb 'FROM pcc_monitoring_logs'",
    )
    query.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    add_output_argument(query, "csv", "markdown")
    query.add_argument("sql", metavar="SQL", help="for example: FROM pcc_monitoring_logs")


def _tables_create(flags: argparse.Namespace) -> int:
    if flags.earlier_spelling:
        raise ConfigurationError(
            "tables create --dry_run is called --render now: --dry_run is of a run that publishes nothing"
        )
    from beam_pcc.publishing.warehouse import open_warehouse
    from beam_pcc.publishing.warehouse.base import prepare_tables

    warehouse = open_warehouse(Publish(flags.warehouse))
    warehouse.check()
    with private_files():
        plan = prepare_tables(warehouse, dry_run=flags.dry_run, add_columns=flags.add_columns)
    columns = [f"{table}.{column}" for table, names in plan.add.items() for column in names]
    create, add = ("would make", "would add") if flags.dry_run else ("made", "added")
    changes = [f"{verb} {', '.join(names)}" for verb, names in ((create, plan.create), (add, columns)) if names]
    say(f"{flags.warehouse}: {'; '.join(changes) or 'all tables are there'}")
    if flags.dry_run:
        for statement in warehouse.table_sql(plan):
            say("", *statement.splitlines())
    return 0


def _tables_query(flags: argparse.Namespace) -> int:
    from beam_pcc.publishing.warehouse import open_warehouse

    warehouse = open_warehouse(Publish(flags.warehouse))
    warehouse.check()
    text = warehouse.query(flags.sql, FORMATS[flags.output])
    say(*text.splitlines()) if flags.output == TEXT else show(text)
    return 0
