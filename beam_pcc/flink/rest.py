"""A Flink cluster's REST API, as far as a run needs it: submit a job, watch it, cancel it.

What may be asked twice (all but the start of a job and an upload) is asked again for `patience` seconds after a
transient error: a broken or silent connection, an answer that is not JSON, 408, 429 or 5xx.
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


class Failure(NamedTuple):
    """Why a job failed: texts of Java stack traces, with what a Python worker said in them."""

    root: str
    history: tuple[str, ...] = ()  # of the failures before that Flink recovered from, or tried to


class Progress(NamedTuple):
    """How far a job is. Two that are equal mean that nothing happened in between."""

    state: str
    figures: tuple[Any, ...]
    steps: tuple[str, ...]  # names of those that run
    counted: dict[str, int]  # Beam's counters

    def same(self, other: Progress) -> bool:
        """Whether nothing happened between the two."""
        return (self.state, self.figures) == (other.state, other.figures)


class FlinkCluster:
    """One cluster, at http://HOST:PORT.

    Args:
        address: Of its REST API.
        patience: Seconds to ask again for.
        seconds: For one call.

    Raises:
        RunError: From any method: it does not answer, or refuses.
    """

    def __init__(self, address: str, *, patience: float = PATIENCE, seconds: float = _SECONDS) -> None:
        self.address = address
        self._patience = patience
        self._seconds = seconds
        self._http = requests.Session()

    def slots(self) -> Slots:
        """Its slots now. Raises ConfigurationError if nothing that answers there is a Flink."""
        try:
            first = self._http.get(f"{self.address}/v1/overview", timeout=self._seconds)
            # Nobody there, or somebody else, is told at once; a Flink that is starting is asked again.
            found = self.get("/v1/overview") if first.status_code >= 500 else first.json()
            return Slots(found["slots-total"], found["slots-available"], found["taskmanagers"])
        except (requests.RequestException, RunError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"no Flink answers at --flink_master {self.address} ({type(error).__name__.strip('_')}); start one "
                "with flink/cluster.sh up, or correct the address"
            ) from None

    def submit(self, jar: Path, *, uber: bool, job_name: str | None = None) -> str:
        """Upload a job jar and start its job; the job's id.

        Args:
            jar: The jar.
            uber: The jar brings the runner along.
            job_name: Of this job only: if the answer is lost, the job is found again by it and not started twice.
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

    def find(self, job_name: str, *, patience: float | None = None) -> str | None:
        """The id of the job of that name that has not ended."""
        for job in self.get("/v1/jobs/overview", patience=patience)["jobs"]:
            if job["name"] == job_name and job["state"] not in ENDED:
                return str(job["jid"])
        return None

    def state(self, job: str, *, patience: float | None = None) -> str:
        """RUNNING, RESTARTING, FINISHED, ..."""
        return str(self.get(f"/v1/jobs/{job}", patience=patience)["state"])

    def failure(self, job: str) -> Failure:
        """Why a job failed, and what went wrong before."""
        return failure(self.get, job)

    def metrics(self, job: str, *, patience: float | None = None) -> PortableMetrics:
        """Beam's metrics of the job so far; what was counted by attempts that failed is in them."""
        return PortableMetrics(_beam_metrics(self.get(f"/v1/jobs/{job}/accumulators", patience=patience)))

    def cancel(self, job: str, *, patience: float | None = None) -> None:
        """Ask for the job's end."""
        self._call("PATCH", f"/v1/jobs/{job}?mode=cancel", patience=patience)

    def job_page(self, job: str) -> str:
        """Where a person sees the job."""
        return f"{self.address}/#/job/{job}/overview"

    def get(self, path: str, *, patience: float | None = None) -> Mapping[str, Any]:
        """What it answers; `patience` other than the cluster's own is for who cannot wait so long."""
        return self._call("GET", path, patience=patience)

    def _call(self, method: str, path: str, *, patience: float | None = None, **more: Any) -> Mapping[str, Any]:
        patience = self._patience if patience is None else patience
        deadline = time.monotonic() + (0.0 if method == "POST" else patience)
        try:
            return retry(lambda: self._call_once(method, path, **more), lambda: deadline - time.monotonic())
        except requests.HTTPError as error:
            answer = cast(requests.Response, error.response)
            if answer.status_code == requests.codes.not_found and "/jobs/" in path:
                raise RunError(
                    f"the Flink at {self.address} does not know the job any more: its JobManager started anew; run "
                    "again"
                ) from None
            raise RunError(f"the Flink at {self.address} refused: {_cause(answer.text)}") from None
        except requests.RequestException as error:
            raise _NoAnswerError(
                f"the Flink at {self.address} does not answer ({type(error).__name__}); look at its JobManager, and "
                "run again"
            ) from None

    def _call_once(self, method: str, path: str, **more: Any) -> Mapping[str, Any]:
        answer = self._http.request(method, f"{self.address}{path}", timeout=self._seconds, **more)
        answer.raise_for_status()
        parsed: Mapping[str, Any] = answer.json() if answer.text else {}
        return parsed


def progress(get: Callable[[str], Any], job: str | None) -> Progress | None:
    """How far a job is; None if Flink does not tell it now.

    Args:
        get: Gives what Flink's REST API answers to a path; None or a RunError if it does not.
        job: Its id; None for the only job of an application cluster.
    """
    try:
        job = job or next(iter(get("/v1/jobs")["jobs"]))["id"]
        told, accumulators = get(f"/v1/jobs/{job}"), get(f"/v1/jobs/{job}/accumulators")
        vertices = told["vertices"]
        beam = _beam_metrics(accumulators)
        counted: dict[str, int] = {}
        for result in PortableMetrics(beam).query()["counters"]:
            name = result.key.metric.name
            counted[name] = counted.get(name, 0) + int(result.result or 0)
        infos = [*beam.metrics.attempted, *beam.metrics.committed]
        figures = (
            *((v["id"], v["status"], sorted(v["tasks"].items()), sorted(_counted(v["metrics"]))) for v in vertices),
            *sorted(info.SerializeToString(deterministic=True) for info in infos),
        )
        running = tuple(str(v["name"]) for v in vertices if v["status"] == "RUNNING")
        return Progress(str(told["state"]), figures, running, counted)
    except (RunError, LookupError, TypeError, ValueError, AttributeError, StopIteration, json_format.ParseError):
        return None


def failure(get: Callable[[str], Any], job: str) -> Failure:
    """Why a job failed, and what went wrong before."""
    found = get(f"/v1/jobs/{job}/exceptions?maxExceptions=20") or {}
    entries = (found.get("exceptionHistory") or {}).get("entries") or []
    several = [one for entry in entries for one in (entry, *(entry.get("concurrentExceptions") or []))]
    history = tuple(f"{one.get('exceptionName')}\n{one.get('stacktrace')}" for one in several)
    return Failure(str(found.get("root-exception") or "Flink names no cause"), history)


def _counted(metrics: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Records and bytes of a vertex; the times that Flink adds up beside them pass while nothing happens."""
    return [(name, value) for name, value in metrics.items() if name.startswith(("read-", "write-"))]


def _beam_metrics(accumulators: Mapping[str, Any]) -> beam_job_api_pb2.GetJobMetricsResponse:
    response = beam_job_api_pb2.GetJobMetricsResponse()
    for accumulator in accumulators.get("user-task-accumulators", []):
        if accumulator["name"] == _METRICS:
            json_format.Parse(accumulator["value"], response)
    return response


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
