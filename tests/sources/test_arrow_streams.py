"""The Arrow reader against a Storage Read API of this process, over gRPC, whose streams break off or go quiet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.cloud import bigquery_storage
from google.cloud.bigquery_storage import types
from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from beam_pcc.errors import ConfigurationError, PccError, SourceError, retrying
from beam_pcc.gcp.names import TableId
from beam_pcc.sources.ahead import ReadAhead, as_read
from beam_pcc.sources.arrow_streams import ReadArrowStreams, StreamLimits
from tests.conftest import ReadAll

Code = grpc.StatusCode
ROWS = 300
CASES = pa.record_batch({"case_id": pa.array(f"case {n}" for n in range(ROWS)), "other": pa.array(range(ROWS))})
RESUMED = [Code.UNAVAILABLE, Code.INTERNAL, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED]
TABLE = TableId("my-project", "d", "cases")
MADE_UP = "made up by a test"


@dataclass(frozen=True)
class Answer:
    """What one call of ReadRows gets: blocks of so many rows, and then an error, silence, or the rest in one block.

    With an error BigQuery may ask for a pause of so many seconds.
    """

    blocks: Sequence[int] = ()
    then: Code | None = None
    silent: bool = False
    pause: int = 0


@dataclass
class StorageApi(grpc.GenericRpcHandler):
    """One stream of the rows of CASES; each call uses up one of the answers.

    `offsets` are those that were asked for, `clients` what became of the clients that asked.
    """

    answers: list[Answer] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    cancelled: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method.endswith("/ReadRows"):
            return grpc.unary_stream_rpc_method_handler(
                self._read, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
            )
        return grpc.unary_unary_rpc_method_handler(
            self._create, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        )

    def _create(self, request: types.CreateReadSessionRequest, _: grpc.ServicerContext) -> types.ReadSession:
        schema = types.ArrowSchema(serialized_schema=CASES.schema.serialize().to_pybytes())
        return types.ReadSession(arrow_schema=schema, streams=[types.ReadStream(name=f"{request.parent}/streams/0")])

    def _read(self, request: types.ReadRowsRequest, context: grpc.ServicerContext) -> Iterator[types.ReadRowsResponse]:
        start = request.offset
        self.offsets.append(start)
        answer = self.answers.pop(0) if self.answers else Answer()
        ended = threading.Event()

        def end() -> None:
            self.cancelled += answer.silent and not self.closing.is_set()
            ended.set()

        # Before the first block: of a call that ends while one is sent, what is below is never run.
        if not context.add_callback(end):  # it has ended already
            end()
        for size in answer.blocks:
            rows = CASES.slice(start, size)
            yield types.ReadRowsResponse(
                row_count=rows.num_rows,
                arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=rows.serialize().to_pybytes()),
            )
            start += rows.num_rows
        if answer.silent:
            while not (ended.wait(0.02) or self.closing.is_set()):
                pass
        elif answer.then:
            if answer.pause:
                status = _status(answer.then, MADE_UP, answer.pause)
                context.set_trailing_metadata((("grpc-status-details-bin", status),))
            context.abort(answer.then, MADE_UP)
        elif start < ROWS:
            rows = CASES.slice(start)
            yield types.ReadRowsResponse(
                row_count=rows.num_rows,
                arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=rows.serialize().to_pybytes()),
            )


def _status(code: Code, message: str, pause: int) -> bytes:
    """A google.rpc.Status with a RetryInfo, in the format of Protocol Buffers."""

    def nested(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    retry_info = nested(1, bytes([1 << 3, pause]))
    details = nested(1, b"type.googleapis.com/google.rpc.RetryInfo") + nested(2, retry_info)
    return bytes([1 << 3, code.value[0]]) + nested(2, message.encode()) + nested(3, details)


@contextmanager
def serving() -> Iterator[tuple[StorageApi, str]]:
    api = StorageApi()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, handlers=[api])
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield api, address
        api.closing.set()
        server.stop(None).wait()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageApi]:
    with serving() as (api, address):

        class Transport(BigQueryReadGrpcTransport):
            def close(self) -> None:
                api.clients.append("closed")
                super().close()

        def connected() -> Any:
            api.clients.append("opened")
            # The generated client: the emulators of other tests in this process change the one that is derived from it.
            return BigQueryReadClient(transport=Transport(channel=grpc.insecure_channel(address)))

        monkeypatch.setattr(bigquery_storage, "BigQueryReadClient", connected)
        monkeypatch.setattr(retrying, "PAUSES", retrying.Pauses(0.001, 0.01))
        yield api


def reading(*, retry_timeout: float = 30, silence: float = 30, batch_rows: int = 50) -> ReadArrowStreams:
    limits = StreamLimits("my-project", batch_rows, retry_timeout, longest_silence=silence)
    return ReadArrowStreams(TABLE, None, ["case_id"], limits)


def read(reader: ReadArrowStreams) -> list[str]:
    """The ids of all rows, in the order in which they came, without a runner between."""
    (stream,) = reader._open("")
    return [case_id for batch in reader._read(stream) for case_id in batch.column("case_id").to_pylist()]


EVERY_ID = CASES.column("case_id").to_pylist()


def test_stream_is_read_in_a_pipeline(api: StorageApi, read_all: ReadAll) -> None:
    api.answers = [Answer([70], Code.UNAVAILABLE)]

    batches = read_all(reading())

    assert sorted(i for batch in batches for i in batch.column("case_id").to_pylist()) == sorted(EVERY_ID)
    assert all(batch.num_rows <= 50 and batch.schema.names == ["case_id"] for batch in batches)


@pytest.mark.parametrize("code", RESUMED)
def test_broken_stream_is_resumed_at_its_offset(api: StorageApi, code: Code) -> None:
    api.answers = [Answer([100, 37], code), Answer([], code), Answer([63], code)]

    assert read(reading()) == EVERY_ID
    assert api.offsets == [0, 137, 137, 200]


@pytest.mark.parametrize("code", RESUMED)
def test_stream_that_never_recovers_fails(api: StorageApi, code: Code) -> None:
    api.answers = [Answer([100], code), *[Answer([], code)] * 100_000]

    with pytest.raises(
        SourceError, match=r"^--source table my-project\.d\.cases: .*made up by a test.*--retry_timeout"
    ):
        read(reading(retry_timeout=0.3))
    assert set(api.offsets[1:]) <= {100}


def test_each_row_renews_the_time_for_retries(api: StorageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call breaks after one row, and each pause is as long as may be waited."""
    clock = Clock()
    monkeypatch.setattr("beam_pcc.sources.arrow_streams.time", clock)
    monkeypatch.setattr(retrying, "time", clock)
    monkeypatch.setattr(retrying, "PAUSES", retrying.Pauses(10, 10))
    api.answers = [Answer([1], Code.UNAVAILABLE)] * (ROWS - 1)

    assert read(reading(retry_timeout=10)) == EVERY_ID
    assert clock.now > 1_000


