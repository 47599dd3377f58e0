"""Counts rows in this process, so that the launcher can show how far a run is that works in its own threads."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping


class Counts:
    """Rows by name of a counter. Safe to use from several threads; add to it once a batch, not once a row.

    Attributes:
        followed: Whether somebody in this process shows them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.followed = False

    def add(self, name: str, n: int) -> None:
        """Count `n` more."""
        with self._lock:
            self._counts[name] += n

    def replace(self, counts: Mapping[str, int]) -> None:
        """Take over counts from elsewhere, such as those of a Flink job."""
        with self._lock:
            self._counts = Counter(counts)

    def now(self) -> Mapping[str, int]:
        """The counts so far."""
        with self._lock:
            return dict(self._counts)

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Begin at zero, and say that they are shown until the end."""
        self.replace({})
        self.followed = True
        try:
            yield
        finally:
            self.followed = False


counts = Counts()
"""Those of the run of this process."""
