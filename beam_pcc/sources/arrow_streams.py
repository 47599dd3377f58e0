"""The fast way out of BigQuery: the Storage Read API's Arrow batches, passed on as they come, never as Python rows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import grpc
import pyarrow as pa
from google.api_core import exceptions, gapic_v1
from google.cloud import bigquery_storage

from beam_pcc.errors import SourceError, one_line
from beam_pcc.errors.foreign import is_transient
from beam_pcc.errors.retrying import retry
from beam_pcc.gcp.client import explained, stream_retry
from beam_pcc.gcp.names import TableId
from beam_pcc.shielding import shielded
from beam_pcc.sources.ahead import Cancellable, Check, ReadParts, as_read

_MAX_STREAMS = 1_000  # the API's own limit


@dataclass(frozen=True)
class StreamLimits:
    """How the rows of a session come.

    Attributes:
        project: The one that reads, and pays.
        batch_rows: Rows of one batch at most.
        retry_timeout: Seconds to try again for after the last row.
        longest_silence: Seconds without a message after which a stream is opened again. The client library waits for
            a day.
    """

    project: str
    batch_rows: int
    retry_timeout: float
    longest_silence: float = 120.0


class _Stream(NamedTuple):
    """One stream of a session, and the IPC schema that all its batches have."""

    name: str
    arrow_schema: bytes


class ReadArrowStreams(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS.

    One read session is opened, in the graph, so that it is a snapshot of one moment. Its streams are the elements that
    are spread over the workers; rows never cross a shuffle. A stream that breaks or goes silent is opened again at the
    row where it stopped.
    """

    def __init__(
        self,
        table: TableId,
        restriction: str | None,
        columns: list[str],
        limits: StreamLimits,
        check: Check = as_read,
    ) -> None:
        super().__init__()
        self._columns = columns
        self._check = check
        self._table = table
        self._restriction = restriction
        self._limits = limits

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Session -> streams, reshuffled -> batches."""
        return (
            begin
            | "Table" >> beam.Create([self._restriction or ""])
            | "OpenSession" >> beam.FlatMap(self._open).with_output_types(_Stream)
            | "SpreadStreams" >> beam.Reshuffle()
            | "ReadStream" >> beam.ParDo(ReadParts(self._read, self._check)).with_output_types(pa.RecordBatch)
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
                parent=f"projects/{self._limits.project}",
                read_session=wanted,
                max_stream_count=_MAX_STREAMS,
                retry=stream_retry(self._limits.retry_timeout),
            )
        return [_Stream(stream.name, session.arrow_schema.serialized_schema) for stream in session.streams]

    def _read(self, stream: _Stream) -> Cancellable:
        reader = _StreamReader(stream, self._limits.longest_silence)
        return Cancellable(self._batches(reader), reader.cancel)

    @shielded
    def _batches(self, reader: _StreamReader) -> Iterator[pa.RecordBatch]:
        where = f"--source table {self._table}"
        with explained(where, SourceError), contextlib.closing(reader):
            while (block := self._next_block(reader, where)) is not None:
                block = block.select(self._columns)
                for start in range(0, block.num_rows, self._limits.batch_rows):
                    yield block.slice(start, self._limits.batch_rows)

    def _next_block(self, reader: _StreamReader, where: str) -> pa.RecordBatch | None:
        """The stream's next rows; None at its end. Only rows count as progress: each block has the whole time."""
        give_up_at = time.monotonic() + self._limits.retry_timeout
        try:
            return retry(reader.next_block, lambda: give_up_at - time.monotonic(), asked_pause=_asked_pause)
        except exceptions.NotFound as error:  # the table was there, as its session could be opened
            raise SourceError(
                f"{where}: its read session is gone ({one_line(error.message, 200)}); run again"
            ) from None
        except Exception as error:
            if not is_transient(error):
                raise
            raise exceptions.RetryError("no row came", error) from error


class _CancelledError(Exception):
    """Nobody wants the rows any more."""


class _StreamReader:
    """Receives one stream block by block.

    The client library's own reader is not used: it waits a day for a silent stream, and resumes after some errors only.
    This one resumes with the next call of `next_block`, whatever the error was: the caller decides. It does so with a
    new client, as the old connection may be dead.
    """

    def __init__(self, stream: _Stream, longest_silence: float) -> None:
        self._name = stream.name
        self._schema = pa.ipc.read_schema(pa.py_buffer(stream.arrow_schema))
        self._longest_silence = longest_silence
        self._offset = 0  # rows of the blocks that were returned
        self._client: bigquery_storage.BigQueryReadClient | None = None
        self._call: Any = None
        self._was_silent = threading.Event()  # of this call
        self._is_cancelled = False

    def next_block(self) -> pa.RecordBatch | None:
        """The rows after those that were returned, at least one; None at the end of the stream.

        Raises:
            TimeoutError: The stream sent nothing for `longest_silence` seconds.
            GoogleAPICallError: The stream broke off.
        """
        try:
            if self._call is None:
                self._call = self._open()
            if self._is_cancelled:
                raise _CancelledError
            while (message := self._receive(self._call)) is not None:
                data = message.arrow_record_batch.serialized_record_batch
                block = pa.ipc.read_record_batch(pa.py_buffer(data), self._schema) if data else None
                if block is not None and block.num_rows:
                    self._offset += block.num_rows
                    return block
        except BaseException:
            self.close()
            raise
        return None

    def cancel(self) -> None:
        """End the reading for good, from another thread than the one that waits for a block."""
        self._is_cancelled = True
        if (call := self._call) is not None:
            call.cancel()

    def close(self) -> None:
        """End the call, so that the next one starts at the first row that was not returned."""
        client, self._client, self._call = self._client, None, None
        if client is not None:
            client.transport.close()

    def _open(self) -> Any:
        self._client = bigquery_storage.BigQueryReadClient()
        # Through the transport: the client's method waits for the first message before there is a call to cancel.
        request = bigquery_storage.ReadRowsRequest(read_stream=self._name, offset=self._offset)
        routing = gapic_v1.routing_header.to_grpc_metadata((("read_stream", self._name),))
        self._was_silent = threading.Event()
        read_rows: Any = self._client.transport.read_rows
        return read_rows(request, metadata=(routing,))

    def _receive(self, call: Any) -> bigquery_storage.ReadRowsResponse | None:
        """The next message; None at the end. The time that a block takes to be scored is none of silence."""
        was_silent = self._was_silent

        def end_silence() -> None:
            was_silent.set()
            call.cancel()

        watchdog = threading.Timer(self._longest_silence, end_silence)
        watchdog.daemon = True
        watchdog.start()
        try:
            return next(call, None)
        except grpc.RpcError as error:
            if self._is_cancelled:
                raise _CancelledError from None
            if was_silent.is_set():
                raise TimeoutError(f"a read stream sent nothing for {self._longest_silence:g} seconds") from None
            raise exceptions.from_grpc_error(error) from error
        finally:
            watchdog.cancel()


def _asked_pause(error: BaseException) -> float:
    """The pause, in seconds, that BigQuery asks for when it is overloaded."""
    delays = [detail.retry_delay for detail in getattr(error, "details", ()) if hasattr(detail, "retry_delay")]
    return max((delay.ToTimedelta().total_seconds() for delay in delays), default=0.0)
