"""How a figure is measured: whose turn it is, and what is compared."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import data
from beam_pcc.models.registry import Registry


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


def turns(repeat: int, *actions: Callable[[], object]) -> list[list[float]]:
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


def new(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def marginal(sizes: tuple[int, int], small: Sequence[float], large: Sequence[float]) -> list[float]:
    return [(sizes[1] - sizes[0]) / (b - a) for a, b in zip(small, large, strict=True)]


def rate(rows: int, seconds: Sequence[float]) -> str:
    return f"{rows / statistics.median(seconds):,.0f}"


def cpu_of_tree(root: int) -> float:
    """CPU seconds of a process, of those below it that run, and of those that they waited for."""
    stats = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            numbers = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        stats[int(file.parent.name)] = (int(numbers[1]), sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK"))
    tree, found = {root}, 1
    while found:
        below = {pid for pid, (parent, _) in stats.items() if parent in tree} - tree
        found, tree = len(below), tree | below
    return sum(stats[pid][1] for pid in tree if pid in stats)
