"""Write-audit-publish: `StageRows` writes a run's rows as Parquet, `Publish` loads, audits and publishes them.

A reader of the tables sees the partition as it was or as the run made it, whatever is killed when. A refused audit is
a result (exit code 3), not an exception: a runner must not try it again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO
from uuid import uuid4

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_pcc import errors, progress
from beam_pcc.cases import faults
from beam_pcc.cases.monitoring_row import MonitoringRow, Status
from beam_pcc.config.settings import Limits
from beam_pcc.config.threads import give_back_memory
from beam_pcc.errors.foreign import explained
from beam_pcc.models.metadata import Baseline
from beam_pcc.private_files import make_private
from beam_pcc.publishing.capacity import ROW_GROUP_ROWS
from beam_pcc.publishing.drift_alarms import HISTORY_DAYS, history_of, measure
from beam_pcc.publishing.monitoring import audited_row
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.volume import audit_volume
from beam_pcc.publishing.warehouse.base import Run, StagedFigures, StagedFile, StagedKind, Warehouse
from beam_pcc.shielding import shielded
from beam_pcc.sources.volume import UNKNOWN, SourceVolume

# The writer keeps the metadata of each row group until it closes the file: with one for each batch of 2,000 rows memory
# grows with the day, by 285 MiB at 100 million rows.
_ROW_GROUP_BYTES = 32 * 1024 * 1024  # of rows that wait for their group
# Of which few values are in a batch. Of the others, trying a dictionary takes as long as writing them does.
_REPEATING = frozenset({"predicted_label", "subtype_label", "inference_timestamp", "reason", "detail"})


@dataclass(frozen=True)
class Rules:
    """What makes a run fit to publish, and how."""

    max_drop_rate: float = Limits.max_drop_rate
    max_psi: float = Limits.max_psi
    refuse_drift: bool = True
    replace_with_empty: bool = False
    dry_run: bool = False
    baseline: Baseline | None = None
    source: SourceVolume = UNKNOWN
    min_volume: float = Limits.min_volume
    accept_volume: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its monitoring row, and whether that was only tried (`dry_run`)."""

    monitoring: MonitoringRow
    dry_run: bool = False

    @property
    def refused(self) -> bool:
        """Whether the audits refused to publish."""
        return self.monitoring.status == "refused"

    @property
    def exit_code(self) -> int:
        """0 published or empty, 1 failed, 3 refused by the audits."""
        return _EXIT_CODES[self.monitoring.status]

    @property
    def done(self) -> str:
        """The partition and what was done to it, for a message."""
        verb = {"success": "published", "empty": "found empty"}.get(self.monitoring.status, self.monitoring.status)
        return (
            f"partition {self.monitoring.partition_date:%Y%m%d} was {'scored, not published' if self.dry_run else verb}"
        )

    def to_json(self) -> str:
        """For the file that the launcher reads."""
        return json.dumps({"monitoring": self.monitoring.to_json(), "dry_run": self.dry_run})

    @classmethod
    def from_json(cls, text: bytes) -> Outcome:
        """Inverse of `to_json`, also of an earlier version's. Raises ValueError."""
        values = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values.get("dry_run"), bool):
            raise ValueError("not the outcome of a run")
        return cls(MonitoringRow.from_json(values.get("monitoring")), values["dry_run"])


_EXIT_CODES: dict[Status, int] = {
    "success": errors.EXIT_PUBLISHED,
    "empty": errors.EXIT_PUBLISHED,
    "refused": errors.EXIT_REFUSED,
    "failed": errors.EXIT_FAILED,
}


def audit(figures: StagedFigures, rows_read: int, max_drop_rate: float) -> list[str]:
    """What forbids to publish, one phrase each; nothing if the run is sound."""
    dropped = figures.rejected.total()
    found = []
    if rows_read != figures.predictions + dropped + figures.copies:
        found.append(
            f"{rows_read:,} rows read, but {figures.predictions:,} predictions, {dropped:,} rejected and "
            f"{figures.copies:,} exact copies"
        )
    if figures.distinct_case_ids != figures.predictions:
        found.append(f"{figures.predictions - figures.distinct_case_ids:,} duplicate case_ids")
    if figures.bad_confidence:
        found.append(f"{figures.bad_confidence:,} confidences outside 0 to 1")
    if figures.unknown_labels:
        found.append(f"{figures.unknown_labels:,} unknown labels")
    rows = rows_read - figures.copies
    if rows and dropped > max_drop_rate * rows:
        worst = ", ".join(f"{reason} {n:,}" for reason, n in figures.rejected.most_common(3))
        found.append(f"{dropped / rows:.1%} of the rows rejected, more than {max_drop_rate:.1%} ({worst})")
    return found


def publish_run(warehouse: Warehouse, run: Run, files: Sequence[StagedFile], stats: RunStats, rules: Rules) -> Outcome:
    """Load, audit and publish a run; pure of Beam. Doing it again leaves the same tables.

    Raises:
        WarehouseError: The warehouse cannot be read or written; nothing was published.
    """
    # The day itself too: what is published for it is what this run would replace.
    recent = warehouse.recent_rows(run.partition_date + dt.timedelta(days=1), HISTORY_DAYS + 1)
    history = history_of([row for row in recent if row.partition_date < run.partition_date], run.model_version)
    with progress.task("loading the staged rows") as step, warehouse.load(run, files) as staged:
        step.name = "auditing"
        figures = staged.figures()
        drift = measure(figures, stats.vectors, rules.baseline, history, rules.max_psi, refuse=rules.refuse_drift)
        volume = audit_volume(
            stats.rows_read, figures.copies, rules.source, recent, run, rules.min_volume, accept=rules.accept_volume
        )
        violations = [*audit(figures, stats.rows_read, rules.max_drop_rate), *drift.refusals(), *volume.refusals]
        row = audited_row(run, figures, stats, rules.baseline, violations, drift, volume)
        if not rules.dry_run:
            step.name = "publishing"
            replaces = row.status == "success" or (row.status == "empty" and rules.replace_with_empty)
            (staged.publish if replaces else staged.quarantine)(row)
    return Outcome(row, dry_run=rules.dry_run)


