"""Cases from BigQuery: with Beam's own ReadFromBigQuery (`direct`, `export`) or from Arrow streams (`arrow`).

What can be known of the table is looked up once, at launch: its columns, where it is, how it tells the day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.gcp.internal.clients.bigquery import DatasetReference, TableReference
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from google.api_core import exceptions
from google.cloud import bigquery

from beam_pcc.cases.columns import check_input, input_columns
from beam_pcc.config.settings import ReadMethod
from beam_pcc.errors import ConfigurationError, MissingSourceError, SourceError
from beam_pcc.errors.foreign import explain
from beam_pcc.gcp.client import client, explained, retry
from beam_pcc.gcp.names import (
    INGESTION_TIME,
    DatasetId,
    SourceTable,
    TableId,
    day_restriction,
    is_ingestion_column,
    quoted,
)
from beam_pcc.shielding import shielded
from beam_pcc.sources.ahead import Check, as_read
from beam_pcc.sources.arrow_streams import ReadArrowStreams, StreamLimits
from beam_pcc.sources.volume import UNKNOWN, SourceState, SourceVolume
from beam_pcc.terminal import logger

_log = logger(__name__)
_ARROW = {
    "STRING": pa.string(),
    "INTEGER": pa.int64(),
    "INT64": pa.int64(),
    "FLOAT": pa.float64(),
    "FLOAT64": pa.float64(),
    "BYTES": pa.binary(),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "DATETIME": pa.timestamp("us"),
    "DATE": pa.date32(),
    "NUMERIC": pa.decimal128(38, 9),
    "BIGNUMERIC": pa.decimal256(76, 38),
}
_NO_INPUT = pa.month_day_nano_interval()  # in place of types that no column of a case has
_SQL_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_STORED = frozenset({"TABLE", "SNAPSHOT"})
"""Types of tables that BigQuery stores: the Storage Read API reads these and no others. A clone is a TABLE."""
_TYPE_NAMES = {"VIEW": "a view", "MATERIALIZED_VIEW": "a materialized view", "EXTERNAL": "an external table"}


@dataclass(frozen=True)
class TablePart:
    """The rows of one day of a table: what to read, the Arrow type of each column, and where the table is.

    Its columns have the table's own names; `text_column` and `columns` tell which of them is which.
    """

    table: TableId
    restriction: str | None
    schema: pa.Schema
    location: str
    volume: SourceVolume = UNKNOWN
    text_column: str | None = None
    columns: Mapping[str, str] | None = None


@dataclass(frozen=True)
class _Partitioning:
    """The column that a table is partitioned by, and what its partitions are.

    Attributes:
        column: Of the schema, or the pseudocolumn of an ingestion-time table.
        unit: HOUR, DAY, MONTH or YEAR; None for ranges of integers.
        needs_filter: Whether BigQuery refuses to read the table without a condition on this column.
    """

    column: str
    unit: str | None
    needs_filter: bool

    @classmethod
    def of(cls, table: bigquery.Table) -> _Partitioning | None:
        """That of a table; None if it has no partitions."""
        needs_filter = bool(table.require_partition_filter)
        if table.time_partitioning:
            # Once this was a property of the partitioning, whose getter warns now.
            needs_filter |= bool(table.time_partitioning.to_api_repr().get("requirePartitionFilter"))
            return cls(table.time_partitioning.field or INGESTION_TIME, table.time_partitioning.type_, needs_filter)
        if table.range_partitioning:
            return cls(table.range_partitioning.field, None, needs_filter)
        return None


def find_part(
    source: str,
    partition: dt.date,
    *,
    retry_timeout: float,
    text_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    read_method: ReadMethod = "direct",
) -> TablePart:
    """Look the table up.

    Raises:
        ConfigurationError: No such table, no right to see it, one that `read_method` cannot read, or columns that
            cannot be cases.
        SourceError: BigQuery cannot be reached.
    """
    wanted = SourceTable.parse(source, partition)
    where = f"--source table {wanted.table}"
    with explained(where, SourceError), client(wanted.table.project) as google:
        try:
            table = google.get_table(_reference(wanted.table), retry=retry(retry_timeout))
        except exceptions.NotFound as error:
            raise MissingSourceError(explain(error, where, SourceError)) from None
    _check_type(table, where, read_method)
    type_names = {field.name: _type_name(field) for field in table.schema}
    schema = pa.schema([(field.name, _arrow_type(field)) for field in table.schema])
    try:
        wanted_columns = check_input(schema, where, text_column, columns, type_names=type_names)
    except SourceError as error:
        raise ConfigurationError(str(error)) from None
    schema = pa.schema([schema.field(name) for name in wanted_columns])
    column = wanted.partition_column
    if column is None:
        restriction, volume = _every_row(_Partitioning.of(table)), table_volume(table)
    else:
        restriction, volume = _one_day(table, column, partition, where), table_volume(table, column, partition)
    return TablePart(wanted.table, restriction, schema, table.location, volume, text_column, columns)


def table_volume(table: bigquery.Table, column: str | None = None, day: dt.date | None = None) -> SourceVolume:
    """What the table says of itself, without a query; its rows and its last change only if it holds one day.

    Of a day of a table with many, the streaming buffer holds rows that cannot be counted yet only where the day is that
    of the ingestion: until they leave the buffer they have none.
    """
    buffer, buffered = table.streaming_buffer, 0
    if buffer is not None and column is None:
        buffered = buffer.estimated_rows or 1
    elif buffer is not None and column is not None and day is not None and is_ingestion_column(column):
        ended = dt.datetime.combine(day, dt.time.max, dt.timezone.utc)
        oldest = buffer.oldest_entry_time
        buffered = (buffer.estimated_rows or 1) if oldest is None or oldest <= ended else 0
    if column is not None or not _is_stored(table):
        return SourceVolume(buffered=buffered)
    return SourceVolume(rows=table.num_rows, modified=table.modified, buffered=buffered)


def _reference(table: TableId) -> bigquery.TableReference:
    """The client's name of a table. What it reads from text knows fewer characters."""
    return bigquery.TableReference(bigquery.DatasetReference(table.project, table.dataset), table.table)


