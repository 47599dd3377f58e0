"""A fake Kubernetes API server of one namespace, with the parts of the REST API that the launcher uses.

Resources have uids and resource versions; creating one twice is a conflict; a watch streams the changes after a
version, ends at its timeout, and returns 410 for an expired version; deletion takes time. A test plays the operator
and the kubelet with `update`. Faults are error responses (or a cut or silent connection) to the next matching
requests. The service proxy returns the responses in `flink`.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.http_servers import Handler, serving

NAMESPACE = "pcc-system"
FLINK = f"/apis/flink.apache.org/v1beta1/namespaces/{NAMESPACE}/flinkdeployments"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
Resource = dict[str, Any]
CUT, SILENT = 0, -1


@dataclass
class Fault:
    """The response to the next `times` requests that start with `request`: a status, or a connection CUT or SILENT."""

    request: str
    status: int
    reason: str = "InternalError"
    message: str = "on purpose"
    times: int = 1
    after: bool = False  # process the request before the fault
    retry_after: int | None = None


@dataclass
class Kubernetes:
    """The state of the namespace."""

    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    deployments: dict[str, Resource] = field(default_factory=dict)
    pods: list[Resource] = field(default_factory=list)
    events: list[Resource] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    flink: dict[str, Any] = field(default_factory=dict)
    on_create: Callable[[str], None] = lambda name: None
    seconds_to_go: float = 0.0
    expired: int = 0  # watches from before this version get 410
    over: threading.Event = field(default_factory=threading.Event)
    _history: list[tuple[int, str, Resource]] = field(default_factory=list)
    _version: int = 100
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def update(self, name: str, **status: Any) -> None:
        """Change the status of a FlinkDeployment, as the operator does."""
        with self._changed:
            one = self.deployments[name]
            one["status"] = {**one.get("status", {}), **status}
            self._record("MODIFIED", one)

    def job(self, name: str, state: str, **more: Any) -> None:
        """Set the job's state, as the operator does."""
        job = {"state": state, "jobId": "0" * 32}
        if state not in ("INITIALIZING", "RECONCILING", "CREATED"):
            job["startTime"] = "1795230000000"
        self.update(name, jobStatus=job, jobManagerDeploymentStatus="READY", lifecycleState="DEPLOYED", **more)

    def pod(self, name: str, of: str, **status: Any) -> None:
        """Add or replace a pod of a FlinkDeployment."""
        self.pods = [pod for pod in self.pods if pod["metadata"]["name"] != name]
        labels = {"app": of, "type": "flink-standalone-kubernetes"}
        self.pods.append({"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "status": status})

    def warn(
        self, kind: str, name: str, reason: str, message: str, *, uid: str | None = None, age: float = 0.0
    ) -> None:
        """Add a warning event, `age` seconds old."""
        at = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=age)
        self.events.append(
            {
                "metadata": {"name": f"{name}.{len(self.events)}", "namespace": NAMESPACE},
                "involvedObject": {"kind": kind, "name": name, "namespace": NAMESPACE, "uid": uid},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "lastTimestamp": _text(at),
            }
        )

    def pause(self) -> None:
        """Wait until the launcher has listed the events twice."""
        before = self.requests.count(f"GET {CORE}/events")
        while self.requests.count(f"GET {CORE}/events") < before + 2 and not self.over.wait(0.05):
            pass

    # -- called by the handler

    def create(self, body: Resource) -> tuple[int, Resource]:
        name = body["metadata"]["name"]
        with self._changed:
            if name in self.deployments:
                message = f'flinkdeployments.flink.apache.org "{name}" already exists'
                return 409, _status(409, "AlreadyExists", message)
            created = dt.datetime.now(dt.timezone.utc)
            body["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": NAMESPACE, "creationTimestamp": _text(created)}
            self.deployments[name] = body
            self._record("ADDED", body)
        threading.Thread(target=self.on_create, args=(name,), daemon=True).start()
        return 201, body

    def delete(self, name: str) -> tuple[int, Resource]:
        with self._changed:
            if name not in self.deployments:
                return 404, _status(404, "NotFound", f'flinkdeployments.flink.apache.org "{name}" not found')
            one = self.deployments[name]
            one["metadata"]["deletionTimestamp"] = "2026-11-21T02:00:00Z"
            self._record("MODIFIED", one)
        threading.Timer(self.seconds_to_go, self._go, [name]).start()
        return 200, one

    def _go(self, name: str) -> None:
        with self._changed:
            gone = self.deployments.pop(name, None)
            self.pods = [pod for pod in self.pods if pod["metadata"]["labels"]["app"] != name]
            if gone:
                self._record("DELETED", gone)

    def _record(self, event: str, one: Resource) -> None:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        self._history.append((self._version, event, json.loads(json.dumps(one))))
        self._changed.notify_all()

    def watch(self, name: str, version: int, seconds: float) -> Iterator[Resource]:
        if version < self.expired:
            yield {"type": "ERROR", "object": _status(410, "Expired", "too old resource version")}
            return
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                changes = [h for h in self._history if h[0] > version and h[2]["metadata"]["name"] == name]
                if not changes:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return
                    self._changed.wait(left)
            for _, event, one in changes:
                yield {"type": event, "object": one}
            version = changes[-1][0] if changes else version


def _text(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _status(code: int, reason: str, message: str) -> Resource:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


class _Handler(Handler):
    state: Kubernetes

    def serve(self, method: str) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = {name: values[-1] for name, values in urllib.parse.parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        self.state.requests.append(f"{method} {url.path}")
        fault = self._fault(f"{method} {url.path}{'?watch' if query.get('watch') else ''}")
        if fault and fault.after:
            self._answer_of(method, url.path, query, body)
        if fault:
            if fault.status in (CUT, SILENT):
                if fault.status == SILENT:
                    self.state.over.wait(60)
                self.cut()
                return
            later = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self.send(fault.status, _status(fault.status, fault.reason, fault.message), later)
            return
        if query.get("watch"):
            self._stream(query)
            return
        self.send(*self._answer_of(method, url.path, query, body))

    def _fault(self, request: str) -> Fault | None:
        for fault in self.state.faults:
            if request.startswith(fault.request) and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _answer_of(self, method: str, path: str, query: dict[str, str], body: Resource) -> tuple[int, Resource]:
        state = self.state
        folder, _, name = path.rpartition("/")
        if path == FLINK and method == "POST":
            return state.create(body)
        if path == FLINK:
            label = query.get("labelSelector", "")
            matching = [one for one in state.deployments.values() if label in one["metadata"].get("labels", {"": ""})]
            return 200, _list("FlinkDeploymentList", matching, state._version)
        if folder == FLINK and method == "DELETE":
            return state.delete(name)
        if folder == FLINK and name in state.deployments:
            return 200, state.deployments[name]
        if folder == f"{CORE}/configmaps" and name in state.config_maps:
            return 200, {"kind": "ConfigMap", "metadata": {"name": name}, "data": state.config_maps[name]}
        if path == f"{CORE}/pods":
            app = query["labelSelector"].removeprefix("app=")
            pods = [pod for pod in state.pods if pod["metadata"]["labels"]["app"] == app]
            return 200, _list("PodList", pods, state._version)
        if path == f"{CORE}/events":
            assert query["fieldSelector"] == "type=Warning"
            return 200, _list("EventList", state.events, state._version)
        service, _, path_of_flink = path.removeprefix(f"{CORE}/services/").partition(":8081/proxy/")
        if path_of_flink and service.removesuffix("-rest") in state.deployments and path_of_flink in state.flink:
            return 200, state.flink[path_of_flink]
        return 404, _status(404, "NotFound", f'"{name}" not found')

    def _stream(self, query: dict[str, str]) -> None:
        name = query["fieldSelector"].removeprefix("metadata.name=")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for event in self.state.watch(name, int(query["resourceVersion"]), float(query["timeoutSeconds"])):
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True


def _list(kind: str, items: list[Resource], version: int) -> Resource:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": items}


@contextmanager
def running(state: Kubernetes, kubeconfig: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve `state` on a free local port, and write a `kubeconfig` with its address."""
    with serving(type("_Handler", (_Handler,), {"state": state}), state.over, host) as address:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": address}}],
            "users": [{"name": "fake", "user": {}}],
        }
        kubeconfig.write_text(yaml.safe_dump(config))
        yield address
