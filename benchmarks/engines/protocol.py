"""How an engine is driven: a process that runs once, or as often as it is asked to once it is warm.

    python engines/NAME.py SOURCE MODEL OUTPUT           one run, for the time of a whole process
    python engines/NAME.py SOURCE MODEL OUTPUT --warm    one run to get warm, then one for each line on stdin

When it is warm, and after each run, it prints a line of JSON: `seconds` of the run. An engine needs NumPy, PyArrow,
scikit-learn and its own packages, nothing of beam_pcc: what all of them compute is in `scoring.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    """What is read, by which model it is scored, and the folder of Parquet files (or the warehouse) that is written."""

    source: Path
    model: Path
    output: Path

    @property
    def files(self) -> list[str]:
        return sorted(str(file) for file in self.source.glob("*.parquet"))


def serve(run: Callable[[Job], object]) -> None:
    """Run once, or once for each line on stdin."""
    job = Job(*(Path(argument) for argument in sys.argv[1:4]))
    _say(run, job)
    if "--warm" in sys.argv:
        for _ in sys.stdin:
            _say(run, job)


def _say(run: Callable[[Job], object], job: Job) -> None:
    shutil.rmtree(job.output, ignore_errors=True)
    job.output.mkdir(parents=True)
    started = time.perf_counter()
    run(job)
    print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
