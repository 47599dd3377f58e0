"""`beam-pcc report`: writes a report of the days as one self-contained HTML file."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from beam_pcc import progress
from beam_pcc.cli.day_flags import DAYS, add_day_arguments, named_days
from beam_pcc.cli.parser import Commands, command
from beam_pcc.cli.warehouse_flags import add_warehouse_arguments, checked_warehouse
from beam_pcc.config.settings import Publish
from beam_pcc.errors import ConfigurationError
from beam_pcc.storage.whole_files import explained_writing, written_whole
from beam_pcc.terminal import logger, say

if TYPE_CHECKING:
    import pyarrow as pa

    from beam_pcc.publishing.warehouse.base import Warehouse
    from beam_pcc.reporting.days import Period

_log = logger(__name__)


def add(commands: Commands) -> None:
    """Declare the command."""
    report = command(
        commands,
        "report",
        "write how the days went into one HTML file",
        _report,
        example="--warehouse pcc.duckdb --last 30",
    )
    add_warehouse_arguments(report)
    add_day_arguments(report, latest="the latest with a run, or yesterday")
    report.add_argument("--output", default="report.html", help="the file to write (default: %(default)s)")


def _report(flags: argparse.Namespace) -> int:
    from beam_pcc.feedback.estimates import feedback_of
    from beam_pcc.reporting.days import period_of
    from beam_pcc.reporting.report import report

    first, last = named_days(flags)
    warehouse = checked_warehouse(Publish(flags.warehouse), flags)
    latest = warehouse.latest_day()
    if latest is None:
        raise ConfigurationError(f"{flags.warehouse} has no run to report on; run beam-pcc run first")
    now = dt.datetime.now(dt.timezone.utc)
    yesterday = now.date() - dt.timedelta(days=1)
    period = period_of(first, last, flags.days or DAYS, latest, yesterday)
    with progress.task("reading the runs"):
        rows = warehouse.runs_of_days(*period.with_history())
    if not any(period.first <= row["partition_date"] <= period.last for row in rows):
        raise ConfigurationError(
            f"{flags.warehouse} has no run of {period.first:%Y%m%d} to {period.last:%Y%m%d}; "
            f"its latest day is {latest:%Y%m%d}"
        )
    with progress.task("reading the feedback"):
        labels = _feedback(warehouse, period)
    output = Path(flags.output)
    with progress.task("drawing the report"):
        feedback = None if labels is None else feedback_of(labels, period.first, period.last)
        due = yesterday if latest <= period.last else None
        page = report(rows, flags.warehouse, period, due=due, now=now, feedback=feedback)
    with explained_writing(f"--output {output}"), written_whole(output) as file:
        file.write_text(page, encoding="utf-8")
    say(f"{output}: {period.length} {'day' if period.length == 1 else 'days'}, {period.first} to {period.last}")
    return 0


def _feedback(warehouse: Warehouse, period: Period) -> pa.Table | None:
    """The labels of these days; None in a warehouse whose table of feedback is missing, or is not ours."""
    from beam_pcc.publishing.warehouse.base import check_feedback_table

    try:
        check_feedback_table(warehouse)
    except ConfigurationError as error:
        _log.info("the report has no feedback: %s", error)
        return None
    return warehouse.feedback(period.first, period.last)
