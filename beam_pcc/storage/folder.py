"""A folder on disk."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from beam_pcc.errors import ModelError
from beam_pcc.storage.base import Content, require_size

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_REPLACED = 64 * 2**20  # far more than any file that is replaced has


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
            below = self._open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return set()
        try:
            with os.scandir(below) as entries:
                return {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)}
        finally:
            os.close(below)

    def read(self, name: str, limit: int) -> Content | None:
        """See `Store`."""
        try:
            with os.fdopen(self._open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise ModelError(f"{self._root / name} is no regular file; put the file itself there")
                require_size(self.path(name), about.st_size, limit)
                data = file.read(limit + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(name, error) from None
        require_size(self.path(name), len(data), limit)  # it may have grown meanwhile
        return Content(data, _generation(data))

    def _open(self, name: str, flags: int) -> int:
        """A descriptor of what is below the root, found without following any link.

        A link could lead out of the registry, to a device without end for example. The root itself may be one.
        """
        *folders, last = name.split("/")
        here = os.open(self._root, _FOLDER)
        try:
            for folder in folders:
                inner = self._open_in(here, folder, _FOLDER, name)
                os.close(here)
                here = inner
            return self._open_in(here, last, flags | os.O_CLOEXEC, name)
        finally:
            os.close(here)

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

    def _unreadable(self, name: str, error: OSError) -> ModelError:
        return ModelError(
            f"{self._root / name} cannot be read: {error.strerror or error}; check the path and the rights"
        )

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """See `Store`. A lock, whose empty file stays, keeps others out from comparing to replacing."""
        path = self._root / name
        aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        with _writing(path), os.fdopen(os.open(path.with_name(f".{path.name}.lock"), _LOCK, 0o666)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = self.read(name, _MAX_REPLACED)
            now = there.generation if there else 0
            if now != generation:
                return False
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
        return True

    def prepare(self) -> None:
        """See `Store`."""
        with _writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """See `Store`. It is written aside and moved into place."""
        with _writing(self._root / folder):
            aside = Path(tempfile.mkdtemp(prefix=".training-", dir=self._root))
            try:
                for name, data in files.items():
                    (aside / name).write_bytes(data)
                aside.chmod(0o755)
                os.rename(aside, self._root / folder)  # noqa: PTH104 - fails, where Path.replace could overwrite
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                return False
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        return True


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror or error}; check the path and the rights"
        ) from None


def _generation(data: bytes) -> int:
    """Of a file on disk: a number that is another for other content, and never 0."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") | 1
