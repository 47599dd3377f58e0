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
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import figures
import one_run
import processes
import readers
import sklearn  # noqa: F401 - loads the BLAS that is reported
import threadpoolctl
from measuring import Bench, Figure

import flink
from beam_pcc.pipeline.options import beam_options

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ROOT = Path(__file__).resolve().parent.parent
FIGURES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "help": processes.command_line,
    "growth": processes.growth,
    "dicts": figures.dicts,
    "dicts-of-floats": figures.dicts_of_floats,
    "end-to-end": figures.end_to_end,
    "readers": readers.readers,
    "flink": flink.flink,
}
HEAD = ["| figure | ours | peer | ratio: min, median, max | bar | met |", "|---|---|---|---|---|---|"]
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
        help="a Markdown file: its table between the markers is made anew, or with --only these lines of it",
    )
    flags = parser.parse_args()
    one_run.quiet()
    load = os.getloadavg()[0]  # before it is ours
    bench = Bench(flags.cache.absolute(), flags.repeat, sorted(flags.rows))
    try:
        found = [figure for name in flags.only or FIGURES for figure in FIGURES[name](bench)]
    finally:
        for folder in (bench.work, bench.peer_work):
            shutil.rmtree(folder, ignore_errors=True)
    lines, note = [_line(figure) for figure in found], _machine(flags.repeat, load)
    print("\n" + "\n".join([*HEAD, *lines, "", note]))
    if flags.output:
        _write(flags.output, lines, note, only=bool(flags.only))


def _line(f: Figure) -> str:
    ratio = ", ".join(f"{r:.2f}" for r in (min(f.ratios), statistics.median(f.ratios), max(f.ratios)))
    met = "-" if f.met is None else "yes" if f.met else "**no**"
    return f"| {f.name} | {f.ours} | {f.peer} | {ratio} | {f.bar} | {met} |"


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


def _write(file: Path, lines: list[str], note: str, *, only: bool) -> None:
    """Put the lines into the file's table; with `only` the others stay, and the note says which ones it is of."""
    before, begin, rest = file.read_text().partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{file} has no {BEGIN} ... {END}; the table above was not written")
    notes = [note]
    if only:
        made = {_name(line): line for line in lines}
        kept = [line for line in old.splitlines() if line.startswith("| ") and line not in HEAD]
        known = {_name(line) for line in kept}
        lines = [made.get(_name(line), line) for line in kept] + [made[name] for name in made if name not in known]
        starts = [f"{name}: " for name in made]
        notes = [n for n in old.splitlines() if n and n[0] != "|" and not n.startswith(tuple(starts))]
        notes += [start + note for start in starts]
    table = "\n".join([*HEAD, *lines]) + "\n\n" + "\n\n".join(notes)
    file.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def _name(line: str) -> str:
    return line.split("|")[1].strip()


if __name__ == "__main__":
    main()
