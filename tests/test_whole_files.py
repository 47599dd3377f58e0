"""Files that are written aside and renamed."""

import os
import stat
import threading
from pathlib import Path

import pytest

from beam_pcc.storage.whole_files import written_whole


def write(path: Path, text: str) -> None:
    with written_whole(path) as file:
        file.write_text(text)


def test_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page"
    write(path, "old")
    write(path, "new")

    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_old_file_stays_if_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_text("old")

    def fail() -> None:
        with written_whole(path) as file:
            file.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "umask", "new"),
    [(0o640, 0o022, 0o640), (0o600, 0o022, 0o600), (0o666, 0o022, 0o644), (0o644, 0o077, 0o600), (0o400, 0o077, 0o400)],
)
def test_new_file_is_no_more_open_than_old_or_writer(tmp_path: Path, old: int, umask: int, new: int) -> None:
    path = tmp_path / "page"
    path.touch()
    path.chmod(old)
    before = os.umask(umask)
    try:
        write(path, "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == new


def test_temporary_file_matches_no_pattern_of_a_source(tmp_path: Path) -> None:
    with written_whole(tmp_path / "cases.parquet") as file:
        file.write_text("half")
        assert not list(tmp_path.rglob("*.parquet"))


def test_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write(link, "new")

    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_no_file_is_written_itself(tmp_path: Path) -> None:
    """A rename as root would put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write(pipe, "new")
    reader.join(10)

    assert received == ["new"]
    assert pipe.is_fifo()
