"""One run of very many rows, made while they are read: its memory must not grow with them.

usage: soak.py [--rows 20000000] [--output benchmarks]

Vectors repeat: making new ones would take longer than scoring them. Each row has an identifier and a time of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import one_run
import results
from results import Figure

import data
from beam_pcc.publishing.publish import Publish
from beam_pcc.sources import synthetic

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("apache-beam", "pyarrow", "numpy", "scikit-learn", "duckdb")
CHUNKS = 4
"""Chunks of vectors that repeat."""
EVERY = 0.5  # seconds between looks at the memory
BAR = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="default: %(default)s")
    parser.add_argument("--cache", type=Path, default=ROOT / "local" / "benchmark", help="data (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="a folder for soak.json; its README.md gets the table anew")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)  # the work folder: this is the process that runs
    flags = parser.parse_args()
    if flags.run:
        _run(flags.rows, data.model(flags.cache), flags.run)
        return
    load = os.getloadavg()[0]
    models = data.model(flags.cache)
    with tempfile.TemporaryDirectory(dir=models.parent) as work:
        command = [sys.executable, __file__, "--rows", flags.rows, "--cache", flags.cache, "--run", work]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
            memory = _watched(process)
            assert process.stdout
            said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"the run failed with exit code {process.returncode}")
    figures = _figures(flags.rows, json.loads(said), memory)
    with tempfile.TemporaryDirectory() as aside:
        folder = flags.output or Path(aside)
        results.write(folder, "soak", figures, results.conditions(1, load, LIBRARIES))
        print(results.table(folder))
    if flags.output and (flags.output / "README.md").exists():
        results.update(flags.output / "README.md")


def _run(rows: int, models: Path, work: Path) -> None:
    made = [synthetic._draw(synthetic.CHUNK_ROWS, np.random.default_rng(number)) for number in range(CHUNKS)]

    def draw(n: int, rng: np.random.Generator) -> object:
        vectors, classes = made[int(rng.integers(CHUNKS))]
        return vectors[:n], classes[:n]

    synthetic._draw = draw  # type: ignore[assignment]
    publish = Publish.process
    published_at = []

    def process(*arguments: object) -> object:
        published_at.append(time.time())
        return publish(*arguments)  # type: ignore[arg-type]

    Publish.process = process  # type: ignore[assignment,method-assign]
    one_run.quiet()
    started = time.perf_counter()
    row = one_run.publish(f"sample://{rows}", models, work / "run").monitoring
    said = {
        "seconds": time.perf_counter() - started,
        "rows": row.total_cases,
        "published_at": published_at[0],
    }
    print(json.dumps(said))


def _watched(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    """The time, and bytes of the resident set, each half second until the process ends."""
    seen: list[tuple[float, float]] = []
    while process.poll() is None:
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            break
        seen.append((time.time(), pages * os.sysconf("SC_PAGE_SIZE")))
        time.sleep(EVERY)
    return seen


def _figures(rows: int, said: dict[str, float], memory: Sequence[tuple[float, float]]) -> list[Figure]:
    """Memory against that of the second quarter of reading: the first has the imports."""
    reading = [size for at, size in memory if at < said["published_at"]]
    publishing = [size for at, size in memory if at >= said["published_at"]]
    quarter = len(reading) // 4
    if not quarter or not publishing or said["rows"] != rows:
        raise SystemExit(f"{said['rows']:,} of {rows:,} rows in {len(memory)} seconds: take more rows")
    early = max(reading[quarter : 2 * quarter])
    late = {"of the last quarter": max(reading[-quarter:]), "while it publishes": max(publishing)}
    return [
        Figure(
            f"soak: {rows:,} rows in one run, made while they are read, peak memory {when} against the second quarter",
            f"{said['rows'] / said['seconds']:,.0f} rows/s, {size / 2**20:,.0f} MiB",
            f"{early / 2**20:,.0f} MiB",
            [size / early],
            f"<= {BAR:g}",
            size / early <= BAR,
            {"resident bytes, each half second": [size for _, size in memory], "seconds": [said["seconds"]]},
        )
        for when, size in late.items()
    ]


if __name__ == "__main__":
    main()
