"""The one-line errors of failed Flink jobs. The traces are excerpts of real ones."""

import pytest

from beam_pcc.errors import EXIT_FAILED, EXIT_USAGE, ModelError, SourceError
from beam_pcc.flink.explain import explain
from beam_pcc.flink.rest import last_cause

POOL = "localhost:50000"
OF_PYTHON = """org.apache.flink.runtime.JobException: Recovery is suppressed by FixedDelayRestartBackoffTimeStrategy(3)
\tat org.apache.flink.runtime.executiongraph.failover.ExecutionFailureHandler.handleFailure
Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 5: Traceback:
  File "apache_beam/runners/common.py", line 1598, in apache_beam.runners.common.DoFnRunner.process
beam_pcc.errors.{kind}: {words} [while running 'Read/Parts']
"""


@pytest.mark.parametrize(
    ("kind", "expected", "code"), [("SourceError", SourceError, EXIT_FAILED), ("ModelError", ModelError, EXIT_USAGE)]
)
def test_error_of_a_worker_is_restored(kind: str, expected: type, code: int) -> None:
    error = explain(OF_PYTHON.format(kind=kind, words="cases.parquet is cut off; write it again"), worker_pool=POOL)

    assert type(error) is expected
    assert str(error) == "cases.parquet is cut off; write it again"
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (
            "Caused by: org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: Could not acquire",
            "too few free slots",
        ),
        ("Caused by: java.io.IOException: Insufficient number of network buffers: required 1026", "network buffers"),
        ("Caused by: java.lang.OutOfMemoryError: Java heap space", "taskmanager.memory.process.size"),
        ("Caused by: java.io.IOException: No space left on device", "free space in its io.tmp.dirs"),
        (
            "Caused by: A: UNAVAILABLE: io exception",
            f"no pool of Python workers answers at {POOL}",
        ),
        ("Caused by: StatusRuntimeException: CANCELLED: client cancelled", "the Python workers died again and again"),
    ],
)
def test_known_flink_error_names_remedy(trace: str, words: str) -> None:
    error = explain(
        f"org.apache.flink.runtime.JobException: Recovery is suppressed\n{trace}\n\tat a.b", worker_pool=POOL
    )

    assert words in str(error)
    assert error.exit_code == EXIT_FAILED


def test_unknown_error_is_its_innermost_cause() -> None:
    trace = "java.lang.A: outer\n\tat x\nCaused by: java.lang.B: middle\n\tat y\nCaused by: java.lang.C: inner\n\tat z"

    assert last_cause(trace) == "java.lang.C: inner"
    assert str(explain(trace, worker_pool=POOL)) == (
        "the Flink job failed: java.lang.C: inner; its JobManager's log tells more"
    )


def test_trace_without_cause_is_its_first_line() -> None:
    assert last_cause("\njava.lang.A: only\n\tat x") == "java.lang.A: only"
    assert last_cause("") == "no message"


@pytest.mark.parametrize(
    "words",
    [
        "java.util.concurrent.TimeoutException: Heartbeat of TaskManager with id localhost:4-2b timed out.",
        "JobMasterException: TaskManager with id localhost:45239-7c31f4 is no longer reachable.",
        "RemoteTransportException: Connection unexpectedly closed by remote task manager 'localhost/127.0.0.1:39'. "
        "This might indicate that the remote task manager was lost.",
    ],
)
def test_too_few_slots_after_lost_task_manager_is_the_loss(words: str) -> None:
    error = explain("NoResourceAvailableException: Could not acquire", worker_pool=POOL, history=["other", words])

    assert "a TaskManager was lost" in str(error)
    assert "a TaskManager was lost" in str(explain(words, worker_pool=POOL))


def test_earlier_loss_does_not_hide_later_failure() -> None:
    history = ["TaskManager with id localhost:1 is no longer reachable"]
    trace = OF_PYTHON.format(kind="SourceError", words="gone")
    assert str(explain(trace, worker_pool=POOL, history=history)) == "gone"
    assert "network buffers" in str(
        explain("Insufficient number of network buffers", worker_pool=POOL, history=history)
    )
