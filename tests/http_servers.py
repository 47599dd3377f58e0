"""Servers of the tests: each request is one call, and a server may fail on purpose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """A request of any method is a call of `serve`."""

    protocol_version = "HTTP/1.1"

    def serve(self, method: str) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.serve("GET")

    def do_POST(self) -> None:
        self.serve("POST")

    def do_PATCH(self) -> None:
        self.serve("PATCH")

    def do_DELETE(self) -> None:
        self.serve("DELETE")

    def log_message(self, *_: object) -> None: ...

    def send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with text as it is, or with anything else as JSON."""
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def cut(self) -> None:
        """End the connection without an answer."""
        self.connection.close()
        self.close_connection = True


@contextmanager
def serving(handler: type[Handler], over: threading.Event | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server on a free port; `over` is set when it ends, for handlers that wait."""
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients of these tests break off
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        if over is not None:
            over.set()
        server.shutdown()
        server.server_close()
        thread.join()
