"""Which version of a model a run uses."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.models.registry import Registry, new_version

TODAY = dt.date(2026, 11, 20)
OLD, YESTERDAY = "v20250101_000000", "v20261119_230000"
FIRST, SECOND = "v20261120_020000", "v20261120_140000"


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., Registry]:
    """Makes a registry of empty versions, and current.json where its text is given."""

    def make(*versions: str, current: str | None = None) -> Registry:
        for version in versions:
            (tmp_path / version).mkdir()
        if current is not None:
            (tmp_path / "current.json").write_text(current)
        return Registry(str(tmp_path))

    return make


def pointer(version: str) -> str:
    return json.dumps({"version": version})


def test_versions_are_sorted_by_time_in_any_spelling(models: Callable[..., Registry]) -> None:
    assert models(SECOND, "v20261120080000", OLD, FIRST).versions() == [OLD, FIRST, "v20261120080000", SECOND]


def test_other_folders_and_files_are_ignored(models: Callable[..., Registry], tmp_path: Path) -> None:
    registry = models(OLD, ".training-abc", "v1", "old", "v20261120_020000.bak", "v20261120-020000")
    (tmp_path / FIRST).write_text("a file")

    assert registry.versions() == [OLD]


def test_latest_version_is_used_if_none_is_of_today(models: Callable[..., Registry]) -> None:
    assert models(OLD, YESTERDAY).resolve(today=TODAY) == YESTERDAY


def test_first_version_of_today_is_used(models: Callable[..., Registry]) -> None:
    assert models(YESTERDAY, SECOND, FIRST).resolve(today=TODAY) == FIRST


def test_first_version_of_today_in_other_spelling_is_used(models: Callable[..., Registry]) -> None:
    assert models("v20261120010000", FIRST, SECOND).resolve(today=TODAY) == "v20261120010000"


def test_promoted_version_wins_over_todays(models: Callable[..., Registry]) -> None:
    assert models(OLD, FIRST, SECOND, current=pointer(OLD)).resolve(today=TODAY) == OLD


def test_version_flag_wins_over_promoted_version(models: Callable[..., Registry]) -> None:
    assert models(OLD, YESTERDAY, FIRST, current=pointer(OLD)).resolve(YESTERDAY, today=TODAY) == YESTERDAY


def test_force_latest_uses_the_newest_version(models: Callable[..., Registry]) -> None:
    assert models(OLD, FIRST, SECOND, current=pointer(OLD)).resolve(force_latest=True, today=TODAY) == SECOND


def test_today_is_a_day_in_utc(models: Callable[..., Registry]) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    if now.hour == 23:  # the day must not change between here and there
        now -= dt.timedelta(hours=1)
    first, later = new_version(now.replace(hour=0, minute=0)), new_version(now.replace(hour=23, minute=59))
    assert models(OLD, later, first).resolve() == first


@pytest.mark.parametrize("wanted", ["v20261120_010000", "v20261120010000"])
@pytest.mark.parametrize("folder", ["v20261120_010000", "v20261120010000"])
def test_version_is_found_in_either_spelling(models: Callable[..., Registry], wanted: str, folder: str) -> None:
    registry = models(OLD, folder, SECOND, current=pointer(wanted))

    assert registry.resolve(wanted) == folder
    assert registry.resolve() == folder  # current.json names it
    assert registry.find(wanted, "a test") == folder


def test_exact_spelling_is_preferred(models: Callable[..., Registry]) -> None:
    registry = models("v20261120_010000", "v20261120010000")
    assert [registry.resolve(version) for version in registry.versions()] == registry.versions()


@pytest.mark.parametrize("wanted", ["20261120_020000", "20261120020000", f"{FIRST}/", f"../{FIRST}", "v1", ""])
def test_invalid_version_name_is_not_found(models: Callable[..., Registry], wanted: str) -> None:
    with pytest.raises(ModelError, match=r"^a test names .* which is not in "):
        models(FIRST).find(wanted, "a test")


def test_missing_version_error_names_the_newest(models: Callable[..., Registry]) -> None:
    with pytest.raises(ModelError, match=f"^--model_version names v20990101_000000, .*newest: {OLD}, {FIRST}"):
        models(OLD, FIRST).resolve("v20990101_000000")


def test_missing_promoted_version_error_names_pointer(models: Callable[..., Registry], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"^{tmp_path / 'current.json'} names {FIRST}, which is not in "):
        models(OLD, current=pointer(FIRST)).resolve()


BROKEN_POINTERS = [
    "",
    "{",
    "[]",
    "{}",
    "null",
    '{"version": 7}',
    '{"version": "latest"}',
    '{"version": "../v1"}',
    "\xff",
]


@pytest.mark.parametrize("text", BROKEN_POINTERS)
def test_malformed_pointer_is_an_error(models: Callable[..., Registry], text: str) -> None:
    with pytest.raises(ModelError, match=r"current\.json .*mend or remove it$"):
        models(OLD, current=text).resolve()


def test_without_a_pointer_nothing_is_promoted(models: Callable[..., Registry]) -> None:
    assert models(OLD).current() is None


def test_missing_folder_error_names_train_command(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere is not a folder; train .*beam-pcc train --models"):
        Registry(str(tmp_path / "nowhere")).resolve()


def test_empty_registry_error_names_train_command(models: Callable[..., Registry]) -> None:
    with pytest.raises(ModelError, match=r"holds no version; train .*beam-pcc train --models"):
        models().resolve()


@pytest.mark.parametrize("root", ["s3://bucket/models", "gs://", "gs:///models", "gs://Bucket/models"])
def test_invalid_registry_address_is_refused(root: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^--models {root}.* gs://BUCKET/FOLDER$"):
        Registry(root)
