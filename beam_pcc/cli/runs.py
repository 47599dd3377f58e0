"""`beam-pcc runs ...`: lists, shows and cancels the runs that were submitted to Kubernetes."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.cli.results import (
    Reporter,
    SubmittedRunResult,
    SubmittedRunsResult,
    add_output_argument,
    monitoring_fields,
)
from beam_pcc.cli.submit import add_context_arguments, cluster_of
from beam_pcc.config.extras import extra
from beam_pcc.config.partitions import parse_partition
from beam_pcc.config.settings import Action
from beam_pcc.terminal import say, table

if TYPE_CHECKING:
    from beam_pcc.kubernetes.cluster_api import Cluster
    from beam_pcc.kubernetes.submitted import SubmittedRun


def add(commands: Commands) -> None:
    """Declare the commands."""
    runs = group(commands, "runs", "the runs that were submitted to Kubernetes", example="list")
    _command(runs, "list", "the runs whose FlinkDeployments are there, and their states", _list, example="")
    for name, text, action in (
        ("show", "one run: its state, what keeps it from going on, its monitoring row", _show),
        ("cancel", "delete a run that has not ended; its monitoring row says who cancelled it", _cancel),
    ):
        parser = _command(runs, name, text, action, example="20261120")
        parser.add_argument("partition", metavar="PARTITION", help="the day of the run: YYYYMMDD, today or yesterday")


def _command(runs: Commands, name: str, text: str, action: Action, example: str) -> argparse.ArgumentParser:
    parser = command(runs, name, text, action, example=example)
    add_output_argument(parser)
    add_context_arguments(parser)
    return parser


def _result(run: SubmittedRun, **more: object) -> SubmittedRunResult:
    submission = run.submission
    return SubmittedRunResult(
        submission.name,
        f"{submission.partition:%Y%m%d}",
        run.state,
        submission.run_id,
        submission.by,
        submission.at.isoformat(),
        **more,  # type: ignore[arg-type]
    )


def _list(flags: argparse.Namespace) -> int:
    with extra("kubernetes", "runs"):
        from beam_pcc.kubernetes.submitted import submitted_runs

    runs = submitted_runs(cluster_of(flags))
    reporter = Reporter(flags)
    reporter.report(SubmittedRunsResult(tuple(_result(run) for run in runs)))
    if not reporter.json:
        rows = [["name", "partition", "state", "run", "submitted by", "at"]]
        rows += [
            [one.name, one.partition, one.state, one.run_id, one.submitted_by, one.submitted_at[:19]]
            for one in map(_result, runs)
        ]
        say(*table(rows))
    return 0


def _show(flags: argparse.Namespace) -> int:
    cluster, run = _found(flags)
    from beam_pcc.kubernetes.submitted import monitoring_row_of, problem_of

    problem, row = problem_of(cluster, run), monitoring_row_of(run)
    reporter = Reporter(flags)
    reporter.report(_result(run, problem=problem, monitoring=monitoring_fields(row) if row else None))
    if not reporter.json:
        submission = run.submission
        say(f"{submission.name}: {run.state}")
        say(f"  run         {submission.run_id}")
        say(f"  submitted   by {submission.by} at {submission.at:%Y-%m-%d %H:%M:%SZ}")
        if problem:
            say(f"  problem     {problem}")
        if row:
            say(f"  result      {row.status}: {row.total_cases:,} cases, {row.positive_cases:,} PC")
            if row.error_message:
                say(f"  reason      {row.error_message}")
    return 0


def _cancel(flags: argparse.Namespace) -> int:
    cluster, run = _found(flags)
    from beam_pcc.kubernetes.plan import user_at_host
    from beam_pcc.kubernetes.submitted import cancel

    outcome = cancel(cluster, run, user_at_host())
    row = outcome.monitoring if outcome else None
    reporter = Reporter(flags)
    state = "ENDED" if outcome else "CANCELLED"
    reporter.report(_result(dataclasses.replace(run, state=state), monitoring=monitoring_fields(row) if row else None))
    if not reporter.json:
        end = f"had ended before it was cancelled: {row.status}" if row else "cancelled"
        say(f"{run.submission.name}: {end}, run {run.submission.run_id}")
    return 0


def _found(flags: argparse.Namespace) -> tuple[Cluster, SubmittedRun]:
    with extra("kubernetes", "runs"):
        from beam_pcc.kubernetes.submitted import submitted_run

    cluster = cluster_of(flags)
    return cluster, submitted_run(cluster, parse_partition(flags.partition))
