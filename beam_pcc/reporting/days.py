"""The days of a report: which run stands for each day, which days have none, and how a day compares with others."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from beam_pcc.errors import ConfigurationError
from beam_pcc.reporting.readable_rows import Row, Unreadable

MAX_DAYS = 400
USUAL_DAYS, MIN_USUAL_DAYS = 7, 3  # published days that the usual value of a figure is the median of
HISTORY_DAYS = 28  # before a period, to look for these days in

State = Literal["published", "alarm", "refused", "failed", "empty", "missing", "other"]
"""alarm: published, with a limit that was passed; missing: no run; other: a status of another version."""
STATES: tuple[State, ...] = get_args(State)
_STATE_OF_STATUS: dict[str, State] = {
    "success": "published",
    "empty": "empty",
    "refused": "refused",
    "failed": "failed",
}


class Period(NamedTuple):
    """The first and the last day of a report."""

    first: dt.date
    last: dt.date

    @property
    def length(self) -> int:
        """Number of days."""
        return self.last.toordinal() - self.first.toordinal() + 1

    def with_history(self) -> Period:
        """The days to read: also those before, which the first ones are compared with."""
        return Period(days_before(self.first, HISTORY_DAYS), self.last)


def days_before(date: dt.date, days: int) -> dt.date:
    """The date so many days earlier, or the first of the calendar."""
    return dt.date.fromordinal(max(date.toordinal() - days, 1))


def check_period(first: dt.date | None, last: dt.date | None) -> None:
    """Raise ConfigurationError if --from and --to name no period that can be reported on."""
    if first and last and last < first:
        raise ConfigurationError(f"--to {last:%Y%m%d} is before --from {first:%Y%m%d}; swap them")
    if first and last and Period(first, last).length > MAX_DAYS:
        raise ConfigurationError(f"--from and --to must be at most {MAX_DAYS} days apart")


def period_of(
    first: dt.date | None, last: dt.date | None, days: int, latest: dt.date, yesterday: dt.date | None = None
) -> Period:
    """The period to report on.

    Args:
        first: The first day, if it was named.
        last: The last day, if it was named. Else the latest day that has a run, or yesterday if that is later and the
            latest day is still shown: a day that should have been scored and was not is part of the picture.
        days: How many, if no first day was named.
        latest: The latest day that has a run.
        yesterday: The day that should have been scored by now.

    Raises:
        ConfigurationError: There is no such period, or it is too long.
    """
    if last is None:
        last = latest
        if yesterday and latest < yesterday and days_before(yesterday, days - 1) <= latest:
            last = yesterday
    check_period(first, last)
    return Period(first or days_before(last, days - 1), last)


@dataclass(frozen=True)
class Day:
    """One day.

    Attributes:
        date: The partition.
        state: What became of it.
        row: The run that stands for the day: the one that published what is there, else the newest; None without one.
        runs: All of its runs, oldest first.
    """

    date: dt.date
    state: State
    row: Row | None = None
    runs: Sequence[Row] = ()

    @property
    def is_published(self) -> bool:
        """Whether its cases can be compared with those of other days."""
        return self.state in ("published", "alarm")

    @property
    def later_runs(self) -> Sequence[Row]:
        """The runs after the one that published: they could not replace it."""
        return self.runs[next(n for n, run in enumerate(self.runs, 1) if run is self.row) :] if self.row else ()


def state_of(row: Row) -> State:
    """What became of a run."""
    status = row["status"]
    state = _STATE_OF_STATUS.get(status, "other") if isinstance(status, str) else "other"
    return "alarm" if state == "published" and row["alerts"] and not isinstance(row["alerts"], Unreadable) else state


def days_of(rows: Iterable[Row], period: Period) -> list[Day]:
    """Each day of the period, oldest first, with its runs. `rows` are readable rows; those of other days are left out.

    A refused or failed run publishes nothing, so that a run before it that published stands for the day.
    """
    by_date: dict[dt.date, list[Row]] = {}
    for row in sorted(rows, key=_written):
        if isinstance(row["partition_date"], dt.date):
            by_date.setdefault(row["partition_date"], []).append(row)
    dates = map(dt.date.fromordinal, range(period.first.toordinal(), period.last.toordinal() + 1))
    return [_day(date, by_date.get(date, [])) for date in dates]


def _written(row: Row) -> float:
    times = (row["ingestion_time"], row["runtime_ts"])
    time = next((time for time in times if isinstance(time, dt.datetime)), None)
    if time is None:
        return float("-inf")
    return (time if time.tzinfo else time.replace(tzinfo=dt.timezone.utc)).timestamp()


def _day(date: dt.date, runs: Sequence[Row]) -> Day:
    if not runs:
        return Day(date, "missing")
    standing = runs[-1]
    for run in reversed(runs):
        if run["status"] not in ("refused", "failed"):
            standing = run if run["status"] == "success" else standing
            break
    return Day(date, state_of(standing), standing, runs)


def latest_with_run(days: Sequence[Day]) -> Day | None:
    """The latest day that has a run."""
    return next((day for day in reversed(days) if day.runs), None)


def days_since(days: Sequence[Day], day: Day, due: dt.date | None) -> int:
    """How many days after this one have no run, of those up to `due` or the last one that is shown."""
    last = max(days[-1].date, due or day.date)
    return max(last.toordinal() - day.date.toordinal(), 0)


Figure = Callable[[Row], Any]


class Comparison(NamedTuple):
    """A figure of a day beside those of other days and the usual one; None where there is no such number."""

    value: float | None
    day_before: float | None
    week_before: float | None
    usual: float | None


def compare(days: Sequence[Day], day: Day, figure: Figure) -> Comparison:
    """Compare a day with those before it, of which `days` has some more than are reported."""
    before = [one for one in days if one.date < day.date]
    published = {day.date.toordinal() - one.date.toordinal(): one.row for one in before if one.is_published}
    value, day_before, week_before = (
        _number(figure(row)) if row else None for row in (day.row, published.get(1), published.get(7))
    )
    return Comparison(value, day_before, week_before, usual(before, figure))


def usual(before: Sequence[Day], figure: Figure) -> float | None:
    """The median of the last published days; None if they are too few."""
    published = [day for day in before if day.is_published and day.row][-USUAL_DAYS:]
    values = [value for day in published if day.row and (value := _number(figure(day.row))) is not None]
    return statistics.median(values) if len(values) >= MIN_USUAL_DAYS else None


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None


class Span(NamedTuple):
    """Consecutive days in the same state that can be listed as one."""

    first: Day
    last: Day


def spans_to_explain(days: Sequence[Day]) -> list[Span]:
    """The days that are not simply published, newest first; consecutive missing days are one span."""
    spans: list[Span] = []
    for day in days:
        if day.state == "published" and not day.later_runs:
            continue
        last = spans[-1] if spans else None
        follows = last and last.last.date.toordinal() + 1 == day.date.toordinal()
        if last and follows and day.state == last.last.state == "missing":
            spans[-1] = Span(last.first, day)
        else:
            spans.append(Span(day, day))
    return spans[::-1]
