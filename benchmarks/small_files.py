"""A day in many small files against the same day in one."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import one_run
import pyarrow.parquet as pq
from measuring import Bench, new, quotients, turns
from results import Figure

import data

FILES, ROWS = 2_000, 20


def small_files(bench: Bench) -> Iterator[Figure]:
    """Seconds of a whole run of 2,000 files of 20 rows, in those of one file of 40,000."""
    whole = data.cases(bench.cache, FILES * ROWS)
    folders = {"one file": new(bench.work / "one"), "small files": new(bench.work / "many")}
    table = pq.read_table(sorted(Path(whole).glob("*.parquet")))
    pq.write_table(table, folders["one file"] / "cases.parquet")
    for i in range(FILES):
        pq.write_table(table.slice(i * ROWS, ROWS), folders["small files"] / f"{i:04d}.parquet")
    print(f"small files: {FILES:,} of {ROWS} rows, and one of {FILES * ROWS:,}", flush=True)

    def publish(name: str) -> None:
        outcome = one_run.publish(folders[name], bench.models, bench.work / "run")
        if outcome.monitoring.total_cases != FILES * ROWS:
            raise RuntimeError(f"{name}: {outcome.monitoring.total_cases} rows were read")

    publish("one file")  # what the first run of a process loads is no part of either
    one, many = turns(bench.repeat, lambda: publish("one file"), lambda: publish("small files"))
    shutil.rmtree(bench.work)
    ratios = quotients(many, one)
    yield Figure(
        f"{FILES:,} files of {ROWS} rows against one file",
        f"{statistics.median(many):.2f} s",
        f"{statistics.median(one):.2f} s",
        ratios,
        "<= 3",
        statistics.median(ratios) <= 3,
        {"small files, seconds": many, "one file, seconds": one},
    )
