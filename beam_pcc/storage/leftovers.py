"""Temporary files and folders beside what is written. What a killed process leaves, the next writer there removes.

A writer holds a lock on its own as long as it lives, so that nobody takes the place of work for waste.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".writing-"
_EARLIER_PREFIX = ".training-"  # of versions before this one
_YOUNG = 60.0  # seconds in which a writer may not have its lock yet


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, on the same disk, removed at the end; also removes those of dead writers.

    Raises:
        OSError: It cannot be made.
    """
    remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a network's disk may know no locks: then age alone protects it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders in `parent` whose writers are dead."""
    with contextlib.suppress(OSError):  # the folder is not there, or not ours to change
        for entry in os.scandir(parent):
            if entry.name.startswith((PREFIX, _EARLIER_PREFIX)) and entry.is_dir(follow_symlinks=False):
                _remove_if_dead(Path(entry.path))


def _remove_if_dead(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if time.time() - os.fstat(descriptor).st_mtime < _YOUNG:
                return
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
