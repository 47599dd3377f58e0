"""The same run on a real Flink with two slots against in-process with one worker: CPU seconds of a row, fixed cost."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import one_run
from measuring import Bench, cpu_of_tree, quotients, turns
from results import Figure

import data

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 2
SIZES = (200_000, 1_000_000)  # from two sizes, so that fixed costs cancel
CPU_BAR, FIXED_BAR = 1.25, 5.0
_PARTS = ("jobmanager", "taskmanager", "workers")


def flink(bench: Bench) -> Iterator[Figure]:
    """CPU seconds of a row, and the fixed cost of a run, from two sizes of Parquet to the published table.

    Two slots cannot show a speed-up in seconds on two cores that one in-process worker fills already.
    """
    sys.path.insert(0, str(ROOT))
    from tests.end_to_end.flink.cluster import running

    small, large = SIZES
    sources = {rows: data.cases(bench.cache, rows) for rows in SIZES}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cluster:
        cpu: dict[str, list[float]] = {}

        def used() -> float:
            return time.process_time() + sum(cpu_of_tree(cluster.pid(part)) for part in _PARTS)

        def run(side: str, rows: int, work: Path, *flags: str) -> None:
            before = used()
            one_run.publish(sources[rows], bench.models, work, flags)
            cpu.setdefault(f"{side}, CPU seconds of {rows:,} rows", []).append(used() - before)

        def on_flink(rows: int) -> None:
            run("Flink", rows, bench.work, *cluster.flags)

        def in_process(rows: int) -> None:
            run("in-process", rows, bench.peer_work, "--direct_num_workers=1", "--direct_running_mode=in_memory")

        on_flink(small)  # workers import, files come into the page cache
        cpu.clear()
        took = turns(
            bench.repeat,
            lambda: on_flink(small),
            lambda: on_flink(large),
            lambda: in_process(small),
            lambda: in_process(large),
        )
    sides = [(side, rows) for side in ("Flink", "in-process") for rows in SIZES]
    raw = {f"{side}, seconds of {rows:,} rows": seconds for (side, rows), seconds in zip(sides, took, strict=True)}
    ours, peer = (
        [
            (b - a) / (large - small)
            for a, b in zip(*(cpu[f"{side}, CPU seconds of {n:,} rows"] for n in SIZES), strict=True)
        ]
        for side in ("Flink", "in-process")
    )
    ratios = quotients(ours, peer)
    yield Figure(
        f"Flink with {SLOTS} slots against in-process, CPU seconds of a million rows",
        *(f"{statistics.median(each) * 1e6:.1f} s" for each in (ours, peer)),
        ratios,
        f"<= {CPU_BAR}",
        statistics.median(ratios) <= CPU_BAR,
        cpu,
    )
    fixed = [_fixed(a, b) for a, b in ((took[0], took[1]), (took[2], took[3]))]
    yield Figure(
        "fixed cost of a run: Flink against in-process",
        *(f"{statistics.median(seconds):.1f} s" for seconds in fixed),
        quotients(*fixed),
        f"ours <= {FIXED_BAR:g} s",
        statistics.median(fixed[0]) <= FIXED_BAR,
        raw,
    )


def _fixed(small: Sequence[float], large: Sequence[float]) -> list[float]:
    """Seconds of a run of no rows, by the line through both sizes."""
    per_row = [(b - a) / (SIZES[1] - SIZES[0]) for a, b in zip(small, large, strict=True)]
    return [max(0.1, a - SIZES[0] * each) for a, each in zip(small, per_row, strict=True)]
