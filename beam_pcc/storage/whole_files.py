"""Files that a reader sees whole: the old one or the new one, whatever happens to who writes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from beam_pcc.storage.leftovers import temporary_folder


@contextlib.contextmanager
def written_whole(output: Path) -> Iterator[Path]:
    """Where to write the file, which gets its name at the end; if this raises, the old file stays.

    A link stays one: the file that it points to is replaced. What is no file, such as /dev/null, is written itself.
    The old file's mode is kept: whoever opened or closed it to others meant the next one too.

    Raises:
        OSError: It cannot be written.
    """
    if output.exists() and not output.is_file():
        yield output
        return
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(output.parent) as folder:
        written = folder / output.name
        yield written
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        if output.exists():
            shutil.copymode(output, written)
        os.replace(written, output)  # noqa: PTH105 - says what it does
