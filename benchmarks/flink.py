"""The same run on a real Flink with two slots against in-process with one worker: its cost, and what slots bring."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import one_run
from measuring import Bench, marginal, quotients, turns
from results import Figure

import data

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 2
BAR = 1.6
SIZES = (200_000, 1_000_000)  # marginal rows/s from two sizes, so that fixed costs cancel


def flink(bench: Bench) -> Iterator[Figure]:
    """Marginal rows/s, and the fixed cost of a run, from two sizes of Parquet to the published table."""
    sys.path.insert(0, str(ROOT))
    from tests.end_to_end.flink.cluster import running

    small, large = SIZES
    sources = {rows: data.cases(bench.cache, rows) for rows in SIZES}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cluster:

        def run(rows: int, work: Path, *flags: str) -> None:
            one_run.publish(sources[rows], bench.models, work, flags)

        def on_flink(rows: int) -> None:
            run(rows, bench.work, *cluster.flags)

        def in_process(rows: int) -> None:
            run(rows, bench.peer_work, "--direct_num_workers=1", "--direct_running_mode=in_memory")

        on_flink(small)  # workers import, files come into the page cache
        took = turns(
            bench.repeat,
            lambda: on_flink(small),
            lambda: on_flink(large),
            lambda: in_process(small),
            lambda: in_process(large),
        )
    ours, peer = marginal(SIZES, took[0], took[1]), marginal(SIZES, took[2], took[3])
    ratios = quotients(ours, peer)
    sides = [(side, rows) for side in ("Flink", "in-process") for rows in SIZES]
    raw = {f"{side}, seconds of {rows:,} rows": seconds for (side, rows), seconds in zip(sides, took, strict=True)}
    yield Figure(
        f"Flink with {SLOTS} slots against in-process, marginal",
        f"{statistics.median(ours):,.0f} rows/s",
        f"{statistics.median(peer):,.0f} rows/s",
        ratios,
        f">= {BAR}",
        statistics.median(ratios) >= BAR,
        raw,
    )
    fixed = [_fixed(a, b) for a, b in ((took[0], took[1]), (took[2], took[3]))]
    yield Figure(
        "fixed cost of a run: Flink against in-process",
        *(f"{statistics.median(seconds):.1f} s" for seconds in fixed),
        quotients(*fixed),
        raw=raw,
    )


def _fixed(small: Sequence[float], large: Sequence[float]) -> list[float]:
    """Seconds of a run of no rows, by the line through both sizes."""
    per_row = [(b - a) / (SIZES[1] - SIZES[0]) for a, b in zip(small, large, strict=True)]
    return [max(0.1, a - SIZES[0] * each) for a, each in zip(small, per_row, strict=True)]
