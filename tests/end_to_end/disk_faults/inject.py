"""Writes a warehouse again and again, each time with a fault at another call, and checks what each of them left.

Run with faults.c preloaded: python -m tests.end_to_end.disk_faults.inject FOLDER CASE FAULT [EVERY]. Each attempt is a
forked process. Prints one JSON object: how many faults were injected, at which calls, and each that was not survived.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import functools
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from beam_pcc.cases import schemas
from beam_pcc.errors import WarehouseError
from beam_pcc.publishing.monitoring import audited_row, failed_row
from beam_pcc.publishing.statistics import RunStats
from beam_pcc.publishing.warehouse.base import Run, StagedFile, prepare_tables
from beam_pcc.publishing.warehouse.duckdb.warehouse import DuckDBWarehouse
from tests.forking import forked

DATE = dt.date(2026, 11, 20)
NOW = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)
ROWS = 3_000
# As in faults.c. A full disk may have room again at the next call, or stay full.
FAULTS = {"count": 0, "kill": 1, "tear": 2, "full_once": 3, "full": 4}
State = dict[str, list[Any]]


class Bench:
    """A folder with a warehouse, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "now" / "pcc.duckdb"
        self.shim = ctypes.CDLL(None)
        self.shim.faults_kind.restype = ctypes.c_char_p

    def warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(str(self.path), lock_timeout=5)

    def publish(self, letter: str) -> None:
        """A run of ROWS cases, of which a tenth is rejected."""
        run = run_of(letter)
        with self.warehouse().load(run, self.staged(letter)) as staged:
            figures = staged.figures()
            staged.publish(audited_row(run, figures, RunStats(rows_read=ROWS), None, ()))

    def record(self, letter: str) -> None:
        self.warehouse().record(failed_row(run_of(letter), WarehouseError("a failure; run again")))

    def create(self, _: str) -> None:
        prepare_tables(self.warehouse())

    def staged(self, letter: str) -> list[StagedFile]:
        good, bad = self.folder / f"{letter}-good.parquet", self.folder / f"{letter}-bad.parquet"
        return [StagedFile("predictions", str(good), ROWS * 9 // 10), StagedFile("rejected", str(bad), ROWS // 10)]

    def stage(self, letter: str) -> None:
        values: dict[str, Any] = {
            "predicted_label": "NOT_PC",
            "confidence": 0.75,
            "content_digest": 1,
            "inference_timestamp": NOW,
            "case_timestamp": NOW,
            "reason": "empty_text",
            "detail": "no text",
        }
        for file, schema in zip(
            self.staged(letter), (schemas.STAGED_PREDICTIONS, schemas.STAGED_REJECTED), strict=True
        ):
            columns = [
                [f"{letter}-{row:030}" for row in range(file.rows)]
                if field.name == "case_id"
                else [values.get(field.name)] * file.rows
                for field in schema
            ]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            pq.write_table(pa.table(arrays, schema=schema), file.uri)

    def state(self) -> State:
        """Of each table the rows of each run; empty if there are no tables."""
        found: State = {}
        with self.warehouse()._file.read() as connection:
            if connection is not None:
                tables = [name for (name,) in connection.execute("SHOW TABLES").fetchall()]
                for table in tables:
                    key = "run_id" if table == "pcc_monitoring_logs" else "left(case_id, 1)"
                    sql = f"SELECT {key}, count(*), count(DISTINCT COLUMNS(*)) FROM {table} GROUP BY 1 ORDER BY 1"
                    found[table] = [list(row) for row in connection.execute(sql).fetchall()]
        return found

    # What the folder holds before the fault.

    def with_nothing(self) -> None: ...

    def with_an_empty_file(self) -> None:
        self.path.touch()

    def with_a_day(self) -> None:
        self.publish("a")

    def with_a_log(self) -> None:
        """A day, and rows in the log of a client that was killed."""
        self.publish("a")
        connection = duckdb.connect(str(self.path))
        connection.execute("UPDATE pcc_quarantine SET detail = 'changed'")
        connection.execute("INSERT INTO pcc_quarantine SELECT * REPLACE ('z' AS case_id) FROM pcc_quarantine LIMIT 7")
        os.kill(os.getpid(), signal.SIGKILL)

    def with_a_complete_copy(self) -> None:
        """A day in the copy that a killed writer made, beside the file before it and that file's log."""
        aside = self.path.with_name("aside")
        self.publish("a")
        shutil.copy(self.path, aside)
        duckdb.connect(str(self.path)).execute("DELETE FROM pcc_inference_output; CHECKPOINT").close()
        aside.rename(f"{self.path}.next")
        connection = duckdb.connect(str(self.path))
        connection.execute("INSERT INTO pcc_quarantine SELECT * REPLACE ('y' AS case_id) FROM pcc_quarantine")
        os.kill(os.getpid(), signal.SIGKILL)

    def prepare(self, before: Callable[[], None]) -> None:
        """Keep the folder as it is before the fault."""
        self.stage("a")
        self.stage("b")
        self.path.parent.mkdir()
        before()

    def restore(self) -> None:
        shutil.rmtree(self.path.parent, ignore_errors=True)
        shutil.copytree(self.folder / "before", self.path.parent)

    def attempt(self, action: Callable[[], None], fault: str, kind: str = "", number: int = 0) -> dict[str, Any]:
        """Act with a fault at one call of a kind."""
        self.arm(self.path, self.path.parent, FAULTS[fault], kind, number)
        error = ""
        try:
            action()
        except WarehouseError as raised:
            error = str(raised)
        except BaseException as raised:
            error = f"{type(raised).__name__}\n{raised}"
        kinds = {
            name.decode(): self.shim.faults_calls(place)
            for place in range(16)
            if (name := self.shim.faults_kind(place))
        }
        hit = bool(self.shim.faults_hit())
        self.arm("", "", FAULTS["count"], "", 0)
        return {"error": error, "kinds": kinds, "hit": hit}

    def arm(self, path: object, folder: object, fault: int, kind: str, number: int) -> None:
        self.shim.faults_arm(str(path).encode(), str(folder).encode(), fault, kind.encode(), ctypes.c_long(number))

    def survived(self, action: Callable[[], None]) -> dict[str, Any]:
        """What is there now, to a reader and to a plain client of DuckDB, and after the same is done again."""
        state = self.state()
        if self.path.is_file() and self.path.stat().st_size:
            duckdb.connect(str(self.path), read_only=True).execute("SHOW TABLES").close()
        action()
        left = sorted(path.name for path in self.path.parent.iterdir())
        return {"state": state, "again": self.state(), "left": left}


def run_of(letter: str) -> Run:
    return Run(f"run-{letter}", DATE, NOW, "v20261101_000000", "m", "f" * 64)


def in_a_fork(act: Callable[[], Any]) -> Any:
    """The result of a call in a process of its own; None if that was killed."""
    ended = forked(act, lambda error: {"raised": f"{type(error).__name__}: {error}"})
    if ended.status not in (0, -signal.SIGKILL):
        return {"raised": f"ended with {ended.status}"}
    return ended.result


# What the folder holds before, and what is then done for a run.
CASES: dict[str, tuple[Callable[[Bench], None], Callable[[Bench, str], None]]] = {
    "create": (Bench.with_nothing, Bench.create),
    "first": (Bench.with_nothing, Bench.publish),
    "empty": (Bench.with_an_empty_file, Bench.publish),
    "publish": (Bench.with_a_day, Bench.publish),
    "record": (Bench.with_a_day, Bench.record),
    "log": (Bench.with_a_log, Bench.publish),
    "complete": (Bench.with_a_complete_copy, Bench.publish),
}


def sweep(folder: Path, case: str, fault: str, every: int) -> dict[str, Any]:
    """Inject the fault at each call, or at each `every`th call."""
    bench = Bench(folder)
    before, what = CASES[case]
    action = functools.partial(what, bench, "b")
    if failure := in_a_fork(lambda: bench.prepare(functools.partial(before, bench))):
        raise AssertionError(failure)
    bench.path.parent.rename(folder / "before")
    bench.restore()
    old = in_a_fork(bench.state)
    # Which kinds of calls there are: of a full disk, those that need room only.
    counted = in_a_fork(lambda: bench.attempt(action, "count"))
    new = in_a_fork(bench.state)
    injected: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    failures = []
    # The threads of DuckDB make a call more or less at times: beyond those counted, none may be left.
    beyond = 3 if every == 1 else 0
    calls = [(kind, n + 1) for kind, count in counted["kinds"].items() for n in range(count + beyond)]
    for kind, number in calls[sum(map(ord, case + fault)) % every :: every]:
        bench.restore()
        ended = in_a_fork(functools.partial(bench.attempt, action, fault, kind, number))
        if ended is not None and ended.get("hit") is False:
            continue
        after = in_a_fork(functools.partial(bench.survived, action)) or {"raised": "killed"}
        injected[kind] += 1
        errors[(ended or {}).get("error", "none")] += 1
        problems = []
        if fault.startswith("full"):
            error = (ended or {}).get("error", "aborted\n")
            if "\n" in error or (not error and after.get("state") != new):
                problems.append("neither done nor one clear error")
        elif ended is not None:
            problems.append("was not killed")
        if after.get("state") not in (old, new):
            problems.append("neither the old nor the new tables")
        # Where the first attempt made the tables, the second has nothing to write, and the lock stays.
        left = set(after.get("left", ())) - {f"{bench.path.name}.lock" if what is Bench.create else ""}
        if after.get("again") != new or left != {bench.path.name}:
            problems.append("the next attempt did not end well")
        if problems:
            failures.append({"call": f"{kind} {number}", "problems": problems, "ended": ended, "after": after})
    return {"case": case, "fault": fault, "injected": injected, "failures": failures, "errors": errors}


if __name__ == "__main__":
    json.dump(sweep(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])), sys.stdout)
