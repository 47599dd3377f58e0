"""`beam-pcc feedback ...`: imports later labels, draws cases for labelling, and reports on what was published."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beam_pcc.cli.day_flags import DAYS, add_day_arguments, named_days
from beam_pcc.cli.parser import Commands, command, group
from beam_pcc.cli.results import (
    EstimateResult,
    FeedbackGroupResult,
    FeedbackResult,
    ImportResult,
    Reporter,
    SampleResult,
    add_output_argument,
)
from beam_pcc.cli.warehouse_flags import add_warehouse_arguments, checked_warehouse
from beam_pcc.config.settings import Action, add_table_arguments, publish_of
from beam_pcc.errors import ConfigurationError, SourceError
from beam_pcc.private_files import private_files
from beam_pcc.storage.whole_files import explained_writing, written_whole
from beam_pcc.terminal import say, table

if TYPE_CHECKING:
    import pyarrow as pa

    from beam_pcc.feedback.estimates import Measured
    from beam_pcc.feedback.intervals import Estimate
    from beam_pcc.feedback.labels import Labels
    from beam_pcc.publishing.warehouse.base import Warehouse

_NAMED_ROWS = 3
_IMPORT_NOTES = """columns of the file: case_id, label (PC or NOT_PC), source and time; partition, the day of the
prediction, where a case is published on several days; and sample, stratum, weight and drawn as feedback sample wrote
them. Importing a file again changes nothing. docs/feedback.md says how labels meet predictions."""


def add(commands: Commands) -> None:
    """Declare the commands."""
    feedback = group(
        commands,
        "feedback",
        "labels that came after the predictions",
        example="report --warehouse pcc.duckdb",
    )
    import_ = _command(
        feedback,
        "import",
        "add labels to pcc_feedback, each beside the prediction that is published",
        _import,
        "--data labels.parquet",
        _IMPORT_NOTES,
    )
    import_.add_argument("--data", required=True, help="the labels: a .parquet, .jsonl or .csv file")
    import_.add_argument("--label_source", metavar="NAME", help="who labelled the rows that have no source")
    import_.add_argument(
        "--rejected", metavar="FILE.jsonl", help="also write there each row that is not imported: its number and why"
    )
    add_output_argument(import_)
    sample = _command(
        feedback,
        "sample",
        "draw published cases for labelling, by score and review band",
        _sample,
        "--n 200 --partition yesterday --file sample.csv",
    )
    add_day_arguments(sample)
    sample.add_argument(
        "--file", default="sample.csv", help="the .csv or .parquet file to write (default: %(default)s)"
    )
    sample.add_argument(
        "--with_predictions", action="store_true", help="also write what was published, which may sway who labels"
    )
    sample.add_argument("--n", type=int, default=200, help="how many cases (default: %(default)s)")
    sample.add_argument("--seed", type=int, default=0, help="another one draws other cases (default: %(default)s)")
    add_output_argument(sample)
    report = _command(
        feedback,
        "report",
        "precision, recall and calibration of what was published, by the labels",
        _report,
        "--last 30",
    )
    add_day_arguments(report)
    report.add_argument("--label_source", metavar="NAME", help="only labels of this source")
    add_output_argument(report)


def _command(
    feedback: Commands, name: str, text: str, action: Action, example: str, notes: str | None = None
) -> argparse.ArgumentParser:
    parser = command(feedback, name, text, action, example=f"--warehouse pcc.duckdb {example}", notes=notes)
    add_warehouse_arguments(parser)
    add_table_arguments(parser)
    return parser


def _period(flags: argparse.Namespace, warehouse: Warehouse) -> tuple[dt.date, dt.date]:
    """The days that the flags name. Raises ConfigurationError if they contradict each other, or there is no run."""
    from beam_pcc.reporting.days import period_of

    first, last = named_days(flags)
    latest = last or warehouse.latest_day()
    if latest is None:
        raise ConfigurationError(f"--warehouse {flags.warehouse} has no run; run beam-pcc run first")
    return period_of(first, last, flags.days or DAYS, latest)


def _import(flags: argparse.Namespace) -> int:
    from beam_pcc import progress
    from beam_pcc.feedback.labels import read_labels
    from beam_pcc.publishing.warehouse.base import check_feedback_table
    from beam_pcc.publishing.warehouse.feedback_table import FeedbackCounts

    now = dt.datetime.now(dt.timezone.utc)
    reporter = Reporter(flags)
    if flags.label_source is not None and not 0 < len(flags.label_source.strip()) <= _longest_source():
        raise ConfigurationError(f"--label_source must have 1 to {_longest_source()} characters")
    warehouse = checked_warehouse(publish_of(flags), flags)
    check_feedback_table(warehouse)
    labels = read_labels(flags.data, now, flags.label_source and flags.label_source.strip())
    if flags.rejected:
        _write_rejected(labels, Path(flags.rejected))
    if labels.rejected and not len(labels.table):
        raise SourceError(f"--data {flags.data} has no row that can be imported: {_first_reasons(labels)}; correct it")
    counts = FeedbackCounts()
    if len(labels.table):
        with progress.task("adding the labels"), private_files():
            counts = warehouse.add_feedback(labels.table, now)
    if reporter.json:
        reporter.report(
            ImportResult(
                labels.rows,
                counts.new,
                counts.present,
                labels.copies,
                labels.reasons(),
                counts.unknown,
                counts.several_days,
            )
        )
        return 0
    say(f"{flags.warehouse}: {counts.new:,} of {labels.rows:,} rows are new")
    lines = [
        (counts.present, "were imported before"),
        (labels.copies, "repeat another row"),
        (len(labels.rejected), f"are not imported: {_first_reasons(labels)}"),
        (counts.unknown, "are of no published case; they are kept, and joined if they are imported again later"),
        (counts.several_days, "name no partition and are of a case of several days; see docs/feedback.md"),
    ]
    say(*(f"  {rows:,} {words}" for rows, words in lines if rows))
    return 0


def _longest_source() -> int:
    from beam_pcc.feedback.labels import MAX_TEXT

    return MAX_TEXT


def _first_reasons(labels: Labels) -> str:
    """The reasons with their counts, and the first rows of each."""
    parts = []
    for code, rows in labels.reasons().items():
        numbers = [f"{row.number:,}" for row in labels.rejected if row.reason == code]
        more = ", ..." if len(numbers) > _NAMED_ROWS else ""
        word = "row" if rows == 1 else "rows"
        parts.append(f"{rows:,} {code} ({word} {', '.join(numbers[:_NAMED_ROWS])}{more})")
    return "; ".join(parts)


def _write_rejected(labels: Labels, path: Path) -> None:
    import json

    lines = (
        json.dumps({"row": row.number, "case_id": row.case_id, "reason": row.reason}) + "\n" for row in labels.rejected
    )
    with private_files(), explained_writing(f"--rejected {path}"), written_whole(path) as file:
        file.write_text("".join(lines), encoding="utf-8")


def _sample(flags: argparse.Namespace) -> int:
    from beam_pcc.feedback import sampling

    path = Path(flags.file)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigurationError(f"--file {path} is neither .csv nor .parquet; name one of them")
    if flags.n < 1:
        raise ConfigurationError(f"--n must be at least 1, not {flags.n}")
    reporter = Reporter(flags)
    warehouse = checked_warehouse(publish_of(flags), flags)
    first, last = _period(flags, warehouse)
    sample = sampling.draw(warehouse, first, last, flags.n, flags.seed)
    shown = sampling.with_predictions if flags.with_predictions else sampling.without_predictions
    _write_rows(shown(sample.rows), path)
    if reporter.json:
        reporter.report(SampleResult(sample.name, str(path), len(sample.rows), sample.cases, sample.strata))
        return 0
    say(f"{path}: {len(sample.rows):,} of {sample.cases:,} published cases, {sample.strata} strata, {first} to {last}")
    say("  to label    add the columns label (PC or NOT_PC), source and time, then beam-pcc feedback import")
    return 0


def _write_rows(rows: pa.Table, path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    with private_files(), explained_writing(f"--file {path}"), written_whole(path) as file:
        if path.suffix.lower() == ".csv":
            pyarrow.csv.write_csv(rows, file, pyarrow.csv.WriteOptions(quoting_style="needed"))
        else:
            pyarrow.parquet.write_table(rows, file)


def _report(flags: argparse.Namespace) -> int:
    from beam_pcc import progress
    from beam_pcc.feedback.estimates import feedback_of
    from beam_pcc.publishing.warehouse.base import check_feedback_table
    from beam_pcc.publishing.warehouse.feedback_table import no_feedback_table

    reporter = Reporter(flags)
    warehouse = checked_warehouse(publish_of(flags), flags)
    check_feedback_table(warehouse)
    first, last = _period(flags, warehouse)
    with progress.task("reading the feedback"):
        rows = warehouse.feedback(first, last)
    if rows is None:
        raise no_feedback_table(warehouse.address)
    feedback = feedback_of(rows, first, last, flags.label_source)
    if reporter.json:
        reporter.report(
            FeedbackResult(
                f"{first:%Y%m%d}",
                f"{last:%Y%m%d}",
                feedback.labelled,
                feedback.unknown,
                feedback.replaced,
                feedback.disagreeing,
                feedback.drawn,
                feedback.answered,
                tuple(_group_result(one) for one in feedback.measured),
            )
        )
        return 0
    say(f"{flags.warehouse}: {feedback.labelled:,} published cases of {first} to {last} have a label")
    notes = [
        (feedback.answered, f"of {_count(feedback.drawn)} that were drawn for samples: they stand for all published"),
        (feedback.replaced, "labels are replaced by newer ones of the same source"),
        (feedback.disagreeing, "have labels of sources that disagree; the newest counts"),
        (feedback.unknown, "labels of any day are of no published case; import them again once it is published"),
    ]
    say(*(f"  {n:,} {words}" for n, words in notes if n))
    if feedback.measured:
        say("", *table(_lines(feedback.measured)))
        say("", "sample: estimates of all published cases; labels: of the labelled cases alone; in brackets 95 %.")
    return 0


def _count(number: int | None) -> str:
    return "those" if number is None else f"{number:,}"


def _lines(measured: Sequence[Measured]) -> list[list[str]]:
    lines = [["", "", "basis", "labels", "cases", "precision", "recall", "mean P(PC)", "actual PC", "Brier"]]
    lines += [
        [
            one.by,
            one.value or "",
            one.basis,
            f"{one.labels:,}",
            f"{one.cases:,.0f}",
            _shown(one.precision),
            _shown(one.recall),
            f"{one.probability:.1%}",
            _shown(one.actual),
            f"{one.brier:.4f}",
        ]
        for one in measured
    ]
    return lines


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def _group_result(one: Measured) -> FeedbackGroupResult:
    precision, recall, actual = (EstimateResult(*share) for share in (one.precision, one.recall, one.actual))
    return FeedbackGroupResult(
        one.by,
        one.value,
        one.basis,
        one.labels,
        one.cases,
        precision,
        recall,
        one.probability,
        actual,
        one.brier,
    )
