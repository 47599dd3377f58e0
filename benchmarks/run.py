"""Measures beam_pcc against its peers on this machine and prints a table; benchmarks/README.md says what it means.

It reports and never fails for being slow: a busy machine must not break a build.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import shutil
import statistics
from importlib.metadata import version
from pathlib import Path

import figures
import one_run
import readers
import sklearn  # noqa: F401 - loads the BLAS that is reported
import threadpoolctl

from beam_pcc.options import beam_options

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ROOT = Path(__file__).resolve().parent.parent
FIGURES = {**figures.FIGURES, "readers": readers.readers}
LIBRARIES = ("apache-beam", "pyarrow", "numpy", "scikit-learn", "duckdb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[200_000, 1_000_000], help="sizes (default: %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each figure (default: %(default)s)")
    parser.add_argument("--only", choices=FIGURES, action="append", help="just this figure; may be repeated")
    parser.add_argument("--cache", type=Path, default=ROOT / "local" / "benchmark", help="data (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="a Markdown file whose table between the markers is replaced")
    flags = parser.parse_args()
    one_run.quiet()
    load = os.getloadavg()[0]  # before it is ours
    bench = figures.Bench(flags.cache.absolute(), flags.repeat, sorted(flags.rows))
    try:
        found = [figure for name in flags.only or FIGURES for figure in FIGURES[name](bench)]
    finally:
        for folder in (bench.work, bench.peer_work):
            shutil.rmtree(folder, ignore_errors=True)
    table = f"{_table(found)}\n\n{_machine(flags.repeat, load)}"
    print(f"\n{table}")
    if flags.output:
        _replace(flags.output, table)


def _table(found: list[figures.Figure]) -> str:
    lines = ["| figure | ours | peer | ratio: min, median, max | bar | met |", "|---|---|---|---|---|---|"]
    for f in found:
        ratio = ", ".join(f"{r:.2f}" for r in (min(f.ratios), statistics.median(f.ratios), max(f.ratios)))
        met = "-" if f.met is None else "yes" if f.met else "**no**"
        lines.append(f"| {f.name} | {f.ours} | {f.peer} | {ratio} | {f.bar} | {met} |")
    return "\n".join(lines)


def _machine(repeat: int, load: float) -> str:
    """What it was measured on; asked when the runs are over, so that a limit they set on BLAS shows."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    blas = max((p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"), default=1)
    options = beam_options([]).get_all_options()
    workers = options["direct_num_workers"] or os.cpu_count()
    return (
        f"Measured {dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC, median of {repeat}; {_cpu()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} at the start; "
        f"Python {platform.python_version()}, {libraries}. "
        f"Ours: {workers} Beam workers ({options['direct_running_mode']}), BLAS threads {blas}; "
        "the bare loop: one thread, BLAS threads 1; one dict per row: as ours, in the same process."
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _replace(file: Path, table: str) -> None:
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{file} has no {BEGIN} ... {END}; the table above was not written")
    file.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
