"""Charts of a figure over the days, as SVG text for the report; its style sheet has the colours of both modes.

A day without a published figure is marked by a band and by a symbol below the axis, and the line is broken there.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from html import escape

from beam_pcc.reporting import charts
from beam_pcc.reporting.days import Day, State

WIDTH, HEIGHT = 420, 214  # narrow, so that the words can be read on a phone
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 10, 46
_MOST_DOTS = 62
_TICKS = 5
_SMALLEST = 1e-12  # of a figure that differs from none
Values = Sequence[float | None]

# Strokes in a square of 16; each state has a shape of its own, so that nothing depends on colour.
SYMBOLS: dict[State, str] = {
    "published": "M3.2 8.6l3.2 3.2 6.4-7",
    "alarm": "M8 2.8v6.6M8 12.6v.6",
    "refused": "M8 2.4a5.6 5.6 0 1 0 .01 0M4.1 4.1l7.8 7.8",
    "failed": "M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4",
    "empty": "M3.2 8h9.6",
    "missing": "M8 4.6a3.4 3.4 0 1 0 .01 0",
    "other": "M5.4 6a2.6 2.6 0 1 1 3.5 2.4c-.7.3-.9.8-.9 1.5M8 12.8v.5",
}


def short(date: dt.date) -> str:
    """A date as the axis has it, without the year."""
    return f"{date.day} {calendar.month_abbr[date.month]}"


def y_axis(highest: float, unit: str = "") -> charts.Axis:
    """0 to a round number above the highest value."""
    axis = charts.small_axis(highest if highest > _SMALLEST else 0.0)
    return charts.Axis(axis.low, axis.high, axis.ticks, [f"{compact(tick)}{unit}" for tick in axis.ticks])


def compact(value: float) -> str:
    """A number in few characters: 20k, 1.5M."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}"


class DayChart:
    """A frame with a column for each day, into which bars and lines are drawn; `svg()` gives the whole.

    Values are in the order of the days, None where a day has none.
    """

    def __init__(self, days: Sequence[Day], y: charts.Axis) -> None:
        self._days, self._y = days, y
        self._step = (WIDTH - _LEFT - _RIGHT) / len(days)
        self._parts: list[str] = []

    def _x(self, place: float) -> float:
        """Of the middle of a day's column."""
        return _LEFT + (place + 0.5) * self._step

    def _at(self, value: float) -> float:
        share = min(max(value if value > _SMALLEST else 0.0, 0.0) / (self._y.high or 1.0), 1.0)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP)

    def bars(self, values: Values) -> None:
        """A bar from zero."""
        width = max(self._step * 0.72, 0.6)
        for place, value in enumerate(values):
            if value is not None:
                top, hollow = self._at(value), "" if self._days[place].is_published else " hollow"
                self._parts.append(
                    f'<rect class="bar{hollow}" x="{self._x(place) - width / 2:.1f}" y="{top:.1f}" '
                    f'width="{width:.1f}" height="{HEIGHT - _BOTTOM - top:.1f}"/>'
                )

    def ticks(self, values: Values) -> None:
        """A short line at the height of the value."""
        half = max(self._step * 0.45, 1.0)
        for place, value in enumerate(values):
            if value is not None:
                x, y = self._x(place), self._at(value)
                self._parts.append(
                    f'<line class="second" x1="{x - half:.1f}" y1="{y:.1f}" x2="{x + half:.1f}" y2="{y:.1f}"/>'
                )

    def line(self, values: Values) -> None:
        """A line through the published days, broken where one has no value; the values of others are hollow dots."""
        published = [v if day.is_published else None for v, day in zip(values, self._days, strict=True)]
        for start, run in _runs(published):
            points = [(self._x(start + n), self._at(value)) for n, value in enumerate(run)]
            if len(points) > 1:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                self._parts.append(f'<polyline class="line" points="{path}"/>')
            if len(points) == 1 or len(self._days) <= _MOST_DOTS:
                self._parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points]
        for place, value in enumerate(values):
            if value is not None and published[place] is None:
                x, y = self._x(place), self._at(value)
                self._parts.append(f'<circle class="dot hollow" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>')

    def intervals(self, lows: Values, highs: Values) -> None:
        """A thin line from the low to the high end of each day's interval."""
        for place, (low, high) in enumerate(zip(lows, highs, strict=True)):
            if low is not None and high is not None:
                x, bottom, top = self._x(place), self._at(low), self._at(high)
                self._parts.append(
                    f'<line class="interval" x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{top:.1f}"/>'
                )

    def limit(self, values: Values) -> None:
        """A dashed line at each day's own limit."""
        for start, run in _runs(values):
            corners = [
                f"{self._x(start + n + side):.1f},{self._at(value):.1f}"
                for n, value in enumerate(run)
                for side in (-0.5, 0.5)
            ]
            self._parts.append(f'<polyline class="limit" points="{" ".join(corners)}"/>')

    def level(self, value: float) -> None:
        """A dotted line across."""
        y = self._at(value)
        self._parts.append(f'<line class="usual" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')

    def svg(self, name: str, title: str, description: str) -> str:
        """The chart as one <svg> element; `name` makes the ids of its title and description."""
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">'
            f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>'
            f"{''.join([*self._bands(), *self._frame(), *self._parts])}</svg>"
        )

    def _bands(self) -> list[str]:
        parts = []
        scale = min(0.62, max(self._step / 17, 0.3))
        for place, day in enumerate(self._days):
            if day.state == "published":
                continue
            x = self._x(place)
            if not day.is_published:
                parts.append(
                    f'<rect class="band {day.state}" x="{x - self._step / 2:.1f}" y="{_TOP}" '
                    f'width="{self._step:.1f}" height="{HEIGHT - _BOTTOM - _TOP}"/>'
                )
            left, top = x - 8 * scale, HEIGHT - _BOTTOM + 10 - 8 * scale
            parts.append(
                f'<path class="symbol {day.state}" d="{SYMBOLS[day.state]}" '
                f'transform="translate({left:.1f} {top:.1f}) scale({scale:.2f})"/>'
            )
        return parts

    def _frame(self) -> list[str]:
        base = HEIGHT - _BOTTOM
        parts = []
        for tick, label in zip(self._y.ticks, self._y.labels, strict=True):
            y = self._at(tick)
            parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<line class="axis" x1="{_LEFT}" y1="{base}" x2="{WIDTH - _RIGHT}" y2="{base}"/>')
        every = -(-len(self._days) // _TICKS)
        for place in range(len(self._days) - 1, -1, -every):
            anchor = "end" if self._x(place) > WIDTH - 30 else "start" if self._x(place) < _LEFT + 14 else "middle"
            x = {"end": float(WIDTH - 2), "start": float(_LEFT - 6)}.get(anchor, self._x(place))
            parts.append(f'<text x="{x:.1f}" y="{base + 34}" text-anchor="{anchor}">{self._label(place)}</text>')
        return parts

    def _label(self, place: int) -> str:
        date = self._days[place].date
        if len(self._days) > 300:
            return f"{calendar.month_abbr[date.month]} {date.year}"
        return short(date)


def _runs(values: Values) -> list[tuple[int, list[float]]]:
    """The stretches without a gap: where each begins, and its values."""
    runs: list[tuple[int, list[float]]] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == place:
            runs[-1][1].append(value)
        else:
            runs.append((place, [value]))
    return runs