def _check_type(table: bigquery.Table, where: str, read_method: ReadMethod) -> None:
    """Refuse what only a query reads, where none is made."""
    if read_method != "export" and not _is_stored(table):
        type_name = _TYPE_NAMES.get(table.table_type, f"of type {table.table_type}")
        raise ConfigurationError(
            f"{where} is {type_name}: use --read_method export, as {read_method} reads stored tables only"
        )


def _is_stored(table: bigquery.Table) -> bool:
    return (table.table_type or "TABLE") in _STORED


def _every_row(partitioning: _Partitioning | None) -> str | None:
    """The condition for all rows: none, or where BigQuery requires one, one that is always true."""
    if partitioning is None or not partitioning.needs_filter:
        return None
    column = quoted(partitioning.column)
    return f"({column} IS NULL OR {column} IS NOT NULL)"


def _one_day(table: bigquery.Table, column: str, day: dt.date, where: str) -> str:
    """The condition for the rows of one day. Raises ConfigurationError if the column cannot tell it."""
    partitioning = _Partitioning.of(table)
    if is_ingestion_column(column):
        name, column_type = INGESTION_TIME, "TIMESTAMP"  # all ingestion-time tables have this, not all the other
        if partitioning is None or partitioning.column != INGESTION_TIME:
            raise ConfigurationError(
                f"{where} is not partitioned by the time of ingestion, so it has no {column}; name the column that "
                "tells the day"
            )
        if partitioning.unit not in ("DAY", "HOUR"):
            raise ConfigurationError(
                f"{where} is partitioned by {partitioning.unit}, so {column} does not tell the day; name a column that "
                "does"
            )
    else:
        fields = {field.name.casefold(): field for field in table.schema}  # as BigQuery, whatever the case
        field = fields.get(column.casefold())
        if field is None:
            raise ConfigurationError(f"{where} has no column {column}; name the one that tells the day")
        name, column_type = field.name, _type_name(field)
    if partitioning and partitioning.needs_filter and partitioning.column.casefold() != name.casefold():
        raise ConfigurationError(
            f"{where} must not be read without a condition on its partitioning column {partitioning.column}, and "
            f"{column} is another; use partition_column={partitioning.column}"
        )
    return day_restriction(name, column_type, day)


