"""The fast way out of BigQuery: the Storage Read API's Arrow batches, passed on as they come, never as Python rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
from google.cloud import bigquery_storage

from beam_pcc.errors import SourceError
from beam_pcc.gcp.client import explained, stream_retry
from beam_pcc.gcp.names import TableId
from beam_pcc.shielding import shielded

_MAX_STREAMS = 1_000  # the API's own limit


class _Stream(NamedTuple):
    """One stream of a session, and the IPC schema that all its batches have."""

    name: str
    arrow_schema: bytes


class ReadArrowStreams(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS.

    One read session is opened, in the graph, so that it is a snapshot of one moment. Its streams are the elements that
    are spread over the workers; rows never cross a shuffle. A stream that breaks is taken up again at its offset.
    """

    def __init__(
        self,
        table: TableId,
        restriction: str | None,
        columns: list[str],
        *,
        project: str,
        batch_rows: int,
        retry_timeout: float,
    ) -> None:
        super().__init__()
        self._columns = columns
        self._table = table
        self._restriction = restriction
        self._project = project
        self._batch_rows = batch_rows
        self._retry_timeout = retry_timeout

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Session -> streams, reshuffled -> batches."""
        return (
            begin
            | "Table" >> beam.Create([self._restriction or ""])
            | "OpenSession" >> beam.FlatMap(self._open).with_output_types(_Stream)
            | "SpreadStreams" >> beam.Reshuffle()
            | "ReadStream" >> beam.FlatMap(self._read).with_output_types(pa.RecordBatch)
        )

    @shielded
    def _open(self, restriction: str) -> list[_Stream]:
        """The session's streams; none if the table has no rows."""
        table = self._table
        wanted = bigquery_storage.ReadSession(
            table=f"projects/{table.project}/datasets/{table.dataset}/tables/{table.table}",
            data_format=bigquery_storage.DataFormat.ARROW,
            read_options=bigquery_storage.ReadSession.TableReadOptions(
                selected_fields=self._columns,
                row_restriction=restriction,
                arrow_serialization_options=bigquery_storage.ArrowSerializationOptions(
                    buffer_compression=bigquery_storage.ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
                ),
            ),
        )
        with explained(f"--source table {table}", SourceError):
            session = bigquery_storage.BigQueryReadClient().create_read_session(
                parent=f"projects/{self._project}",
                read_session=wanted,
                max_stream_count=_MAX_STREAMS,
                retry=stream_retry(self._retry_timeout),
            )
        return [_Stream(stream.name, session.arrow_schema.serialized_schema) for stream in session.streams]

    @shielded
    def _read(self, stream: _Stream) -> Iterator[pa.RecordBatch]:
        schema = pa.ipc.read_schema(pa.py_buffer(stream.arrow_schema))
        with explained(f"--source table {self._table}", SourceError):
            # Google's reader counts rows, and asks for the rest when the stream breaks.
            messages = bigquery_storage.BigQueryReadClient().read_rows(
                stream.name, retry=stream_retry(self._retry_timeout)
            )
            for message in messages:
                data = message.arrow_record_batch.serialized_record_batch
                batch = pa.ipc.read_record_batch(pa.py_buffer(data), schema).select(self._columns)
                for start in range(0, batch.num_rows, self._batch_rows):
                    yield batch.slice(start, self._batch_rows)
