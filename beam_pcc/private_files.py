"""Files with cases are their owner's alone: mode 0600, their folders 0700, whatever the umask of who runs this.

What is there already keeps its mode: nothing is widened, and nothing is changed unasked. The umask of the process does
it, so that it holds for every file, DuckDB's temporary ones included.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_OTHERS = 0o077


def make_private() -> int:
    """From now on this process's new files are its user's alone; returns the umask that it had."""
    before = os.umask(_OTHERS)
    if before & ~_OTHERS:  # one that was stricter yet stays so
        os.umask(before | _OTHERS)
    return before


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Files made meanwhile are their owner's alone."""
    before = make_private()
    try:
        yield
    finally:
        os.umask(before)
