"""A registry's files on disk: writes are atomic, and one of several concurrent replacements succeeds."""

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from beam_pcc.errors import ConfigurationError, ModelError, RunError
from beam_pcc.storage import folder, open_store
from beam_pcc.storage.folder import LocalStore

LIMIT = 1_000
FILES = {"metadata.json": b"{}", "model.joblib": b"model"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def test_a_path_is_a_store_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("models")

    assert isinstance(store, LocalStore)
    assert store.address == str(tmp_path / "models")
    assert store.path("v1/model.joblib") == str(tmp_path / "models" / "v1" / "model.joblib")


def test_bucket_without_gcp_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "beam_pcc.storage.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    monkeypatch.delattr("google.cloud.storage", raising=False)
    with pytest.raises(ConfigurationError, match=r"^--models needs the extra gcp, .*pip install '\.\[gcp\]'"):
        open_store("gs://bucket/models")


def test_a_path_needs_no_client_of_google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google", None)
    assert open_store(str(tmp_path)).read("none", LIMIT) is None


def test_written_file_is_read(store: LocalStore) -> None:
    assert store.replace("a", b"one", 0)
    content = store.read("a", LIMIT)

    assert content is not None
    assert content.data == b"one"
    assert store.replace("a", b"two", content.generation)
    assert store.read("a", LIMIT) != content


def test_a_file_of_more_than_the_limit_is_refused(store: LocalStore) -> None:
    store.replace("a", b"x" * (LIMIT + 1), 0)
    with pytest.raises(ModelError, match=r"a has 1,001 bytes, more than 1,000: not a model$"):
        store.read("a", LIMIT)


def test_a_file_that_cannot_be_read_is_an_error(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ModelError, match=r"cannot be read: Is a directory; check the path and the rights$"):
        store.read("a", LIMIT)


@pytest.mark.parametrize("before", [None, b"one"])
def test_other_generation_is_not_replaced(store: LocalStore, before: bytes | None) -> None:
    if before is not None:
        store.replace("a", before, 0)
    content = store.read("a", LIMIT)
    generation = content.generation if content else 0
    assert store.replace("a", b"of somebody else", generation)

    assert not store.replace("a", b"mine", generation)
    after = store.read("a", LIMIT)
    assert after is not None
    assert after.data == b"of somebody else"


def test_file_removed_meanwhile_is_not_recreated(store: LocalStore, tmp_path: Path) -> None:
    store.replace("a", b"one", 0)
    content = store.read("a", LIMIT)
    assert content is not None
    (tmp_path / "a").unlink()

    assert not store.replace("a", b"two", content.generation)
    assert store.read("a", LIMIT) is None


def replace_from(root: str, number: int, barrier: Any) -> bool:
    """Wait until all others have read the generation, then replace it."""
    store = open_store(root)
    content = store.read("a", LIMIT)
    barrier.wait(60)
    return store.replace("a", f"of {number}".encode(), content.generation if content else 0)


@pytest.mark.parametrize("before", [None, b"one"])
def test_one_of_concurrent_threads_replaces(store: LocalStore, before: bytes | None) -> None:
    if before is not None:
        store.replace("a", before, 0)
    many, barrier = 16, Barrier(16)
    with ThreadPoolExecutor(many) as threads:
        won = list(threads.map(lambda n: replace_from(store.address, n, barrier), range(many)))

    assert won.count(True) == 1
    after = store.read("a", LIMIT)
    assert after is not None
    assert after.data == f"of {won.index(True)}".encode()


PROMOTER = """
import sys
from beam_pcc.storage import open_store
store = open_store(sys.argv[1])
generation = store.read("a", 1000).generation
print("read", flush=True)
sys.stdin.readline()
print(store.replace("a", sys.argv[2].encode(), generation))
"""


def test_one_of_concurrent_processes_replaces(store: LocalStore) -> None:
    store.replace("a", b"one", 0)
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROMOTER, store.address, name], stdin=pipe, stdout=pipe, text=True
                )
            )
            for name in ("two", "three", "four")
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "read\n"
        outputs = [process.communicate("go\n", timeout=60)[0] for process in processes]

    assert sorted(outputs) == ["False\n", "False\n", "True\n"]


