"""Translates the stack trace of a failed Flink job into one of our errors. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from beam_pcc.errors import PccError, RunError
from beam_pcc.errors.messages import from_runner
from beam_pcc.flink.rest import last_cause

_KNOWN = (
    (
        "NoResourceAvailableException",
        "Flink has too few free slots for the job: wait until other jobs have ended, add TaskManagers, or lower "
        "--parallelism",
    ),
    (
        "Insufficient number of network buffers",
        "Flink's TaskManagers have too few network buffers: raise taskmanager.memory.network.fraction, or lower "
        "--parallelism (docs/flink.md)",
    ),
    (
        "java.lang.OutOfMemoryError",
        "a TaskManager is out of memory: raise taskmanager.memory.process.size (docs/flink.md)",
    ),
    (
        "java.io.IOException: No space left on device",
        "the disk of a TaskManager is full: free space in its io.tmp.dirs (/tmp unless set), or give it a larger disk",
    ),
)
# Flink's messages for a TaskManager whose process, pod or node is gone, and not only busy.
_LOST_TASK_MANAGER = re.compile(
    r"Heartbeat of TaskManager with id \S+ timed out|TaskManager with id \S+ is no longer reachable"
    r"|unexpectedly closed by remote task ?manager|remote task ?manager was lost"
    r"|TaskExecutor .*(?:disconnected|shutting down)",
    re.IGNORECASE,
)
_NO_POOL = re.compile(r"UNAVAILABLE: io exception|Connection refused: (?:localhost|127\.0\.0\.1)/", re.IGNORECASE)
_LOST_WORKER = re.compile(
    r"SDK Harness .*(?:died|shut ?down|disconnected)|CANCELLED: (?:client cancelled|call already)"
    r"|Multiplexer hanging up|Client terminated",
    re.IGNORECASE,
)


def explain(trace: str, *, worker_pool: str, history: Sequence[str] = ()) -> PccError:
    """The error for the stack trace of a failed job.

    Args:
        trace: A Java stack trace from Flink's REST API; it contains Python exceptions of workers as text.
        worker_pool: The address of the Python workers.
        history: Traces of earlier failures. Too few slots after a lost TaskManager are reported as the loss.
    """
    if "beam_pcc.errors." in trace:
        return from_runner(RuntimeError(trace))
    before = history if "NoResourceAvailableException" in trace else ()
    if any(_LOST_TASK_MANAGER.search(text) for text in (trace, *before)):
        return RunError(
            "a TaskManager was lost and none took its place: look at its log and its memory, start one, and run again"
        )
    for pattern, message in _KNOWN:
        if pattern in trace:
            return RunError(message)
    if _NO_POOL.search(trace):
        return RunError(
            f"no pool of Python workers answers at {worker_pool} beside the TaskManager: start it (flink/cluster.sh up "
            "does), or say where it is with --environment_config"
        )
    if "Error received from SDK harness" in trace:  # a Python exception that is none of our errors
        return from_runner(RuntimeError(trace))
    if _LOST_WORKER.search(trace):
        return RunError(
            "the Python workers died again and again; look at their log for why (memory, most likely), and run again"
        )
    return RunError(f"the Flink job failed: {last_cause(trace)}; its JobManager's log tells more")
