"""The figures of whole engines over the same rows: each in an environment and process of its own, in turns.

A run of beam_pcc validates, drops duplicates, explains, keeps statistics, audits and publishes into a DuckDB file. The
others score the same rows with the same model and write Parquet: see `engines/scoring.py`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import figures
from measuring import Bench, cpu_of_tree, new, quotients, rate
from results import Figure

import data

ROWS = 500_000
HERE = Path(__file__).parent / "engines"


@dataclass(frozen=True)
class Engine:
    """One engine: its script and arguments, its environment, and the bars for us against it.

    `whole`: whether whole processes are measured, too; starting Spark or Ray takes several times as long as scoring.
    """

    name: str
    script: str
    environment: str | None = None
    arguments: Sequence[str] = ()
    bar: float | None = None
    whole_bar: float | None = None
    whole: bool = False


OURS = Engine("beam_pcc", "beam_pcc_run.py", whole=True)
PEERS = (
    Engine("bare loop, one thread", "loop.py", arguments=["1"]),
    Engine("bare loop, two threads", "loop.py", arguments=["2"], bar=0.75, whole=True),
    Engine("DuckDB, Arrow UDF", "duckdb_udf.py", bar=1.0),
    Engine("Daft, batch UDF", "daft_udf.py", "daft", bar=1.0, whole_bar=1.3, whole=True),
    Engine("Polars, streaming", "polars_batches.py", "polars"),
    Engine("Spark, mapInArrow", "spark_arrow.py", "spark", bar=2.0),
    Engine("Ray Data, map_batches", "ray_batches.py", "ray"),
)


@dataclass
class _Measured:
    """Seconds of each repetition: warm, and of a whole process; with CPU seconds of the process and its children."""

    warm: list[float] = field(default_factory=list)
    warm_cpu: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    whole_cpu: list[float] = field(default_factory=list)


def engines(bench: Bench) -> Iterator[Figure]:
    """Warm runs and whole processes of every engine that can be had here."""
    source = data.cases(bench.cache, ROWS, clean=True)
    rows = data.count(source)
    print(f"engines: {rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory(dir=new(bench.peer_work)) as folder:
        runs = [run for run in (_Run(engine, bench, source, Path(folder)) for engine in (OURS, *PEERS)) if run.works()]
        for run in runs[1:]:
            figures.agree(runs[0].output / "pcc.duckdb", run.output / "*.parquet", rows)
        measured = {run.engine.name: _Measured() for run in runs}
        for turn in range(bench.repeat):
            for run in runs[:: -1 if turn % 2 else 1]:
                run.measure(measured[run.engine.name])
    ours = measured.pop(OURS.name)
    for engine in PEERS:
        if engine.name in measured:
            yield from _compared(rows, engine, ours, measured[engine.name])


def _compared(rows: int, engine: Engine, ours: _Measured, peer: _Measured) -> Iterator[Figure]:
    ratios = quotients(peer.warm, ours.warm)
    yield Figure(
        f"{rows:,} rows, warm, against: {engine.name}",
        *(f"{rate(rows, of.warm)} rows/s ({statistics.median(of.warm_cpu):.1f} CPU s)" for of in (ours, peer)),
        ratios,
        "none" if engine.bar is None else f">= {engine.bar:g}",
        None if engine.bar is None else statistics.median(ratios) >= engine.bar,
        _raw(engine, ours, peer, {"warm, seconds": "warm", "warm, CPU seconds": "warm_cpu"}),
    )
    if not engine.whole:
        return
    ratios = quotients(ours.whole, peer.whole)
    yield Figure(
        f"{rows:,} rows, a whole process, seconds against: {engine.name}",
        *(f"{statistics.median(of.whole):.1f} s ({statistics.median(of.whole_cpu):.1f} CPU s)" for of in (ours, peer)),
        ratios,
        "none" if engine.whole_bar is None else f"<= {engine.whole_bar:g}",
        None if engine.whole_bar is None else statistics.median(ratios) <= engine.whole_bar,
        _raw(engine, ours, peer, {"whole process, seconds": "whole", "whole process, CPU seconds": "whole_cpu"}),
    )


def _raw(engine: Engine, ours: _Measured, peer: _Measured, what: Mapping[str, str]) -> dict[str, list[float]]:
    sides = {"ours": ours, engine.name: peer}
    return {f"{who}, {name}": getattr(of, key) for who, of in sides.items() for name, key in what.items()}


class _Run:
    """How one engine is started."""

    def __init__(self, engine: Engine, bench: Bench, source: Path, folder: Path) -> None:
        self.engine = engine
        self.output = folder / engine.name.replace(" ", "-").replace(",", "")
        environment = bench.cache / "environments"
        self._python = environment / engine.environment / "bin" / "python" if engine.environment else sys.executable
        model = bench.models if engine is OURS else bench.model_file
        self._command = [self._python, HERE / engine.script, source, model, self.output]
        self._whole = self._command
        if engine is OURS:
            self._whole = [
                Path(sys.executable).parent / "beam-pcc",
                "run",
                "--partition",
                f"{data.DAY:%Y%m%d}",
                "--quiet",
            ]
            self._whole += ["--source", f"{source}/*.parquet", "--models", model]
            self._whole += ["--warehouse", self.output / "pcc.duckdb"]

    def works(self) -> bool:
        """Whether it ends well with one run; if not, says why in one line."""
        try:
            ended = subprocess.run(self._arguments(), capture_output=True, text=True, check=False, timeout=300)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            reason = f"{type(error).__name__}; make it with engines/environments.sh"
        else:
            if ended.returncode == 0:
                return True
            reason = (ended.stderr.strip().splitlines() or ["no reason"])[-1][:200]
        if self.engine is OURS:
            raise RuntimeError(f"beam_pcc does not run: {reason}")
        print(f"  {self.engine.name} is left out: {reason}", flush=True)
        return False

    def measure(self, measured: _Measured) -> None:
        """One whole process, if that is asked for, then one run of a process that is warm."""
        if self.engine.whole:
            command = self._arguments(of=self._whole)
            started, before = time.perf_counter(), _cpu_of_children()
            subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            measured.whole.append(time.perf_counter() - started)
            measured.whole_cpu.append(_cpu_of_children() - before)
        arguments = self._arguments("--warm")
        with subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            json.loads(process.stdout.readline())
            before = cpu_of_tree(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            measured.warm.append(json.loads(process.stdout.readline())["seconds"])
            measured.warm_cpu.append(cpu_of_tree(process.pid) - before)
            process.stdin.close()
            process.wait()
        whole = f", whole process {measured.whole[-1]:.2f} s" if self.engine.whole else ""
        print(f"  {self.engine.name}: warm {measured.warm[-1]:.2f} s{whole}", flush=True)

    def _arguments(self, *more: str, of: Sequence[object] = ()) -> list[str]:
        """The command, for an output folder that is not there."""
        shutil.rmtree(self.output, ignore_errors=True)
        return [str(argument) for argument in (*(of or self._command), *more, *self.engine.arguments)]


def _cpu_of_children() -> float:
    """CPU seconds of all processes that this one, or a child of it, has waited for."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
