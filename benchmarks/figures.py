"""The figures: each runs ours and its peer in turn and says how they compare."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import one_run
import peers

import data
from beam_pcc.models.registry import Registry
from beam_pcc.options import beam_options

TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratios` has one value per repetition; `bar` is a phrase, `met` None without one."""

    name: str
    ours: str
    peer: str
    ratios: Sequence[float]
    bar: str = "none"
    met: bool | None = None


@dataclass(frozen=True)
class Bench:
    """Where the data is, how often to measure, and for which numbers of rows (ascending)."""

    cache: Path
    repeat: int
    rows: Sequence[int]

    @property
    def models(self) -> Path:
        return data.model(self.cache)

    @property
    def model_file(self) -> Path:
        registry = Registry(str(self.models))
        return Path(registry.load(registry.resolve())[0].file.path)

    @property
    def work(self) -> Path:
        return self.cache / f"work-{os.getpid()}"

    @property
    def peer_work(self) -> Path:
        return self.cache / f"peer-{os.getpid()}"


def _turns(repeat: int, *actions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each action in each repetition; who comes first changes from one repetition to the next."""
    took: list[list[float]] = [[] for _ in actions]
    for turn in range(repeat):
        order = list(enumerate(actions))
        for number, action in order[:: -1 if turn % 2 else 1]:
            started = time.perf_counter()
            action()
            took[number].append(time.perf_counter() - started)
        print("  " + "  ".join(f"{seconds[-1]:.2f} s" for seconds in took), flush=True)
    return took


def _new(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def end_to_end(bench: Bench) -> Iterator[Figure]:
    """From Parquet to the published table, against the bare loop that writes Parquet."""
    for clean in (False, True):
        for rows in bench.rows:
            yield _end_to_end(bench, rows, clean=clean)
    yield _end_to_end(bench, bench.rows[0], clean=True, two_workers=True)


def _end_to_end(bench: Bench, rows: int, *, clean: bool, two_workers: bool = False) -> Figure:
    source, models, model_file = data.cases(bench.cache, rows, clean=clean), bench.models, bench.model_file
    name = f"end to end, {rows:,} rows" + (", none broken" if clean else "") + (", two workers" if two_workers else "")
    print(f"{name}: ours, bare loop", flush=True)
    output = _new(bench.peer_work) / "bare.parquet"
    arguments = TWO_WORKERS if two_workers else ()

    def ours() -> None:
        one_run.publish(source, models, bench.work, arguments)

    def peer() -> None:
        peers.bare_loop(sorted(source.glob("*.parquet")), model_file, output, data.DAY)

    warm_up = data.cases(bench.cache, 2_000)
    one_run.publish(warm_up, models, bench.work, arguments)
    peers.bare_loop(sorted(warm_up.glob("*.parquet")), model_file, output, data.DAY)
    our_seconds, peer_seconds = _turns(bench.repeat, ours, peer)
    _agree(bench.work / "pcc.duckdb", output)
    ratios = _quotients(peer_seconds, our_seconds)
    bar = None if two_workers else 0.7 if rows >= 1_000_000 else 0.6
    n = data.count(source)
    return Figure(
        name,
        f"{_rate(n, our_seconds)} rows/s",
        f"{_rate(n, peer_seconds)} rows/s",
        ratios,
        "none" if bar is None else f">= {bar}",
        None if bar is None else statistics.median(ratios) >= bar,
    )


def _rate(rows: int, seconds: Sequence[float]) -> str:
    return f"{rows / statistics.median(seconds):,.0f}"


def _agree(warehouse: Path, output: Path) -> None:
    """Both must have said the same of each case that ours published (once each)."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        published, different = connection.execute(
            """
            SELECT count(*), count(*) FILTER (NOT agree) FROM (
                SELECT ours.case_id, bool_or(
                    ours.predicted_label = peer.predicted_label
                    AND coalesce(ours.subtype_label, '') = coalesce(peer.subtype_label, '')
                    AND abs(ours.confidence - peer.confidence) < 1e-5
                ) IS TRUE AS agree
                FROM pcc_inference_output AS ours LEFT JOIN read_parquet(?) AS peer USING (case_id)
                GROUP BY ours.case_id
            )
            """,
            [str(output)],
        ).fetchall()[0]
    assert published
    assert not different, f"ours and the bare loop differ on {different:,} of {published:,} cases"


def dicts(bench: Bench) -> Iterator[Figure]:
    """Marginal rows/s against one dict per row; two sizes each, so that fixed costs cancel."""
    large = bench.rows[0]
    ours_sizes, peer_sizes = (large // 10, large), (min(5_000, large // 4), min(20_000, large))
    models, model_file = bench.models, bench.model_file
    print(f"one dict per row: ours at {ours_sizes}, the dicts at {peer_sizes}", flush=True)

    def ours(rows: int) -> Callable[[], object]:
        source = data.cases(bench.cache, rows)
        return lambda: one_run.publish(source, models, bench.work)

    def peer(rows: int) -> Callable[[], object]:
        source, output = data.cases(bench.cache, rows), bench.peer_work / "dicts"
        return lambda: peers.one_dict_per_row(source, model_file, output, data.DAY, beam_options([]))

    ours(ours_sizes[0])()
    peer(min(2_000, peer_sizes[0]))()
    took = _turns(bench.repeat, *map(ours, ours_sizes), *map(peer, peer_sizes))
    _new(bench.peer_work)
    ours(peer_sizes[1])()
    peer(peer_sizes[1])()
    _agree(bench.work / "pcc.duckdb", bench.peer_work / "dicts*.parquet")
    our_rates = _marginal(ours_sizes, took[0], took[1])
    peer_rates = _marginal(peer_sizes, took[2], took[3])
    ratios = _quotients(our_rates, peer_rates)
    yield Figure(
        "one dict per row, marginal",
        f"{statistics.median(our_rates):,.0f} rows/s",
        f"{statistics.median(peer_rates):,.0f} rows/s",
        ratios,
        ">= 10",
        statistics.median(ratios) >= 10,
    )


def _marginal(sizes: tuple[int, int], small: Sequence[float], large: Sequence[float]) -> list[float]:
    return [(sizes[1] - sizes[0]) / (b - a) for a, b in zip(small, large, strict=True)]


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
        "<= 1.05",
        exponent <= 1.05,
    )
    ratios = _quotients(peaks[2], peaks[1])
    yield Figure(
        f"growth of peak memory, {sizes[1]:,} to {sizes[2]:,} rows",
        ", ".join(f"{statistics.median(p) / 2**20:,.0f}" for p in peaks) + " MiB",
        f"{sizes[1]:,} rows: {statistics.median(peaks[1]) / 2**20:,.0f} MiB",
        ratios,
        "<= 1.3",
        statistics.median(ratios) <= 1.3,
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

    ours, peer = _turns(max(9, bench.repeat), call(program, "--help"), call(sys.executable, "-c", "pass"))
    wall = statistics.median(ours)
    yield Figure(
        "beam-pcc --help against python -c pass",
        f"{wall:.3f} s",
        f"{statistics.median(peer):.3f} s",
        _quotients(ours, peer),
        "ours < 0.6 s",
        wall < 0.6,
    )


FIGURES: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "help": command_line,
    "growth": growth,
    "dicts": dicts,
    "end-to-end": end_to_end,
}
