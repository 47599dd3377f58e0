"""The protocol of a warehouse: load a run's staged files, say what is in them, publish them or refuse them.

Knows nothing of Beam. What makes a run fit to publish is decided in publish.py; a warehouse only counts and writes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import pyarrow as pa

from beam_pcc.cases.monitoring_row import Histogram, MonitoringRow, StoredRow
from beam_pcc.cases.schemas import SCORE_BINS
from beam_pcc.errors import ConfigurationError, WarehouseError, one_line
from beam_pcc.publishing.warehouse.feedback_table import FEEDBACK, FeedbackCounts, Stratum, no_feedback_table

if TYPE_CHECKING:
    import duckdb

StagedKind = Literal["predictions", "rejected"]
RUNS_OF_A_DAY = 10  # of each status: bounds what a report reads of a day that was tried again and again


class StagedFile(NamedTuple):
    """A Parquet file of STAGED_PREDICTIONS or STAGED_REJECTED rows that a bundle wrote."""

    kind: StagedKind
    uri: str
    rows: int


@dataclass(frozen=True)
class Run:
    """Who a run is: fixed at launch, the same on every worker."""

    run_id: str
    partition_date: dt.date
    started_at: dt.datetime
    model_version: str | None = None
    embedding_model: str | None = None
    model_sha256: str | None = None
    shadow_version: str | None = None
    review_band: float | None = None


@dataclass(frozen=True)
class StagedFigures:
    """What SQL counts in a run's staged rows; duplicates are already among the rejected.

    `copies` counts the rows that are exact copies of another one; they are in no other figure.
    `score_histogram` counts P(PC) of the predictions in SCORE_BINS equal bins over [0, 1].
    """

    predictions: int = 0
    distinct_case_ids: int = 0
    bad_confidence: int = 0
    unknown_labels: int = 0
    positive: int = 0
    review: int = 0
    copies: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    score_histogram: Histogram = (0,) * SCORE_BINS


@dataclass(frozen=True)
class TablePlan:
    """What has to be done until the tables fit: make tables, add columns; conflicts are for a person to solve.

    `keep` has the tables whose rows expire too early, with the days they are to be kept.
    """

    create: list[str] = field(default_factory=list)
    add: dict[str, list[str]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    keep: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: TablePlan) -> TablePlan:
        return TablePlan(
            self.create + other.create,
            self.add | other.add,
            self.conflicts + other.conflicts,
            self.keep | other.keep,
        )


def check_feedback_table(warehouse: Warehouse) -> None:
    """Raise ConfigurationError if the table of feedback is not there, or not as this version needs it."""
    plan, fix = warehouse.plan_tables(), f"beam-pcc tables create --warehouse {warehouse.address}"
    if FEEDBACK in plan.create:
        raise no_feedback_table(warehouse.address)
    if conflicts := [conflict for conflict in plan.conflicts if conflict.startswith(f"{FEEDBACK}.")]:
        raise ConfigurationError(f"{warehouse.address}: {'; '.join(conflicts)}; rename the table, then run {fix}")
    if FEEDBACK in plan.add:
        columns = ", ".join(plan.add[FEEDBACK])
        raise ConfigurationError(f"{warehouse.address}: {FEEDBACK} lacks {columns}; run {fix} --add_columns")


def prepare_tables(
    warehouse: Warehouse, *, dry_run: bool = False, add_columns: bool = False, set_expiry: bool = False
) -> TablePlan:
    """Make the tables that are missing; return what was done (or would be).

    With `add_columns` also the missing columns, with `set_expiry` a longer expiry: a run changes neither. Nor does a
    run need the table of feedback, which it does not write: it makes that only in a new warehouse.

    Raises:
        ConfigurationError: A table has other columns than this version writes; nothing was changed.
    """
    plan = warehouse.plan_tables()
    if not (add_columns or set_expiry):
        plan = _of_run(plan)
    lacks = [] if add_columns else [f"{table} lacks {', '.join(columns)}" for table, columns in plan.add.items()]
    if plan.conflicts or lacks:
        mend = "rename the table" if plan.conflicts else "add them with beam-pcc tables create --add_columns"
        raise ConfigurationError(
            f"{warehouse.address} has other tables than this version writes: "
            f"{'; '.join(plan.conflicts + lacks)}; {mend}"
        )
    if not set_expiry:
        plan = replace(plan, keep={})
    if not dry_run:
        warehouse.apply_tables(plan)
    return plan


def _of_run(plan: TablePlan) -> TablePlan:
    """Without the table of feedback where the others are there: a run may not have the right to make it."""
    create = [name for name in plan.create if name != FEEDBACK or "pcc_inference_output" in plan.create]
    add = {name: columns for name, columns in plan.add.items() if name != FEEDBACK}
    conflicts = [conflict for conflict in plan.conflicts if not conflict.startswith(f"{FEEDBACK}.")]
    return replace(plan, create=create, add=add, conflicts=conflicts)


def checked_row(stored: StoredRow, table: object) -> MonitoringRow:
    """The stored monitoring row of a run. Raises WarehouseError if a value does not fit its column."""
    try:
        return MonitoringRow.from_stored(stored)
    except ValueError as error:
        run_id = one_line(stored.get("run_id"), 80)
        raise WarehouseError(f"{table}: in the row of run {run_id}, {error}; correct or delete that row") from None


def bin_edges() -> list[str]:
    """The edges of the bins of a score histogram, ascending, as SQL has them."""
    return [f"{place / SCORE_BINS:g}" for place in range(SCORE_BINS + 1)]


def bin_conditions(score: str) -> list[str]:
    """The SQL condition of each bin of a score histogram, for an expression of P(PC); NaN is in none."""
    pairs = itertools.pairwise(bin_edges())
    return [f"{score} >= {low} AND {score} {'<' if high != '1' else '<='} {high}" for low, high in pairs]


def readable_rows(stored: Iterable[StoredRow]) -> list[MonitoringRow]:
    """The rows whose values fit their columns: a history may have gaps."""
    rows = []
    for row in stored:
        with contextlib.suppress(ValueError):
            rows.append(MonitoringRow.from_stored(row))
    return rows


def as_reader(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatchReader:
    """The rows of a table with the columns of the schema, in its order and types."""
    parts = (
        part
        for batch in batches
        for part in pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()
    )
    return pa.RecordBatchReader.from_batches(schema, parts)


class StagedRun(Protocol):
    """A run's staged rows, in tables of its own or in their files; each case_id once among the predictions.

    Of rows with one case_id, timestamp and content, load dropped all but one.
    Of several rows with one case_id, load kept the latest by the case's timestamp (then the most confident); the others
    are among the rejected as duplicate_case_id.
    """

    def figures(self) -> StagedFigures:
        """Count, for the audits."""
        ...

    def publish(self, monitoring: MonitoringRow) -> None:
        """In ONE transaction: replace the partition's predictions and quarantine by this run's, add its monitoring row.

        Publishing the same run twice leaves what publishing it once leaves.
        """
        ...

    def quarantine(self, monitoring: MonitoringRow) -> None:
        """In ONE transaction: add the quarantine rows and the monitoring row; what was published stays."""
        ...


class Warehouse(Protocol):
    """Somewhere with the tables of `beam_pcc.cases.schemas.TABLES`. Picklable: workers get a copy.

    Raises:
        WarehouseError: From any method: what, where, what to do.
    """

    address: str

    def staging(self, given: str | None) -> str:
        """The folder for a run's staged files: `given`, or the default. Raises ConfigurationError if none will do."""
        ...

    def check(self) -> None:
        """Raise ConfigurationError for what can be known to be wrong before a run starts. Changes nothing."""
        ...

    def plan_tables(self) -> TablePlan:
        """Compare the tables with what this version writes. Changes nothing."""
        ...

    def table_sql(self, plan: TablePlan) -> list[str]:
        """The statements that do what `apply_tables` does, for who makes tables with other tools."""
        ...

    def apply_tables(self, plan: TablePlan) -> None:
        """Make the plan's missing tables and columns, and lengthen the expiry that it names."""
        ...

    def load(self, run: Run, files: Sequence[StagedFile]) -> AbstractContextManager[StagedRun]:
        """Make the rows of the files known to the warehouse; what that makes is gone when the context ends."""
        ...

    def record(self, monitoring: MonitoringRow) -> bool:
        """Write the monitoring row of a run that published nothing; False if the run has one already, which stays."""
        ...

    def monitoring(self, run_id: str) -> MonitoringRow | None:
        """The monitoring row of a run. Raises WarehouseError also for one that is not as a run writes it."""
        ...

    def runs(self, last: int, partition: dt.date | None = None) -> list[StoredRow]:
        """The newest monitoring rows as they are stored, at most `last`, oldest first; of one partition, or of all."""
        ...

    def latest_day(self) -> dt.date | None:
        """The latest partition that has a monitoring row."""
        ...

    def runs_of_days(self, first: dt.date, last: dt.date) -> list[StoredRow]:
        """The monitoring rows of these partitions, both included, as they are stored; oldest partition and run first.

        Of each day and status at most the RUNS_OF_A_DAY newest.
        """
        ...

    def recent_rows(self, before: dt.date, days: int) -> list[MonitoringRow]:
        """The monitoring row of the latest successful run of each published day: the last `days` days before `before`.

        Newest day first. Fewer where the table keeps fewer; a row whose values do not fit their columns is left out.
        """
        ...

    def published(self, partition: dt.date, case_id: str) -> StoredRow | None:
        """The row of pcc_inference_output that is published for a case, as it is stored."""
        ...

    def add_feedback(self, labels: pa.Table, now: dt.datetime) -> FeedbackCounts:
        """Add LABELS to pcc_feedback, each beside the prediction that is published now; those that are there stay.

        A label that names no day is of the latest day on or before its time on which the case is published, else of the
        first day after it. A label that was added before is added again only for another day or model version.

        Raises:
            ConfigurationError: There is no such table.
        """
        ...

    def feedback(self, first: dt.date, last: dt.date) -> pa.Table | None:
        """The FEEDBACK rows of these partitions, both included, and of no known one; None if there is no such table.

        With them come the other rows of the samples that these are in.
        """
        ...

    def strata(self, first: dt.date, last: dt.date) -> dict[Stratum, int]:
        """How many published cases of these partitions are in each stratum."""
        ...

    def draw(self, first: dt.date, last: dt.date, seed: int, cutoffs: Mapping[Stratum, str]) -> pa.Table:
        """The DRAWN rows of published cases whose key is below the cut-off of their stratum.

        The key is the beginning of a digest of the seed, the day and the case_id: 16 hexadecimal digits, the same in
        each warehouse. A cut-off is such digits, or empty for all cases.
        """
        ...

    def query(self, sql: str, render: Callable[[duckdb.DuckDBPyRelation], str] = str) -> str:
        """Run one query; return its rows as text, by default as a table."""
        ...

    def read_tables(self, names: Sequence[str]) -> AbstractContextManager[Mapping[str, pa.RecordBatchReader]]:
        """The rows of the tables with these names in `schemas.TABLES`, a few at a time.

        Raises:
            ConfigurationError: There is no such table.
        """
        ...
