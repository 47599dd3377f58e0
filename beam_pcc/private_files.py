"""Makes new files with cases readable by their owner only: mode 0600, folders 0700, whatever the user's umask.

Existing files keep their mode; one that is replaced whole is never more open than before. Sets the umask of the
process, so that it covers every file, also DuckDB's temporary ones.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_OTHERS = 0o077


def make_private() -> int:
    """Make new files of this process readable by their owner only; returns the previous umask."""
    before = os.umask(_OTHERS)
    if before & ~_OTHERS:  # keep the bits of a stricter umask
        os.umask(before | _OTHERS)
    return before


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Make files that are created meanwhile readable by their owner only."""
    before = make_private()
    try:
        yield
    finally:
        os.umask(before)
