"""Retries of requests to Flink's REST API, with a fake server."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pcc import progress
from beam_pcc.errors import ConfigurationError, RunError, retrying
from beam_pcc.errors.retrying import Pauses
from beam_pcc.flink import runner
from beam_pcc.flink.rest import FlinkCluster, Slots
from beam_pcc.flink.runner import SessionResult
from tests.flink.rest_api import CUT, JOB, NO_JSON, SILENT, Flink, serving

POOL = "localhost:50000"
LOST = "org.apache.flink.runtime.JobMasterException: TaskManager with id 10.0.0.7:6122-2b is no longer reachable."
NO_SLOTS = "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: Could not acquire the minimum"


@pytest.fixture
def flink(monkeypatch: pytest.MonkeyPatch) -> Flink:
    monkeypatch.setattr(retrying, "PAUSES", Pauses(0.01, 0.01))
    monkeypatch.setattr(runner, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(runner, "_COUNT_INTERVAL", 0.0)
    return Flink(counters={"rows_read": 5, "rows_scored": 4, "rows_rejected_missing_vector": 1})


@pytest.fixture
def cluster(flink: Flink) -> Iterator[FlinkCluster]:
    with serving(flink) as address:
        yield FlinkCluster(address, retry_timeout=20.0, timeout=0.2)


GETS: list[tuple[str, Callable[[FlinkCluster], Any]]] = [
    ("GET v1/overview", lambda cluster: cluster.slots()),
    (f"GET v1/jobs/{JOB}", lambda cluster: cluster.state(JOB)),
    (f"GET v1/jobs/{JOB}/exceptions", lambda cluster: cluster.failure(JOB)),
    (f"GET v1/jobs/{JOB}/accumulators", lambda cluster: cluster.metrics(JOB)),
    ("GET v1/jobs/overview", lambda cluster: cluster.find("pcc-job")),
    ("PATCH v1/jobs/", lambda cluster: cluster.cancel(JOB)),
]


@pytest.mark.parametrize("status", [500, 503, 429, CUT, SILENT, NO_JSON])
@pytest.mark.parametrize(("request_", "call"), GETS[1:], ids=[name for name, _ in GETS[1:]])
def test_idempotent_request_is_retried(
    flink: Flink, cluster: FlinkCluster, request_: str, call: Callable[[FlinkCluster], Any], status: int
) -> None:
    flink.faults.append([request_, status, 2])
    call(cluster)
    assert flink.faults[0][2] == 0


def test_starting_flink_is_retried(flink: Flink, cluster: FlinkCluster) -> None:
    flink.faults.append(["GET v1/overview", 503, 2])
    assert cluster.slots() == Slots(2, 2, 1)


def test_other_server_at_address_is_not_retried(flink: Flink, cluster: FlinkCluster) -> None:
    flink.faults.append(["GET v1/overview", NO_JSON, 99])
    with pytest.raises(ConfigurationError, match="no Flink answers at --flink_master"):
        cluster.slots()
    assert len(flink.requests) == 1


def test_retries_end_after_timeout(flink: Flink, cluster: FlinkCluster) -> None:
    flink.faults.append(["GET", 503, 999])
    with pytest.raises(RunError, match="refused: on purpose"):
        FlinkCluster(cluster.address, retry_timeout=0.1).state(JOB)
    assert len(flink.requests) > 1


def test_unknown_job_is_not_retried(flink: Flink, cluster: FlinkCluster) -> None:
    with pytest.raises(RunError, match="does not know the job any more"):
        cluster.state("f" * 32)
    assert len(flink.requests) == 1


def test_job_is_not_started_twice(flink: Flink, cluster: FlinkCluster, tmp_path: Path) -> None:
    (tmp_path / "job.jar").write_bytes(b"")
    flink.faults.append(["POST v1/jars/a_job.jar/run", CUT, 1])

    assert cluster.submit(tmp_path / "job.jar", uber=False, job_name="pcc-job") == JOB
    assert sum(request.endswith("/run") for request in flink.requests) == 1


def test_refused_start_is_not_retried(flink: Flink, cluster: FlinkCluster, tmp_path: Path) -> None:
    (tmp_path / "job.jar").write_bytes(b"")
    flink.faults.append(["POST v1/jars/a_job.jar/run", 500, 1])
    with pytest.raises(RunError, match="refused: on purpose"):
        cluster.submit(tmp_path / "job.jar", uber=False, job_name="pcc-job")


@pytest.mark.parametrize("status", [404, 500, CUT, SILENT, NO_JSON])
def test_failed_progress_request_cancels_nothing(
    flink: Flink, cluster: FlinkCluster, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "beam_pcc")
    progress.counts.replace({})
    flink.faults.append([f"GET v1/jobs/{JOB}/accumulators", status, 1])
    result = SessionResult(_Finishes(flink, cluster, after=5), JOB, POOL)

    assert result.wait_until_finish() == "DONE"
    assert "its counters cannot be read now" in caplog.text
    assert progress.counts.now() == flink.counters  # the next time
    assert not any(request.startswith("PATCH") for request in flink.requests)


def test_lost_task_manager_is_reported(flink: Flink, cluster: FlinkCluster) -> None:
    flink.state = "FAILED"
    flink.exceptions = {
        "root-exception": f"org.apache.flink.runtime.JobException: Recovery is suppressed\nCaused by: {NO_SLOTS}",
        "exceptionHistory": {
            "entries": [
                {"exceptionName": "NoResourceAvailableException", "stacktrace": NO_SLOTS, "timestamp": 2},
                {
                    "exceptionName": "java.lang.Exception",
                    "stacktrace": "x",
                    "timestamp": 1,
                    "concurrentExceptions": [{"exceptionName": "JobMasterException", "stacktrace": LOST}],
                },
            ]
        },
    }
    with pytest.raises(RunError, match="a TaskManager was lost and none took its place"):
        SessionResult(cluster, JOB, POOL).wait_until_finish()


def test_too_few_slots_without_loss_are_reported(flink: Flink, cluster: FlinkCluster) -> None:
    flink.state, flink.exceptions = "FAILED", {"root-exception": NO_SLOTS}
    with pytest.raises(RunError, match="too few free slots"):
        SessionResult(cluster, JOB, POOL).wait_until_finish()


class _Finishes(FlinkCluster):
    """The cluster, whose job is finished after so many looks at it."""

    def __init__(self, flink: Flink, cluster: FlinkCluster, after: int) -> None:
        super().__init__(cluster.address, timeout=0.5)
        self._flink, self._after = flink, after

    def state(self, job: str, *, retry_timeout: float | None = None) -> str:
        self._after -= 1
        if self._after == 0:
            self._flink.state = "FINISHED"
        return super().state(job, retry_timeout=retry_timeout)
