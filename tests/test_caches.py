"""What the tests keep between runs does not grow for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests import caches

DAY = 24 * 3600


def kept(root: Path, name: str, days: float) -> Path:
    """A complete folder that was used that many days ago."""
    folder = root / name
    folder.mkdir()
    (folder / "complete").touch()
    then = time.time() - days * DAY
    os.utime(folder / "complete", (then, then))
    return folder


def test_folder_that_is_used_stays_and_counts_as_used(tmp_path: Path) -> None:
    folder = kept(tmp_path, "reference-1", days=30)
    caches.used(folder, "reference-*")
    assert time.time() - (folder / "complete").stat().st_mtime < DAY


def test_long_unused_folder_of_the_kind_is_removed(tmp_path: Path) -> None:
    old = kept(tmp_path, "reference-1", days=30)
    caches.used(kept(tmp_path, "reference-2", days=0), "reference-*")
    assert not old.exists()


def test_folders_in_use_elsewhere_or_of_another_kind_stay(tmp_path: Path) -> None:
    others = [kept(tmp_path, "reference-1", days=3), kept(tmp_path, "minilm", days=30)]
    unfinished = tmp_path / "reference-3"
    unfinished.mkdir()
    caches.used(kept(tmp_path, "reference-2", days=0), "reference-*")
    assert all(folder.exists() for folder in [*others, unfinished])
