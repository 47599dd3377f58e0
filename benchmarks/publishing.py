"""Publishing alone: a day that is staged already is loaded, audited and published, to a new warehouse and again.

usage: publishing.py FOLDER ROWS    the seconds of each step, and of the peer, as JSON
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from measuring import Bench, new, quotients, rate
from results import Figure

import data
from beam_pcc.cases import schemas
from beam_pcc.models.postprocess import postprocess
from beam_pcc.models.scoring import Scores
from beam_pcc.publishing.publish import Rules, StageRows, publish_run
from beam_pcc.publishing.staging import StagingArea
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFile, StagedKind
from beam_pcc.publishing.warehouse.duckdb import tables
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse

FILES = 5  # bundles that staged predictions
BATCH_ROWS = 2_000
REJECTED_SHARE = 0.02
DUPLICATE_EVERY = 250  # one row in so many has the case_id of the row before
CLASSES = ("NOT_PC", "PC/access", "PC/deletion", "PC/opt_out")
STEPS = ("load", "audit", "replace", "copy", "checkpoint", "verify", "fsync")
NOW = dt.datetime(2026, 11, 21, 2, 0, tzinfo=dt.timezone.utc)
WANTED_SECONDS = 1.0
MILLION = 1_000_000
TURNS = {"first": "into a new file", "again": "over the same day"}


def run_of(number: int) -> Run:
    return Run(f"run-{number}", data.DAY, NOW, "v20261101_000000", schemas.EMBEDDING_MODEL, "f" * 64)


def scored(rows: int) -> Iterator[tuple[pa.RecordBatch, Scores]]:
    """A day in batches, as the model leaves it: ids, times, and scores of which one in ten is doubtful."""
    rng = np.random.default_rng(1)
    midnight = np.datetime64(data.DAY, "us")
    for start in range(0, rows, BATCH_ROWS):
        index = np.arange(start, min(start + BATCH_ROWS, rows))
        numbers = np.where(index % DUPLICATE_EVERY == DUPLICATE_EVERY - 1, index - 1, index)
        times = midnight + rng.integers(0, 86_400_000, len(index)).astype("timedelta64[ms]")
        cases = pa.RecordBatch.from_arrays(
            [
                pa.array([f"case-{data.DAY:%Y%m%d}-{number:09d}" for number in numbers]),
                pa.array(times.astype("datetime64[us]")).cast(pa.timestamp("us", "UTC")),
                pa.array(rng.integers(-(2**62), 2**62, len(index))),
            ],
            names=["case_id", "timestamp", "content_digest"],
        )
        odds = rng.normal(-2.0, 1.5, len(index))
        privacy = 1 / (1 + np.exp(-odds))
        shares = rng.dirichlet(np.ones(len(CLASSES) - 1), len(index))
        first = rng.normal(0, 0.5, len(index))
        yield (
            cases,
            Scores(
                np.column_stack([1 - privacy, privacy[:, None] * shares]),
                blocks=np.column_stack([first, odds + 2.0 - first]),
                base=-2.0,
            ),
        )


def label(batches: Sequence[tuple[pa.RecordBatch, Scores]]) -> list[pa.RecordBatch]:
    return [
        postprocess(cases, scores, classes=CLASSES, threshold=0.5, review_band=0.05, now=NOW)[0]
        for cases, scores in batches
    ]


def rejected(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, 40):
        yield pa.RecordBatch.from_pydict(
            {
                "case_id": [f"case-{data.DAY:%Y%m%d}-x{number:08d}" for number in range(start, min(start + 40, rows))],
                "reason": ["missing_vector"] * min(40, rows - start),
                "detail": ["embedding_vector is null or empty"] * min(40, rows - start),
            },
            schema=schemas.STAGED_REJECTED,
        )


def stage(folder: Path, kind: StagedKind, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> list[StagedFile]:
    """Write the batches as a bundle of a run does."""
    step = StageRows(StagingArea(str(folder), "staged"), kind, schema)
    step.start_bundle()
    for batch in batches:
        step.process(batch)
    return [windowed.value for windowed in step.finish_bundle()]


class Clock:
    """Sums the seconds of functions, by step; what one measured function calls of another counts there only."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self._inner.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

    def measured(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.step(name):
                return function(*arguments, **named)

        return call


class MeasuredConnection:
    """A connection of DuckDB whose checkpoints are measured."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: str, *arguments: Any) -> Any:
        if query.startswith("CHECKPOINT"):
            with self._clock.step("checkpoint"):
                return self._connection.execute(query, *arguments)
        return self._connection.execute(query, *arguments)


class MeasuredWarehouse(DuckDBWarehouse):
    """Measures the steps of publishing."""

    def __init__(self, address: str, clock: Clock) -> None:
        super().__init__(address)
        self._clock = clock
        file: Any = self._file
        for step in ("copy", "verify"):
            setattr(file, f"_{step}", clock.measured(step, getattr(file, f"_{step}")))
        session = file.session

        @contextlib.contextmanager
        def measured_session() -> Iterator[Any]:
            with session() as connection:
                yield MeasuredConnection(connection, clock)

        file.session = measured_session

    @contextlib.contextmanager
    def load(self, run: Run, files: Sequence[StagedFile]) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            with self._clock.step("load"):
                staged: Any = stack.enter_context(super().load(run, files))
            staged.figures = self._clock.measured("audit", staged.figures)
            staged.publish = self._clock.measured("replace", staged.publish)
            yield staged


def measure(folder: Path, rows: int) -> dict[str, float]:
    """Seconds of labelling, staging, each step of publishing, and the peer; bytes of the files."""
    new(folder)
    refused = int(rows * REJECTED_SHARE)
    batches = list(scored(rows - refused))
    label(batches[:2])  # what the first call of a process loads is no part of it
    os.fsync = (clock := Clock()).measured("fsync", os.fsync)
    with clock.step("label"):
        predictions = label(batches)
    files = []
    with clock.step("stage"):
        for places in np.array_split(np.arange(len(predictions)), FILES):
            bundle = [predictions[place] for place in places]
            files += stage(folder, "predictions", schemas.STAGED_PREDICTIONS, bundle)
    took = {name: clock.seconds[name] for name in ("label", "stage")}
    files += stage(folder, "rejected", schemas.STAGED_REJECTED, list(rejected(refused)))
    stats = RunStats(rows_read=rows, rejected=Counter(missing_vector=refused))
    del predictions
    for number, what in enumerate(TURNS):
        clock.seconds.clear()
        warehouse = MeasuredWarehouse(str(folder / "pcc.duckdb"), clock)
        started, cpu = time.perf_counter(), time.process_time()
        outcome = publish_run(warehouse, run_of(number), files, stats, Rules())
        took[what], took[f"{what}, CPU"] = time.perf_counter() - started, time.process_time() - cpu
        if outcome.exit_code:
            raise RuntimeError(f"the rows were not published: {outcome.monitoring.error_message}")
        took |= {f"{what}, {name}": clock.seconds[name] for name in STEPS}
        started = time.perf_counter()
        bare(folder / "bare.duckdb", files, run_of(number))
        took[f"{what}, peer"] = time.perf_counter() - started
    took["bytes staged"] = sum(Path(file.uri).stat().st_size for file in files)
    took["bytes of the file"] = (folder / "pcc.duckdb").stat().st_size
    return took


def bare(path: Path, files: Sequence[StagedFile], run: Run) -> None:
    """What DuckDB needs for the same rows at least: no audit, no duplicates, no copy; the file is changed in place."""
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        connection.execute("SET preserve_insertion_order = false")
        for table, kind, values in (
            ("pcc_inference_output", "predictions", "$run, $model, $encoder, $now, $day"),
            ("pcc_quarantine", "rejected", "$run, $now, $day"),
        ):
            schema = schemas.TABLES[table]
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({tables.columns(schema)})")
            given = {"run": run.run_id, "now": run.started_at, "day": run.partition_date}
            if kind == "predictions":
                given |= {"model": run.model_version, "encoder": run.embedding_model}
            names = ["run_id", *(["model_version", "embedding_model"] if kind == "predictions" else [])]
            names += ["ingestion_time", "partition_date"]
            rest = [name for name in schema.names if name not in names]
            connection.execute("BEGIN")
            connection.execute(f"DELETE FROM {table} WHERE partition_date = $day", {"day": run.partition_date})
            connection.execute(
                f"INSERT INTO {table} ({', '.join(names + rest)}) SELECT {values}, {', '.join(rest)} "
                "FROM read_parquet($files)",
                {**given, "files": [file.uri for file in files if file.kind == kind]},
            )
            connection.execute("COMMIT")
        connection.execute("CHECKPOINT")


def publishing(bench: Bench) -> Iterator[Figure]:
    """Seconds of publishing a day, in those of a bare insert by DuckDB."""
    rows = bench.rows[-1]
    print(f"publishing: {rows:,} rows", flush=True)
    took: dict[str, list[float]] = {}
    for _ in range(bench.repeat):
        command = [sys.executable, __file__, bench.work / "publishing", str(rows)]
        for name, value in json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout).items():
            took.setdefault(name, []).append(value)
        print(
            "  " + "  ".join(f"{what} {took[what][-1]:.2f} s, peer {took[f'{what}, peer'][-1]:.2f} s" for what in TURNS)
        )
    for what, phrase in TURNS.items():
        wall = statistics.median(took[what])
        yield Figure(
            f"publishing {rows:,} staged rows {phrase} against a bare DuckDB insert",
            f"{wall:.2f} s",
            f"{statistics.median(took[f'{what}, peer']):.2f} s",
            quotients(took[what], took[f"{what}, peer"]),
            f"ours <= {WANTED_SECONDS} s" if rows == MILLION else "none",
            wall <= WANTED_SECONDS if rows == MILLION else None,
            {
                f"{name}, {'bytes' if name.startswith('bytes') else 'seconds'}": values
                for name, values in took.items()
                if name.startswith(what)
            },
        )
    seconds = [a + b for a, b in zip(took["label"], took["stage"], strict=True)]
    yield Figure(
        f"labelling and staging {rows:,} rows, main thread",
        f"{rate(rows, seconds)} rows/s",
        "-",
        [1.0],
        raw={name: took[name] for name in ("label", "stage", "bytes staged", "bytes of the file")},
    )


if __name__ == "__main__":
    where = Path(sys.argv[1])
    print(json.dumps(measure(where, int(sys.argv[2]))))
    shutil.rmtree(where)
