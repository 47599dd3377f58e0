"""The interface of a folder on disk and a folder in a bucket."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from beam_pcc.errors import ModelError


class Content(NamedTuple):
    """A file's bytes and generation; the generation of a missing file is 0."""

    data: bytes
    generation: int


class Store(Protocol):
    """A folder of folders of files. Names are relative: FILE, or FOLDER/FILE. Any method may raise ModelError.

    Attributes:
        address: The root, for messages.
    """

    address: str

    def path(self, name: str) -> str:
        """The path of `name`, for messages."""

    def folders(self, start: str, last: Collection[str]) -> list[str]:
        """Names of the complete folders below the root that begin with `start`.

        Args:
            start: The prefix of the names.
            last: Names of files of which `add_folder` writes one last; a folder without it is not complete.
        """

    def files(self, folder: str) -> set[str]:
        """Names of the files in `folder`; empty if it does not exist."""

    def read(self, name: str, limit: int) -> Content | None:
        """The file's bytes, None if it does not exist. Refuses a file of more than `limit` bytes before reading it."""

    def replace(self, name: str, data: bytes, generation: int) -> bool:
        """Replace this generation of the file (0: create the file); False if another generation exists."""

    def prepare(self) -> None:
        """Create the root if it is missing; raise if no folders can be added to it."""

    def add_folder(self, folder: str, files: Mapping[str, bytes]) -> bool:
        """Write a new folder with its files in this order; False if the name exists.

        A folder that a killed writer left incomplete is completed if it has the same files so far.
        """

    def remove_incomplete(self, start: str, names: re.Pattern[str], last: Collection[str]) -> list[str]:
        """Remove what killed writers left of folders with such names; return them. `start` and `last` as of `folders`.

        What may still be written stays: in a bucket, whatever is younger than a day.
        """


def require_size(path: str, size: int, limit: int) -> None:
    """Refuse a file that is too large before it is read. Raises ModelError."""
    if size > limit:
        raise ModelError(f"{path} has {size:,} bytes, more than {limit:,}: not a model")
