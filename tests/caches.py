"""Environments and builds that are kept between runs of the tests: one for each content, and no old ones for ever."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

UNUSED = 14 * 24 * 3600
"""Seconds after which a folder that no run has used is removed."""


def used(folder: Path, kind: str) -> None:
    """Note that a complete folder is used now; remove those beside it, of the same kind (a glob), long unused.

    Another checkout, or a branch with other locked versions, may still need a younger one.
    """
    (folder / "complete").touch()
    for other in folder.parent.glob(kind):
        mark = other / "complete"
        if other != folder and mark.exists() and time.time() - mark.stat().st_mtime > UNUSED:
            shutil.rmtree(other, ignore_errors=True)
