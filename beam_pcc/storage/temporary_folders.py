"""Temporary folders that the next process removes if a kill -9 ended the one that used them.

The owner of a folder holds a lock on it, which ends with the process, however that ends. So a folder whose lock is
free is dead. A lock may not be visible on another machine that shares the disk, and some file systems have none: there
a folder counts as dead when nothing in it changed for a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":  # only `deploy` runs there, which needs none of this
    import fcntl

_DAY = 86_400.0  # seconds: longer than anything is written
_SCRATCH = "beam-pcc-scratch-"
_scratch: tuple[int, Path] | None = None  # of which process, and where


@contextlib.contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A folder of mode 0700 in `parent`, which is removed at the end unless it was renamed.

    Removes first what dead processes of this user left there under this prefix.

    Raises:
        OSError: It cannot be made.
    """
    remove_dead(parent, prefix)
    folder, lock = _locked_folder(parent, prefix)
    owner = os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:  # a fork shares the folder and its lock
            shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """Let the temporary files of this process, also those that libraries leave, be in one folder until the end.

    Where none can be made they are where they would be anyway.
    """
    global _scratch
    if sys.platform == "win32":
        yield
        return
    with contextlib.ExitStack() as stack:
        before = tempfile.tempdir
        with contextlib.suppress(OSError):
            folder = stack.enter_context(temporary_folder(Path(tempfile.gettempdir()), _SCRATCH))
            _scratch = os.getpid(), folder
            tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir, _scratch = before, None


def remove_scratch() -> None:
    """Remove that folder, for a process that ends at once."""
    if _scratch is not None and _scratch[0] == os.getpid():
        shutil.rmtree(_scratch[1], ignore_errors=True)


def remove_dead(parent: Path, prefix: str) -> list[Path]:
    """Remove the folders of dead processes of this user; return them. What cannot be read or removed stays."""
    dead = []
    with contextlib.suppress(OSError):
        found = sorted(Path(entry.path) for entry in os.scandir(parent) if entry.name.startswith(prefix))
        for folder in found:
            with contextlib.suppress(OSError), _opened(folder) as descriptor:
                if _is_ours(descriptor) and _is_dead(folder, descriptor, prefix + _machine()):
                    shutil.rmtree(folder, ignore_errors=True)
                    dead.append(folder)
    return dead


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the open descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{_machine()}-", dir=parent))
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another process took it for dead before it was opened
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink and folder.is_dir():
            return folder, descriptor
        os.close(descriptor)  # another process took it for dead before it was locked


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    return os.fstat(descriptor).st_uid == os.geteuid()


def _is_dead(folder: Path, descriptor: int, of_this_machine: str) -> bool:
    """Whether no process uses the folder. If so, this process holds its lock until it closes the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return _is_old(folder)
    if not os.path.samestat(os.fstat(descriptor), folder.stat()):  # it was renamed meanwhile
        return False
    return folder.name.startswith(of_this_machine) or _is_old(folder)


def _is_old(folder: Path) -> bool:
    changed = max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    return time.time() - changed > _DAY


def _machine() -> str:
    """A short name of this machine or container, for a part of a file name."""
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]
