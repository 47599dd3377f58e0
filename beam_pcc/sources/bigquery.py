"""Cases from BigQuery: with Beam's own ReadFromBigQuery (`direct`, `export`) or from Arrow streams (`arrow`).

What can be known of the table is looked up once, at launch: its columns, where it is, how it tells the day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.gcp.internal.clients.bigquery import DatasetReference
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from google.cloud import bigquery

from beam_pcc.cases.columns import check_input
from beam_pcc.config.settings import ReadMethod
from beam_pcc.errors import ConfigurationError, SourceError
from beam_pcc.gcp.client import client, explained, retry
from beam_pcc.gcp.names import DatasetId, SourceTable, TableId, day_restriction
from beam_pcc.shielding import shielded
from beam_pcc.sources.arrow_streams import ReadArrowStreams

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


@dataclass(frozen=True)
class TablePart:
    """The rows of one day of a table: what to read, the Arrow type of each column, and where the table is."""

    table: TableId
    restriction: str | None
    schema: pa.Schema
    location: str


def find_part(
    source: str,
    partition: dt.date,
    *,
    retry_timeout: float,
    text_column: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> TablePart:
    """Look the table up.

    Raises:
        ConfigurationError: No such table, no right to see it, or columns that cannot be cases.
        SourceError: BigQuery cannot be reached.
    """
    wanted = SourceTable.parse(source, partition)
    where = f"--source table {wanted.table}"
    with explained(where, SourceError), client(wanted.table.project) as found:
        table = found.get_table(str(wanted.table), retry=retry(retry_timeout))
    fields = {field.name: field for field in table.schema}
    schema = pa.schema([(name, _arrow_type(field)) for name, field in fields.items()])
    try:
        wanted_columns = check_input(schema, where, text_column, columns)
    except SourceError as error:
        raise ConfigurationError(str(error)) from None
    schema = pa.schema([schema.field(name) for name in wanted_columns])
    column = wanted.partition_column
    if column is None:
        return TablePart(wanted.table, None, schema, table.location)
    if column not in fields:
        raise ConfigurationError(f"{where} has no column {column}; name the one that tells the day")
    restriction = day_restriction(column, fields[column].field_type, partition)
    return TablePart(wanted.table, restriction, schema, table.location)


def check_export(part: TablePart, temp_dataset: DatasetId, *, retry_timeout: float) -> None:
    """A query cannot write to another location than it reads from.

    Raises:
        ConfigurationError: The temp dataset is elsewhere, or not there, or must not be seen.
        SourceError: BigQuery cannot be reached.
    """
    where = f"--temp_dataset {temp_dataset}"
    with explained(where, SourceError), client(temp_dataset.project) as found:
        location = found.get_dataset(str(temp_dataset), retry=retry(retry_timeout)).location
    if location != part.location:
        raise ConfigurationError(
            f"{where} is in {location}, and the source table {part.table} in {part.location}; name a dataset there, or "
            "read with --read_method arrow"
        )


def _arrow_type(field: bigquery.SchemaField) -> pa.DataType:
    kind = _ARROW.get(field.field_type, _NO_INPUT)
    return pa.list_(kind) if field.mode == "REPEATED" else kind


class ReadTable(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS from one part of a table.

    Args:
        part: What to read.
        method: `direct` and `export` are Beam's ReadFromBigQuery, whose rows are made batches in the stage that reads
            them; `arrow` passes on the Storage Read API's own Arrow batches.
        temp_dataset: Where `export` puts its query's result; it must exist. `direct` touches nothing there.
        staging: gs:// folder for `export`.
        batch_rows: Rows of one batch at most.
        retry_timeout: Seconds to try again for when Google is unwell.
    """

    def __init__(
        self,
        part: TablePart,
        method: ReadMethod,
        *,
        temp_dataset: DatasetId,
        staging: str,
        batch_rows: int,
        retry_timeout: float,
    ) -> None:
        super().__init__()
        self._part = part
        self._method = method
        self._temp_dataset = temp_dataset
        self._staging = staging
        self._batch_rows = batch_rows
        self._retry_timeout = retry_timeout

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Wire the method that was chosen."""
        part = self._part
        if self._method == "arrow":
            return begin | "ReadStreams" >> ReadArrowStreams(
                part.table,
                part.restriction,
                part.schema.names,
                project=self._temp_dataset.project,
                batch_rows=self._batch_rows,
                retry_timeout=self._retry_timeout,
            )
        return (
            begin
            | "ReadRows" >> self._beam_read()
            | "MakeBatches"
            >> beam.ParDo(RowsToBatches(part.schema, self._batch_rows)).with_output_types(pa.RecordBatch)
        )

    def _beam_read(self) -> beam.PTransform:
        part = self._part
        temp = DatasetReference(projectId=self._temp_dataset.project, datasetId=self._temp_dataset.dataset)
        if self._method == "direct":
            # A temp_dataset keeps Beam from listing and deleting datasets when it cleans up; native datetimes make it
            # read Arrow instead of Avro, three times as fast.
            return beam.io.ReadFromBigQuery(
                method=beam.io.ReadFromBigQuery.Method.DIRECT_READ,
                table=f"{part.table.project}:{part.table.dataset}.{part.table.table}",
                selected_fields=part.schema.names,
                row_restriction=part.restriction,
                use_native_datetime=True,
                temp_dataset=temp,
            )
        where = f" WHERE {part.restriction}" if part.restriction else ""
        return beam.io.ReadFromBigQuery(
            method=beam.io.ReadFromBigQuery.Method.EXPORT,
            # Names were checked against a pattern, the day is a date.
            query=f"SELECT {', '.join(part.schema.names)} FROM `{part.table}`{where}",  # noqa: S608
            use_standard_sql=True,
            gcs_location=self._staging,
            temp_dataset=temp,
        )


@shielded
class RowsToBatches(beam.DoFn):
    """Rows as dicts -> RecordBatches of at most `batch_rows` rows; a bundle's last batch may be smaller."""

    def __init__(self, schema: pa.Schema, batch_rows: int) -> None:
        self._schema = schema
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
        columns = [pa.array([row[f.name] for row in rows], f.type) for f in self._schema]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)