def test_a_reader_sees_the_file_before_or_after(store: LocalStore) -> None:
    texts = [bytes([n]) * 500_000 for n in range(30)]
    store.replace("a", texts[0], 0)

    def write() -> None:
        for text in texts[1:]:
            content = store.read("a", len(text))
            assert content is not None
            assert store.replace("a", text, content.generation)

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        while not writing.done():
            content = store.read("a", len(texts[0]))
            assert content is not None
            assert content.data in texts
    writing.result()


def test_written_files_have_permissions_of_umask(store: LocalStore, tmp_path: Path) -> None:
    store.replace("a", b"one", 0)
    (tmp_path / "b").write_bytes(b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_folder_is_added_with_its_files(store: LocalStore, tmp_path: Path) -> None:
    assert store.add_folder("v1", FILES)

    assert store.folders("v", ["model.joblib"]) == ["v1"]
    assert store.files("v1") == set(FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_existing_folder_is_not_changed(store: LocalStore, tmp_path: Path) -> None:
    store.add_folder("v1", FILES)

    assert not store.add_folder("v1", {"model.joblib": b"another"})
    assert {name: (tmp_path / "v1" / name).read_bytes() for name in store.files("v1")} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_one_of_concurrent_folder_writers_succeeds(store: LocalStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        added = list(threads.map(lambda n: store.add_folder("v1", {"a": bytes([n])}), range(8)))
    assert added.count(True) == 1


def test_missing_root_is_created(tmp_path: Path) -> None:
    LocalStore(str(tmp_path / "a" / "b")).prepare()
    assert (tmp_path / "a" / "b").is_dir()


def test_root_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=r"file cannot be written: File exists; check the path and the rights$"):
        LocalStore(str(tmp_path / "file")).prepare()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path / "missing"))
    for write in (lambda: store.replace("a", b"", 0), lambda: store.add_folder("v1", FILES)):
        with pytest.raises(ModelError, match="cannot be written: No such file or directory; check the path"):
            write()


def test_failed_write_leaves_only_the_old_file(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.replace("a", b"one", 0)
    content = store.read("a", LIMIT)
    assert content is not None

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.os, "fsync", full)
    with pytest.raises(RunError, match=r"a cannot be written: the disk is full \(No space left on device\)"):
        store.replace("a", b"two", content.generation)

    assert store.read("a", LIMIT) == content
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.lock"}


# Only regular files below the root


def test_pipe_is_refused_and_not_waited_for(store: LocalStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "current.json")
    with pytest.raises(ModelError, match=r"current\.json is no regular file; put the file itself there$"):
        store.read("current.json", LIMIT)


def test_socket_is_refused(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("current.json")
        with pytest.raises(ModelError, match=r"cannot be read|is no regular file"):
            store.read("current.json", LIMIT)


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hostname", "v1/model.joblib", "nowhere"])
def test_link_is_refused(store: LocalStore, tmp_path: Path, target: str) -> None:
    store.add_folder("v1", FILES)
    (tmp_path / "current.json").symlink_to(target)
    with pytest.raises(ModelError, match=r"current\.json is a link, or in one; put the file or folder itself there$"):
        store.read("current.json", LIMIT)


def test_folder_that_is_a_link_is_refused(store: LocalStore, tmp_path: Path) -> None:
    store.add_folder("v1", FILES)
    (tmp_path / "v2").symlink_to("v1")
    for ask in (lambda: store.files("v2"), lambda: store.read("v2/model.joblib", LIMIT)):
        with pytest.raises(ModelError, match="is a link, or in one"):
            ask()


def test_root_that_is_a_link_is_fine(store: LocalStore, tmp_path: Path) -> None:
    store.add_folder("v1", FILES)
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    linked = LocalStore(str(tmp_path / "elsewhere"))
    assert linked.files("v1") == set(FILES)
    assert linked.read("v1/model.joblib", LIMIT) is not None


def test_file_that_never_ends_is_cut_off(store: LocalStore, tmp_path: Path) -> None:
    """As if it grew after its size was looked at."""
    (tmp_path / "a").write_bytes(b"x" * LIMIT)
    content = store.read("a", LIMIT)
    assert content is not None
    with pytest.raises(ModelError, match="more than"):
        store.read("a", LIMIT - 1)


def test_pipe_in_place_of_a_pointer_is_not_replaced(store: LocalStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "current.json")
    with pytest.raises(ModelError):
        store.replace("current.json", b"{}", 0)


def test_pipe_in_place_of_the_lock_is_not_waited_for(store: LocalStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".current.json.lock")
    assert store.replace("current.json", b"{}", 0)
