"""How progress looks: a bar that is redrawn in the last line of a terminal, or lines in the log."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, Protocol

from beam_pcc import terminal

_log = terminal.logger("beam_pcc.progress")
_DELAY = 2.0  # seconds of a command before a bar is shown
_REDRAW = 0.2  # seconds between two looks of a bar
_LINES_EVERY = 10.0  # seconds between two lines at least, and before the first
_LINES_AT_LEAST_EVERY = 60.0  # seconds, however little was done since
_STEP = 10  # percent, after which another line is worth it
_LEAST_BAR = 12  # columns of a bar, with its ends


class Mode(enum.Enum):
    """How progress is shown."""

    BAR = "bar"
    LINES = "lines"
    NONE = "none"


class Snapshot(NamedTuple):
    """How far a task is.

    Attributes:
        task: What is done.
        item: What it is a part of, such as a day of several; "" if nothing.
        done: Units done.
        total: Units there are; None if that is not known.
        unit: What is counted; "" if nothing.
        seconds: How long it has been under way.
        rate: Units a second; 0 if that is not known yet.
        note: More about it.
        is_counted: Whether `done` says something: of a run whose counts do not reach this process it does not.
        is_logged: Whether lines about it are wanted.
    """

    task: str
    item: str
    done: int
    total: int | None
    unit: str
    seconds: float
    rate: float = 0.0
    note: str = ""
    is_counted: bool = True
    is_logged: bool = True

    @property
    def percent(self) -> int:
        """Done of the total, rounded down; 0 if that is not known."""
        return 100 * self.done // self.total if self.total else 0

    @property
    def title(self) -> str:
        """Item and task."""
        return f"{self.item}: {self.task}" if self.item else self.task

    def fields(self, *, ended: bool) -> dict[str, Any]:
        """For a log in JSON."""
        return {
            "task": self.task,
            "item": self.item or None,
            "done": self.done if self.unit and self.is_counted else None,
            "total": self.total,
            "unit": self.unit or None,
            "seconds": round(self.seconds, 1),
            "note": self.note or None,
            "ended": ended,
        }


class View(Protocol):
    """Shows the innermost task; `elapsed` are the seconds since the first task of the command began.

    Attributes:
        interval: Seconds until the next look.
    """

    interval: float

    def show(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        """The task, which `key` stands for, is under way."""

    def end(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        """The task succeeded."""

    def clear(self) -> None:
        """No task is under way."""


def chosen_mode(*, quiet: bool, json_lines: bool, can_redraw: bool) -> Mode:
    """How progress is shown: a bar needs a terminal of which a line can be redrawn."""
    if quiet:
        return Mode.NONE
    return Mode.BAR if can_redraw and not json_lines else Mode.LINES


def view_of(mode: Mode) -> View | None:
    """What shows it; None for nothing."""
    if mode is Mode.NONE:
        return None
    return BarView() if mode is Mode.BAR else LinesView()


class LinesView:
    """Logs a line every ten seconds at most: at each tenth of the whole, or once a minute."""

    interval = 1.0

    def __init__(self) -> None:
        self._logged_at = 0.0
        self._logged: tuple[object, int] | None = None

    def show(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        """See `View`."""
        if not snapshot.is_logged:
            return
        since = elapsed - self._logged_at
        is_news = self._logged is None or self._logged[0] is not key or snapshot.percent - self._logged[1] >= _STEP
        if since >= _LINES_EVERY and (is_news or since >= _LINES_AT_LEAST_EVERY):
            self._logged_at, self._logged = elapsed, (key, snapshot.percent)
            _log.info("%s", line(snapshot), extra={"progress": snapshot.fields(ended=False)})

    def end(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        """See `View`. Says how long it took, of what took long."""
        was_logged = self._logged is not None and self._logged[0] is key
        if snapshot.is_logged and (was_logged or snapshot.seconds >= _LINES_EVERY):
            self._logged_at, self._logged = elapsed, None
            _log.info("%s", line(snapshot, ended=True), extra={"progress": snapshot.fields(ended=True)})

    def clear(self) -> None:
        """See `View`."""


def line(snapshot: Snapshot, *, ended: bool = False) -> str:
    """A line of the log: what is done, how much of it, how fast, and how long it took or will take."""
    parts = []
    counted, total = snapshot.unit and snapshot.is_counted, snapshot.total
    unit = named(snapshot.unit)
    if counted and total is not None:
        of = f"{amount(snapshot.done, snapshot.unit)} of {amount(total, snapshot.unit)}{unit}"
        parts.append(f"{of} ({snapshot.percent} %)")
    elif counted:
        parts.append(f"{amount(snapshot.done, snapshot.unit)}{unit}")
    elif snapshot.unit and total is not None:
        parts.append(f"{amount(total, snapshot.unit)}{unit}")
    if snapshot.note:
        parts.append(snapshot.note)
    if counted and snapshot.rate:
        parts.append(speed(snapshot))
    parts.append(f"{'done in' if ended else 'after'} {clock(snapshot.seconds)}")
    if counted and total is not None and snapshot.rate and not ended:
        parts.append(f"{clock((total - snapshot.done) / snapshot.rate)} left")
    return f"{snapshot.title}: {', '.join(parts)}"


class BarView:
    """Redraws the last line of the terminal; what else is printed comes above it."""

    interval = _REDRAW

    def show(self, key: object, snapshot: Snapshot, elapsed: float) -> None:  # noqa: ARG002 - of the protocol
        """See `View`."""
        if elapsed >= _DELAY:
            columns, is_plain = terminal.status_size()
            terminal.draw_status(bar(snapshot, columns, plain=is_plain))

    def end(self, key: object, snapshot: Snapshot, elapsed: float) -> None:
        """See `View`. Its last look, which the next one replaces."""
        self.show(key, snapshot, elapsed)

    def clear(self) -> None:
        """See `View`."""
        terminal.erase_status()


def bar(snapshot: Snapshot, columns: int, *, plain: bool = False) -> str:
    """One line of at most `columns` columns, with a bar if the total is known; what has no room is left out.

    Args:
        snapshot: Of the task.
        columns: Of the terminal.
        plain: Draw the bar in ASCII.
    """
    from tqdm import tqdm
    from tqdm.utils import disp_len, disp_trim

    title = terminal.printable(snapshot.title)
    if disp_len(title) > columns // 2:
        title = f"{disp_trim(title, max(0, columns // 2 - 1))}{'.' if plain else '…'}"
    note = f", {terminal.printable(snapshot.note)}" if snapshot.note else ""
    time, unit = clock(snapshot.seconds), named(snapshot.unit)
    rate = f", {speed(snapshot)}" if snapshot.unit and snapshot.is_counted and snapshot.rate else ""
    done = amount(snapshot.done, snapshot.unit)
    if not snapshot.unit or not snapshot.is_counted:
        of = f" {amount(snapshot.total, snapshot.unit)}{unit}" if snapshot.unit and snapshot.total is not None else ""
        return str(disp_trim(f"{title}{of} [{time}{note}]", columns))
    if not snapshot.total:
        return str(disp_trim(f"{title}: {done}{unit} [{time}{rate}{note}]", columns))
    left = f"<{clock((snapshot.total - snapshot.done) / snapshot.rate)}" if snapshot.rate else ""
    counts = f"{done}/{amount(snapshot.total, snapshot.unit)}{unit}"
    start = f"{title}: {snapshot.percent:3d}%"
    ends = (f" {counts} [{time}{left}{rate}{note}]", f" {counts} [{time}{left}]", f" {counts}", "")
    end = next((end for end in ends if disp_len(start + end) + _LEAST_BAR <= columns), None)
    if end is None:
        return str(disp_trim(start, columns))
    return str(
        tqdm.format_meter(
            snapshot.done,
            snapshot.total,
            snapshot.seconds,
            ncols=columns,
            ascii=plain,
            bar_format="{start}|{bar}|{end}",
            start=start,
            end=end,
        )
    )


def amount(n: int, unit: str) -> str:
    """A number of units: bytes as MiB."""
    return f"{n / 2**20:,.1f}" if unit == "bytes" else f"{n:,}"


def named(unit: str) -> str:
    """The unit after a number."""
    return " MiB" if unit == "bytes" else f" {unit}"


def speed(snapshot: Snapshot) -> str:
    """Units a second, or seconds for each where that is less than one."""
    if snapshot.unit == "bytes":
        return f"{snapshot.rate / 2**20:,.1f} MiB/s"
    return f"{snapshot.rate:,.0f}/s" if snapshot.rate >= 1 else f"{1 / snapshot.rate:,.1f} s each"


def clock(seconds: float) -> str:
    """M:SS, or H:MM:SS."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
