"""The warehouse in BigQuery: load jobs into the run's own staging tables, then one multi-statement transaction.

How the jobs are run, and found again, is in `jobs`; their SQL is in `sql`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery

from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import MonitoringRow, StoredRow
from beam_pcc.config.settings import Limits, Publish
from beam_pcc.errors import ConfigurationError, WarehouseError, one_line
from beam_pcc.errors.messages import logged
from beam_pcc.gcp.client import client, explained, retry
from beam_pcc.gcp.names import DatasetId, TableId, parse_dataset
from beam_pcc.publishing import capacity
from beam_pcc.publishing.warehouse.base import (
    Run,
    StagedFigures,
    StagedFile,
    StagedKind,
    TablePlan,
    as_reader,
    checked_row,
    readable_rows,
)
from beam_pcc.publishing.warehouse.bigquery import sql, tables
from beam_pcc.publishing.warehouse.bigquery.jobs import Jobs
from beam_pcc.publishing.warehouse.feedback_table import FeedbackCounts, Stratum, drawing_condition, no_feedback_table
from beam_pcc.terminal import logger

if TYPE_CHECKING:
    import duckdb

_log = logger(__name__)
_KINDS: dict[StagedKind, Any] = {"predictions": schemas.STAGED_PREDICTIONS, "rejected": schemas.STAGED_REJECTED}
_STAGING_EXPIRY = dt.timedelta(days=1)
LOCK = "pcc_publish_lock"


class BigQueryWarehouse:
    """The tables in one BigQuery dataset, or wherever `names` says.

    Args:
        address: bq://project.dataset; jobs run in its project and location.
        names: Tables that are elsewhere or are called otherwise: name in `schemas.TABLES` -> project.dataset.table.
        temp_dataset: For the run's own staging tables (default: the address).
        retry_timeout: Seconds to try again for when Google is unwell or another transaction is in the way.
        monitoring_expiry_days: How long monitoring rows are kept.
        feedback_expiry_days: How long feedback is kept.
    """

    def __init__(
        self,
        address: str,
        *,
        names: Mapping[str, TableId] | None = None,
        temp_dataset: DatasetId | None = None,
        retry_timeout: float = Limits.retry_timeout,
        monitoring_expiry_days: int = Publish.monitoring_expiry_days,
        feedback_expiry_days: int = Publish.feedback_expiry_days,
    ) -> None:
        self.address = address
        self.dataset = parse_dataset(address, "--warehouse")
        self.tables = {name: self.dataset.table(name) for name in schemas.TABLES} | dict(names or {})
        self._temp_dataset = temp_dataset or self.dataset
        self.lock = self.tables[sql.OUTPUT].home.table(LOCK)
        self._retry_timeout = retry_timeout
        self._expiry_days = dict.fromkeys(schemas.TABLES, tables.EXPIRY_DAYS) | {
            sql.MONITORING: monitoring_expiry_days,
            sql.FEEDBACK: feedback_expiry_days,
        }

    def __getstate__(self) -> dict[str, Any]:
        """A worker makes its own client."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_client", "jobs")}

    @functools.cached_property
    def jobs(self) -> Jobs:
        """Run in the project and location of the dataset."""
        return Jobs(self._client, self._retry_timeout)

    @functools.cached_property
    def _client(self) -> bigquery.Client:
        return client(self.dataset.project, self._location())

    def _location(self) -> str:
        return self._location_of(self.dataset, f"--warehouse dataset {self.dataset}")

    def _location_of(self, dataset: DatasetId, where: str) -> str:
        with explained(where, WarehouseError), client(dataset.project) as google:
            return str(google.get_dataset(str(dataset), retry=self._retry).location)

    def _check_temp_dataset(self) -> None:
        """Refuse one that is not there, or not where the jobs run, before anything is read."""
        if self._temp_dataset != self.dataset:
            where = f"--temp_dataset {self._temp_dataset}"
            location, wanted = self._location_of(self._temp_dataset, where), self._client.location
            if location != wanted:
                raise ConfigurationError(
                    f"{where} is in {location}, and the warehouse {self.dataset} in {wanted}; name a dataset there"
                )

    @property
    def _retry(self) -> Retry:
        return retry(self._retry_timeout)

    def staging(self, given: str | None) -> str:
        """A gs:// folder has to be named: BigQuery loads from nowhere else."""
        if given is None or not re.fullmatch(r"gs://[^/]+(/.*)?", given):
            raise ConfigurationError(
                f"--staging gs://BUCKET/FOLDER is needed to publish to {self.address}: "
                "BigQuery loads from Cloud Storage"
            )
        if set(given) & set("*?[]#"):
            raise ConfigurationError(
                f"--staging {given}: BigQuery, Beam and Google's tools take * ? [ ] # for patterns; name another folder"
            )
        return given

    def check(self) -> None:
        """Refuse what BigQuery cannot be reached by: credentials, the dataset, the right to see it."""
        _ = self._client

    def plan_tables(self) -> TablePlan:
        """Compare the tables with what this version writes."""
        self._check_temp_dataset()
        plan = TablePlan()
        for name, schema in schemas.TABLES.items():
            present = self._table(self.tables[name])
            plan += tables.compare(name, present, schema)
            # Only of those with a setting: who shortened the others had a reason.
            if (
                name in (sql.MONITORING, sql.FEEDBACK)
                and present
                and tables.expires_before(present, self._expiry_days[name])
            ):
                plan += TablePlan(keep={name: self._expiry_days[name]})
        return plan if self._table(self.lock) else plan + TablePlan(create=[LOCK])

    def table_sql(self, plan: TablePlan) -> list[str]:
        """The statements that do what `apply_tables` does."""
        made = [
            sql.filled(sql.MAKE_LOCK, {"lock": self.lock}) + ";"
            if name == LOCK
            else tables.create_statement(self.tables[name], schemas.TABLES[name], self._expiry_days[name])
            for name in plan.create
        ]
        columns = [
            tables.add_statement(self.tables[name], schemas.TABLES[name].field(column))
            for name, added in plan.add.items()
            for column in added
        ]
        return made + columns + [tables.keep_statement(self.tables[name], days) for name, days in plan.keep.items()]

    def apply_tables(self, plan: TablePlan) -> None:
        """Make the missing tables and columns, and keep the rows of tables longer that expire too early."""
        for name in plan.create:
            if name == LOCK:
                self.jobs.query(f"table {self.lock}", sql.MAKE_LOCK, {"lock": self.lock}, {})
            else:
                self._make(name)
        for name, columns in plan.add.items():
            present = self._table(self.tables[name])
            if present is not None:
                with explained(f"table {self.tables[name]}", WarehouseError):
                    wider = tables.with_columns(present, columns, schemas.TABLES[name])
                    self._client.update_table(wider, ["schema"], retry=self._retry)
        for name, days in plan.keep.items():
            present = self._table(self.tables[name])
            if present is not None:
                with explained(f"table {self.tables[name]}", WarehouseError):
                    kept = tables.with_expiry(present, days)
                    self._client.update_table(kept, ["time_partitioning"], retry=self._retry)

    def _make(self, name: str) -> None:
        with explained(f"table {self.tables[name]}", WarehouseError):
            table = tables.wanted(self.tables[name], schemas.TABLES[name], self._expiry_days[name])
            self._client.create_table(table, exists_ok=True, retry=self._retry)

    def _table(self, table: TableId) -> bigquery.Table | None:
        with explained(f"table {table}", WarehouseError):
            try:
                return self._client.get_table(str(table), retry=self._retry)
            except exceptions.NotFound:
                return None

    @contextlib.contextmanager
    def load(self, run: Run, files: Sequence[StagedFile]) -> Iterator[_BigQueryStagedRun]:
        """Load into tables of the run's own, which are dropped at the end, and expire after a day if nobody could."""
        staged = {kind: self._temp_dataset.table(f"pcc_staging_{_plain(run.run_id)}_{kind}") for kind in _KINDS}
        for kind, schema in _KINDS.items():
            uris = sorted(file.uri for file in files if file.kind == kind)
            self._load(run, kind, staged[kind], tables.fields(schema), uris)
        yield _BigQueryStagedRun(self, run, staged)
        for table in staged.values():
            with logged(_log.warning, "staging table %s stays until it expires", table):
                self._client.delete_table(str(table), not_found_ok=True, retry=self._retry)

    def _load(
        self, run: Run, kind: StagedKind, target: TableId, fields: list[bigquery.SchemaField], uris: list[str]
    ) -> None:
        table = bigquery.Table(str(target), schema=fields)
        table.expires = dt.datetime.now(dt.timezone.utc) + _STAGING_EXPIRY
        with explained(f"staging table {target}", WarehouseError):
            made = self._client.create_table(table, exists_ok=True, retry=self._retry)
        for number, part in enumerate(capacity.load_jobs(uris)):
            config = bigquery.LoadJobConfig(
                source_format=bigquery.SourceFormat.PARQUET,
                write_disposition="WRITE_APPEND" if number else "WRITE_TRUNCATE",
                schema=fields,
            )
            # When the table was made is a part of the id: a table that was dropped and made anew has to be filled anew.
            # So are all files: if another attempt staged other ones, all of its jobs run, the first of which truncates.
            loads = hashlib.sha256("\n".join([str(made.created), str(number), *uris]).encode()).hexdigest()[:12]
            self.jobs.run(
                f"loading into {target}",
                f"pcc_{run.run_id}_load_{kind}_{loads}",
                functools.partial(self._start_load, part, target, config),
            )

    def _start_load(
        self, uris: Sequence[str], target: TableId, config: bigquery.LoadJobConfig, job_id: str
    ) -> bigquery.LoadJob:
        return self._client.load_table_from_uri(
            list(uris), str(target), job_id=job_id, job_config=config, retry=self._retry
        )

    def record(self, monitoring: MonitoringRow) -> bool:
        """Write the monitoring row, unless the run has one. A first run may fail before the table was made."""
        if self._table(self.tables[sql.MONITORING]) is None:
            self._make(sql.MONITORING)
        job = self.jobs.change(
            f"table {self.tables[sql.MONITORING]}",
            f"pcc_{monitoring.run_id}_record",
            sql.RECORD,
            self.tables,
            monitoring.to_stored(),
        )
        return bool(job.num_dml_affected_rows)

    def monitoring(self, run_id: str) -> MonitoringRow | None:
        """The monitoring row of a run."""
        if self._table(self.tables[sql.MONITORING]) is None:
            return None
        row = dict.fromkeys(schemas.MONITORING.names) | {"run_id": run_id}
        rows = self.jobs.query(f"table {self.tables[sql.MONITORING]}", sql.MONITORING_ROW, self.tables, row)
        return checked_row(dict(rows[0].items()), f"table {self.tables[sql.MONITORING]}") if rows else None

    def runs(self, last: int, partition: dt.date | None = None) -> list[StoredRow]:
        """The newest monitoring rows, oldest first; none before the first run made the table."""
        if self._table(self.tables[sql.MONITORING]) is None:
            return []
        row = {} if partition is None else dict.fromkeys(schemas.MONITORING.names) | {"partition_date": partition}
        template = sql.RUNS if partition is None else sql.RUNS_OF_DAY
        names = {**self.tables, "last": int(last)}
        rows = self.jobs.query(f"table {self.tables[sql.MONITORING]}", template, names, row)
        return [dict(one.items()) for one in reversed(rows)]

    def latest_day(self) -> dt.date | None:
        """The latest partition that has a monitoring row."""
        if self._table(self.tables[sql.MONITORING]) is None:
            return None
        (row,) = self.jobs.query(f"table {self.tables[sql.MONITORING]}", sql.LATEST_DAY, self.tables, {})
        day: dt.date | None = row["day"]
        return day

    def runs_of_days(self, first: dt.date, last: dt.date) -> list[StoredRow]:
        """The monitoring rows of these partitions, oldest first."""
        if self._table(self.tables[sql.MONITORING]) is None:
            return []
        names = {**self.tables, "first": first.isoformat(), "last": last.isoformat()}
        rows = self.jobs.query(f"table {self.tables[sql.MONITORING]}", sql.RUNS_OF_DAYS, names, {})
        return [dict(row.items()) for row in rows]

    def recent_rows(self, before: dt.date, days: int) -> list[MonitoringRow]:
        """The latest successful run of each of the last published days, newest first."""
        if self._table(self.tables[sql.MONITORING]) is None:
            return []
        row = dict.fromkeys(schemas.MONITORING.names) | {"partition_date": before}
        names = {**self.tables, "days": int(days)}
        rows = self.jobs.query(f"table {self.tables[sql.MONITORING]}", sql.RECENT, names, row)
        return readable_rows(dict(one.items()) for one in rows)

    def published(self, partition: dt.date, case_id: str) -> StoredRow | None:
        """The published row of a case."""
        output = self.tables[sql.OUTPUT]
        if self._table(output) is None:
            return None
        row = {"partition_date": partition, "case_id": case_id}
        rows = self.jobs.query(f"table {output}", sql.PUBLISHED, self.tables, row)
        return dict(rows[0].items()) if rows else None

    def add_feedback(self, labels: pa.Table, now: dt.datetime) -> FeedbackCounts:
        """Add labels beside the predictions that are published now: one statement, so all of them or none."""
        feedback = self.tables[sql.FEEDBACK]
        if self._table(feedback) is None:
            raise no_feedback_table(self.address)
        if self._table(self.tables[sql.OUTPUT]) is None:
            self._make(sql.OUTPUT)
        name = f"pcc_feedback_{uuid4().hex}"
        staged = self._temp_dataset.table(f"pcc_staging_{name}")
        names = {**self.tables, "labels": staged}
        try:
            self._load_labels(labels, staged, name)
            (counts,) = self.jobs.query("counting the labels", sql.LABEL_COUNTS, names, {})
            job = self.jobs.change(f"table {feedback}", f"{name}_add", sql.ADD_FEEDBACK, names, {"ingestion_time": now})
        finally:
            with logged(_log.warning, "staging table %s stays until it expires", staged):
                self._client.delete_table(str(staged), not_found_ok=True, retry=self._retry)
        new = int(job.num_dml_affected_rows or 0)
        return FeedbackCounts(new, len(labels) - new, counts["unknown"], counts["several_days"])

    def _load_labels(self, labels: pa.Table, target: TableId, name: str) -> None:
        table = bigquery.Table(str(target), schema=tables.fields(schemas.LABELS))
        table.expires = dt.datetime.now(dt.timezone.utc) + _STAGING_EXPIRY
        with explained(f"staging table {target}", WarehouseError):
            self._client.create_table(table, exists_ok=True, retry=self._retry)
        file = io.BytesIO()
        pq.write_table(labels, file)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET, write_disposition="WRITE_TRUNCATE", schema=table.schema
        )
        self.jobs.run(
            f"loading into {target}",
            f"{name}_load",
            lambda job_id: self._client.load_table_from_file(
                file, str(target), rewind=True, job_id=job_id, job_config=config
            ),
        )

    def feedback(self, first: dt.date, last: dt.date) -> pa.Table | None:
        """The labels of these partitions, and of no known one."""
        table = self.tables[sql.FEEDBACK]
        if self._table(table) is None:
            return None
        names = {**self.tables, "first": first.isoformat(), "last": last.isoformat()}
        return _as_table(self.jobs.query(f"table {table}", sql.FEEDBACK_OF_DAYS, names, {}), schemas.FEEDBACK)

    def strata(self, first: dt.date, last: dt.date) -> dict[Stratum, int]:
        """How many published cases are in each stratum."""
        table = self.tables[sql.OUTPUT]
        if self._table(table) is None:
            return {}
        names = {**self.tables, "first": first.isoformat(), "last": last.isoformat(), "seed": 0}
        rows = self.jobs.query(f"table {table}", sql.STRATA, names, {})
        return {(row["bin"], row["review"]): row["cases"] for row in rows}

    def draw(self, first: dt.date, last: dt.date, seed: int, cutoffs: Mapping[Stratum, str]) -> pa.Table:
        """The published cases whose key is below the cut-off of their stratum."""
        names = {**self.tables, "first": first.isoformat(), "last": last.isoformat(), "seed": int(seed)}
        names["condition"] = drawing_condition(cutoffs, "bin", "review", "key")
        rows = self.jobs.query(f"table {self.tables[sql.OUTPUT]}", sql.DRAW, names, {})
        return _as_table(rows, schemas.DRAWN)

    def query(self, sql_text: str, render: Callable[[duckdb.DuckDBPyRelation], str] = str) -> str:
        """Run one SELECT; return its rows as text. Names without a dataset are of the warehouse's."""
        import duckdb

        tried = bigquery.QueryJobConfig(default_dataset=str(self.dataset), dry_run=True, use_query_cache=False)
        config = bigquery.QueryJobConfig(default_dataset=str(self.dataset))
        with explained("the query", WarehouseError):
            try:
                kind = self._client.query(sql_text, job_config=tried, retry=self._retry, job_retry=None).statement_type
                if kind != "SELECT":
                    raise ConfigurationError(
                        "tables query runs one SELECT, and nothing that changes something; write one"
                    )
                job = self._client.query(sql_text, job_config=config, retry=self._retry, job_retry=None)
                rows = job.result(retry=self._retry).to_arrow(create_bqstorage_client=False)
            except (exceptions.BadRequest, exceptions.NotFound) as error:
                said = one_line(error.message.partition("; reason:")[0], 200)
                raise ConfigurationError(f"the query cannot be run: {said}; correct it") from None
        return render(duckdb.from_arrow(rows)).rstrip() if rows.num_columns else ""

    @contextlib.contextmanager
    def read_tables(self, names: Sequence[str]) -> Iterator[dict[str, pa.RecordBatchReader]]:
        """The rows of tables, through the API that lists them: no query, so no bytes of one are billed."""
        with explained(f"--warehouse {self.dataset}", WarehouseError):
            readers = {}
            for name in names:
                table = self._table(self.tables[name])
                if table is None:
                    raise ConfigurationError(
                        f"--warehouse {self.address} has no table {self.tables[name]}; publish to it first"
                    )
                wanted = schemas.readable(schemas.TABLES[name], [field.name for field in table.schema])
                selected = [field for field in table.schema if field.name in wanted.names]
                rows = self._client.list_rows(table, selected_fields=selected, retry=self._retry)
                readers[name] = as_reader(rows.to_arrow_iterable(), wanted)
            yield readers


