"""Loads model files in separate processes, as `beam_pcc.models.checking` does, and reports time and memory.

Called as a script, it reads lines of JSON {name, format, path} and writes lines of JSON. It forks: that saves the
imports, and it has no threads.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from beam_pcc.errors import ModelError
from beam_pcc.models import checking


def _load(path: str, file_format: str) -> dict[str, Any]:
    request = {"file_format": file_format, "where": "models/v1/model.file", "classes": None}
    try:
        result = checking._load_and_score(request, Path(path).read_bytes(), b"")
    except ModelError as error:
        chained = error.__cause__ is not None or not (error.__suppress_context__ or error.__context__ is None)
        return {"message": str(error), "exit_code": error.exit_code, "chained": chained}
    return {"message": f"loads: {result['classes']}", "exit_code": 0, "chained": False}


def _try(path: str, file_format: str) -> dict[str, Any]:
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(reader)
        gc.disable()  # as there
        resource.setrlimit(resource.RLIMIT_AS, (checking.MEMORY_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (checking.CPU_SECONDS,) * 2)
        try:
            answer = _load(path, file_format)
        except BaseException as error:
            answer = {"message": f"raises {type(error).__name__}", "exit_code": -1, "chained": True}
        with os.fdopen(writer, "w") as out:
            json.dump(answer, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child, 0)
    return {
        **(json.loads(text) if text else {"message": "nothing", "exit_code": -1, "chained": False}),
        "status": os.waitstatus_to_exitcode(status),
        "megabytes": used.ru_maxrss // 1024,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    import sklearn.calibration
    import sklearn.ensemble
    import sklearn.frozen
    import sklearn.pipeline  # noqa: F401 - so that the forks have them

    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps({"name": request["name"], **_try(request["path"], request["format"])}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