class Clock:
    """Sleeping takes no time, but is counted."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_blocks_without_rows_are_no_progress(api: StorageApi) -> None:
    api.answers = [Answer([0, 0], Code.UNAVAILABLE)] * 100_000

    with pytest.raises(SourceError, match="made up by a test"):
        read(reading(retry_timeout=0.3))


def test_pause_that_bigquery_asks_for_is_kept(api: StorageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(retrying, "time", clock)
    api.answers = [Answer([], Code.RESOURCE_EXHAUSTED, pause=25)]

    assert read(reading()) == EVERY_ID
    assert clock.now == 25


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (Code.INVALID_ARGUMENT, SourceError, "made up by a test"),
        (Code.FAILED_PRECONDITION, SourceError, "made up by a test"),
        (Code.OUT_OF_RANGE, SourceError, "made up by a test"),
        (Code.ABORTED, SourceError, "made up by a test"),
        (Code.CANCELLED, SourceError, "made up by a test"),
        (Code.DATA_LOSS, SourceError, "made up by a test"),
        (Code.UNIMPLEMENTED, SourceError, "made up by a test"),
        (Code.NOT_FOUND, SourceError, r"read session is gone \(made up by a test\)"),
        (Code.PERMISSION_DENIED, ConfigurationError, r"no permission \(made up by a test\)"),
    ],
)
def test_other_error_fails_at_once_with_its_cause(
    api: StorageApi, code: Code, error: type[PccError], message: str
) -> None:
    api.answers = [Answer([100], code)]

    with pytest.raises(error, match=message):
        read(reading())
    assert api.offsets == [0]


@pytest.mark.parametrize("blocks", [[], [100, 37]])
def test_silent_stream_is_opened_again(api: StorageApi, blocks: list[int]) -> None:
    api.answers = [Answer(blocks, silent=True)]

    assert read(reading(silence=0.5)) == EVERY_ID
    assert len(api.offsets) > 1


def test_stream_is_opened_again_by_a_new_client(api: StorageApi) -> None:
    """The old connection may be dead, so it is closed first."""
    api.answers = [Answer([100], silent=True), Answer([100], Code.UNAVAILABLE)]
    reader = reading(silence=0.5)
    (stream,) = reader._open("")
    api.clients.clear()
    list(reader._read(stream))

    assert api.clients == ["opened", "closed"] * len(api.offsets)


@pytest.mark.parametrize("blocks", [[], [100]])
def test_stream_that_stays_silent_fails(api: StorageApi, blocks: list[int]) -> None:
    api.answers = [Answer(blocks, silent=True), *[Answer(silent=True)] * 1_000]

    with pytest.raises(
        SourceError, match=r"table my-project\.d\.cases: .*sent nothing for 0.2 seconds.*--retry_timeout"
    ):
        read(reading(silence=0.2, retry_timeout=0.5))


def test_silence_ends_without_a_retry(api: StorageApi) -> None:
    api.answers = [Answer(silent=True)]

    with pytest.raises(SourceError, match="sent nothing"):
        read(reading(silence=0.2, retry_timeout=0))
    assert api.offsets == [0]


def test_silence_is_bounded_by_default() -> None:
    assert 0 < StreamLimits("my-project", 50, 30).longest_silence <= 600


def test_slow_consumer_is_no_silence(api: StorageApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing counts down while the rows that came are worked on."""
    timers, real = list[threading.Timer](), threading.Timer

    def timer(*arguments: Any) -> threading.Timer:
        timers.append(real(*arguments))
        return timers[-1]

    monkeypatch.setattr(threading, "Timer", timer)
    api.answers = [Answer([100] * 3)]
    reader = reading()
    (stream,) = reader._open("")

    for _ in reader._read(stream):
        assert timers[-1].finished.is_set()
    assert len(timers) > 3


