"""The embedded warehouse: the tables in one DuckDB file, which is copied, changed and replaced (file.py)."""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from beam_pcc.addresses import absolute
from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import MonitoringRow, StoredRow
from beam_pcc.config.settings import Limits
from beam_pcc.errors import ConfigurationError, WarehouseError, one_line
from beam_pcc.errors.machine import explain_machine
from beam_pcc.publishing.warehouse.base import (
    RUNS_OF_A_DAY,
    Run,
    StagedFigures,
    StagedFile,
    StagedKind,
    TablePlan,
    as_reader,
    checked_row,
    readable_rows,
)
from beam_pcc.publishing.warehouse.duckdb import sql, tables
from beam_pcc.publishing.warehouse.duckdb.file import DuckDBFile
from beam_pcc.publishing.warehouse.feedback_table import FeedbackCounts, Stratum, drawing_condition, no_feedback_table

_PLACE = ("file_index", "file_row_number")  # names a row of staged files; columns that DuckDB adds


class _NothingNewError(Exception):
    """Leaves the file as it is."""


class DuckDBWarehouse:
    """The tables in one DuckDB file, made with its folder when first needed.

    Args:
        address: Path of the file, ending in .duckdb.
        lock_timeout: Seconds to wait while another process holds the file.
    """

    def __init__(self, address: str, *, lock_timeout: float = Limits.lock_timeout) -> None:
        self.address = absolute(address)
        self._file = DuckDBFile(self.address, lock_timeout)

    def staging(self, given: str | None) -> str:
        """Beside the file, unless told otherwise. It must be on a disk, which is all that DuckDB reads here."""
        folder = absolute(given) if given else self.address + ".staging"
        if "://" in folder:
            raise ConfigurationError(
                f"--staging {folder}: a .duckdb warehouse loads staged files from a disk only; name a folder, or leave "
                "it out"
            )
        return folder

    def check(self) -> None:
        """Refuse a path that cannot be a DuckDB file."""
        path = Path(self.address)
        if "?" in self.address:  # it would put its log elsewhere: what comes before the ? is the path of that
            raise ConfigurationError(
                f"--warehouse {path}: DuckDB takes what follows a ? for options; name another path"
            )
        if path.is_dir():
            raise ConfigurationError(f"--warehouse {path} is a folder; name a file in it, such as pcc.duckdb")
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if file.read(12)[8:] != b"DUCK":
                    raise ConfigurationError(f"--warehouse {path} is not a DuckDB file; name another")

    def plan_tables(self) -> TablePlan:
        """Compare the tables with what this version writes; a file that is not there is not made."""
        with self._file.read() as connection:
            return tables.plan(connection) if connection else TablePlan(create=list(schemas.TABLES))

    def table_sql(self, plan: TablePlan) -> list[str]:
        """The statements that make the plan's missing tables and columns."""
        return tables.statements(plan)

    def apply_tables(self, plan: TablePlan) -> None:
        """Make the missing tables and columns."""
        if plan.create or plan.add:
            with self._file.session() as connection, self._file.change(connection):
                tables.apply(connection, plan)

    @contextlib.contextmanager
    def load(self, run: Run, files: Sequence[StagedFile]) -> Iterator[_DuckDBStagedRun]:
        """Find the copies and duplicates among the staged rows, which stay in their files until they are published.

        What is found is in temporary tables of this connection: they end with it, whatever ends it.
        """
        with self._file.session() as connection:
            _load(connection, "files", schemas.STAGED_PREDICTIONS, _uris(files, "predictions"))
            _load(connection, "rejected_files", schemas.STAGED_REJECTED, _uris(files, "rejected"))
            for statement in sql.LOAD:
                connection.execute(statement)
            yield _DuckDBStagedRun(connection, run, self._file)

    def record(self, monitoring: MonitoringRow) -> bool:
        """Write the monitoring row, unless the run has one."""
        with self._file.session() as connection:
            if self._stored(monitoring.run_id):
                return False
            with self._file.change(connection):
                tables.make_missing(connection)
                _write_monitoring(connection, monitoring.to_stored())
            return True

    def monitoring(self, run_id: str) -> MonitoringRow | None:
        """The monitoring row of a run."""
        row = self._stored(run_id)
        return None if row is None else checked_row(row, f"{self.address}: pcc_monitoring_logs")

    def _stored(self, run_id: str) -> StoredRow | None:
        with self._file.read() as connection:
            return _monitoring(connection, run_id) if connection and _has_monitoring(connection) else None

    def runs(self, last: int, partition: dt.date | None = None) -> list[StoredRow]:
        """The newest monitoring rows, oldest first."""
        with self._file.read() as connection:
            if connection is None or not _has_monitoring(connection):
                return []
            cursor = connection.execute(
                "SELECT * FROM pcc_monitoring_logs WHERE $day IS NULL OR partition_date = $day "
                "ORDER BY ingestion_time DESC LIMIT $last",
                {"day": partition, "last": last},
            )
            return _as_dicts(cursor)[::-1]

    def latest_day(self) -> dt.date | None:
        """The latest partition that has a monitoring row."""
        with self._file.read() as connection:
            if connection is None or not _has_monitoring(connection):
                return None
            row = connection.execute("SELECT max(partition_date) FROM pcc_monitoring_logs").fetchone()
            return row[0] if row else None

    def runs_of_days(self, first: dt.date, last: dt.date) -> list[StoredRow]:
        """The monitoring rows of these partitions, oldest first."""
        with self._file.read() as connection:
            if connection is None or not _has_monitoring(connection):
                return []
            cursor = connection.execute(sql.RUNS_OF_DAYS, {"first": first, "last": last, "runs": RUNS_OF_A_DAY})
            return _as_dicts(cursor)

    def recent_rows(self, before: dt.date, days: int) -> list[MonitoringRow]:
        """The latest successful run of each of the last published days, newest first."""
        with self._file.read() as connection:
            if connection is None or not _has_monitoring(connection):
                return []
            cursor = connection.execute(sql.RECENT, {"before": before, "days": days})
            return readable_rows(_as_dicts(cursor))

    def published(self, partition: dt.date, case_id: str) -> StoredRow | None:
        """The published row of a case."""
        with self._file.read() as connection:
            if connection is None or "pcc_inference_output" in tables.plan(connection).create:
                return None
            rows = _as_dicts(connection.execute(sql.PUBLISHED, {"day": partition, "case_id": case_id}))
            return rows[0] if rows else None

    def add_feedback(self, labels: pa.Table, now: dt.datetime) -> FeedbackCounts:
        """Add labels beside the predictions that are published now."""
        with self._file.session() as connection:
            connection.execute(f"CREATE TEMP TABLE staged_labels ({tables.columns(schemas.LABELS)})")
            connection.register("labels", labels)
            connection.execute(f"INSERT INTO staged_labels SELECT {', '.join(schemas.LABELS.names)} FROM labels")  # noqa: S608 - own names
            if self._lacks("pcc_feedback"):
                raise no_feedback_table(self.address)
            with contextlib.suppress(_NothingNewError), self._file.change(connection):
                tables.make_missing(connection)
                connection.execute(sql.RESOLVE_LABELS)
                unknown, several = connection.execute(sql.LABEL_COUNTS).fetchone() or (0, 0)
                (new,) = connection.execute(sql.ADD_FEEDBACK, {"now": now}).fetchone() or (0,)
                if not new:
                    raise _NothingNewError
            return FeedbackCounts(new, len(labels) - new, unknown, several)

    def _lacks(self, table: str) -> bool:
        with self._file.read() as connection:
            return connection is None or table in tables.plan(connection).create

    def feedback(self, first: dt.date, last: dt.date) -> pa.Table | None:
        """The labels of these partitions, and of no known one."""
        with self._file.read() as connection:
            if connection is None or "pcc_feedback" in tables.plan(connection).create:
                return None
            return _as_table(connection.execute(sql.FEEDBACK, {"first": first, "last": last}), schemas.FEEDBACK)

    def strata(self, first: dt.date, last: dt.date) -> dict[Stratum, int]:
        """How many published cases are in each stratum."""
        with self._file.read() as connection:
            if connection is None or "pcc_inference_output" in tables.plan(connection).create:
                return {}
            rows = connection.execute(sql.STRATA, {"first": first, "last": last, "seed": 0}).fetchall()
            return {(bin_, review): cases for bin_, review, cases in rows}

    def draw(self, first: dt.date, last: dt.date, seed: int, cutoffs: Mapping[Stratum, str]) -> pa.Table:
        """The published cases whose key is below the cut-off of their stratum."""
        with self._published() as connection:
            text = sql.DRAW.format(condition=drawing_condition(cutoffs, "bin", "review", "key"))
            return _as_table(connection.execute(text, {"first": first, "last": last, "seed": seed}), schemas.DRAWN)

    def query(self, sql_text: str, render: Callable[[duckdb.DuckDBPyRelation], str] = str) -> str:
        """Run one SELECT, which can reach nothing but the tables; return its rows as text."""
        with self._published() as connection:
            try:
                statements = connection.extract_statements(sql_text)
                if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                    raise ConfigurationError(
                        "tables query runs one SELECT, and nothing that changes something; write one"
                    )
                return render(connection.sql(sql_text)).rstrip()
            except duckdb.Error as error:
                raise explain_machine(error, "the query") or ConfigurationError(
                    f"the query cannot be run: {one_line(error, 200)}; correct it"
                ) from None

    @contextlib.contextmanager
    def read_tables(self, names: Sequence[str]) -> Iterator[dict[str, pa.RecordBatchReader]]:
        """The rows of tables, all as of one moment."""
        with self._published() as connection:
            plan = tables.plan(connection)
            if missing := sorted(set(names) & set(plan.create)):
                raise ConfigurationError(
                    f"--warehouse {self.address} has no table {', '.join(missing)}; publish to it first"
                )
            # One for each, kept until the end: the next query of a cursor ends what it was reading.
            cursors = {name: connection.cursor() for name in names}
            readers = {}
            for name, cursor in cursors.items():
                columns = [column for column in schemas.TABLES[name].names if column not in plan.add.get(name, [])]
                wanted = schemas.readable(schemas.TABLES[name], columns)
                rows = cursor.sql(f"SELECT {', '.join(columns)} FROM {name}")  # noqa: S608 - own names
                readers[name] = as_reader(pa.RecordBatchReader.from_stream(rows), wanted)
            yield readers

    @contextlib.contextmanager
    def _published(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that reads what was published, if anything was."""
        with self._file.read() as connection:
            if connection is None:
                if Path(self.address).exists():
                    raise ConfigurationError(f"--warehouse {self.address} is empty; publish to it first")
                raise ConfigurationError(
                    f"--warehouse {self.address} is not there; check the path, or publish to it first"
                )
            yield connection


class _DuckDBStagedRun:
    """The run's temporary views `staged_predictions` and `staged_rejected`, and the way out of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, run: Run, file: DuckDBFile) -> None:
        self._connection = connection
        self._run = run
        self._file = file

    def figures(self) -> StagedFigures:
        counted = self._connection.execute(sql.FIGURES)
        counts = dict(zip([c[0] for c in counted.description or ()], counted.fetchone() or (), strict=True))
        rejected = self._connection.execute("SELECT reason, count(*) FROM staged_rejected GROUP BY reason").fetchall()
        counts["score_histogram"] = tuple(counts["score_histogram"])
        if counts["distinct_case_ids"] != counts["predictions"]:  # of their hashes, which different ids may share
            (counts["distinct_case_ids"],) = self._connection.execute(sql.DISTINCT_CASE_IDS).fetchone() or (0,)
        return StagedFigures(**counts, rejected=Counter(dict(rejected)))

    def publish(self, monitoring: MonitoringRow) -> None:
        row = monitoring.to_stored()
        with self._writing():
            for table in ("pcc_inference_output", "pcc_quarantine"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE partition_date = ?",  # noqa: S608 - own names
                    [self._run.partition_date],
                )
            self._insert(
                "pcc_inference_output",
                "staged_predictions",
                row,
                monitoring.passed_validation,
                ("model_version", "embedding_model"),
            )
            self._insert("pcc_quarantine", "staged_rejected", row, monitoring.dropped_cases)
            _write_monitoring(self._connection, row)

    def quarantine(self, monitoring: MonitoringRow) -> None:
        row = monitoring.to_stored()
        with self._writing():
            self._connection.execute("DELETE FROM pcc_quarantine WHERE run_id = ?", [self._run.run_id])
            self._insert("pcc_quarantine", "staged_rejected", row, monitoring.dropped_cases)
            _write_monitoring(self._connection, row)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction on a copy of the file, which takes its place at the end."""
        with self._file.change(self._connection):
            tables.make_missing(self._connection)
            with _transaction(self._connection):
                yield

    def _insert(self, table: str, staged: str, row: StoredRow, audited: int, extra: Sequence[str] = ()) -> None:
        """Copy staged rows, adding the columns that are the same for the whole run.

        Raises:
            WarehouseError: There are more or fewer than were audited. They are read from their files once more.
        """
        of_run = (*extra, "ingestion_time", "partition_date", "run_id")
        columns = schemas.TABLES[table].names
        values = ", ".join(f"${name}" if name in of_run else name for name in columns)
        inserted = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {staged}",  # noqa: S608 - own names
            {name: row[name] for name in of_run},
        ).fetchone()
        if inserted != (audited,):
            rows = inserted[0] if inserted else 0
            raise WarehouseError(
                f"{table} was not changed: {audited:,} staged rows were audited, and {rows:,} are there now; "
                "something else writes to the staging folder: end it, and run again"
            )


def _uris(files: Sequence[StagedFile], kind: StagedKind) -> list[str]:
    # DuckDB takes names for patterns: these name one file each, whatever is in them.
    return [glob.escape(file.uri) for file in files if file.kind == kind]


def _load(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, uris: Sequence[str]) -> None:
    """Make `staged_<name>`: the rows of the files, each with the place that names it."""
    if uris:
        paths = ", ".join("'{}'".format(uri.replace("'", "''")) for uri in uris)
        columns = ", ".join([*schema.names, *_PLACE])
        connection.execute(f"CREATE TEMP VIEW staged_{name} AS SELECT {columns} FROM read_parquet([{paths}])")  # noqa: S608 - own names
    else:
        place = ", ".join(f"{column} BIGINT" for column in _PLACE)
        connection.execute(f"CREATE TEMP TABLE staged_{name} ({tables.columns(schema)}, {place})")


def _has_monitoring(connection: duckdb.DuckDBPyConnection) -> bool:
    return "pcc_monitoring_logs" not in tables.plan(connection).create


def _write_monitoring(connection: duckdb.DuckDBPyConnection, row: StoredRow) -> None:
    connection.execute("DELETE FROM pcc_monitoring_logs WHERE run_id = ?", [row["run_id"]])
    names = schemas.MONITORING.names
    connection.execute(
        f"INSERT INTO pcc_monitoring_logs ({', '.join(names)}) VALUES ({', '.join('$' + n for n in names)})",  # noqa: S608
        {name: row[name] for name in names},
    )


def _monitoring(connection: duckdb.DuckDBPyConnection, run_id: str) -> StoredRow | None:
    rows = _as_dicts(connection.execute("SELECT * FROM pcc_monitoring_logs WHERE run_id = ?", [run_id]))
    return rows[0] if rows else None


def _as_table(cursor: duckdb.DuckDBPyConnection, schema: pa.Schema) -> pa.Table:
    """The rows of a query, with the columns of the schema; each may be null, as one is that was added later."""
    rows = cursor.to_arrow_table()
    return rows.select(schema.names).cast(schemas.readable(schema, schema.names))


def _as_dicts(cursor: duckdb.DuckDBPyConnection) -> list[StoredRow]:
    """The rows of a query, by the names of its columns."""
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextlib.contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
