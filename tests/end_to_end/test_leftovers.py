"""Commands that are killed at any moment: the next one works, and removes what they left.

KILLS=40 kills each command so many times instead of twice, which takes minutes.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from beam_pcc.models.registry import Registry
from tests.end_to_end.conftest import DATE, DAY, Workspace

pytestmark = pytest.mark.end_to_end

KILLS = int(os.environ.get("KILLS", "2"))
# What stays on purpose: the files whose locks order the writers of current.json and of its log.
KEPT = {".current.json.lock", ".promotions.jsonl.lock"}


class Commands:
    """Each command that writes files, on one folder; `own` is the folder of temporary files of all of them."""

    def __init__(self, workspace: Workspace, labelled: Path) -> None:
        self.folder, self.models = workspace.folder, workspace.folder / "registry"
        self.warehouse = workspace.warehouse
        self.own = workspace.folder / "tmp"
        self.own.mkdir()
        self.labelled = labelled

    def start(self, *arguments: object) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "beam_pcc", *map(str, arguments)],
            env=os.environ | {"TMPDIR": str(self.own)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def train(self) -> list[object]:
        return ["train", "--data", self.labelled, "--models", self.models]

    def promote(self) -> list[object]:
        return ["models", "promote", Registry(str(self.models)).versions()[0], "--models", self.models, "--force"]

    def sample(self) -> list[object]:
        return ["sample", "--rows", 20_000, "--output", self.folder / "made" / "cases.parquet"]

    def run(self) -> list[object]:
        flags = ["--source", "sample://500", "--warehouse", self.warehouse, "--models", self.models]
        return ["run", "--partition", DAY, *flags]

    def report(self) -> list[object]:
        return ["report", "--warehouse", self.warehouse, "--output", self.folder / "made" / "report.html"]

    def export(self) -> list[object]:
        return ["tables", "export", "--warehouse", self.warehouse, "--output", self.folder / "made"]

    def jobjar(self) -> list[object]:
        flags = ["--source", "sample://500", "--warehouse", self.folder / "other.duckdb", "--models", self.models]
        staging = ["--staging", self.folder / "staging", "--output", self.folder / "made" / "job.jar"]
        return ["jobjar", "--partition", DAY, *flags, *staging]

    def temporary(self) -> set[Path]:
        """What no reader looks for: temporary files and folders, and everything in the folder for them."""
        hidden = {
            path
            for path in self.folder.rglob(".*")
            if path.name not in KEPT and self.own not in path.parents and "staging" not in str(path)
        }
        beside = {path for end in (".new", ".next", ".lock", ".tmp", ".wal") for path in self.folder.glob(f"*{end}")}
        return hidden | beside | set(self.own.iterdir())


@pytest.fixture
def commands(workspace: Workspace, labelled: Path) -> Commands:
    return Commands(workspace, labelled)


def finish(commands: Commands, arguments: list[object]) -> float:
    """Let the command come to its end; the seconds that it took."""
    started = time.monotonic()
    process = commands.start(*arguments)
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint
    return time.monotonic() - started


def kill(commands: Commands, arguments: list[object], moments: Iterator[float]) -> bool:
    """Kill -9 the command, at the next moment or, for a negative one, when it has a new temporary file."""
    before = commands.temporary()
    process = commands.start(*arguments)
    moment = next(moments)
    if moment >= 0:
        time.sleep(moment)
    else:
        while process.poll() is None and not any(
            ".writing-" in str(p) or ".training-" in str(p) or ".json-" in str(p) for p in commands.temporary() - before
        ):
            time.sleep(0.001)
    process.kill()
    process.communicate(timeout=60)
    return process.returncode == -9


def check_targets(commands: Commands) -> None:
    """Whatever has its name is whole."""
    made = commands.folder / "made"
    for file in made.glob("*.parquet"):
        rows = pq.read_table(file).num_rows
        assert rows or "feedback" in file.name  # nobody gave any
    for page in made.glob("*.html"):
        assert page.read_text().rstrip().endswith("</html>")
    for version in commands.models.glob("v*"):
        assert {file.name for file in version.iterdir()} >= {"metadata.json", "model.joblib"}
    if commands.warehouse.exists():
        duckdb.connect(str(commands.warehouse), read_only=True).close()


@pytest.mark.parametrize("name", ["train", "promote", "sample", "run", "report", "export", "jobjar"])
def test_next_command_removes_what_killed_ones_left(
    commands: Commands, name: str, record_property: Callable[[str, object], None]
) -> None:
    words: Callable[[], list[object]] = getattr(commands, name)
    if name != "sample":
        finish(commands, commands.train())
    if name in ("report", "export"):
        finish(commands, commands.run())
    whole = finish(commands, words())
    draw = random.Random(f"{DATE} {name}")
    moments = iter([draw.uniform(0, whole) if number % 2 else -1.0 for number in range(KILLS)])

    killed = left = 0
    for _ in range(KILLS):
        killed += kill(commands, words(), moments)
        left += bool(commands.temporary())
        check_targets(commands)
    finish(commands, words())

    assert commands.temporary() == set()
    check_targets(commands)
    record_property("killed", killed)
    record_property("left", left)
