"""How much a source says that it holds. Who reads a source compares it with what arrived."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class SourceVolume:
    """What a source says of one day, without its rows being read.

    Attributes:
        rows: Rows that it has at least; None if nothing is known.
        exact: Whether `rows` counts all of them. JSONL does not say how many lines it has.
        files: Number of files; None where the source has none.
        modified: When the newest of it was changed; None if the source does not say.
        buffered: Rows, as BigQuery estimates them, of a streaming buffer that may still belong to the day.
    """

    rows: int | None = None
    exact: bool = True
    files: int | None = None
    modified: dt.datetime | None = None
    buffered: int = 0


UNKNOWN = SourceVolume()


@dataclass(frozen=True)
class SourceState:
    """What changes while a source grows.

    Attributes:
        signature: Differs between two looks if the source changed; compared only for equality.
        modified: When it was last changed; None if it does not say.
        empty: Whether it holds nothing yet.
        filling: Whether it will still get rows that it does not count yet.
    """

    signature: object = ()
    modified: dt.datetime | None = None
    empty: bool = False
    filling: bool = False
