"""`beam-pcc run` and `backfill`: score and publish one day, or each day of a range."""

from __future__ import annotations

import argparse
import datetime as dt
from typing import TYPE_CHECKING

from beam_pcc.cli import interruption
from beam_pcc.cli import submit as kubernetes
from beam_pcc.cli.parser import Commands, called_as, command
from beam_pcc.cli.results import BackfillResult, Reporter, RunResult, add_output_argument, add_summary_argument
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import RunConfig, add_partition_argument, add_run_arguments
from beam_pcc.errors import EXIT_FAILED, ConfigurationError, PccError
from beam_pcc.gcp.names import SourceTable
from beam_pcc.terminal import logger, say

if TYPE_CHECKING:
    from beam_pcc.publishing.publish import Outcome

_log = logger(__name__)
_EXAMPLE = "--partition yesterday --source sample://100 --warehouse pcc.duckdb --models models"
_BACKFILL_EXAMPLE = (
    "--from 20261101 --to 20261107 --source 'cases/{partition}.parquet' --warehouse pcc.duckdb --models models"
)


def add(commands: Commands) -> None:
    """Declare the commands."""
    run = command(commands, "run", "score and publish one partition", _run, example=_EXAMPLE, beam=True)
    add_partition_argument(run)
    add_run_arguments(run)
    add_output_argument(run)
    add_summary_argument(run)

    backfill = command(
        commands, "backfill", "run each day of a range, in order", _backfill, example=_BACKFILL_EXAMPLE, beam=True
    )
    backfill.add_argument("--from", dest="first", required=True, metavar="YYYYMMDD", help="the first day")
    backfill.add_argument("--to", dest="last", required=True, metavar="YYYYMMDD", help="the last day, included")
    add_run_arguments(backfill)
    kubernetes.add_backfill_arguments(backfill)


def _run(flags: argparse.Namespace) -> int:
    reporter = Reporter(flags)
    day = None
    with reporter.reporting_errors(lambda error: RunResult.of_error(error, day)):
        config = RunConfig.from_flags(flags)
        day = config.partition
        from beam_pcc.pipeline.options import beam_options
        from beam_pcc.pipeline.run import run
        from beam_pcc.reporting.summary import summary

        outcome = run(config, beam_options(flags.beam_arguments))
    interruption.expect(EXIT_FAILED, f"stopped after {outcome.done}: stopped by {{signal}}")
    reporter.report(RunResult.of_outcome(outcome, config.publish.warehouse))
    if not reporter.json:
        say(*summary(outcome, config.publish.warehouse, called_as()).splitlines())
    return outcome.exit_code


def _backfill(flags: argparse.Namespace) -> int:
    reporter = Reporter(flags)
    results: list[RunResult] = []
    with reporter.reporting_errors(lambda error: BackfillResult.of_error(error, results)):
        exit_code = _run_days(flags, reporter, results)
    reporter.report(BackfillResult.of_days(results, exit_code))
    return exit_code


def _run_days(flags: argparse.Namespace, reporter: Reporter, results: list[RunResult]) -> int:
    """Run each day; add its result to `results`, and print it as a line unless JSON is asked for."""
    first, last = parse_partition(flags.first), parse_partition(flags.last)
    from beam_pcc.pipeline.options import beam_options
    from beam_pcc.pipeline.run import backfill, days
    from beam_pcc.reporting.summary import day_line

    def report(day: dt.date, outcome: Outcome | PccError) -> None:
        if isinstance(outcome, PccError):
            results.append(RunResult.of_error(outcome, day))
        else:
            results.append(RunResult.of_outcome(outcome))
        if reporter.json:
            _log.info("%s", day_line(day, outcome))
        else:
            say(day_line(day, outcome), flush=True)

    dates = days(first, last)
    if flags.on_kubernetes:
        return kubernetes.backfill(flags, dates, report)
    configs = [RunConfig.from_flags(flags, partition=day) for day in dates]
    source = configs[0].source.address
    if source.startswith("bq://"):
        SourceTable.parse(source, first)  # the day is in the table's name or in a column
    elif len(dates) > 1 and "{partition}" not in source and not source.startswith("sample://"):
        raise ConfigurationError(
            f"--source {source} would be read anew for each day: put {{partition}} where the day stands"
        )
    beam_options(flags.beam_arguments)  # reports wrong flags before the first day
    all_succeeded = backfill(configs, lambda: beam_options(flags.beam_arguments), report)
    return 0 if all_succeeded else EXIT_FAILED
