"""A client of Flink's REST API: submit a job, watch it, cancel it.

Idempotent requests (all but the upload and the start of a job) are retried for `retry_timeout` seconds after a
transient error: a broken or silent connection, a response that is not JSON, 408, 429 or 5xx.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import requests
from apache_beam.metrics.execution import MetricResult
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import PortableMetrics
from google.protobuf import json_format

from beam_pcc.errors import ConfigurationError, RunError, one_line
from beam_pcc.errors.retrying import retry

ENDED = {"FINISHED", "FAILED", "CANCELED"}
RETRY_TIMEOUT = 60.0  # seconds: long enough for a JobManager to restart
_REQUEST_TIMEOUT = 30.0  # seconds
_SESSION_ENTRY = "beampcc.SessionJob"  # in our bundle: reads the pipeline from the uploaded jar
_UBER_ENTRY = "org.apache.beam.runners.flink.FlinkPipelineRunner"  # Beam's own: reads it from its own jar
_METRICS = "__metricscontainers"  # the accumulator in which Beam's runner stores the metrics of a job


class Slots(NamedTuple):
    """The task slots of a cluster."""

    total: int
    free: int
    task_managers: int


class Failure(NamedTuple):
    """Why a job failed: Java stack traces, which contain Python exceptions of workers as text."""

    root: str
    history: tuple[str, ...] = ()  # earlier failures, after which Flink restarted the job


class Progress(NamedTuple):
    """A snapshot of a job's progress."""

    state: str
    metrics: tuple[Any, ...]
    steps: tuple[str, ...]  # names of the running ones
    counters: dict[str, int]  # Beam's counters

    def same(self, other: Progress) -> bool:
        """Whether the job made no progress between the two snapshots."""
        return (self.state, self.metrics) == (other.state, other.metrics)


