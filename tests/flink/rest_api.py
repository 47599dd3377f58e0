"""A fake server with the parts of Flink's REST API that a run uses: one job, and injected faults."""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from tests import http_servers
from tests.http_servers import Handler

JOB = "0" * 32
CUT, SILENT, NO_JSON = 0, -1, -2


def counter(name: str, value: int) -> dict[str, Any]:
    """A Beam counter in the format of the runner's accumulator."""
    import base64

    labels = {"NAMESPACE": "pcc", "NAME": name, "PTRANSFORM": "Score"}
    payload = base64.b64encode(_varint(value)).decode()
    return {
        "urn": "beam:metric:user:sum_int64:v1",
        "type": "beam:metrics:sum_int64:v1",
        "payload": payload,
        "labels": labels,
    }


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def vertex(name: str, status: str = "RUNNING", **metrics: Any) -> dict[str, Any]:
    return {
        "id": name.lower(),
        "name": name,
        "status": status,
        "tasks": {status: 2},
        "metrics": {"read-records": 0, "write-records": 0, "accumulated-idle-time": 0, **metrics},
    }


@dataclass
class Flink:
    """One cluster with one job. `faults` are (start of method and path, status, times)."""

    state: str = "RUNNING"
    counters: dict[str, int] = field(default_factory=dict)
    vertices: list[dict[str, Any]] = field(default_factory=lambda: [vertex("Score")])
    exceptions: dict[str, Any] = field(default_factory=dict)
    slots: tuple[int, int, int] = (2, 2, 1)
    faults: list[list[Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    name: str = "pcc-job"

    def paths(self) -> dict[str, Any]:
        """The responses to GET by path."""
        infos = [counter(name, value) for name, value in self.counters.items()]
        value = json.dumps({"metrics": {"attempted": infos}})
        job = {"jid": JOB, "name": self.name, "state": self.state, "start-time": 1, "vertices": self.vertices}
        return {
            "v1/overview": dict(zip(("slots-total", "slots-available", "taskmanagers"), self.slots, strict=True)),
            "v1/jobs": {"jobs": [{"id": JOB, "status": self.state}]},
            "v1/jobs/overview": {"jobs": [job]},
            f"v1/jobs/{JOB}": job,
            f"v1/jobs/{JOB}/accumulators": {
                "user-task-accumulators": [{"name": "__metricscontainers", "value": value}]
            },
            f"v1/jobs/{JOB}/exceptions": self.exceptions,
        }


class _Handler(Handler):
    flink: Flink

    def serve(self, method: str) -> None:
        path = self.path.partition("?")[0].removeprefix("/")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.flink.requests.append(f"{method} {path}")
        for fault in self.flink.faults:
            if f"{method} {path}".startswith(fault[0]) and fault[2] > 0:
                fault[2] -= 1
                self._fail(method, path, fault[1])
                return
        self._answer(method, path)

    def _fail(self, method: str, path: str, status: int) -> None:
        if status == NO_JSON:
            self.send(200, "<html>a proxy</html>")
        elif status in (CUT, SILENT):
            if status == SILENT:
                self.flink.over.wait(30)
            elif method != "GET":  # the request succeeds, but its response is lost
                self._act(method, path)
            self.cut()
        else:
            self.send(status, {"errors": ["on purpose"]})

    def _act(self, method: str, path: str) -> dict[str, Any] | None:
        if method == "PATCH":
            self.flink.state = "CANCELED"
            return {}
        if path == "v1/jars/upload":
            return {"filename": "/tmp/a_job.jar"}
        if path.endswith("/run"):
            self.flink.state = "RUNNING"
            return {"jobid": JOB}
        return {} if method == "DELETE" else None

    def _answer(self, method: str, path: str) -> None:
        response = self.flink.paths().get(path) if method == "GET" else self._act(method, path)
        self.send(404 if response is None else 200, {"errors": ["not found"]} if response is None else response)


def serving(flink: Flink) -> AbstractContextManager[str]:
    """Serve `flink`; the address."""
    return http_servers.serving(type("_Handler", (_Handler,), {"flink": flink}), flink.over)