def check_export(part: TablePart, temp_dataset: DatasetId, *, retry_timeout: float) -> None:
    """A query cannot write to another location than it reads from.

    Raises:
        ConfigurationError: The temp dataset is elsewhere, or not there, or must not be seen.
        SourceError: BigQuery cannot be reached.
    """
    where = f"--temp_dataset {temp_dataset}"
    with explained(where, SourceError), client(temp_dataset.project) as google:
        location = google.get_dataset(str(temp_dataset), retry=retry(retry_timeout)).location
    if location != part.location:
        raise ConfigurationError(
            f"{where} is in {location}, and the source table {part.table} in {part.location}; name a dataset there, or "
            "read with --read_method arrow"
        )


def _arrow_type(field: bigquery.SchemaField) -> pa.DataType:
    kind = _ARROW.get(field.field_type, _NO_INPUT)
    return pa.list_(kind) if field.mode == "REPEATED" else kind


def _type_name(field: bigquery.SchemaField) -> str:
    """The type as BigQuery's SQL names it; the API has older names for some."""
    name = _SQL_TYPES.get(field.field_type, field.field_type)
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


@dataclass(frozen=True)
class ReadOptions:
    """How a table is read.

    Attributes:
        method: `direct` and `export` are Beam's ReadFromBigQuery, whose rows are made batches in the stage that reads
            them; `arrow` passes on the Storage Read API's own Arrow batches.
        temp_dataset: Where `export` puts its query's result; it must exist. `direct` touches nothing there.
        staging: gs:// folder for `export`.
        batch_rows: Rows of one batch at most.
        retry_timeout: Seconds to try again for after a transient error of Google.
    """

    method: ReadMethod
    temp_dataset: DatasetId
    staging: str
    batch_rows: int
    retry_timeout: float


