"""A Flink cluster's REST API, as far as a run needs it: submit a job, watch it, cancel it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests
from apache_beam.metrics.execution import MetricResult
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import PortableMetrics
from google.protobuf import json_format

from beam_pcc.errors import ConfigurationError, RunError, one_line

ENDED = {"FINISHED", "FAILED", "CANCELED"}
PATIENCE = 60.0  # seconds without an answer, of a JobManager that may be coming back
_SECONDS = 30.0  # for one call
_SESSION_ENTRY = "beampcc.SessionJob"  # in our bundle: finds the pipeline in the uploaded jar
_UBER_ENTRY = "org.apache.beam.runners.flink.FlinkPipelineRunner"  # Beam's own: finds it beside itself
_METRICS = "__metricscontainers"  # the accumulator in which Beam's runner keeps a job's metrics


class Slots(NamedTuple):
    """What a cluster can do at once."""

    total: int
    free: int
    task_managers: int


class FlinkCluster:
    """One cluster, at http://HOST:PORT.

    Raises:
        RunError: From any method: it does not answer, or refuses.
    """

    def __init__(self, address: str, *, patience: float = PATIENCE) -> None:
        self.address = address
        self._patience = patience
        self._http = requests.Session()

    def slots(self) -> Slots:
        """Its slots now. Raises ConfigurationError if nothing that answers there is a Flink."""
        try:
            found = self._http.get(f"{self.address}/v1/overview", timeout=_SECONDS).json()
            return Slots(found["slots-total"], found["slots-available"], found["taskmanagers"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"no Flink answers at --flink_master {self.address} ({type(error).__name__}); start one with "
                "flink/cluster.sh up, or correct the address"
            ) from None

    def submit(self, jar: Path, *, uber: bool) -> str:
        """Upload a job jar and start its job; the job's id.

        Args:
            jar: The jar.
            uber: The jar brings the runner along.
        """
        with jar.open("rb") as file:
            uploaded = self._call("POST", "/v1/jars/upload", files={"jarfile": (jar.name, file)})
        name = str(uploaded["filename"]).rsplit("/", 1)[-1]
        try:
            entry = {"entryClass": _UBER_ENTRY if uber else _SESSION_ENTRY}
            return str(self._call("POST", f"/v1/jars/{name}/run", json=entry)["jobid"])
        except RunError as error:
            if _SESSION_ENTRY in str(error) and "was not found" in str(error):
                raise ConfigurationError(
                    f"the Flink at {self.address} has no beam-pcc-flink-runner.jar in its lib folder; put it there, or "
                    "send it along with --flink_job_server_jar FILE (docs/flink.md)"
                ) from None
            raise
        finally:  # the job has its own copy
            with contextlib.suppress(RunError):
                self._call("DELETE", f"/v1/jars/{name}")

    def find(self, job_name: str) -> str | None:
        """The id of the job of that name that has not ended."""
        for job in self._call("GET", "/v1/jobs/overview")["jobs"]:
            if job["name"] == job_name and job["state"] not in ENDED:
                return str(job["jid"])
        return None

    def state(self, job: str) -> str:
        """RUNNING, RESTARTING, FINISHED, ...; waits for a JobManager that does not answer, up to `patience`."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return str(self._call("GET", f"/v1/jobs/{job}")["state"])
            except _NoAnswerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1.0)

    def failure(self, job: str) -> str:
        """Why a job failed: the text of a Java stack trace, with what the Python worker said in it."""
        found = self._call("GET", f"/v1/jobs/{job}/exceptions")
        return str(found.get("root-exception") or "Flink names no cause")

    def metrics(self, job: str) -> PortableMetrics:
        """Beam's metrics of the job so far; what was counted by attempts that failed is in them."""
        found = self._call("GET", f"/v1/jobs/{job}/accumulators").get("user-task-accumulators", [])
        response = beam_job_api_pb2.GetJobMetricsResponse()
        for accumulator in found:
            if accumulator["name"] == _METRICS:
                json_format.Parse(accumulator["value"], response)
        return PortableMetrics(response)

    def cancel(self, job: str) -> None:
        """Ask for the job's end."""
        self._call("PATCH", f"/v1/jobs/{job}?mode=cancel")

    def job_page(self, job: str) -> str:
        """Where a person sees the job."""
        return f"{self.address}/#/job/{job}/overview"

    def _call(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        try:
            answer = self._http.request(method, f"{self.address}{path}", timeout=_SECONDS, **more)
        except requests.RequestException as error:
            raise _NoAnswerError(
                f"the Flink at {self.address} does not answer ({type(error).__name__}); look at its JobManager, and "
                "run again"
            ) from None
        if answer.status_code == requests.codes.not_found and "/jobs/" in path:
            raise RunError(
                f"the Flink at {self.address} does not know the job any more: its JobManager started anew; run again"
            )
        if not answer.ok:
            raise RunError(f"the Flink at {self.address} refused: {_cause(answer.text)}")
        parsed: Mapping[str, Any] = answer.json() if answer.text else {}
        return parsed


class _NoAnswerError(RunError):
    """The JobManager could not be reached, or broke off."""


def _cause(text: str) -> str:
    """The last cause in what Flink's REST answers with: a JSON list of stack traces."""
    try:
        trace = "\n".join(json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        trace = text
    return last_cause(trace)


def last_cause(trace: str) -> str:
    """The innermost `Caused by:` of a Java stack trace in one line, or its first line."""
    causes = [line.partition("Caused by: ")[2] for line in trace.splitlines() if "Caused by: " in line]
    lines = [line for line in trace.splitlines() if line.strip()]
    return one_line(causes[-1] if causes else lines[0] if lines else "no word", 240)


def counters(metrics: PortableMetrics, namespace: str) -> dict[str, int]:
    """Counter name to its value, of one namespace, summed over the steps that count it."""
    found: dict[str, int] = {}
    results: list[MetricResult] = metrics.query()["counters"]
    for result in results:
        if result.key.metric.namespace == namespace:
            name = result.key.metric.name
            found[name] = found.get(name, 0) + int(result.result or 0)
    return found
