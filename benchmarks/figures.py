"""The figures of the graph: from Parquet to the published table against the bare loop, and against one dict per row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import one_run
import peers
from measuring import Bench, marginal, new, quotients, rate, turns
from results import Figure

import data
from beam_pcc.pipeline.options import beam_options

TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")


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
    output = new(bench.peer_work) / "bare.parquet"
    arguments = TWO_WORKERS if two_workers else ()

    def ours() -> None:
        one_run.publish(source, models, bench.work, arguments)

    def peer() -> None:
        peers.bare_loop(sorted(source.glob("*.parquet")), model_file, output)

    warm_up = data.cases(bench.cache, 2_000)
    one_run.publish(warm_up, models, bench.work, arguments)
    peers.bare_loop(sorted(warm_up.glob("*.parquet")), model_file, output)
    our_seconds, peer_seconds = turns(bench.repeat, ours, peer)
    agree(bench.work / "pcc.duckdb", output)
    ratios = quotients(peer_seconds, our_seconds)
    bar = None if two_workers else 0.7 if rows >= 1_000_000 else 0.6
    n = data.count(source)
    return Figure(
        name,
        f"{rate(n, our_seconds)} rows/s",
        f"{rate(n, peer_seconds)} rows/s",
        ratios,
        "none" if bar is None else f">= {bar}",
        None if bar is None else statistics.median(ratios) >= bar,
        {f"ours, seconds of {n:,} rows": our_seconds, f"the bare loop, seconds of {n:,} rows": peer_seconds},
    )


def agree(warehouse: Path, output: Path, rows: int | None = None) -> None:
    """Ours and a peer's Parquet files (may be a glob) must have said the same of each case that ours published."""
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
    assert rows is None or published == rows, f"{published:,} of {rows:,} cases were published"
    assert not different, f"ours and {output.stem} differ on {different:,} of {published:,} cases"


def dicts(bench: Bench) -> Iterator[Figure]:
    """Marginal rows/s against one dict per row, vectors as list<double> as BigQuery exports them."""
    yield _dicts(bench, "one dict per row, marginal", floats=False, bar=12)


def dicts_of_floats(bench: Bench) -> Iterator[Figure]:
    """The same with vectors as list<float>, which is all that they hold: half as much to read, for both."""
    yield _dicts(bench, "one dict per row, float32 vectors, marginal", floats=True, bar=10)


def _dicts(bench: Bench, name: str, *, floats: bool, bar: int) -> Figure:
    """Two sizes each, so that fixed costs cancel."""
    large = bench.rows[0]
    ours_sizes, peer_sizes = (large // 10, large), (min(5_000, large // 4), min(20_000, large))
    models, model_file = bench.models, bench.model_file
    print(f"{name}: ours at {ours_sizes}, the dicts at {peer_sizes}", flush=True)

    def ours(rows: int) -> Callable[[], object]:
        source = data.cases(bench.cache, rows, floats=floats)
        return lambda: one_run.publish(source, models, bench.work)

    def peer(rows: int) -> Callable[[], object]:
        source, output = data.cases(bench.cache, rows, floats=floats), bench.peer_work / "dicts"
        return lambda: peers.one_dict_per_row(source, model_file, output, data.DAY, beam_options([]))

    ours(ours_sizes[0])()
    peer(min(2_000, peer_sizes[0]))()
    took = turns(bench.repeat, *map(ours, ours_sizes), *map(peer, peer_sizes))
    new(bench.peer_work)
    ours(peer_sizes[1])()
    peer(peer_sizes[1])()
    agree(bench.work / "pcc.duckdb", bench.peer_work / "dicts*.parquet")
    our_rates = marginal(ours_sizes, took[0], took[1])
    peer_rates = marginal(peer_sizes, took[2], took[3])
    ratios = quotients(our_rates, peer_rates)
    return Figure(
        name,
        f"{statistics.median(our_rates):,.0f} rows/s",
        f"{statistics.median(peer_rates):,.0f} rows/s",
        ratios,
        f">= {bar}",
        statistics.median(ratios) >= bar,
        {
            f"{side}, seconds of {rows:,} rows": seconds
            for (side, rows), seconds in zip(
                [*(("ours", n) for n in ours_sizes), *(("one dict per row", n) for n in peer_sizes)], took, strict=True
            )
        },
    )
