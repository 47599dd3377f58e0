"""`beam-pcc report`: writes a report of the runs as one self-contained HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from beam_pcc.cli.parser import Commands, command
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import WAREHOUSE_ADDRESSES, Publish
from beam_pcc.errors import ConfigurationError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.terminal import say


def add(commands: Commands) -> None:
    """Declare the command."""
    report = command(
        commands,
        "report",
        "write how runs went into one HTML file",
        _report,
        example="--warehouse pcc.duckdb --last 30",
    )
    report.add_argument("--warehouse", required=True, help=WAREHOUSE_ADDRESSES)
    which = report.add_mutually_exclusive_group()
    which.add_argument("--partition", help="the runs of this day only: YYYYMMDD, today or yesterday")
    which.add_argument("--last", type=int, default=30, help="the newest runs (default: %(default)s)")
    report.add_argument("--output", default="report.html", help="the file to write (default: %(default)s)")


def _report(flags: argparse.Namespace) -> int:
    from beam_pcc.publishing.warehouse import open_warehouse
    from beam_pcc.reporting.report import MAX_RUNS, report

    if not 1 <= flags.last <= MAX_RUNS:
        raise ConfigurationError(f"--last must be between 1 and {MAX_RUNS}")
    partition = parse_partition(flags.partition) if flags.partition else None
    warehouse = open_warehouse(Publish(flags.warehouse))
    warehouse.check()
    runs = warehouse.runs(flags.last, partition)
    if not runs:
        raise ConfigurationError(f"{flags.warehouse} has no run to report on; run beam-pcc run first")
    output = Path(flags.output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(report(runs, flags.warehouse), encoding="utf-8")
    except OSError as error:
        where = f"--output {output} cannot be written"
        raise explain_machine(error, where, ConfigurationError) or ConfigurationError(
            f"{where}: {error.strerror or error}"
        ) from None
    say(f"{output}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
    return 0