def test_reader_that_is_dropped_ends_its_call(api: StorageApi, until: Callable[[Callable[[], bool]], None]) -> None:
    api.answers = [Answer([100], silent=True)]
    reader = reading()
    (stream,) = reader._open("")
    batches = reader._read(stream)
    next(batches)
    batches.close()

    until(lambda: api.cancelled == 1)


ANSWERS = st.builds(Answer, st.lists(st.integers(0, 120), max_size=4), st.sampled_from(RESUMED))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@example([Answer([ROWS], Code.UNAVAILABLE)])
@given(st.lists(ANSWERS, max_size=5))
def test_no_row_is_lost_or_read_twice(api: StorageApi, answers: list[Answer]) -> None:
    api.answers = list(answers)
    assert read(reading()) == EVERY_ID


def test_silent_stream_is_cancelled_from_another_thread(
    api: StorageApi, until: Callable[[Callable[[], bool]], None]
) -> None:
    """A run that ends does not wait for the silence to be over."""
    api.answers = [Answer([100], silent=True)]
    source = reading(silence=600)
    (stream,) = source._open("")
    reader = ReadAhead(as_read)
    reader.add(source._read(stream))
    for _ in EVERY_ID[:100:50]:
        reader.take()
    reader.close()

    until(lambda: api.cancelled == 1)
