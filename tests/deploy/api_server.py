"""A fake Kubernetes API server for a real kubectl: creates a Job from a CronJob and follows it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.manifests.tools import ROOT

NAMESPACE = "pcc-system"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
CRON_JOB = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs/pcc-daily"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def _resources(group: str, **kinds: str) -> dict[str, Any]:
    verbs = ["create", "get", "list", "watch", "delete", "patch", "update"]
    resources = [
        {"name": name, "singularName": name[:-1], "namespaced": True, "kind": kind, "verbs": verbs}
        for name, kind in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}


_BATCH = {"groupVersion": "batch/v1", "version": "v1"}
_SCHEMA = "/openapi/v3/apis/batch/v1"
DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [_BATCH], "preferredVersion": _BATCH}],
    },
    "/api/v1": _resources("v1", pods="Pod"),
    "/apis/batch/v1": _resources("batch/v1", jobs="Job", cronjobs="CronJob"),
    "/openapi/v3": {"paths": {"apis/batch/v1": {"serverRelativeURL": _SCHEMA}}},
    # Declares that the server validates resources itself.
    _SCHEMA: {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.0"},
        "paths": {
            "/apis/batch/v1/namespaces/{namespace}/jobs/{name}": {
                "patch": {
                    "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"},
                    "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                    "responses": {"200": {"description": "OK"}},
                }
            }
        },
    },
}


@dataclass
class ApiServer:
    """Ends each Job at once: its pod exits with `exit_code` and writes `log`."""

    exit_code: int = 0
    log: str = "partition 20261120: published\n"
    port: int = 0
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def get(self, path: str) -> dict[str, Any] | str | None:
        if path in DISCOVERY:
            return DISCOVERY[path]
        if path == CRON_JOB:
            cron: dict[str, Any] = yaml.safe_load((ROOT / "k8s/flink-operator/base/cronjob.yaml").read_text())
            cron["metadata"] |= {"namespace": NAMESPACE, "uid": "1"}
            return cron
        if path == PODS:
            return {
                "kind": "PodList",
                "apiVersion": "v1",
                "metadata": {},
                "items": [self._pod(job) for job in self.jobs],
            }
        for job in self.jobs:
            name = job["metadata"]["name"]
            if path == f"{JOBS}/{name}":
                condition = {"type": "Failed" if self.exit_code else "Complete", "status": "True"}
                return {**job, "status": {"conditions": [condition]}}
            if path == f"{PODS}/{name}-x":
                return self._pod(job)
            if path == f"{PODS}/{name}-x/log":
                return self.log
        return None

    def _pod(self, job: dict[str, Any]) -> dict[str, Any]:
        name = job["metadata"]["name"]
        state = {"terminated": {"exitCode": self.exit_code}}
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": f"{name}-x", "namespace": NAMESPACE, "creationTimestamp": "2026-11-21T02:00:00Z"},
            "spec": job["spec"]["template"]["spec"],
            "status": {"phase": "Failed", "containerStatuses": [{"name": "launcher", "state": state}]},
        }

    def kubeconfig(self) -> str:
        cluster = {"name": "x", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "x", "context": {"cluster": "x", "user": "x"}}
        users = [{"name": "x", "user": {"token": "x"}}]
        config = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "x"}
        return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **config})


@contextmanager
def serving(server: ApiServer) -> Iterator[ApiServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            resource = server.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self._answer(404 if resource is None else 200, missing if resource is None else resource)

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.partition("?")[0] == JOBS:
                server.jobs.append(job)
            self._answer(201, job)

        def _answer(self, code: int, body: dict[str, Any] | str) -> None:
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = listener.server_port
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
