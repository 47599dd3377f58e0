"""One run from Parquet to the published table: as a function, and as a process that says how long and how much memory.

usage: one_run.py SOURCE_FOLDER MODELS WORK_FOLDER
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import beam_pcc  # noqa: F401 - before pyarrow, whose allocator it chooses
import data
from beam_pcc.config.settings import RunConfig
from beam_pcc.models.registry import Registry
from beam_pcc.pipeline.options import beam_options
from beam_pcc.pipeline.run import run
from beam_pcc.publishing.publish import Outcome


def publish(source: Path | str, models: Path, work: Path, beam_arguments: Sequence[str] = ()) -> Outcome:
    """Run a folder of Parquet files, or an address, into a new warehouse in `work`, as the command line would."""
    shutil.rmtree(work, ignore_errors=True)
    address = f"{source}/*.parquet" if isinstance(source, Path) else source
    config = RunConfig.of(data.DAY, source=address, warehouse=str(work / "pcc.duckdb"), models=str(models))
    outcome = run(config, beam_options(list(beam_arguments)))
    if outcome.exit_code:
        raise RuntimeError(f"the run was not published: {outcome.monitoring.error_message}")
    return outcome


def quiet() -> None:
    """Beam warns about what it lacks here (Google's clients): nothing that is measured."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)


def peak_memory() -> int:
    """Bytes: VmHWM, the largest resident set of this process (ru_maxrss can be the parent's, before exec)."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


if __name__ == "__main__":
    quiet()
    registry = Registry(sys.argv[2])
    registry.load(registry.resolve())  # imports scikit-learn, as every process has to once
    before = peak_memory()
    started = time.perf_counter()
    publish(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak_memory(), "before": before}))
