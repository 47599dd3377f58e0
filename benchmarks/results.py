"""The figures as files: one JSON file for each benchmark, and the table of README.md, which is made of them.

usage: results.py [FOLDER]    makes the table of FOLDER/README.md anew (default: this folder)

No library is imported, so that a test, and whoever edits a file by hand, can make the table anywhere.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ORDER = (
    "help",
    "growth",
    "end-to-end",
    "engines",
    "dicts",
    "dicts-of-floats",
    "readers",
    "small-files",
    "soak",
    "publishing",
    "flink",
    "scorers",
    "encoders",
    "encoder-threads",
    "cleaning",
)
HEAD = ["| figure | ours | peer | ratio: min, median, max | bar | met |", "|---|---|---|---|---|---|"]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: Of the figure.
        ours: What we reach, with its unit.
        peer: What the peer reaches, with its unit.
        ratios: Of ours to the peer's, those of all repetitions or just lowest, middle and highest.
        bar: What the median of the ratios must reach, as a phrase.
        met: Whether it does; None without a bar.
        raw: What was measured: a description with its unit to one value for each repetition.
    """

    name: str
    ours: str
    peer: str
    ratios: Sequence[float]
    bar: str = "none"
    met: bool | None = None
    raw: Mapping[str, Sequence[float]] = field(default_factory=dict)


def conditions(repetitions: int, load: float, libraries: Iterable[str], **settings: object) -> dict[str, Any]:
    """Where and when a benchmark was measured. `load`: of the machine before the benchmark began."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "at": f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M}",  # UTC
        "repetitions": repetitions,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory),
        "load": round(load, 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
        "settings": settings,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(folder: Path, benchmark: str, figures: Sequence[Figure], measured: Mapping[str, Any]) -> None:
    """Write FOLDER/BENCHMARK.json."""
    lines = [
        {
            "name": figure.name,
            "ours": figure.ours,
            "peer": figure.peer,
            "ratio": {
                "min": min(figure.ratios),
                "median": statistics.median(figure.ratios),
                "max": max(figure.ratios),
            },
            "bar": figure.bar,
            "met": figure.met,
            "raw": {what: list(values) for what, values in figure.raw.items()},
        }
        for figure in figures
    ]
    text = json.dumps({"measured": dict(measured), "figures": lines}, indent=2)
    (folder / f"{benchmark}.json").write_text(text + "\n", encoding="utf-8")


def table(folder: Path) -> str:
    """The table of all JSON files of a folder, and one line on where and when they were measured."""
    paths = [folder / f"{name}.json" for name in ORDER]
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()}
    lines = [_line(figure) for content in files.values() for figure in content["figures"]]
    return "\n".join([*HEAD, *lines, "", _where({name: content["measured"] for name, content in files.items()})])


def _line(figure: Mapping[str, Any]) -> str:
    ratio = ", ".join(f"{figure['ratio'][name]:.2f}" for name in ("min", "median", "max"))
    met = "-" if figure["met"] is None else "yes" if figure["met"] else "**no**"
    return f"| {figure['name']} | {figure['ours']} | {figure['peer']} | {ratio} | {figure['bar']} | {met} |"


def _where(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence for each machine; which benchmarks it measured is said where there are several."""
    machines: dict[tuple[str, int], list[str]] = {}
    for name, one in measured.items():
        machines.setdefault((one["cpu"], one["cores"]), []).append(name)
    sentences = []
    for (cpu, cores), names in machines.items():
        ones = [measured[name] for name in names]
        versions: dict[str, set[str]] = {}
        for one in ones:
            software = {"Python": one.get("python"), **one.get("libraries", {})}
            for library, number in software.items():
                versions.setdefault(library, set()).update({number} - {None})
        parts = [
            f"{', '.join(names) + ': ' if len(machines) > 1 else ''}Measured {_span(one['at'] for one in ones)} UTC on "
            f"{cpu}, {cores} cores",
            *(f"{memory} GiB" for memory in sorted({one["memory_gib"] for one in ones if one.get("memory_gib")})),
            f"load {_span(one['load'] for one in ones)} at the start",
            *(f"{library} {'/'.join(sorted(numbers))}" for library, numbers in versions.items() if numbers),
            f"{_span(one['repetitions'] for one in ones)} repetitions.",
        ]
        sentences.append(", ".join(parts))
    return " ".join(sentences)


def _span(values: Iterable[Any]) -> str:
    ordered = sorted(set(values))
    return f"{ordered[0]}" if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def update(readme: Path) -> None:
    """Put the table of the JSON files beside it between the markers of a README.

    Raises:
        SystemExit: It has no markers.
    """
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{readme} has no {BEGIN} ... {END}; its table was not written")
    readme.write_text(f"{before}{BEGIN}\n{table(readme.parent)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    update(Path(sys.argv[1] if len(sys.argv) > 1 else HERE) / "README.md")
