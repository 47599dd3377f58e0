"""Temporary folders: the next process removes those of killed ones, and nothing else."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from beam_pcc.storage import temporary_folders
from beam_pcc.storage.temporary_folders import remove_dead, scratch, temporary_folder

OWNER = """
import sys, time
from pathlib import Path
from beam_pcc.storage.temporary_folders import temporary_folder
with temporary_folder(Path(sys.argv[1]), ".test-") as folder:
    (folder / "file").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


@contextmanager
def owner(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process, and the folder that it writes to."""
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert (folder / "file").exists()

        with temporary_folder(tmp_path, ".test-") as own:
            assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_live_process_stays(tmp_path: Path) -> None:
    with owner(tmp_path) as (_, folder):
        assert remove_dead(tmp_path, ".test-") == []
        assert (folder / "file").read_text() == "half"


def test_folder_of_a_forked_child_stays(tmp_path: Path) -> None:
    """A worker that was forked may outlive its launcher."""
    reading, writing = os.pipe()
    with temporary_folder(tmp_path, ".test-") as folder:
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        folder = folder.rename(tmp_path / f".test-{temporary_folders._machine()}-kept")
    try:
        assert remove_dead(tmp_path, ".test-") == []
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)
    assert remove_dead(tmp_path, ".test-") == [folder]


@pytest.mark.parametrize(("age", "removed"), [(3_600, False), (90_000, True)])
def test_folder_of_another_machine_is_removed_after_a_day(tmp_path: Path, age: int, removed: bool) -> None:
    folder = tmp_path / ".test-00000000-abc"
    folder.mkdir()
    (folder / "file").touch()
    for path in (folder / "file", folder):
        os.utime(path, (time.time() - age,) * 2)

    assert bool(remove_dead(tmp_path, ".test-")) is removed
    assert folder.exists() is not removed


def test_old_folder_that_is_still_written_stays(tmp_path: Path) -> None:
    folder = tmp_path / ".test-00000000-abc"
    folder.mkdir()
    (folder / "file").touch()
    os.utime(folder, (0, 0))

    assert remove_dead(tmp_path, ".test-") == []


def test_without_locks_the_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    with temporary_folder(tmp_path, ".test-") as folder:
        assert remove_dead(tmp_path, ".test-") == []
        os.utime(folder, (0, 0))
        assert remove_dead(tmp_path, ".test-") == [folder]


def test_folder_that_was_taken_for_dead_at_once_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its creation and its lock another process may find it and remove it."""
    make, removed = tempfile.mkdtemp, []

    def make_and_lose(*args: str, **names: object) -> str:
        folder = make(*args, **names)  # type: ignore[call-overload]
        if not removed:
            removed.extend(remove_dead(tmp_path, ".test-"))
        return str(folder)

    monkeypatch.setattr("tempfile.mkdtemp", make_and_lose)
    with temporary_folder(tmp_path, ".test-") as folder:
        assert folder.is_dir()
        assert removed
        assert folder not in removed


def test_folder_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with owner(tmp_path) as (process, folder):
        process.kill()
        process.wait(10)
        monkeypatch.setattr("os.geteuid", lambda: 12_345)
        assert remove_dead(tmp_path, ".test-") == []
    assert folder.exists()


def test_links_and_other_names_stay(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / f".test-{temporary_folders._machine()}-link").symlink_to(target)
    (tmp_path / f".test-{temporary_folders._machine()}-file").touch()

    assert remove_dead(tmp_path, ".test-") == []
    assert len(list(tmp_path.iterdir())) == 3


def test_new_folder_that_was_taken_for_dead_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of a folder and its lock."""
    make, made = tempfile.mkdtemp, []

    def mkdtemp(**arguments: object) -> str:
        made.append(make(**arguments))  # type: ignore[arg-type]
        if len(made) == 1:
            assert remove_dead(tmp_path, ".test-") == [Path(made[0])]
            Path(made[0]).mkdir()
            lost.append(made[0])
        return made[-1]

    lost: list[str] = []
    opened = os.open

    def open_(path: object, *arguments: object, **more: object) -> int:
        descriptor = opened(path, *arguments, **more)  # type: ignore[arg-type]
        if lost and str(path) == lost[0]:
            Path(lost.pop()).rmdir()
        return descriptor

    monkeypatch.setattr("tempfile.mkdtemp", mkdtemp)
    monkeypatch.setattr("os.open", open_)
    with temporary_folder(tmp_path, ".test-") as folder:
        assert str(folder) == made[1]
        assert folder.is_dir()


def test_scratch_holds_what_libraries_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch():
        left = Path(tempfile.mkdtemp(prefix="beam-pipeline-temp"))
        assert left.parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)


def test_scratch_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with scratch():
        assert tempfile.gettempdir() == str(tmp_path / "missing")
