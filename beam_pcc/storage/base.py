"""What a folder on disk and one in a bucket have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from beam_pcc.errors import ModelError


class Content(NamedTuple):
    """A file's bytes, and which generation of the file they are: 0 is that of a file that is not there."""

    data: bytes
    generation: int


class Store(Protocol):
    """A folder of folders of files. Names are relative: FILE, or FOLDER/FILE. Any method may raise ModelError.

    Attributes:
        address: The root as a person writes it.
    """

    address: str

    def path(self, name: str) -> str:
        """Where `name` is, as a person writes it."""

    def folders(self, start: str, last: Collection[str]) -> list[str]:
        """Names of the folders below the root that begin with `start`, and are whole.

        Args:
            start: Of the names.
            last: The file that `add_folder` writes last is one of these; a folder that has grown otherwise may lack it.
        """

    def files(self, folder: str) -> set[str]:
        """Names of the files in `folder`; none if it is not there."""

    def read(self, name: str, limit: int) -> Content | None:
        """The file's bytes, None if it is not there. One of more than `limit` bytes is refused before it is read."""

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """Replace the file if it still is the generation that was read (0: make it); False if it is another now."""

    def prepare(self) -> None:
        """Make the root if it is missing and can be made; raise if folders could not be added to it."""

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """Write a new folder, its files in this order; False, and nothing to be seen, if the name is taken."""


def require_size(path: str, size: int, limit: int) -> None:
    """Refuse a file that is too large before it is read. Raises ModelError."""
    if size > limit:
        raise ModelError(f"{path} has {size:,} bytes, more than {limit:,}: not a model")
