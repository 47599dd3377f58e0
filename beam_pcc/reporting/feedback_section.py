"""The part of the report that says what labels tell of the published cases: precision and recall over the days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from beam_pcc.feedback.estimates import Feedback, Measured
from beam_pcc.feedback.intervals import Estimate
from beam_pcc.reporting.day_charts import DayChart, y_axis
from beam_pcc.reporting.days import Day

_COLUMNS = ("cases", "basis", "labels", "precision", "recall", "mean P(PC)", "actual PC")
_NAMES = {"all": "all", "day": "{}", "version": "version {}", "review": "{}"}
_NOT_LISTED = "score"
_MOST_ROWS = 60


class Chart(NamedTuple):
    """A share over the days."""

    title: str
    caption: str
    svg: str


class Section(NamedTuple):
    """What the template shows."""

    words: str
    charts: Sequence[Chart]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def feedback_section(feedback: Feedback, days: Sequence[Day]) -> Section:
    """The section of these days. A day that has a sample is drawn by it, another one by its other labels."""
    of_days: dict[str, Measured] = {}
    for one in feedback.of("day"):
        if one.value and (one.value not in of_days or one.basis == "sample"):
            of_days[one.value] = one
    charts = [
        _chart("Precision", "of the cases published as PC are PC", days, of_days, lambda one: one.precision),
        _chart("Recall", "of the cases that are PC were published as PC", days, of_days, lambda one: one.recall),
    ]
    listed = [one for one in feedback.measured if one.by != _NOT_LISTED]
    # The newest days first, as elsewhere on the page.
    ordered = [one for one in listed if one.by != "day"] + [one for one in reversed(listed) if one.by == "day"]
    return Section(_words(feedback), [chart for chart in charts if chart], _COLUMNS, [*map(_row, ordered[:_MOST_ROWS])])


def _words(feedback: Feedback) -> str:
    cases = f"{feedback.labelled:,} published {'case' if feedback.labelled == 1 else 'cases'} of these days"
    words = f"{cases} {'has' if feedback.labelled == 1 else 'have'} a label."
    if any(one.basis == "sample" for one in feedback.measured):
        words += " By a sample: figures of all published cases."
    if any(one.basis == "labels" for one in feedback.measured):
        words += " By labels: figures of the labelled cases alone, which need not be as the others."
    if feedback.disagreeing:
        words += f" Sources disagree on {feedback.disagreeing:,}; the newest label counts."
    return words


def _chart(
    title: str, meaning: str, days: Sequence[Day], measured: dict[str, Measured], share: Callable[[Measured], Estimate]
) -> Chart | None:
    shares = [share(one) if (one := measured.get(str(day.date))) else None for day in days]
    known = [
        (estimate, day) for estimate, day in zip(shares, days, strict=True) if estimate and estimate.value is not None
    ]
    if not known:
        return None
    chart = DayChart(days, y_axis(100.0, "%"))
    values = [None if one is None or one.value is None else 100 * one.value for one in shares]
    has_value = [one if one is not None and one.value is not None else None for one in shares]
    chart.intervals(
        [None if one is None else 100 * one.low for one in has_value],
        [None if one is None else 100 * one.high for one in has_value],
    )
    chart.line(values)
    last, day = known[-1]
    caption = f"{_shown(last)} {meaning}, by the labels of {day.date}."
    return Chart(title, caption, chart.svg(f"feedback-{title.lower()}", f"{title} by the labels", caption))


def _row(one: Measured) -> Sequence[str]:
    return (
        _NAMES[one.by].format(one.value),
        one.basis,
        f"{one.labels:,}",
        _shown(one.precision),
        _shown(one.recall),
        f"{one.probability:.1%}",
        _shown(one.actual),
    )


def _shown(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    return f"{estimate.value:.1%} ({estimate.low:.0%} to {estimate.high:.0%})"
