"""Loads model files in separate processes, as `beam_pcc.models.checking` does, and reports time and memory.

Called as a script, it reads lines of JSON {name, format, path} and writes lines of JSON. It forks: that saves the
imports, and it has no threads.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from beam_pcc.errors import ModelError
from beam_pcc.models import checking
from tests.forking import forked


def _load(path: str, file_format: str) -> dict[str, Any]:
    request = {"file_format": file_format, "where": "models/v1/model.file", "classes": None}
    try:
        result = checking._load_and_score(request, Path(path).read_bytes(), b"")
    except ModelError as error:
        chained = error.__cause__ is not None or not (error.__suppress_context__ or error.__context__ is None)
        return {"message": str(error), "exit_code": error.exit_code, "chained": chained}
    return {"message": f"loads: {result['classes']}", "exit_code": 0, "chained": False}


def _try(path: str, file_format: str) -> dict[str, Any]:
    def act() -> dict[str, Any]:
        gc.disable()  # as there
        resource.setrlimit(resource.RLIMIT_AS, (checking.MEMORY_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (checking.CPU_SECONDS,) * 2)
        return _load(path, file_format)

    started = time.monotonic()
    ended = forked(act, lambda error: {"message": f"raises {type(error).__name__}", "exit_code": -1, "chained": True})
    return {
        **(ended.result or {"message": "nothing", "exit_code": -1, "chained": False}),
        "status": ended.status,
        "megabytes": ended.used.ru_maxrss // 1024,
        "cpu_seconds": ended.used.ru_utime + ended.used.ru_stime,
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
