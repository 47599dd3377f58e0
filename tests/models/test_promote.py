"""Promotions: one of several concurrent ones succeeds, and only for a valid version."""

import datetime as dt
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import ModelError
from beam_pcc.models.registry import ModelVersion, Registry
from tests.models.versions import copies

OLD, NEW, THIRD = "v20261120_020000", "v20261121_020000", "v20261122_020000"


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    """A registry of three sound versions, none of which is promoted."""
    return copies(registry, tmp_path, OLD, NEW, THIRD)


class Meeting(Registry):
    """A promoter who does something after reading what is current, and before writing."""

    def __init__(self, root: Path, between: Callable[[], Any]) -> None:
        super().__init__(str(root))
        self._between = between

    def verify(self, version: str, **options: Any) -> ModelVersion:
        self._between()
        return super().verify(version, **options)


def promote(models: Path, version: str) -> int:
    """Without labelled rows, which the gates would ask for."""
    return cli.main(["models", "promote", version, "--models", str(models), "--force"])


def test_run_uses_the_promoted_version(models: Path) -> None:
    registry = Registry(str(models))

    assert registry.promote(OLD) is None
    assert (registry.current(), registry.resolve()) == (OLD, OLD)
    assert registry.promote(NEW) == OLD
    assert (registry.current(), registry.resolve()) == (NEW, NEW)


def test_promotion_uses_spelling_of_the_folder(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(models, NEW.replace("_", "")) == 0
    assert Registry(str(models)).current() == NEW
    assert f"current: {NEW} (was none)" in capsys.readouterr().out

    assert promote(models, NEW.replace("_", "")) == 0
    assert "already; nothing was changed" in capsys.readouterr().out


def test_pointer_contains_promotion_time(models: Path) -> None:
    before = dt.datetime.now(dt.timezone.utc)
    Registry(str(models)).promote(OLD)
    pointer = json.loads((models / "current.json").read_text())

    assert pointer["version"] == OLD
    assert before <= dt.datetime.fromisoformat(pointer["promoted_at"]) <= dt.datetime.now(dt.timezone.utc)


def test_promotion_prints_previous_version_and_rollback(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(models, OLD) == 0
    first = capsys.readouterr().out.splitlines()
    assert promote(models, NEW) == 0
    second = capsys.readouterr().out.splitlines()

    assert (first[0], first[-1]) == (f"current: {OLD} (was none)", f"  to go back: remove {models}/current.json")
    assert second[0] == f"current: {NEW} (was {OLD})"
    assert second[-1].endswith(f"beam-pcc models rollback --models {models}")


def test_promoting_current_version_changes_nothing(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote(models, OLD)
    before = (models / "current.json").read_bytes()
    capsys.readouterr()

    assert promote(models, OLD) == 0
    assert capsys.readouterr().out == f"current: {OLD} (already; nothing was changed)\n"
    assert (models / "current.json").read_bytes() == before


def test_broken_version_is_not_promoted(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote(models, OLD)
    before = (models / "current.json").read_bytes()
    metadata = json.loads((models / NEW / "metadata.json").read_text())
    metadata["golden"]["probabilities"].reverse()
    (models / NEW / "metadata.json").write_text(json.dumps(metadata))
    with (models / THIRD / "model.joblib").open("ab") as model:
        model.write(b"\0")
    capsys.readouterr()

    assert promote(models, NEW) == 2
    assert "scores its golden rows otherwise" in capsys.readouterr().err
    assert promote(models, THIRD) == 2
    assert "as metadata.json says" in capsys.readouterr().err
    assert (models / "current.json").read_bytes() == before


@pytest.mark.parametrize("version", ["v20990101_000000", "latest", "../v20261120_020000", ""])
def test_missing_version_is_not_promoted(models: Path, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert promote(models, version) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "which is not in" in line
    assert not (models / "current.json").exists()


def test_malformed_pointer_is_not_overwritten(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "current.json").write_text("{")
    assert promote(models, OLD) == 2
    assert "mend or remove it" in capsys.readouterr().err
    assert (models / "current.json").read_text() == "{"


@pytest.mark.parametrize("before", [None, OLD])
def test_second_concurrent_promotion_is_refused(models: Path, before: str | None) -> None:
    if before:
        Registry(str(models)).promote(before)
    slow = Meeting(models, lambda: Registry(str(models)).promote(NEW))

    error = rf"^{models}/current\.json was changed by somebody else meanwhile \(now {NEW}\): look, and promote again$"
    with pytest.raises(ModelError, match=error):
        slow.promote(THIRD)
    assert Registry(str(models)).current() == NEW


def test_pointer_removed_meanwhile_is_not_recreated(models: Path) -> None:
    Registry(str(models)).promote(OLD)
    slow = Meeting(models, (models / "current.json").unlink)

    with pytest.raises(ModelError, match=r"\(now removed\)"):
        slow.promote(NEW)
    assert Registry(str(models)).current() is None


def test_one_of_concurrent_promotions_succeeds(models: Path) -> None:
    barrier = Barrier(3)

    def race(version: str) -> None:
        Meeting(models, lambda: barrier.wait(60)).promote(version)

    with ThreadPoolExecutor(3) as threads:
        racing = {version: threads.submit(race, version) for version in (OLD, NEW, THIRD)}
        refused = {version: str(ended.exception()) for version, ended in racing.items() if ended.exception()}

    assert sorted(racing) == sorted([*refused, str(Registry(str(models)).current())])
    assert all("was changed by somebody else meanwhile" in error for error in refused.values())


def test_one_version_is_listed_as_current(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote(models, OLD)
    capsys.readouterr()
    assert cli.main(["models", "list", "--models", str(models)]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in lines] == ["version", THIRD, NEW, OLD]
    assert [line.endswith("current, used by a run now") for line in lines] == [False, False, False, True]
