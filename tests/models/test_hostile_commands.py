"""Commands with a hostile model print one line, exit with code 2, and promote nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.models import artifact
from beam_pcc.models.registry import Registry
from tests.models import hostile, hostile_structures

pytestmark = pytest.mark.end_to_end  # it trains and starts processes

VERSION = "v20261121_020000"
FILES: dict[str, Callable[[Path], bytes]] = {
    "os_system": hostile.os_system,
    "skops_function": hostile.skops_function,
    **{
        name: lambda _, name=name: hostile_structures.files()[name][1]()
        for name in ("bin_mapper_as_a_step", "skops_bin_mapper_as_a_step", "model_in_place_of_the_loss")
    },
    "trees_by_the_million": lambda _: hostile_structures.files()["trees_by_the_million"][1](),
}


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    """A registry of a sound version, which is current, and of a newer one to be made hostile."""
    (trained,) = Registry(str(registry)).versions()
    shutil.copytree(registry / trained, tmp_path / "models" / trained)
    (tmp_path / "models" / VERSION).mkdir()
    (tmp_path / "models" / "current.json").write_text(json.dumps({"version": trained}))
    return tmp_path / "models"


def write(models: Path, name: str) -> Path:
    """The hostile file, and honest metadata that agree with it. Returns the canary."""
    canary = models.parent / "canary"
    data = FILES[name](canary)
    file = "model.skops" if name.startswith("skops_") else "model.joblib"
    (models / VERSION / file).write_bytes(data)
    metadata = {"classes": ["NOT_PC", "PC"], "sha256": artifact.digest(data)}
    (models / VERSION / "metadata.json").write_text(json.dumps(metadata))
    return canary


def commands(models: Path) -> dict[str, list[str]]:
    registry = ["--models", str(models)]
    run = ["--partition", "20261120", "--source", "sample://10", "--warehouse", str(models.parent / "w.duckdb")]
    return {
        "verify": ["models", "verify", "--model_version", VERSION, *registry],
        "promote": ["models", "promote", VERSION, *registry],
        "shadow": ["models", "shadow", VERSION, *registry],
        "sign": ["models", "sign", VERSION, "--private_key", "none.key", *registry],
        "run": ["run", "--model_version", VERSION, *run, *registry],
        "run with it in the shadow": ["run", "--shadow_version", VERSION, *run, *registry],
    }


@pytest.mark.parametrize("command", ["verify", "promote", "shadow", "sign", "run", "run with it in the shadow"])
@pytest.mark.parametrize("name", FILES)
def test_hostile_model_is_one_line_and_exit_code_2(
    name: str, command: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary, before = write(models, name), (models / "current.json").read_text()

    assert cli.main(commands(models)[command]) == 2

    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert VERSION in lines[0]
    assert lines[0].isprintable()
    assert not canary.exists()
    assert (models / "current.json").read_text() == before


def test_workers_load_the_digest_that_was_checked(models: Path) -> None:
    registry = Registry(str(models))
    checked = registry.check(registry.current() or "")
    shutil.copy(Path(checked.file.path), models / "aside")
    Path(checked.file.path).write_bytes(hostile.as_joblib(hostile.logistic()))

    with pytest.raises(artifact.ModelError, match="as the launcher says"):
        checked.file.load()
    shutil.copy(models / "aside", checked.file.path)
    assert tuple(checked.file.load().classes_) == checked.classes
