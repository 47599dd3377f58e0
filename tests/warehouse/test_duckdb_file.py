"""The DuckDB file on its disk: who may have it open, what a writer leaves, and what it makes of what others left."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from beam_pcc.cli import main as cli
from beam_pcc.errors import WarehouseError
from beam_pcc.publishing.warehouse.duckdb.file import DuckDBFile

starts_a_process = pytest.mark.end_to_end


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one row, in a folder of its own."""
    path = tmp_path / "folder" / "pcc.duckdb"
    add(path, "CREATE TABLE t AS SELECT 1 AS i")
    return path


def add(path: Path, sql: str = "INSERT INTO t SELECT 1 + max(i) FROM t") -> None:
    """Change the file as a run does."""
    file = DuckDBFile(str(path), lock_timeout=10)
    with file.session() as connection, file.change(connection):
        connection.execute(sql)


def rows(path: Path) -> int:
    with DuckDBFile(str(path), lock_timeout=10).read() as connection:
        assert connection is not None
        return len(connection.execute("FROM t").fetchall())


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


@contextmanager
def client(path: Path, *, read_only: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has the file open."""
    code = (
        f"import duckdb, sys\nc = duckdb.connect(sys.argv[1], {read_only})\nprint('open', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    try:
        yield process
    finally:
        process.communicate()


def leave_log(path: Path, sql: str) -> None:
    """Change the file in a client that is then killed, so that the change is in the log beside the file only."""
    code = "import duckdb, os, sys\nc = duckdb.connect(sys.argv[1])\nc.execute(sys.argv[2])\nos.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code, str(path), sql], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert f"{path.name}.wal" in names(path)


def test_writing_leaves_the_file_alone(path: Path) -> None:
    """No log, lock, copy or folder for what does not fit in memory."""
    add(path)
    assert (names(path), rows(path)) == (["pcc.duckdb"], 2)


def test_written_file_is_another_one(path: Path) -> None:
    """A link to the file before has its bytes still: none was overwritten."""
    before = path.with_name("before")
    os.link(path, before)
    content = before.read_bytes()
    add(path)
    assert before.read_bytes() == content


def test_failed_change_leaves_the_file(path: Path) -> None:
    content = path.read_bytes()
    with pytest.raises(WarehouseError):
        add(path, "INSERT INTO t VALUES (2); INSERT INTO t VALUES ('no number')")
    assert (names(path), path.read_bytes()) == (["pcc.duckdb"], content)


@starts_a_process
def test_writing_does_not_wait_for_a_reader(path: Path) -> None:
    with client(path, read_only=True):
        add(path)
    assert rows(path) == 2


@starts_a_process
def test_reading_does_not_wait_for_a_writer_or_reader(path: Path) -> None:
    file = DuckDBFile(str(path), lock_timeout=10)
    with client(path, read_only=True), file.session() as connection, file.change(connection):
        connection.execute("INSERT INTO t VALUES (2)")
        code = "from tests.warehouse.test_duckdb_file import *\nprint(rows(Path(sys.argv[1])))"
        reader = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    assert (reader.stdout, rows(path)) == ("1\n", 2)


@starts_a_process
def test_no_client_can_change_what_is_being_copied(path: Path) -> None:
    file = DuckDBFile(str(path), lock_timeout=10)
    with file.session() as connection, file.change(connection):
        code = "import duckdb, sys\nduckdb.connect(sys.argv[1])"
        writer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False, text=True)
    assert "Could not set lock" in writer.stderr


def read(file: DuckDBFile) -> None:
    with file.read():
        pass


def write(file: DuckDBFile) -> None:
    with file.session() as connection, file.change(connection):
        pass


@starts_a_process
@pytest.mark.parametrize("act", [read, write])
def test_error_names_the_client_that_holds_the_file(path: Path, act: Callable[[DuckDBFile], None]) -> None:
    with client(path) as holder:
        name = rf"\((\S+, )?PID {holder.pid}\)"  # the program too where /proc tells it
        with pytest.raises(WarehouseError, match=f"is held by another process {name} for more than 0.1 s"):
            act(DuckDBFile(str(path), lock_timeout=0.1))


@starts_a_process
def test_error_names_the_run_that_holds_the_lock(path: Path) -> None:
    code = (
        "from tests.warehouse.test_duckdb_file import *\n"
        "with DuckDBFile(sys.argv[1], 1).session():\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(WarehouseError, match=rf"is held by another process \(.*PID {holder.pid}\) for more than 0.1 s"):
        write(DuckDBFile(str(path), lock_timeout=0.1))
    holder.communicate()
    add(path)
    assert names(path) == ["pcc.duckdb"]


@starts_a_process
def test_concurrent_writers_lose_no_row(path: Path) -> None:
    code = "from tests.warehouse.test_duckdb_file import *\nfor _ in range(5): add(Path(sys.argv[1]))"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert rows(path) == 16


@starts_a_process
def test_log_of_a_killed_client_is_kept_once(path: Path) -> None:
    leave_log(path, "INSERT INTO t VALUES (2), (3)")
    assert rows(path) == 3
    add(path)
    assert (names(path), rows(path)) == (["pcc.duckdb"], 4)


@starts_a_process
def test_torn_log_keeps_what_is_whole(path: Path) -> None:
    leave_log(path, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")
    log = path.with_name("pcc.duckdb.wal")
    log.write_bytes(log.read_bytes()[:-10])
    add(path)
    assert (names(path), rows(path)) == (["pcc.duckdb"], 3)


@starts_a_process
def test_complete_copy_of_a_killed_writer_is_taken(path: Path) -> None:
    """It has the rows of the log already, so that the log is not replayed."""
    complete = path.with_name("pcc.duckdb.next")
    leave_log(path, "INSERT INTO t VALUES (2)")
    shutil.copy(path, complete)
    shutil.copy(path.with_name("pcc.duckdb.wal"), path.with_name("pcc.duckdb.next.wal"))
    duckdb.connect(str(complete)).execute("CHECKPOINT").close()
    content = complete.read_bytes()

    assert (rows(path), complete.read_bytes()) == (2, content)
    add(path)
    assert (names(path), rows(path)) == (["pcc.duckdb"], 3)


def test_rest_of_a_killed_writer_is_removed(path: Path) -> None:
    for end in (".new", ".new.wal", ".lock"):
        path.with_name(path.name + end).write_bytes(b"cut off")
    path.with_name("pcc.duckdb.tmp").mkdir()
    (path.with_name("pcc.duckdb.tmp") / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"cut off")
    add(path)
    assert (names(path), rows(path)) == (["pcc.duckdb"], 2)


@pytest.mark.parametrize("log", [False, True], ids=["alone", "with a log"])
def test_empty_file_is_written_anew(tmp_path: Path, log: bool) -> None:
    path = tmp_path / "pcc.duckdb"
    path.touch()
    if log:
        path.with_name("pcc.duckdb.wal").write_bytes(b"cut off")
    add(path, "CREATE TABLE t AS SELECT 1 AS i")
    assert (names(path), rows(path)) == (["pcc.duckdb"], 1)


def test_rights_of_the_file_are_kept(path: Path) -> None:
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    add(path)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_link_is_followed(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(path)
    add(link)
    assert (link.is_symlink(), rows(path), sorted(tmp_path.iterdir())) == (True, 2, [path.parent, link])


def test_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:12_288].ljust(20_000, b"\0"))
    with pytest.raises(WarehouseError, match=f"{path} cannot be opened: .*restore the file"):
        add(path)
    assert names(path) == ["pcc.duckdb"]


@starts_a_process
@pytest.mark.skipif(os.getuid() == 0 and not shutil.which("setpriv"), reason="root may write everything")
@pytest.mark.parametrize(("mode", "words"), [(0o555, "cannot be replaced"), (0o755, "no right to write it")])
def test_missing_rights_are_named(tmp_path: Path, mode: int, words: str) -> None:
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    path = tmp_path / "pcc.duckdb"
    add(path, "CREATE TABLE t AS SELECT 1 AS i")
    path.chmod(0o444)
    user = os.getuid() or 65534
    os.chown(tmp_path, user, -1)
    tmp_path.chmod(mode)
    code = (
        "from tests.warehouse.test_duckdb_file import *\n"
        f"if os.getuid() == 0: os.setgid({user}); os.setuid({user})\n"
        "add(Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False, text=True)
    tmp_path.chmod(0o755)
    assert words in ended.stderr.splitlines()[-1]
    assert names(path) == ["pcc.duckdb"]


def test_file_does_not_grow_without_bound(path: Path) -> None:
    sizes = []
    for _ in range(8):
        add(path, "CREATE OR REPLACE TABLE big AS SELECT range AS i, uuid() AS u FROM range(50_000)")
        sizes.append(path.stat().st_size)
    assert max(sizes[4:]) <= max(sizes[:4])


@pytest.mark.parametrize("command", [["tables", "query", "SELECT 1"], ["tables", "export"], ["report"]])
@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_reading_nothing_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], content: bytes | None
) -> None:
    path = tmp_path / "pcc.duckdb"
    if content is not None:
        path.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    output = [] if "query" in command else ["--output", str(tmp_path / "output")]

    assert cli.main([*command, *output, "--warehouse", str(path)]) == 2

    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert sorted(tmp_path.iterdir()) == before
