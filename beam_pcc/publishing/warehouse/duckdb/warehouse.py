"""The embedded warehouse: one DuckDB file. It is opened only while a run publishes; whoever comes second waits."""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from beam_pcc.addresses import absolute
from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import MonitoringRow, StoredRow
from beam_pcc.config.settings import Limits
from beam_pcc.errors import ConfigurationError, PccError, WarehouseError, one_line
from beam_pcc.errors.foreign import explained, is_transient
from beam_pcc.errors.machine import explain_machine
from beam_pcc.publishing.warehouse.base import Run, StagedFigures, StagedFile, TablePlan, checked_row, readable_rows
from beam_pcc.publishing.warehouse.duckdb import sql, tables
from beam_pcc.terminal import logger

_log = logger(__name__)
# Between processes the file's own lock keeps order; within one (a runner's threads, a run that was stopped while it
# publishes) this does.
_ONE_AT_A_TIME = threading.Lock()
# Staging tables beyond this spill to a folder beside the file, so that a run's memory does not grow with its rows.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "128MB",
    "preserve_insertion_order": "false",
}
# For who only reads: nothing but this file is opened, fetched or changed, not even for what does not fit in memory.
_READ_ONLY: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
}


class DuckDBWarehouse:
    """The tables in one DuckDB file, made with its folder when first needed.

    Args:
        address: Path of the file, ending in .duckdb.
        lock_timeout: Seconds to wait while another process holds the file.
    """

    def __init__(self, address: str, *, lock_timeout: float = Limits.lock_timeout) -> None:
        self.address = absolute(address)
        self._lock_timeout = lock_timeout

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
        if not Path(self.address).exists():
            return TablePlan(create=list(schemas.TABLES))
        with self._connect() as connection:
            return tables.plan(connection)

    def table_sql(self, plan: TablePlan) -> list[str]:
        """The statements that make the plan's missing tables and columns."""
        return tables.statements(plan)

    def apply_tables(self, plan: TablePlan) -> None:
        """Make the missing tables and columns."""
        with self._connect() as connection:
            tables.apply(connection, plan)

    @contextlib.contextmanager
    def load(self, run: Run, files: Sequence[StagedFile]) -> Iterator[_DuckDBStagedRun]:
        """Load into temporary tables of this connection: they end with it, whatever ends it."""
        with self._connect() as connection:
            tables.make_missing(connection)
            _load(connection, "predictions", schemas.STAGED_PREDICTIONS, files)
            _load(connection, "rejected", schemas.STAGED_REJECTED, files)
            connection.execute(sql.DROP_COPIES)
            connection.execute(sql.MOVE_DUPLICATES)
            yield _DuckDBStagedRun(connection, run)

    def record(self, monitoring: MonitoringRow) -> bool:
        """Write the monitoring row, unless the run has one."""
        with self._connect() as connection:
            tables.make_missing(connection)
            with _transaction(connection):
                if _monitoring(connection, monitoring.run_id):
                    return False
                _write_monitoring(connection, monitoring.to_stored())
                return True

    def monitoring(self, run_id: str) -> MonitoringRow | None:
        """The monitoring row of a run."""
        with self._read() as connection:
            row = _monitoring(connection, run_id) if connection and _has_monitoring(connection) else None
        return None if row is None else checked_row(row, f"{self.address}: pcc_monitoring_logs")

    def runs(self, last: int, partition: dt.date | None = None) -> list[StoredRow]:
        """The newest monitoring rows, oldest first."""
        with self._read() as connection:
            if connection is None or not _has_monitoring(connection):
                return []
            found = connection.execute(
                "SELECT * FROM pcc_monitoring_logs WHERE $day IS NULL OR partition_date = $day "
                "ORDER BY ingestion_time DESC LIMIT $last",
                {"day": partition, "last": last},
            )
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in reversed(found.fetchall())]

    def recent_rows(self, before: dt.date, days: int) -> list[MonitoringRow]:
        """The latest successful run of each of the last published days, newest first."""
        with self._read() as connection:
            if connection is None or not _has_monitoring(connection):
                return []
            cursor = connection.execute(sql.RECENT, {"before": before, "days": days})
            names = [column[0] for column in cursor.description or ()]
            return readable_rows(dict(zip(names, row, strict=True)) for row in cursor.fetchall())

    def query(self, sql_text: str, render: Callable[[duckdb.DuckDBPyRelation], str] = str) -> str:
        """Run one SELECT, which can reach nothing but the tables; return its rows as text."""
        with self._read() as connection:
            if connection is None:
                raise ConfigurationError(
                    f"--warehouse {self.address} is not there; check the path, or publish to it first"
                )
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
    def _read(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """A connection that can only read this file; None if there is none, as looking makes no file."""
        if not Path(self.address).is_file():
            yield None
            return
        with self._connect(read_only=True) as connection:
            connection.execute("SET lock_configuration = true")
            yield connection

    @contextlib.contextmanager
    def _connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        with (
            _ONE_AT_A_TIME,
            contextlib.closing(self._wait_for_file(read_only)) as connection,
            explained(self.address, WarehouseError),
        ):
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    def _not_opened(self, error: Exception) -> PccError:
        return explain_machine(error, self.address, WarehouseError) or WarehouseError(
            f"{self.address} cannot be opened: {one_line(error)}; check the path and the rights, or restore the file"
        )

    def _wait_for_file(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Open the file; DuckDB lets one process at a time write it, so wait for the other."""
        try:
            if not read_only:
                Path(self.address).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_opened(error) from None
        deadline = time.monotonic() + self._lock_timeout
        pause = 0.05
        told = False
        while True:
            try:
                return duckdb.connect(self.address, read_only, _READ_ONLY if read_only else _CONFIG)
            except duckdb.Error as error:
                if not is_transient(error):
                    raise self._not_opened(error) from None
                if time.monotonic() > deadline:
                    raise WarehouseError(
                        f"{self.address} is held by another process for more than {self._lock_timeout:g} s; "
                        "close it there, or wait longer with --lock_timeout"
                    ) from None
            if not told and pause > 1:
                _log.warning("waiting for %s, which another process holds", self.address)
                told = True
            time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # nosec B311 - jitter, not a secret
            pause = min(pause * 1.5, 2.0)


class _DuckDBStagedRun:
    """The run's temporary tables `staged_predictions` and `staged_rejected`, and the way out of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, run: Run) -> None:
        self._connection = connection
        self._run = run

    def figures(self) -> StagedFigures:
        counted = self._connection.execute(sql.FIGURES)
        counts = dict(zip([c[0] for c in counted.description or ()], counted.fetchone() or (), strict=True))
        rejected = self._connection.execute("SELECT reason, count(*) FROM staged_rejected GROUP BY reason").fetchall()
        counts["score_histogram"] = tuple(counts["score_histogram"])
        return StagedFigures(**counts, rejected=Counter(dict(rejected)))

    def publish(self, monitoring: MonitoringRow) -> None:
        row = monitoring.to_stored()
        with _transaction(self._connection):
            for table in ("pcc_inference_output", "pcc_quarantine"):
                self._connection.execute(
                    f"DELETE FROM {table} WHERE partition_date = ?",  # noqa: S608 - own names
                    [self._run.partition_date],
                )
            self._insert("pcc_inference_output", "staged_predictions", row, ("model_version", "embedding_model"))
            self._insert("pcc_quarantine", "staged_rejected", row)
            _write_monitoring(self._connection, row)

    def withhold(self, monitoring: MonitoringRow) -> None:
        row = monitoring.to_stored()
        with _transaction(self._connection):
            self._connection.execute("DELETE FROM pcc_quarantine WHERE run_id = ?", [self._run.run_id])
            self._insert("pcc_quarantine", "staged_rejected", row)
            _write_monitoring(self._connection, row)

    def _insert(self, table: str, staged: str, row: StoredRow, extra: Sequence[str] = ()) -> None:
        """Copy staged rows, adding the columns that are the same for the whole run."""
        of_run = (*extra, "ingestion_time", "partition_date", "run_id")
        columns = schemas.TABLES[table].names
        values = ", ".join(f"${name}" if name in of_run else name for name in columns)
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {staged}",  # noqa: S608 - own names
            {name: row[name] for name in of_run},
        )


def _load(connection: duckdb.DuckDBPyConnection, kind: str, schema: pa.Schema, files: Sequence[StagedFile]) -> None:
    connection.execute(f"CREATE TEMP TABLE staged_{kind} ({tables.columns(schema)})")
    # DuckDB takes names for patterns: these name one file each, whatever is in them.
    uris = [glob.escape(file.uri) for file in files if file.kind == kind]
    if uris:
        columns = ", ".join(schema.names)
        connection.execute(
            f"INSERT INTO staged_{kind} SELECT {columns} FROM read_parquet(?)",  # noqa: S608 - own names
            [uris],
        )


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
    found = connection.execute("SELECT * FROM pcc_monitoring_logs WHERE run_id = ?", [run_id])
    names = [column[0] for column in found.description or ()]
    row = found.fetchone()
    return None if row is None else dict(zip(names, row, strict=True))


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