class _BigQueryStagedRun:
    """The run's staging tables, and the way out of them."""

    def __init__(self, warehouse: BigQueryWarehouse, run: Run, staged: Mapping[StagedKind, TableId]) -> None:
        self._warehouse = warehouse
        self._run = run
        self._names: dict[str, object] = {
            **warehouse.tables,
            **{str(kind): table for kind, table in staged.items()},
            "lock": warehouse.lock,
        }

    def figures(self) -> StagedFigures:
        (counts,) = self._warehouse.jobs.query("counting what was staged", sql.FIGURES, self._names, {})
        reasons = self._warehouse.jobs.query("counting what was staged", sql.REASONS, self._names, {})
        figures = dict(counts.items())
        figures["score_histogram"] = tuple(figures["score_histogram"])
        return StagedFigures(**figures, rejected=Counter({row["reason"]: row["n"] for row in reasons}))

    def publish(self, monitoring: MonitoringRow) -> None:
        self._end("publish", sql.PUBLISH, monitoring)

    def quarantine(self, monitoring: MonitoringRow) -> None:
        self._end("quarantine", sql.QUARANTINE_ONLY, monitoring)

    def _end(self, how: str, script: str, monitoring: MonitoringRow) -> None:
        what = f"publishing to {self._warehouse.address}"
        self._warehouse.jobs.change(what, f"pcc_{self._run.run_id}_{how}", script, self._names, monitoring.to_stored())


def _as_table(rows: Sequence[bigquery.Row], schema: pa.Schema) -> pa.Table:
    """The rows of a query, with the columns of the schema; each may be null, as one is that was added later."""
    return pa.Table.from_pylist([dict(row.items()) for row in rows], schema=schemas.readable(schema, schema.names))


def _plain(run_id: str) -> str:
    return re.sub(r"\W", "_", run_id)
