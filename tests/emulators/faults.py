"""Proxies that stand between a run and the emulators and do, when told to, what a bad day at Google does."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage import types


@dataclass(frozen=True)
class Answer:
    """Answered by the proxy with this status and BigQuery's JSON; the emulator hears nothing."""

    status: int
    reason: str
    message: str = "made up by a test"


TOO_MANY = Answer(429, "rateLimitExceeded")
QUOTA = Answer(403, "quotaExceeded", "Quota exceeded: Your project exceeded a quota.")
DENIED = Answer(403, "accessDenied", "Access Denied: Permission bigquery.tables.get denied.")
INTERNAL = Answer(500, "internalError")
UNAVAILABLE = Answer(503, "backendError")


@dataclass(frozen=True)
class Reset:
    """The connection breaks before the emulator hears of the request."""


@dataclass(frozen=True)
class LostAnswer:
    """The emulator does the work, then the connection breaks: the caller cannot know."""


@dataclass(frozen=True)
class Delay:
    """Answered only after so many seconds; the work is done before that, or after it with `work_first=False`."""

    seconds: float
    work_first: bool = True


@dataclass(frozen=True)
class FailedJob:
    """For jobs.insert: the answer is a job that was made and has failed; the emulator hears nothing."""

    reason: str
    message: str


@dataclass(frozen=True)
class StillRunning:
    """For jobs.insert: the emulator does the work, but the answer says that it goes on, so the caller has to ask."""


