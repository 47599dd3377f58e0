"""Files that a reader sees whole: the old one or the new one, whatever happens to who writes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from beam_pcc.errors import ConfigurationError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.storage.temporary_folders import temporary_folder


@contextlib.contextmanager
def written_whole(output: Path) -> Iterator[Path]:
    """Where to write the file, which gets its name at the end; if this raises, the old file stays.

    A link stays one: the file that it points to is replaced. What is no file, such as /dev/null, is written itself.
    The new file gets the rights that both its writer and the old file give: it is never more open than either.

    Raises:
        OSError: It cannot be written.
    """
    if output.exists() and not output.is_file():
        yield output
        return
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(output.parent, ".writing-") as folder:
        written = folder / "new"  # no pattern of a source matches it
        yield written
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            written.chmod(_mode(output) & _mode(written))
        os.replace(written, output)  # noqa: PTH105 - says what it does


@contextlib.contextmanager
def explained_writing(what: str) -> Iterator[None]:
    """Turn the errors of the system into ours, in which `what` cannot be written."""
    try:
        yield
    except OSError as error:
        where = f"{what} cannot be written"
        raise explain_machine(error, where, ConfigurationError) or ConfigurationError(
            f"{where}: {error.strerror or error}; check the path and the rights"
        ) from None


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)
