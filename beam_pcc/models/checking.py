"""Loads a model for the first time in a separate process with limits on memory and time.

A second defence, in case the reader of model files does not refuse a hostile one. The process gets the bytes but no
credentials of the environment, cannot write files, and returns one answer. If it is killed or exceeds a limit, the file
is refused in one line. This process does not check a digest again that has passed.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.config import settings
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.models import folding

MEMORY_BYTES = 2 * 2**30
"""Of address space: the libraries take 0.5 GB. A valid forest of 225 MiB takes 0.7 GB of memory, and 3 s of CPU."""
CPU_SECONDS = 40
WALL_SECONDS = 120.0
_MAX_ANSWER = 4 * 2**20
_ENVIRONMENT = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PATH",
    "SYSTEMROOT",
    "TMPDIR",
    "VIRTUAL_ENV",
)
_LENGTH = struct.Struct("<Q")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from beam_pcc.models import checking; checking.answer_parent()"
)


class Checked(NamedTuple):
    """The result of the process: the model's classes, the probabilities of the vectors, and what gave them."""

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64] | None
    decision: folding.Decision


_passed: dict[tuple[Any, ...], Checked] = {}


def check(
    data: bytes,
    *,
    file_format: str,
    where: str,
    sha256: str,
    classes: Sequence[str] | None = None,
    vectors: schemas.Vectors | None = None,
    threshold: float = 0.5,
) -> Checked:
    """Load and check a model in a separate process.

    Args:
        data: The file.
        file_format: joblib, skops or onnx.
        where: Names the file in errors.
        sha256: Its digest.
        classes: The required classes.
        vectors: (n, 584) to score.
        threshold: Of P(PC), see `folding.decide`.

    Raises:
        ModelError: It was refused, or the process died or exceeded a limit.
    """
    scored = None if vectors is None else np.ascontiguousarray(vectors, dtype="<f4").tobytes()
    required = None if classes is None else tuple(classes)
    key = (sha256, file_format, required, scored and hashlib.sha256(scored).digest(), threshold)
    if key not in _passed:
        request = {
            "file_format": file_format,
            "where": where,
            "classes": required,
            "threshold": threshold,
            "limits": [MEMORY_BYTES, CPU_SECONDS],
            "sizes": [len(data), len(scored or b"")],
        }
        answer = _run_process(request, [data, scored or b""], where)
        _passed[key] = _parse_answer(answer, sha256, where, None if vectors is None else len(vectors))
    return _passed[key]


def _run_process(request: dict[str, Any], contents: list[bytes], where: str) -> bytes:
    header = json.dumps(request).encode()
    environment = settings.passed_on(_ENVIRONMENT)
    # Each thread would take address space, and checking needs one.
    environment |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(  # noqa: S603 - this Python, and our own code
        [sys.executable, "-I", "-B", "-c", _START, json.dumps(sys.path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    timed_out = threading.Event()

    def kill() -> None:
        timed_out.set()
        process.kill()

    timer = threading.Timer(WALL_SECONDS, kill)
    timer.daemon = True
    timer.start()
    try:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 # nosec B101 - for mypy
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            for part in (_LENGTH.pack(len(header)), header, *contents):
                pipe.write(part)
        answer = process.stdout.read(_MAX_ANSWER)
        process.stdout.close()
        status = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    if timed_out.is_set():
        raise ModelError(f"{where} is not loaded within {WALL_SECONDS:.0f} s; do not use it, or train a smaller model")
    if status:
        raise ModelError(f"{where} {_exit_reason(status)}; do not use it, or train a smaller model")
    return answer


def _exit_reason(status: int) -> str:
    if status == -signal.SIGXCPU:
        return f"takes more than {CPU_SECONDS} s of CPU time to load"
    if status == -signal.SIGKILL:
        return "cannot be loaded: the process that tried was killed, perhaps for want of memory"
    if status < 0:
        return f"cannot be loaded: the process that tried died of {signal.Signals(-status).name}"
    return f"cannot be loaded: the process that tried ended with status {status}"


def _parse_answer(answer: bytes, sha256: str, where: str, rows: int | None) -> Checked:
    """Parse and validate the answer. The model may have taken over the process, so nothing in it is trusted."""
    try:
        result = json.loads(answer)
        if "refused" in result:
            raise ModelError(one_line(result["refused"], 400))
        classes = tuple(result["classes"])
        if (
            result["sha256"] != sha256
            or type(result["classes"]) is not list
            or not all(isinstance(name, str) for name in classes)
        ):
            raise ValueError("another file")
        probabilities = None
        if rows is not None:
            probabilities = np.array(result["probabilities"], dtype=np.float64)
            if probabilities.shape != (rows, len(classes)):
                raise ValueError("other rows")
        scorer, reason = result["decision"]
        if scorer not in get_args(folding.Scorer) or type(reason) is not str:
            raise ValueError("another scorer")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(
            f"{where} cannot be loaded: the process that tried gave no sound answer; do not use it"
        ) from None
    return Checked(classes, probabilities, folding.Decision(scorer, one_line(reason, 200)))


def answer_parent() -> None:
    """Run in the separate process: read the request, set the limits, load the model, write the answer."""
    gc.disable()  # it would scan millions of small objects repeatedly
    source, target = sys.stdin.buffer, os.dup(1)
    os.dup2(2, 1)  # keep the output of libraries out of the answer
    request = json.loads(source.read(_LENGTH.unpack(source.read(_LENGTH.size))[0]))
    _import_libraries(request["file_format"])  # with too little memory an import fails in ways that blame the file
    memory, seconds = request["limits"]
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # the system has a lower limit, or does not support it
            resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
    try:
        answer = _load_and_score(request, *(source.read(size) for size in request["sizes"]))
    except MemoryError:
        answer = {"refused": f"{request['where']} takes more than {memory:,} bytes of memory; train a smaller model"}
    except (ModelError, ConfigurationError) as error:
        answer = {"refused": str(error)}
    with os.fdopen(target, "wb") as out:
        out.write(json.dumps(answer).encode())
    os._exit(0)  # without the exit handlers of libraries


def _import_libraries(file_format: str) -> None:
    with contextlib.suppress(ImportError):  # loading says what is missing
        importlib.import_module("onnxruntime" if file_format == "onnx" else "sklearn.calibration")


def _load_and_score(request: dict[str, Any], data: bytes, scored: bytes) -> dict[str, Any]:
    from beam_pcc.models import artifact, scoring

    where = request["where"]
    model = artifact.load(data, file_format=request["file_format"], where=where, classes=request["classes"])
    classes = artifact.check_classifier(model, where=where, classes=request["classes"])
    vectors = np.frombuffer(scored, "<f4").reshape(-1, schemas.VECTOR_DIM)
    decision = folding.decide(model, vectors, request["threshold"])
    model = folding.apply(decision.scorer, model)
    # NaN is not valid JSON, and differs from any golden score anyway.
    probabilities = np.nan_to_num(scoring.score(model, vectors).probabilities, nan=-1.0) if len(vectors) else None
    return {
        "sha256": artifact.digest(data),
        "classes": classes,
        "decision": decision,
        "probabilities": [] if probabilities is None else probabilities.tolist(),
    }
