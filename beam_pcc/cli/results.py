"""What `--output json` prints and `--summary_file` holds: the fields of each result, declared once.

docs/cli.md describes the fields; they are added to, and neither renamed nor removed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pcc.errors import EXIT_PUBLISHED, ConfigurationError, LostSightError, PccError
from beam_pcc.errors.messages import unexpected
from beam_pcc.storage.whole_files import written_whole
from beam_pcc.terminal import logger, show

if TYPE_CHECKING:
    from beam_pcc.cases.monitoring_row import MonitoringRow
    from beam_pcc.publishing.publish import Outcome

_log = logger(__name__)
TEXT, JSON = "text", "json"


@dataclass(frozen=True)
class RunResult:
    """How a run ended, or that it was submitted."""

    partition: str | None
    status: str
    exit_code: int
    dry_run: bool = False
    run_id: str | None = None
    warehouse: str | None = None
    deployment: str | None = None
    error: str | None = None
    monitoring: dict[str, Any] | None = None

    @classmethod
    def of_outcome(cls, outcome: Outcome, warehouse: str | None = None, deployment: str | None = None) -> RunResult:
        """The result of a run that has its monitoring row."""
        row = outcome.monitoring
        return cls(
            f"{row.partition_date:%Y%m%d}",
            row.status,
            outcome.exit_code,
            outcome.dry_run,
            row.run_id,
            warehouse,
            deployment,
            row.error_message,
            monitoring_fields(row),
        )

    @classmethod
    def of_error(cls, error: BaseException, partition: dt.date | None = None) -> RunResult:
        """The result of a run that could not finish, or that the launcher lost sight of."""
        ours = error if isinstance(error, PccError) else unexpected(error)
        status = "unknown" if isinstance(ours, LostSightError) else "failed"
        return cls(f"{partition:%Y%m%d}" if partition else None, status, ours.exit_code, error=str(ours))


@dataclass(frozen=True)
class BackfillResult:
    """How each day of a backfill ended."""

    status: str
    exit_code: int
    days: tuple[RunResult, ...] = ()
    error: str | None = None

    @classmethod
    def of_days(cls, days: list[RunResult], exit_code: int) -> BackfillResult:
        """The result of a backfill that came to its end."""
        return cls("success" if exit_code == EXIT_PUBLISHED else "failed", exit_code, tuple(days))

    @classmethod
    def of_error(cls, error: BaseException, days: list[RunResult]) -> BackfillResult:
        """The result of a backfill that an error ended, after these days."""
        failed = RunResult.of_error(error)
        return cls(failed.status, failed.exit_code, tuple(days), failed.error)


@dataclass(frozen=True)
class VersionResult:
    """A version of the registry."""

    version: str
    current: bool
    used_by_run: bool
    shadow: bool
    trained_on_rows: int | None
    trained_on: str
    metrics: dict[str, float]
    threshold: float
    sha256: str | None


@dataclass(frozen=True)
class VersionsResult:
    """Every version of a registry, newest first."""

    versions: tuple[VersionResult, ...]


@dataclass(frozen=True)
class VerifyResult:
    """A version that was verified."""

    version: str
    file: str
    sha256: str
    classes: tuple[str, ...]
    golden_rows: int | None
    scorer: str
    scorer_reason: str
    signature_verified: bool
    seconds: float


@dataclass(frozen=True)
class ImportedModelResult:
    """A version that was made of a model file."""

    version: str
    format: str
    classes: tuple[str, ...]
    rows: int
    difference: float | None
    metrics: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class ChangeResult:
    """A change of current.json."""

    at: str
    by: str
    action: str
    version: str | None
    before: str | None
    forced: bool
    overridden: dict[str, str]


@dataclass(frozen=True)
class ChainResult:
    """The chain of the log, which is whole."""

    lines: int
    unchained: int
    sha256: str | None
    pending: bool
    by_hand: str | None


@dataclass(frozen=True)
class HistoryResult:
    """Every change of current.json, oldest first; and the chain of the log if it was checked."""

    changes: tuple[ChangeResult, ...]
    chain: ChainResult | None


@dataclass(frozen=True)
class MeasuredResult:
    """A version on labelled rows: its metrics, and the 95 % interval of each."""

    version: str
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class CompareResult:
    """Two versions on the same labelled rows."""

    rows: int
    versions: tuple[MeasuredResult, MeasuredResult]
    labelled_differently: int
    first_correct: int
    second_correct: int
    p_value: float


@dataclass(frozen=True)
class ShareResult:
    """How many of some rows are labelled right, with the 95 % interval."""

    rows: int
    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class GroupResult:
    """A version on the rows with one value of a column, or on all rows."""

    column: str | None
    value: str | None
    right: ShareResult
    pc_found: ShareResult
    not_pc_kept: ShareResult


@dataclass(frozen=True)
class EvaluateResult:
    """A version on labelled rows, and on groups of them."""

    version: str
    rows: int
    threshold: float
    groups: tuple[GroupResult, ...]


@dataclass(frozen=True)
class SubmittedRunResult:
    """A run whose FlinkDeployment is there."""

    name: str
    partition: str
    state: str
    run_id: str
    submitted_by: str
    submitted_at: str
    problem: str | None = None
    monitoring: dict[str, Any] | None = None


@dataclass(frozen=True)
class SubmittedRunsResult:
    """Every run whose FlinkDeployment is there, the latest partition first."""

    runs: tuple[SubmittedRunResult, ...]


@dataclass(frozen=True)
class CheckResult:
    """A check of doctor."""

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class DoctorResult:
    """The checks of doctor."""

    exit_code: int
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True)
class TermResult:
    """What a term of the vocabulary adds to the log-odds of the label."""

    term: str
    contribution: float
    present: bool


@dataclass(frozen=True)
class PublishedResult:
    """What is published of a case."""

    run_id: str
    label: str
    confidence: float
    notes: str | None


@dataclass(frozen=True)
class ExplainResult:
    """Why a case, or a message, has its label."""

    case_id: str | None
    partition: str | None
    model_version: str
    label: str
    subtype: str | None
    confidence: float
    probability: float
    threshold: float
    margin: float
    review_band: float
    review: bool
    log_odds: float
    base: float | None
    embedding: float | None
    tfidf: float | None
    terms: tuple[TermResult, ...]
    other_terms: float | None
    window: str | None
    published: PublishedResult | None


@dataclass(frozen=True)
class ImportResult:
    """What became of the rows of a file of labels."""

    rows: int
    new: int
    present: int
    copies: int
    rejected: dict[str, int]
    unknown_cases: int
    several_days: int


@dataclass(frozen=True)
class SampleResult:
    """A sample of published cases that was drawn for labelling."""

    sample: str
    file: str
    drawn: int
    cases: int
    strata: int


@dataclass(frozen=True)
class EstimateResult:
    """A share with its 95 % interval."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class FeedbackGroupResult:
    """What is known of some published cases."""

    by: str
    value: str | None
    basis: str
    labels: int
    cases: float
    precision: EstimateResult
    recall: EstimateResult
    probability: float
    actual: EstimateResult
    brier: float


