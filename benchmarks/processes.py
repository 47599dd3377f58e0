"""The figures of whole processes: how time and memory grow with the rows, and how quick `--help` is."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import one_run
from measuring import Bench, quotients, turns
from results import Figure

import data

_MEMORY = 500 * 2**20


def growth(bench: Bench) -> Iterator[Figure]:
    """Time and memory over two powers of ten, each run in a fresh process."""
    sizes = [bench.rows[-1] // 100, bench.rows[-1] // 10, bench.rows[-1]]
    sources = [data.cases(bench.cache, rows) for rows in sizes]
    models = bench.models
    print(f"growth: {', '.join(f'{rows:,}' for rows in sizes)} rows, a process each", flush=True)
    seconds: list[list[float]] = [[] for _ in sizes]
    peaks: list[list[float]] = [[] for _ in sizes]
    for _ in range(bench.repeat):
        for number, source in enumerate(sources):
            command = [sys.executable, one_run.__file__, source, models, bench.work]
            said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            seconds[number].append(said["seconds"])
            peaks[number].append(said["peak"])
        print(
            "  " + "  ".join(f"{s[-1]:.2f} s {p[-1] / 2**20:,.0f} MiB" for s, p in zip(seconds, peaks, strict=True)),
            flush=True,
        )
    medians = [statistics.median(s) for s in seconds]
    exponent = _exponent(medians)
    each = [found for found in map(_exponent, zip(*seconds, strict=True)) if not math.isnan(found)]
    yield Figure(
        f"growth of time, {sizes[0]:,} to {sizes[-1]:,} rows (exponent, fixed cost out)",
        ", ".join(f"{median:.2f}" for median in medians) + " s",
        "linear: 1",
        [min([exponent, *each]), exponent, max([exponent, *each])],
        "<= 1.0",
        exponent <= 1.0,
        {f"seconds of {rows:,} rows": each for rows, each in zip(sizes, seconds, strict=True)},
    )
    ratios = quotients(peaks[2], peaks[1])
    yield Figure(
        f"growth of peak memory, {sizes[1]:,} to {sizes[2]:,} rows",
        ", ".join(f"{statistics.median(p) / 2**20:,.0f}" for p in peaks) + " MiB",
        f"{sizes[1]:,} rows: {statistics.median(peaks[1]) / 2**20:,.0f} MiB",
        ratios,
        "<= 1.1",
        statistics.median(ratios) <= 1.1,
        {f"peak bytes at {rows:,} rows": each for rows, each in zip(sizes, peaks, strict=True)},
    )
    highest = statistics.median(peaks[2])
    yield Figure(
        f"peak memory of {sizes[2]:,} rows, against the bar",
        f"{highest / 2**20:,.0f} MiB",
        f"{_MEMORY / 2**20:,.0f} MiB",
        [peak / _MEMORY for peak in peaks[2]],
        "<= 1",
        highest <= _MEMORY,
        {f"peak bytes at {sizes[2]:,} rows": peaks[2]},
    )


def _exponent(seconds: Sequence[float]) -> float:
    """Of t = fixed + c * n**k at three sizes in steps of ten: (t3 - t2) / (t2 - t1) = 10**k, whatever is fixed.

    NaN where noise outweighs the rows.
    """
    small, middle, large = seconds
    return math.log10((large - middle) / (middle - small)) if small < middle < large else math.nan


def command_line(bench: Bench) -> Iterator[Figure]:
    """`beam-pcc --help` against an empty Python."""
    print("command line: beam-pcc --help, python -c pass", flush=True)
    program = Path(sys.executable).parent / "beam-pcc"

    def call(*command: str | os.PathLike[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, check=True, capture_output=True)

    ours, peer = turns(max(9, bench.repeat), call(program, "--help"), call(sys.executable, "-c", "pass"))
    wall = statistics.median(ours)
    yield Figure(
        "beam-pcc --help against python -c pass",
        f"{wall:.3f} s",
        f"{statistics.median(peer):.3f} s",
        quotients(ours, peer),
        "ours < 0.3 s",
        wall < 0.3,
        {"beam-pcc --help, seconds": ours, "python -c pass, seconds": peer},
    )
