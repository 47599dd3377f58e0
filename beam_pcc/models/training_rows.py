"""`training_rows.bin` of a version: digests of the rows that it was trained on, to leave them out of a judgement.

A digest is salted with random bytes of the version, so that no table made beforehand and no other version's file can
be compared with it. The salt lies beside the digests: who reads the registry, and holds or guesses a whole message, can
tell whether it was trained on. The messages themselves cannot be computed from it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import documents
from beam_pcc.storage.base import Content

FILE = "training_rows.bin"
MAX_DIGESTS = 1_000_000
"""A file has 8 MB at most. Of more rows the smallest digests are kept, which are those of rows at random."""
_MAX_HEADER = 1_000
_SALT_BYTES = 16
Rows = Literal["texts", "vectors"]
Digests = npt.NDArray[np.uint64]

_HEADER = documents.record(
    {
        "format": documents.integer(1, 1),
        "rows": documents.text(10, pattern="texts|vectors"),
        "cleaning": documents.integer(0, 1_000),
        "salt": documents.text(2 * _SALT_BYTES, pattern=r"[0-9a-f]{32}"),
        "digests": documents.integer(0, MAX_DIGESTS),
        "left_out": documents.integer(0),
    }
)


class Files(Protocol):
    """The files of a registry, or a snapshot of them."""

    def path(self, name: str) -> str:
        """For messages."""

    def read(self, name: str, limit: int) -> Content | None:
        """The file; None if it is not there."""


@dataclass(frozen=True)
class TrainingRows:
    """The digests of a version's training rows.

    Attributes:
        rows: What the rows are.
        cleaning: The version of the cleaning of messages, of which there are digests too; 0 for none.
        salt: Of the digests.
        digests: Ascending, none twice.
        left_out: How many there were beyond MAX_DIGESTS.
    """

    rows: Rows
    cleaning: int
    salt: bytes
    digests: Digests
    left_out: int = 0

    @classmethod
    def of(cls, keys: Iterable[bytes], rows: Rows, cleaning: int = 0) -> TrainingRows:
        """The digests of these keys, with a new salt."""
        salt = secrets.token_bytes(_SALT_BYTES)
        digests = np.unique(_digests(keys, salt))
        return cls(rows, cleaning, salt, digests[:MAX_DIGESTS], max(0, len(digests) - MAX_DIGESTS))

    def contain(self, keys: Iterable[bytes]) -> npt.NDArray[np.bool_]:
        """Whether each key is that of a training row. One in 10**13 of others is taken for one, of a million rows."""
        found: npt.NDArray[np.bool_] = np.isin(_digests(keys, self.salt), self.digests)
        return found

    def to_bytes(self) -> bytes:
        """A line of JSON, then 8 bytes little-endian for each digest."""
        header = {
            "format": 1,
            "rows": self.rows,
            "cleaning": self.cleaning,
            "salt": self.salt.hex(),
            "digests": len(self.digests),
            "left_out": self.left_out,
        }
        return json.dumps(header).encode() + b"\n" + self.digests.astype("<u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> TrainingRows:
        """Inverse of `to_bytes`. Raises ModelError."""
        try:
            line, separator, rest = data.partition(b"\n")
            if not separator or len(line) > _MAX_HEADER:
                raise ValueError("it does not begin with a line of JSON")
            header = documents.parse(line)
            _HEADER(header, "")
            if len(rest) != 8 * header["digests"]:
                raise ValueError(f"it does not have {header['digests']:,} digests")
            digests = np.frombuffer(rest, "<u8").astype(np.uint64)
        except ValueError as error:
            raise ModelError(
                f"{where} is not the file of training rows that train writes ({one_line(error, 120)}); restore it, or "
                "remove it: then rows of the training set are not recognised"
            ) from None
        return cls(header["rows"], header["cleaning"], bytes.fromhex(header["salt"]), digests, header["left_out"])


def read(files: Files, version: str) -> TrainingRows | None:
    """Those of a version; None if it has none, as of an earlier release. Raises ModelError."""
    content = files.read(f"{version}/{FILE}", _MAX_HEADER + 1 + 8 * MAX_DIGESTS)
    return None if content is None else TrainingRows.from_bytes(content.data, files.path(f"{version}/{FILE}"))


def _digests(keys: Iterable[bytes], salt: bytes) -> Digests:
    data = b"".join(hashlib.blake2b(key, digest_size=8, key=salt).digest() for key in keys)
    return np.frombuffer(data, "<u8").astype(np.uint64)
