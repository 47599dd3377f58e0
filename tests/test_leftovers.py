"""What killed writers leave beside their files: the next writer removes it, and nothing that is alive."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beam_pcc.errors import ModelError
from beam_pcc.storage import leftovers
from beam_pcc.storage.folder import LocalStore
from beam_pcc.storage.whole_files import written_whole

_WRITE = """
import sys, time
from pathlib import Path
from beam_pcc.storage.leftovers import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def writer(parent: Path) -> Iterator[Path]:
    """The temporary folder of a process that is killed at the end; it looks as if it had been there for an hour."""
    with subprocess.Popen([sys.executable, "-c", _WRITE, str(parent)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        an_hour_ago = time.time() - 3600
        os.utime(folder, (an_hour_ago, an_hour_ago))
        try:
            yield folder
        finally:
            process.kill()


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """The temporary folder of a writer that was killed."""
    with writer(tmp_path) as folder:
        pass
    assert (folder / "half").exists()
    return folder


def test_next_file_there_removes_what_a_killed_writer_left(killed: Path) -> None:
    with written_whole(killed.parent / "page") as file:
        file.write_text("new")
    assert [path.name for path in killed.parent.iterdir()] == ["page"]


def test_next_version_there_removes_what_a_killed_writer_left(killed: Path) -> None:
    assert LocalStore(str(killed.parent)).add_folder("v1", {"a": b""})
    assert [path.name for path in killed.parent.iterdir()] == ["v1"]


def test_folder_of_a_living_writer_stays(tmp_path: Path) -> None:
    with writer(tmp_path) as folder:
        leftovers.remove_leftovers(tmp_path)
        assert (folder / "half").exists()


def test_folder_of_a_writer_that_has_no_lock_yet_stays(tmp_path: Path) -> None:
    young = tmp_path / f"{leftovers.PREFIX}abc"
    young.mkdir()
    leftovers.remove_leftovers(tmp_path)
    assert young.exists()


@pytest.mark.parametrize("name", ["writing-abc", ".other", ".writing"])
def test_folders_of_other_names_stay(tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    other.mkdir()
    os.utime(other, (0, 0))
    leftovers.remove_leftovers(tmp_path)
    assert other.exists()


def test_link_with_the_name_of_a_leftover_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    os.utime(elsewhere, (0, 0))
    (tmp_path / f"{leftovers.PREFIX}link").symlink_to(elsewhere)
    leftovers.remove_leftovers(tmp_path)
    assert (elsewhere / "kept").exists()


def test_temporary_file_of_a_killed_promotion_is_removed_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".current.json-0123abcd"
    other = tmp_path / ".current.json-mine"
    for path in (left, other):
        path.write_text("{")
    assert LocalStore(str(tmp_path)).replace("current.json", b"{}", 0)
    assert (left.exists(), other.exists()) == (False, True)


def test_disk_that_cannot_be_listed_hides_no_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file or directory"):
        LocalStore(str(tmp_path / "missing")).add_folder("v1", {"a": b""})