class ReadTable(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS from one part of a table."""

    def __init__(self, part: TablePart, options: ReadOptions, check: Check = as_read) -> None:
        super().__init__()
        self._check = check
        self._part = part
        self._options = options

    def volume(self) -> SourceVolume:
        """The rows of a whole table, or a count of those of the day or the view; unknown to who may not run a query.

        Raises:
            SourceError: BigQuery cannot be reached.
        """
        part = self._part
        if part.volume.rows is not None:
            return part.volume
        condition = f" WHERE {part.restriction}" if part.restriction else ""  # none for a view
        query = f"SELECT COUNT(*) FROM `{part.table}`{condition}"  # noqa: S608 - checked names, a date
        where = f"--source table {part.table}"
        try:
            with explained(where, SourceError), client(self._options.temp_dataset.project, part.location) as asked:
                pauses = retry(self._options.retry_timeout)
                job = asked.query(query, retry=pauses, job_retry=pauses)
                ((rows,),) = job.result(retry=pauses)
        except ConfigurationError as error:  # reading needs fewer rights than a query does
            _log.warning("the rows of %s cannot be counted, so none will be missed: %s", part.table, error)
            return part.volume
        return dataclasses.replace(part.volume, rows=int(rows))

    def state(self) -> SourceState:
        """The rows of the day, and of a whole table when it was last changed."""
        volume = self.volume()
        return SourceState(
            signature=(volume.rows, volume.modified),
            modified=volume.modified,
            empty=volume.rows == 0 and not volume.buffered,
            filling=volume.buffered > 0,
        )

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Wire the method that was chosen."""
        part = self._part
        options = self._options
        if options.method == "arrow":
            return begin | "ReadStreams" >> ReadArrowStreams(
                part.table,
                part.restriction,
                part.schema.names,
                StreamLimits(options.temp_dataset.project, options.batch_rows, options.retry_timeout),
                functools.partial(_checked, text_column=part.text_column, columns=part.columns, check=self._check),
            )
        return (
            begin
            | "ReadRows" >> self._beam_read()
            | "MakeBatches"
            >> beam.ParDo(RowsToBatches(part.schema, options.batch_rows, self._keys())).with_output_types(
                pa.RecordBatch
            )
            | "RenameColumns" >> beam.Map(_renamed, part.text_column, part.columns).with_output_types(pa.RecordBatch)
        )

    def _keys(self) -> list[str]:
        """What each column is called in a row as a dict. An Avro file of `export` can hold few characters in a name."""
        names: list[str] = self._part.schema.names
        return [f"column_{n}" for n in range(len(names))] if self._options.method == "export" else names

    def _beam_read(self) -> beam.PTransform:
        part = self._part
        temp = DatasetReference(
            projectId=self._options.temp_dataset.project, datasetId=self._options.temp_dataset.dataset
        )
        if self._options.method == "direct":
            # A temp_dataset keeps Beam from listing and deleting datasets when it cleans up; native datetimes make it
            # read Arrow instead of Avro, three times as fast.
            return beam.io.ReadFromBigQuery(
                method=beam.io.ReadFromBigQuery.Method.DIRECT_READ,
                table=TableReference(
                    projectId=part.table.project, datasetId=part.table.dataset, tableId=part.table.table
                ),
                selected_fields=part.schema.names,
                row_restriction=part.restriction,
                use_native_datetime=True,
                temp_dataset=temp,
            )
        where = f" WHERE {part.restriction}" if part.restriction else ""
        columns = ", ".join(
            f"{quoted(name)} AS {key}" for name, key in zip(part.schema.names, self._keys(), strict=True)
        )
        return beam.io.ReadFromBigQuery(
            method=beam.io.ReadFromBigQuery.Method.EXPORT,
            # Names were checked or are quoted, the day is a date.
            query=f"SELECT {columns} FROM `{part.table}`{where}",  # noqa: S608
            use_standard_sql=True,
            gcs_location=self._options.staging,
            temp_dataset=temp,
        )


@shielded
def _renamed(rows: pa.RecordBatch, text_column: str | None, columns: Mapping[str, str] | None) -> pa.RecordBatch:
    return input_columns(rows, text_column, columns)


def _checked(
    rows: pa.RecordBatch, text_column: str | None, columns: Mapping[str, str] | None, check: Check
) -> Sequence[pa.RecordBatch]:
    return check(input_columns(rows, text_column, columns))


@shielded
class RowsToBatches(beam.DoFn):
    """Rows as dicts -> RecordBatches of at most `batch_rows` rows; a bundle's last batch may be smaller.

    Args:
        schema: Of the batches.
        batch_rows: Rows of one batch at most.
        keys: What each column is called in a row; default: as in the schema.
    """

    def __init__(self, schema: pa.Schema, batch_rows: int, keys: list[str] | None = None) -> None:
        self._schema = schema
        self._keys = keys or schema.names
        self._batch_rows = batch_rows

    def start_bundle(self) -> None:
        """Nothing is kept yet."""
        self._rows: list[Mapping[str, Any]] = []

    def process(self, row: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        """Keep the row; pass on a batch when it is full."""
        self._rows.append(row)
        if len(self._rows) == self._batch_rows:
            yield self._batch()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Pass on what is left."""
        if self._rows:
            window = GlobalWindow()
            yield WindowedValue(self._batch(), window.max_timestamp(), [window])

    def _batch(self) -> pa.RecordBatch:
        rows, self._rows = self._rows, []
        columns = [
            pa.array([row[key] for row in rows], f.type) for key, f in zip(self._keys, self._schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