@dataclass(frozen=True)
class Meeting:
    """For two requests that wait for each other and then go on at the same moment."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))


Fault = Answer | Reset | LostAnswer | Delay | FailedJob | StillRunning | Meeting
ABORTED = FailedJob("invalidQuery", "Transaction is aborted due to concurrent update against table p:d.t.")


# What the emulator says of a transaction that another one was in the way of, and how BigQuery words it.
_CONFLICT_THERE = b"Failed to commit: Failed to commit DuckLake transaction."
_CONFLICT = ABORTED.message.encode()


@dataclass(frozen=True)
class Request:
    """One request that came by."""

    method: str
    path: str
    body: str


@dataclass
class Rule:
    """A fault for the next `times` requests that match.

    `met` is set when the first one comes, `done` when everything is over that was to be done to it.
    """

    fault: Fault
    method: str
    path: re.Pattern[str]
    body: re.Pattern[str]
    times: int
    met: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)

    def matches(self, request: Request) -> bool:
        return bool(
            self.times
            and re.fullmatch(self.method, request.method)
            and self.path.search(request.path)
            and self.body.search(request.body)
        )


class RestProxy:
    """BigQuery's REST API by way of this process: passes on, records, and breaks what the rules say.

    Of the emulator's answers one is changed: a conflict of transactions is told in BigQuery's words.

    Args:
        emulator: Where to pass on to, such as http://127.0.0.1:9050.
    """

    def __init__(self, emulator: str) -> None:
        self.emulator = urlsplit(emulator).netloc
        self.seen: list[Request] = []
        self.closing = threading.Event()
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def __enter__(self) -> RestProxy:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.proxy = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()  # nobody sleeps any longer
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def on(self, method: str, path: str, fault: Fault, *, body: str = "", times: int = 1) -> Rule:
        """Do this to the next `times` requests that match: all of `method`, and some part of path and body."""
        rule = Rule(fault, method, re.compile(path), re.compile(body), times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Pass everything on again."""
        with self._lock:
            self._rules.clear()

    def count(self, method: str, path: str, *, body: str = "") -> int:
        """How many such requests have come by, whatever was done to them."""
        rule = Rule(Reset(), method, re.compile(path), re.compile(body), times=1)
        return sum(rule.matches(request) for request in self.seen)

    def job_ids(self, words: str) -> list[str]:
        """The ids of the jobs whose insert came by, each time it came, if these words are in the id."""
        inserts = [r for r in self.seen if r.method == "POST" and r.path.split("?")[0].endswith("/jobs")]
        ids = [json.loads(request.body)["jobReference"]["jobId"] for request in inserts]
        return [job_id for job_id in ids if words in job_id]

    def rule(self, request: Request) -> Rule | None:
        """Record the request; the rule that it falls under."""
        with self._lock:
            self.seen.append(request)
            rule = next((rule for rule in self._rules if rule.matches(request)), None)
            if rule is None:
                return None
            rule.times -= 1
        rule.met.set()
        return rule


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):  # who asked was killed, or we broke the connection
            self.close_connection = True

    def do_GET(self) -> None:
        proxy: RestProxy = self.server.proxy  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = proxy.rule(Request(self.command, self.path, body.decode(errors="replace")))
        try:
            self._answer(rule.fault if rule else None, body, proxy.closing)
        finally:
            if rule:
                rule.done.set()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, fault: Fault | None, body: bytes, closing: threading.Event) -> None:
        match fault:
            case Answer():
                self._say(fault.status, _error(fault))
            case FailedJob():
                self._say(200, _failed_job(fault, json.loads(body)))
            case Reset():
                self._break()
            case LostAnswer():
                self._pass_on(body)
                self._break()
            case StillRunning():
                status, _, content = self._pass_on(body)
                self._say(status, json.loads(content) | {"status": {"state": "RUNNING"}})
            case Delay():
                answer = self._pass_on(body) if fault.work_first else None
                closing.wait(fault.seconds)
                self._send(*(answer or self._pass_on(body)))
            case Meeting():
                fault.barrier.wait()
                self._send(*self._pass_on(body))
            case None:
                self._send(*self._pass_on(body))

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        dropped = {"host", "connection", "content-length", "accept-encoding"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection = http.client.HTTPConnection(self.server.proxy.emulator, timeout=120)  # type: ignore[attr-defined]
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() in {"content-type", "location", "etag"}]
            return answer.status, kept, answer.read().replace(_CONFLICT_THERE, _CONFLICT)
        finally:
            connection.close()

    def _say(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, [("Content-Type", "application/json")], json.dumps(content).encode())

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)

    def _break(self) -> None:
        """Close with a reset (RST) instead of an orderly end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())

    def log_message(self, *_: object) -> None: ...


def _error(fault: Answer) -> dict[str, Any]:
    detail = {"message": fault.message, "domain": "global", "reason": fault.reason}
    return {"error": {"code": fault.status, "message": fault.message, "errors": [detail]}}


def _failed_job(fault: FailedJob, asked: dict[str, Any]) -> dict[str, Any]:
    reference = {"location": "US"} | asked["jobReference"]
    error = {"reason": fault.reason, "message": fault.message, "location": "query"}
    return asked | {
        "id": f"{reference['projectId']}:{reference['location']}.{reference['jobId']}",
        "jobReference": reference,
        "status": {"state": "DONE", "errorResult": error, "errors": [error]},
        "statistics": {},
    }


class ReadProxy(grpc.GenericRpcHandler):
    """The Storage Read API by way of this process, in messages of a few rows, as BigQuery's are.

    Args:
        emulator: Where to pass on to, such as 127.0.0.1:9060.
        rows: Rows of one message at most. (The emulator sends a whole stream as one.)
        after: Messages after which ReadRows breaks off.
        breaks: How often it does so, over all streams.
    """

    def __init__(self, emulator: str, *, rows: int = 100, after: int = 1, breaks: int = 0) -> None:
        self.offsets: list[int] = []
        self.sessions: list[types.ReadSession] = []  # as they were asked for
        self._emulator = emulator
        self._rows = rows
        self._after = after
        self._breaks = breaks
        self._lock = threading.Lock()

    def __enter__(self) -> ReadProxy:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(self._emulator, options=unlimited)
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[self], options=unlimited)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Requests and answers are bytes: nothing here has to know them, but for those of a session and ReadRows."""
        if details.method.endswith("/ReadRows"):
            read = self._channel.unary_stream(details.method)
            return grpc.unary_stream_rpc_method_handler(lambda request, context: self._read(read, request, context))
        call = self._channel.unary_unary(details.method)

        def pass_on(request: bytes, _: grpc.ServicerContext) -> bytes:
            if details.method.endswith("/CreateReadSession"):
                self.sessions.append(types.CreateReadSessionRequest.deserialize(request).read_session)
            return call(request)

        return grpc.unary_unary_rpc_method_handler(pass_on)

    def _read(
        self, read: grpc.UnaryStreamMultiCallable, request: bytes, context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        with self._lock:
            self.offsets.append(types.ReadRowsRequest.deserialize(request).offset)
            broken = self._breaks > 0
            self._breaks -= broken
        # The emulator allows an offset only once it has sent what comes before: it sends everything first.
        messages = list(read(request))
        small = [part for message in messages for part in _parts(message, self._rows)]
        for part in small[: self._after] if broken else small:
            yield types.ReadRowsResponse.serialize(part)
        if broken:
            context.abort(grpc.StatusCode.UNAVAILABLE, "made up by a test")


def _parts(message: bytes, rows: int) -> Sequence[types.ReadRowsResponse]:
    whole = types.ReadRowsResponse.deserialize(message)
    schema = pa.ipc.read_schema(pa.py_buffer(whole.arrow_schema.serialized_schema))
    batch = pa.ipc.read_record_batch(pa.py_buffer(whole.arrow_record_batch.serialized_record_batch), schema)
    slices = [batch.slice(start, rows) for start in range(0, batch.num_rows, rows)]
    return [
        types.ReadRowsResponse(
            arrow_schema=whole.arrow_schema,
            row_count=part.num_rows,
            arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=part.serialize().to_pybytes()),
        )
        for part in slices
    ]
