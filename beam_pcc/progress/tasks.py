"""Tasks that are under way, and the thread that shows them. How they look is in `views`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from beam_pcc.progress.views import LinesView, Mode, Snapshot, View, view_of

_RATE_AFTER = 1.0  # seconds of counting before a rate is known


class Measured(NamedTuple):
    """Units that are done, and more about them."""

    done: int
    note: str = ""


class Task:
    """Something that takes a while.

    Attributes:
        name: What is done, such as "scoring"; may change.
        note: More about it, such as "12 rejected".
    """

    def __init__(
        self,
        name: str,
        total: int | None = None,
        unit: str = "",
        measure: Callable[[], Measured] | None = None,
        *,
        is_logged: bool = True,
    ) -> None:
        self.name = name
        self.note = ""
        self._total = total
        self._unit = unit
        self._measure = measure
        self._is_logged = is_logged
        self._done = 0
        self._item = ""
        self._first: tuple[int, float] | None = None  # done when first something was, and the seconds until then
        self._lock = threading.Lock()
        self.started = time.monotonic()
        self.parent: Task | None = None
        self.thread = threading.get_ident()

    def advance(self, n: int = 1) -> None:
        """Count `n` more units as done. Safe to call from any thread."""
        with self._lock:
            self._done += n

    def update(self, done: int, total: int | None = None) -> None:
        """Set how many units are done, and how many there are if that is known now."""
        with self._lock:
            self._done = done
            self._total = self._total if total is None else total

    def enter(self, item: str) -> None:
        """Name the unit that is under way, such as a day; the tasks within are shown with it."""
        self._item = item

    def snapshot(self, ancestors: Sequence[Task] = (), *, ended: bool = False) -> Snapshot:
        """How far it is."""
        done, note = (self._done, self.note) if self._measure is None else self._measure()
        if self._total is not None:
            done = min(done, self._total)
        seconds = time.monotonic() - self.started
        if self._first is None and done:
            self._first = (done, seconds)
        since = (0, 0.0) if ended else self._first
        rate = (done - since[0]) / (seconds - since[1]) if since and seconds - since[1] >= _RATE_AFTER else 0.0
        return Snapshot(
            task=self.name,
            item=", ".join(heading for ancestor in ancestors if (heading := ancestor._heading())),
            done=done,
            total=self._total,
            unit=self._unit,
            seconds=seconds,
            rate=rate,
            note=note,
            is_counted=self._measure is None or done > 0,
            is_logged=self._is_logged,
        )

    def _heading(self) -> str:
        if not self._item:
            return ""
        return self._item if self._total is None else f"{self._item} ({self._done + 1} of {self._total})"


class _Board:
    """The tasks that are under way, in the order in which they began, and who shows them."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._tasks: list[Task] = []
        self._view: View | None = LinesView()
        self._since: float | None = None
        self._ticker: threading.Thread | None = None
        self._is_command = False

    def begin(self, task: Task) -> None:
        with self._changed:
            own = [one for one in self._tasks if one.thread == task.thread]
            main = [one for one in self._tasks if one.thread == threading.main_thread().ident]
            task.parent = next(iter([*own[-1:], *main[-1:]]), None)
            self._tasks.append(task)
            if self._since is None:
                self._since = task.started
            if self._view is not None and self._ticker is None:
                self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
                self._ticker.start()

    def end(self, task: Task, *, failed: bool) -> None:
        ticker = None
        with self._changed:
            if task not in self._tasks:  # the command ended before this thread of it did
                return
            ancestors = self._ancestors(task)
            self._tasks.remove(task)
            if self._view is not None and not failed and self._since is not None:
                self._view.end(task, task.snapshot(ancestors, ended=True), time.monotonic() - self._since)
            if not self._tasks:
                ticker = self._stop()
                if not self._is_command:
                    self._view, self._since = LinesView(), None
        if ticker is not None:
            ticker.join(1.0)

    @contextlib.contextmanager
    def shown(self, mode: Mode) -> Iterator[None]:
        """Show the tasks of a command in this way. Whatever is open at its end is shown no more."""
        with self._changed:
            before = self._view, self._since, self._is_command
            self._view, self._since, self._is_command = view_of(mode), None, True
        try:
            yield
        finally:
            with self._changed:
                self._tasks.clear()
                self._stop()
                self._view, self._since, self._is_command = before

    def _stop(self) -> threading.Thread | None:
        ticker, self._ticker = self._ticker, None
        self._changed.notify_all()
        if self._view is not None:
            self._view.clear()
        return ticker

    def _tick(self) -> None:
        with self._changed:
            while self._view is not None and self._ticker is threading.current_thread():
                task = self._visible()
                if task is not None and self._since is not None:
                    self._view.show(task, task.snapshot(self._ancestors(task)), time.monotonic() - self._since)
                self._changed.wait(self._view.interval)

    def _visible(self) -> Task | None:
        """The innermost task; of several beside each other, the one that they are parts of."""
        visible: Task | None = None
        while True:
            below = [task for task in self._tasks if self._parent(task) is visible]
            if visible is None and below:
                visible = below[-1]
            elif len(below) == 1:
                visible = below[0]
            else:
                return visible

    def _parent(self, task: Task) -> Task | None:
        return task.parent if task.parent in self._tasks else None

    def _ancestors(self, task: Task) -> tuple[Task, ...]:
        parent = self._parent(task)
        return () if parent is None else (*self._ancestors(parent), parent)


_board = _Board()
shown = _board.shown


@contextlib.contextmanager
def task(
    name: str,
    *,
    total: int | None = None,
    unit: str = "",
    measure: Callable[[], Measured] | None = None,
    is_logged: bool = True,
) -> Iterator[Task]:
    """A task, under way until the end of the block.

    Args:
        name: What is done, in a word or two: "encoding".
        total: How many units there are; None if that is not known.
        unit: What is counted, in the plural: "messages", "rows", "bytes".
        measure: Says how many units are done, when that is shown; instead of `advance`. Must return at once.
        is_logged: Whether there are lines where there is no bar; False where the caller logs lines of its own.
    """
    one = Task(name, total, unit, measure, is_logged=is_logged)
    _board.begin(one)
    failed = True
    try:
        yield one
        failed = False
    finally:
        _board.end(one, failed=failed)
