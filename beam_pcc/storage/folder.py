"""A folder on disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from beam_pcc.errors import ModelError, PccError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.storage.base import Content, require_size
from beam_pcc.storage.leftovers import remove_leftovers, temporary_folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_REPLACED = 64 * 2**20  # bytes, far more than any file that is replaced has


class LocalStore:
    """A folder on disk."""

    def __init__(self, root: str) -> None:
        self._root = Path(root).absolute()
        self.address = str(self._root)

    def path(self, name: str) -> str:
        """See `Store`."""
        return str(self._root / name)

    def folders(self, start: str, last: Collection[str]) -> list[str]:  # noqa: ARG002 - a rename adds a folder whole
        """See `Store`."""
        if not self._root.is_dir():
            raise ModelError(
                f"--models {self.address} is not a folder; train a first model with beam-pcc train --models "
                f"{self.address}"
            )
        return [path.name for path in self._root.iterdir() if path.name.startswith(start) and path.is_dir()]

    def files(self, folder: str) -> set[str]:
        """See `Store`."""
        try:
            descriptor = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return set()
        try:
            with os.scandir(descriptor) as entries:
                return {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
        finally:
            os.close(descriptor)

    def read(self, name: str, limit: int) -> Content | None:
        """See `Store`."""
        try:
            with os.fdopen(self._open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise ModelError(f"{self._root / name} is no regular file; put the file itself there")
                require_size(self.path(name), status.st_size, limit)
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(name, error) from None
        require_size(self.path(name), len(data), limit)  # it may have grown meanwhile
        return Content(data, _generation(data))

    def _open(self, name: str, flags: int) -> int:
        """Open a path below the root without following links; returns the descriptor.

        A link could lead out of the registry, for example to an endless device. The root itself may be a link.
        """
        *folders, last = name.split("/")
        parent = os.open(self._root, _FOLDER)
        try:
            for folder in folders:
                child = self._open_in(parent, folder, _FOLDER, name)
                os.close(parent)
                parent = child
            return self._open_in(parent, last, flags | os.O_CLOEXEC, name)
        finally:
            os.close(parent)

    def _open_in(self, parent: int, part: str, flags: int, name: str) -> int:
        try:
            return os.open(part, flags | os.O_NOFOLLOW, dir_fd=parent)
        except FileNotFoundError:
            raise
        except OSError as error:
            with contextlib.suppress(OSError):
                if stat.S_ISLNK(os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise ModelError(
                        f"{self._root / name} is a link, or in one; put the file or folder itself there"
                    ) from None
            raise self._unreadable(name, error) from None

    def _unreadable(self, name: str, error: OSError) -> PccError:
        return explain_machine(error, str(self._root / name), ModelError) or ModelError(
            f"{self._root / name} cannot be read: {error.strerror or error}; check the path and the rights"
        )

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """See `Store`. Holds a lock while it compares and replaces; the empty lock file remains."""
        path = self._root / name
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        earlier = re.compile(re.escape(f".{path.name}-") + "[0-9a-f]{8}")
        with _writing(path), os.fdopen(os.open(path.with_name(f".{path.name}.lock"), _LOCK, 0o666)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for entry in os.scandir(path.parent):  # under the lock nobody else writes this file: they died
                if earlier.fullmatch(entry.name):
                    Path(entry.path).unlink(missing_ok=True)
            current = self.read(name, _MAX_REPLACED)
            if (current.generation if current else 0) != generation:
                return False
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def prepare(self) -> None:
        """See `Store`."""
        with _writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """See `Store`. Writes a temporary folder and renames it."""
        with _writing(self._root / folder):
            try:
                with temporary_folder(self._root) as temporary:
                    for name, data in files.items():
                        (temporary / name).write_bytes(data)
                    temporary.chmod(0o755)
                    os.rename(temporary, self._root / folder)  # noqa: PTH104 - Path.replace could overwrite
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return False
        return True

    def remove_incomplete(self, start: str, names: re.Pattern[str], last: Collection[str]) -> list[str]:  # noqa: ARG002
        """See `Store`. A folder with its name is whole; those without are removed."""
        remove_leftovers(self._root)
        return []


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain_machine(error, f"{path} cannot be written", ModelError) or ModelError(
            f"{path} cannot be written: {error.strerror or error}; check the path and the rights"
        ) from None


def _generation(data: bytes) -> int:
    """The generation of a file on disk: a hash of its content, never 0."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") | 1