class FlinkCluster:
    """A Flink cluster.

    Args:
        address: Of its REST API: http://HOST:PORT.
        retry_timeout: Seconds to retry for.
        timeout: Seconds for one request.

    Raises:
        RunError: From any method: it does not answer, or refuses.
    """

    def __init__(
        self, address: str, *, retry_timeout: float = RETRY_TIMEOUT, timeout: float = _REQUEST_TIMEOUT
    ) -> None:
        self.address = address
        self._retry_timeout = retry_timeout
        self._timeout = timeout
        self._http = requests.Session()

    def slots(self) -> Slots:
        """Its slots now. Raises ConfigurationError if no Flink answers at the address."""
        try:
            response = self._http.get(f"{self.address}/v1/overview", timeout=self._timeout)
            # Retry only for a Flink that is starting; a wrong address is an error at once.
            overview = self.get("/v1/overview") if response.status_code >= 500 else response.json()
            return Slots(overview["slots-total"], overview["slots-available"], overview["taskmanagers"])
        except (requests.RequestException, RunError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"no Flink answers at --flink_master {self.address} ({type(error).__name__.strip('_')}); start one "
                "with flink/cluster.sh up, or correct the address"
            ) from None

    def submit(self, jar: Path, *, uber: bool, job_name: str | None = None) -> str:
        """Upload a job jar and start its job; the job's id.

        Args:
            jar: The jar.
            uber: The jar contains the runner.
            job_name: A unique name. If the response is lost, the job is looked up by it, and not started twice.
        """
        with jar.open("rb") as file:
            uploaded = self._call("POST", "/v1/jars/upload", files={"jarfile": (jar.name, file)})
        name = str(uploaded["filename"]).rsplit("/", 1)[-1]
        try:
            entry = {"entryClass": _UBER_ENTRY if uber else _SESSION_ENTRY}
            return str(self._call("POST", f"/v1/jars/{name}/run", json=entry)["jobid"])
        except _NoAnswerError:
            if job_name and (started := self.find(job_name)):
                return started
            raise
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

    def find(self, job_name: str, *, retry_timeout: float | None = None) -> str | None:
        """The id of the job of that name that has not ended."""
        for job in self.get("/v1/jobs/overview", retry_timeout=retry_timeout)["jobs"]:
            if job["name"] == job_name and job["state"] not in ENDED:
                return str(job["jid"])
        return None

    def state(self, job: str, *, retry_timeout: float | None = None) -> str:
        """RUNNING, RESTARTING, FINISHED, ..."""
        return str(self.get(f"/v1/jobs/{job}", retry_timeout=retry_timeout)["state"])

    def failure(self, job: str) -> Failure:
        """Why a job failed."""
        return failure(self.get, job)

    def metrics(self, job: str, *, retry_timeout: float | None = None) -> PortableMetrics:
        """Beam's metrics of the job so far, including those of failed attempts."""
        return PortableMetrics(_beam_metrics(self.get(f"/v1/jobs/{job}/accumulators", retry_timeout=retry_timeout)))

    def cancel(self, job: str, *, retry_timeout: float | None = None) -> None:
        """Cancel a job; does not wait for its end."""
        self._call("PATCH", f"/v1/jobs/{job}?mode=cancel", retry_timeout=retry_timeout)

    def job_page(self, job: str) -> str:
        """The job's page in Flink's UI."""
        return f"{self.address}/#/job/{job}/overview"

    def get(self, path: str, *, retry_timeout: float | None = None) -> Mapping[str, Any]:
        """The JSON response to a GET request; `retry_timeout` overrides that of the cluster."""
        return self._call("GET", path, retry_timeout=retry_timeout)

    def _call(self, method: str, path: str, *, retry_timeout: float | None = None, **more: Any) -> Mapping[str, Any]:
        retry_timeout = self._retry_timeout if retry_timeout is None else retry_timeout
        deadline = time.monotonic() + (0.0 if method == "POST" else retry_timeout)
        try:
            return retry(lambda: self._call_once(method, path, **more), lambda: deadline - time.monotonic())
        except requests.HTTPError as error:
            response = cast(requests.Response, error.response)
            if response.status_code == requests.codes.not_found and "/jobs/" in path:
                raise RunError(
                    f"the Flink at {self.address} does not know the job any more: its JobManager started anew; run "
                    "again"
                ) from None
            raise RunError(f"the Flink at {self.address} refused: {_cause(response.text)}") from None
        except requests.RequestException as error:
            raise _NoAnswerError(
                f"the Flink at {self.address} does not answer ({type(error).__name__}); look at its JobManager, and "
                "run again"
            ) from None

    def _call_once(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        response = self._http.request(method, f"{self.address}{path}", timeout=self._timeout, **more)
        response.raise_for_status()
        parsed: Mapping[str, Any] = response.json() if response.text else {}
        return parsed


def progress(get: Callable[[str], Any], job: str | None) -> Progress | None:
    """A snapshot of a job's progress; None if Flink's REST API does not provide it now.

    Args:
        get: Returns the JSON response of Flink's REST API for a path; None or a RunError if there is none.
        job: Its id; None for the only job of an application cluster.
    """
    try:
        job = job or next(iter(get("/v1/jobs")["jobs"]))["id"]
        details, accumulators = get(f"/v1/jobs/{job}"), get(f"/v1/jobs/{job}/accumulators")
        vertices = details["vertices"]
        beam = _beam_metrics(accumulators)
        counters: dict[str, int] = {}
        for result in PortableMetrics(beam).query()["counters"]:
            name = result.key.metric.name
            counters[name] = counters.get(name, 0) + int(result.result or 0)
        infos = [*beam.metrics.attempted, *beam.metrics.committed]
        metrics = (
            *((v["id"], v["status"], sorted(v["tasks"].items()), sorted(_io_metrics(v["metrics"]))) for v in vertices),
            *sorted(info.SerializeToString(deterministic=True) for info in infos),
        )
        running = tuple(str(v["name"]) for v in vertices if v["status"] == "RUNNING")
        return Progress(str(details["state"]), metrics, running, counters)
    except (RunError, LookupError, TypeError, ValueError, AttributeError, StopIteration, json_format.ParseError):
        return None


def failure(get: Callable[[str], Any], job: str) -> Failure:
    """Why a job failed."""
    response = get(f"/v1/jobs/{job}/exceptions?maxExceptions=20") or {}
    entries = (response.get("exceptionHistory") or {}).get("entries") or []
    exceptions = [one for entry in entries for one in (entry, *(entry.get("concurrentExceptions") or []))]
    history = tuple(f"{one.get('exceptionName')}\n{one.get('stacktrace')}" for one in exceptions)
    return Failure(str(response.get("root-exception") or "Flink names no cause"), history)


def _io_metrics(metrics: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Records and bytes of a vertex. Leaves out the times, which grow without progress."""
    return [(name, value) for name, value in metrics.items() if name.startswith(("read-", "write-"))]


def _beam_metrics(accumulators: Mapping[str, Any]) -> beam_job_api_pb2.GetJobMetricsResponse:
    response = beam_job_api_pb2.GetJobMetricsResponse()
    for accumulator in accumulators.get("user-task-accumulators", []):
        if accumulator["name"] == _METRICS:
            json_format.Parse(accumulator["value"], response)
    return response


class _NoAnswerError(RunError):
    """The JobManager could not be reached, or closed the connection."""


def _cause(text: str) -> str:
    """The last cause in an error response of Flink's REST API, a JSON list of stack traces."""
    try:
        trace = "\n".join(json.loads(text)["errors"])
    except (ValueError, KeyError, TypeError):
        trace = text
    return last_cause(trace)


def last_cause(trace: str) -> str:
    """The innermost `Caused by:` of a Java stack trace in one line, or its first line."""
    causes = [line.partition("Caused by: ")[2] for line in trace.splitlines() if "Caused by: " in line]
    lines = [line for line in trace.splitlines() if line.strip()]
    return one_line(causes[-1] if causes else lines[0] if lines else "no message", 240)


def counters(metrics: PortableMetrics, namespace: str) -> dict[str, int]:
    """The counters of a namespace by name, summed over the steps."""
    totals: dict[str, int] = {}
    results: list[MetricResult] = metrics.query()["counters"]
    for result in results:
        if result.key.metric.namespace == namespace:
            name = result.key.metric.name
            totals[name] = totals.get(name, 0) + int(result.result or 0)
    return totals
