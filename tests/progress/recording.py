"""A view of progress that keeps what it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable

from beam_pcc.progress.views import Snapshot


class Shown:
    """A view that keeps what it is shown."""

    interval = 0.005

    def __init__(self) -> None:
        self.latest: Snapshot | None = None
        self.ends: list[Snapshot] = []
        self.cleared = 0

    def show(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        self.latest = snapshot

    def end(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        self.ends.append(snapshot)

    def clear(self) -> None:
        self.latest = None
        self.cleared += 1

    def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        for _ in range(2_000):
            if (snapshot := self.latest) is not None and condition(snapshot):
                return snapshot
            time.sleep(0.005)
        raise AssertionError(f"not shown: {self.latest}")

    def ended(self, task: str) -> Snapshot:
        """The last task of this name that ended."""
        return [end for end in self.ends if end.task == task][-1]