@dataclass(frozen=True)
class FeedbackResult:
    """What labels say of the published cases of some days."""

    first: str
    last: str
    labelled_cases: int
    unknown_cases: int
    replaced_labels: int
    disagreeing_cases: int
    sampled_cases: int | None
    sampled_cases_labelled: int
    groups: tuple[FeedbackGroupResult, ...]


RESULTS = (
    *(RunResult, BackfillResult, VersionsResult, VersionResult, VerifyResult, HistoryResult, ChangeResult, ChainResult),
    ImportedModelResult,
    *(EvaluateResult, GroupResult, ShareResult),
    *(CompareResult, MeasuredResult, SubmittedRunsResult, SubmittedRunResult, DoctorResult, CheckResult),
    *(ExplainResult, TermResult, PublishedResult),
    *(ImportResult, SampleResult, FeedbackResult, FeedbackGroupResult, EstimateResult),
)


def monitoring_fields(row: MonitoringRow) -> dict[str, Any]:
    """The columns of the monitoring table, those that hold JSON as objects and arrays."""
    fields = row.to_json()
    for name, text in fields.items():
        if isinstance(getattr(row, name), (dict, tuple)):
            fields[name] = json.loads(text)
    return fields


def as_json(result: Any) -> str:
    """The text of a result. A number that JSON does not have (NaN) becomes null."""
    return json.dumps(_finite(dataclasses.asdict(result)), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and value - value != 0 else value


def add_output_argument(parser: argparse.ArgumentParser, *more: str) -> None:
    """Declare `--output` of a command that prints its result; `more` are formats besides text and json."""
    parser.add_argument(
        "--output", choices=(TEXT, JSON, *more), default=TEXT, help="how the result is printed (default: %(default)s)"
    )


def add_summary_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--summary_file`."""
    parser.add_argument(
        "--summary_file", metavar="FILE.json", help="also write there what --output json prints, however the run ends"
    )


def _may_write_in(folder: Path) -> bool:
    as_who_runs = os.access in os.supports_effective_ids  # and not as who started
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=as_who_runs)


class Reporter:
    """Prints the result of a command as JSON if asked for, and writes it to the summary file.

    Args:
        flags: With `output`, and `summary_file` where the command has it.

    Raises:
        ConfigurationError: The folder of the summary file does not exist or cannot be written.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self.json = flags.output == JSON
        file = getattr(flags, "summary_file", None)
        self._file = None if file is None else Path(file)
        if self._file and (self._file.is_dir() or not _may_write_in(self._file.absolute().parent)):
            raise ConfigurationError(f"--summary_file {file} cannot be written; name a file in a folder that can")

    def report(self, result: Any) -> None:
        """Print and write a result. A summary file that cannot be written is an error in the log."""
        text = as_json(result)
        if self._file:
            try:
                with written_whole(self._file) as file:
                    file.write_text(f"{text}\n", encoding="utf-8")
            except OSError as error:
                _log.error("--summary_file %s could not be written: %s", self._file, error.strerror)
        if self.json:
            show(text)

    @contextlib.contextmanager
    def reporting_errors(self, result: Callable[[Exception], RunResult | BackfillResult]) -> Iterator[None]:
        """Report what `result` makes of an error before it is raised."""
        try:
            yield
        except Exception as error:
            self.report(result(error))
            raise
