"""Files with allowed types in wrong places, with wrong numbers or at too high a cost are refused within limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.hostile_structures import files

SECONDS = 60
MEGABYTES = 1024
NAMES = list(files())


@pytest.fixture(scope="module")
def attempt() -> Iterator[Any]:
    """Loads one file after the other, each in a fork of one process that has imported what it takes."""
    command = [sys.executable, "-m", "tests.models.trial"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(path: Path, file_format: str) -> dict[str, Any]:
            print(
                json.dumps({"name": path.name, "format": file_format, "path": str(path)}),
                file=process.stdin,
                flush=True,
            )
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.mark.parametrize("name", NAMES)
def test_hostile_file_is_refused_within_limits(name: str, tmp_path: Path, attempt: Any) -> None:
    file_format, build = files()[name]
    path = tmp_path / "model.file"
    path.write_bytes(build())

    result = attempt(path, file_format)

    assert result["status"] == 0, f"the process died: {result}"
    assert result["exit_code"] in (1, 2), result["message"]
    assert result["message"].isprintable()
    assert len(result["message"]) < 400
    assert not result["chained"], "no other error's traceback is shown with it"
    assert result["megabytes"] < MEGABYTES
    assert result["cpu_seconds"] < SECONDS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.file"]


def test_enough_kinds_of_attacks_are_tested() -> None:
    assert len(NAMES) >= 60
    assert sum(file_format == "skops" for file_format, _ in files().values()) >= 30
