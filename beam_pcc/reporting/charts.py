"""Small charts as SVG text, for the model card and the report. No script, no font, no address in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 260  # narrow, so that the words can be read on a phone
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 22, 12, 44
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.c-grid{stroke:#d8dee4}.c-axis{stroke:#8c959f}"
    ".c-a{fill:#0969da;stroke:#0969da}.c-b{fill:#bf8700;stroke:#bf8700}.c-line{fill:none;stroke-width:2.5}"
    ".c-bar{stroke:none}.c-mark{fill:none;stroke:#cf222e;stroke-dasharray:5 4;stroke-width:1.5}"
)
Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """From where to where, at which ticks, with which words for them, and the axis' name."""

    low: float
    high: float
    ticks: Sequence[float]
    labels: Sequence[str]
    name: str = ""


def share_axis(name: str) -> Axis:
    """0 to 1 in fifths."""
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    return Axis(0.0, 1.0, ticks, [f"{tick:g}" for tick in ticks], name)


def count_axis(highest: float, name: str = "") -> Axis:
    """0 to a round number above the highest, in at most five steps."""
    step = 10.0 ** len(str(int(max(highest, 1))))
    for part in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0):
        if highest <= 4 * part * step:
            step *= part
            break
    ticks = [step * n for n in range(int(-(-highest // step)) + 1)] if highest > 0 else [0.0, 1.0]
    return Axis(0.0, ticks[-1], ticks, [f"{tick:,.6g}" for tick in ticks], name)


class Chart:
    """A frame with two axes, into which bars and lines are drawn; `svg()` gives the whole."""

    def __init__(self, x: Axis, y: Axis, title: str) -> None:
        self._x, self._y, self._title = x, y, title
        self._parts: list[str] = []

    def _at(self, x: float, y: float) -> Point:
        across = (x - self._x.low) / ((self._x.high - self._x.low) or 1.0)
        up = (y - self._y.low) / ((self._y.high - self._y.low) or 1.0)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    def bars(self, edges: Sequence[tuple[float, float]], heights: Sequence[float], kind: str) -> None:
        """A bar from edge to edge, in x, for each height."""
        for (start, end), height in zip(edges, heights, strict=True):
            (left, top), (right, bottom) = self._at(start, height), self._at(end, self._y.low)
            self._parts.append(
                f'<rect class="c-bar c-{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
                f'height="{max(bottom - top, 0):.1f}" rx="1.5"/>'
            )

    def line(self, points: Sequence[Point], kind: str, *, dots: bool = False) -> None:
        """A line through the points."""
        placed = [self._at(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        self._parts.append(f'<polyline class="c-line c-{kind}" points="{path}"/>')
        if dots:
            self._parts += [f'<circle class="c-{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in placed]

    def mark(self, start: Point, end: Point) -> None:
        """A dashed line, for a limit or an ideal."""
        (x1, y1), (x2, y2) = self._at(*start), self._at(*end)
        self._parts.append(f'<line class="c-mark" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def svg(self, name: str = "", description: str = "") -> str:
        """The chart as one <svg> element.

        Args:
            name: Of a chart within a page, which has the style and needs ids; else the element is a file of its own.
            description: What it shows, for who cannot see it.
        """
        frame = []
        for tick, label in zip(self._y.ticks, self._y.labels, strict=True):
            x, y = self._at(self._x.low, tick)
            frame.append(f'<line class="c-grid" x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
            frame.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        for tick, label in zip(self._x.ticks, self._x.labels, strict=True):
            x, y = self._at(tick, self._y.low)
            frame.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{escape(label)}</text>')
        base = HEIGHT - _BOTTOM
        frame.append(f'<line class="c-axis" x1="{_LEFT}" y1="{base}" x2="{WIDTH - _RIGHT}" y2="{base}"/>')
        frame.append(
            f'<text x="{(WIDTH + _LEFT - _RIGHT) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
            f"{escape(self._x.name)}</text>"
        )
        if self._y.name:
            middle = (HEIGHT - _BOTTOM + _TOP) / 2
            frame.append(
                f'<text transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">'
                f"{escape(self._y.name)}</text>"
            )
        if name:
            return (
                f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">'
                f'<title id="{name}-t">{escape(self._title)}</title><desc id="{name}-d">{escape(description)}</desc>'
                f"{''.join(frame)}{''.join(self._parts)}</svg>"
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(self._title, quote=True)}"><title>{escape(self._title)}</title>'
            f"<style>{_STYLE}</style>{''.join(frame)}{''.join(self._parts)}</svg>"
        )


def small_axis(highest: float, name: str = "") -> Axis:
    """As `count_axis`, also for what is below one."""
    if highest >= 1 or highest <= 0:
        return count_axis(highest, name)
    power = 1.0
    while highest * power < 1:
        power *= 10
    axis = count_axis(highest * power * 10, name)
    ticks = [tick / power / 10 for tick in axis.ticks]
    return Axis(0.0, ticks[-1], ticks, [f"{tick:.6g}" for tick in ticks], name)