@dataclass
class _Pending:
    """Batches that wait for their row group, and how much they are."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.rows += batch.num_rows
        self.bytes += batch.nbytes


def _writer(sink: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer that spends no time on what nobody reads, or what makes no file smaller."""
    return pq.ParquetWriter(
        sink,
        schema,
        use_dictionary=[name for name in schema.names if name in _REPEATING],
        # Numbers here are random to a compressor: digests, probabilities, times.
        compression={column.name: "snappy" if pa.types.is_string(column.type) else "none" for column in schema},
        write_statistics=False,  # loading takes all rows
    )


@shielded
class StageRows(beam.DoFn):
    """Writes a bundle's RecordBatches to one uniquely named Parquet file and passes on its StagedFile.

    A file of a bundle that died is never passed on, so never loaded; it goes with the staging folder. (Beam's own file
    sinks rename in a step that is not safe to run again.)
    """

    def __init__(self, area: StagingArea, kind: StagedKind, schema: pa.Schema) -> None:
        self._area = area
        self._kind = kind
        self._schema = schema
        self._writer: pq.ParquetWriter | None = None

    def setup(self) -> None:
        """A worker of its own has the umask of whoever started it."""
        make_private()

    def start_bundle(self) -> None:
        """Close what a failed bundle left; nothing is open yet."""
        self.teardown()

    def process(self, rows: pa.RecordBatch) -> None:
        """Append to the bundle's file, in row groups of about ROW_GROUP_ROWS rows."""
        if rows.num_rows == 0:
            return
        if self._writer is None:
            self._uri = self._area.join(f"{self._kind}-{uuid4().hex}.parquet")
            self._sink = FileSystems.create(self._uri, compression_type=CompressionTypes.UNCOMPRESSED)
            self._writer = _writer(self._sink, self._schema)
            self._rows = 0
            self._pending = _Pending()
        self._pending.add(rows)
        self._rows += rows.num_rows
        if self._pending.rows >= ROW_GROUP_ROWS or self._pending.bytes >= _ROW_GROUP_BYTES:
            self._write_row_group(self._writer)

    def _write_row_group(self, writer: pq.ParquetWriter) -> None:
        rows = pa.Table.from_batches(self._pending.batches, self._schema)
        with self._closing_on_failure(writer):
            writer.write_table(rows, row_group_size=rows.num_rows)
        self._pending = _Pending()

    @contextlib.contextmanager
    def _closing_on_failure(self, writer: pq.ParquetWriter) -> Iterator[None]:
        """Name the file that cannot be written, for example on a full disk, and close it."""
        with explained(self._uri, errors.RunError):
            try:
                yield
            except BaseException:
                self._close(writer)
                raise

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Close the file; only then is it passed on."""
        if self._writer is not None:
            if self._pending.batches:
                self._write_row_group(self._writer)
            with self._closing_on_failure(self._writer):
                self._writer.close()
                self._sink.close()
            self._writer = None
            window = GlobalWindow()
            yield WindowedValue(StagedFile(self._kind, self._uri, self._rows), window.max_timestamp(), [window])

    def teardown(self) -> None:
        """Close the file of a bundle that failed. Nobody loads it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._close(writer)

    def _close(self, writer: pq.ParquetWriter) -> None:
        for close in (writer.close, self._sink.close):
            with contextlib.suppress(Exception):
                close()


@shielded
class Publish(beam.DoFn):
    """The last step of the graph, run once: the list of all staged files in, the Outcome out."""

    def __init__(self, warehouse: Warehouse, run: Run, area: StagingArea, rules: Rules) -> None:
        self._warehouse = warehouse
        self._run = run
        self._area = area
        self._rules = rules
        self._duplicates = Metrics.counter("pcc", f"{faults.COUNTER}{faults.DUPLICATE_CASE_ID.code}")

    def setup(self) -> None:
        """As of `StageRows`: the DuckDB file, and what it puts aside, hold cases."""
        make_private()

    def process(self, files: list[StagedFile], stats: RunStats) -> Iterator[Outcome]:
        """Publish, unless an earlier attempt at this step of this run did."""
        outcome = read_outcome(self._area)
        if outcome is None:
            # What reading and scoring held goes back first: the warehouse needs memory of its own (measured: 629 MB at
            # the peak of a million rows, and 494 MB so).
            give_back_memory()
            outcome = publish_run(self._warehouse, self._run, files, stats, self._rules)
            self._duplicates.inc(outcome.monitoring.reject_reasons.get(faults.DUPLICATE_CASE_ID.code, 0))
            self._area.finish(outcome.to_json().encode())
        yield outcome


def read_outcome(area: StagingArea) -> Outcome | None:
    """What `Publish` left in the run's staging folder; None if it did not come that far."""
    left = area.outcome()
    try:
        return None if left is None else Outcome.from_json(left)
    except ValueError:  # cut off: whoever wrote it died
        return None
