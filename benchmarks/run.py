"""Measures beam_pcc against its peers on this machine: raw values as JSON, and a table that README.md explains.

It reports and never fails for being slow: a busy machine must not break a build.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import compare_engines
import figures
import one_run
import processes
import publishing
import readers
import results
import scorers
import sklearn  # noqa: F401 - loads the BLAS that is reported
import small_files
import threadpoolctl
from measuring import Bench
from results import Figure

import flink
from beam_pcc.pipeline.options import beam_options

ROOT = Path(__file__).resolve().parent.parent
FIGURES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "help": processes.command_line,
    "growth": processes.growth,
    "dicts": figures.dicts,
    "dicts-of-floats": figures.dicts_of_floats,
    "end-to-end": figures.end_to_end,
    "engines": compare_engines.engines,
    "readers": readers.readers,
    "flink": flink.flink,
    "small-files": small_files.small_files,
    "scorers": scorers.scorers,
    "publishing": publishing.publishing,
}
LIBRARIES = ("apache-beam", "pyarrow", "numpy", "scikit-learn", "duckdb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[200_000, 1_000_000], help="sizes (default: %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each figure (default: %(default)s)")
    parser.add_argument("--only", choices=FIGURES, action="append", help="just this figure; may be repeated")
    parser.add_argument("--cache", type=Path, default=ROOT / "local" / "benchmark", help="data (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        help="a folder: each benchmark is written there as JSON, and the table of its README.md, if it has one, anew",
    )
    flags = parser.parse_args()
    one_run.quiet()
    load = os.getloadavg()[0]  # before it is ours
    bench = Bench(flags.cache.absolute(), flags.repeat, sorted(flags.rows))
    with tempfile.TemporaryDirectory() as aside:
        output = flags.output or Path(aside)
        output.mkdir(parents=True, exist_ok=True)
        try:
            for name in flags.only or FIGURES:
                figures = list(FIGURES[name](bench))
                if figures:  # none where a program that it needs is missing
                    results.write(output, name, figures, _conditions(flags.repeat, load))
        finally:
            for folder in (bench.work, bench.peer_work):
                shutil.rmtree(folder, ignore_errors=True)
        print(f"\n{results.table(output)}")
    if flags.output and (flags.output / "README.md").exists():
        results.update(flags.output / "README.md")


def _conditions(repetitions: int, load: float) -> dict[str, Any]:
    """Asked when the runs are over, so that a limit they set on BLAS shows."""
    blas = max((p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"), default=1)
    options = beam_options([]).get_all_options()
    return results.conditions(
        repetitions,
        load,
        LIBRARIES,
        beam_workers=options["direct_num_workers"] or os.cpu_count(),
        beam_running_mode=options["direct_running_mode"],
        blas_threads=blas,
    )


if __name__ == "__main__":
    main()
