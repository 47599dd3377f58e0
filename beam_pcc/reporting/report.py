"""The report of days: one self-contained HTML file, made of monitoring rows and sums of feedback: no case is in it.

A table can hold anything: each stored value is checked against its column first (`readable_rows`), shown as unreadable
where it does not fit, and escaped where templates/report.html.j2 puts it into the page.
"""

from __future__ import annotations

import calendar
import datetime as dt
import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from beam_pcc.cases import schemas
from beam_pcc.feedback.estimates import Feedback
from beam_pcc.models.metadata import SCORE_BINS
from beam_pcc.reporting import charts
from beam_pcc.reporting import readable_rows as shown
from beam_pcc.reporting.day_charts import SYMBOLS, DayChart, Values, short, y_axis
from beam_pcc.reporting.days import (
    MAX_DAYS,
    MIN_USUAL_DAYS,
    STATES,
    USUAL_DAYS,
    Comparison,
    Day,
    Figure,
    Period,
    Span,
    State,
    compare,
    days_before,
    days_of,
    days_since,
    latest_with_run,
    spans_to_explain,
    state_of,
    usual,
)
from beam_pcc.reporting.feedback_section import feedback_section
from beam_pcc.reporting.readable_rows import LONGEST_TEXT, Row, Unreadable
from beam_pcc.terminal import printable

_WORDS: dict[State, str] = {
    "published": "Published",
    "alarm": "Published with alarms",
    "refused": "Refused by the audits",
    "failed": "Failed",
    "empty": "Empty",
    "missing": "No run",
    "other": "Other status",
}
_LANGUAGES = 10  # that the report lists
_MOST_EXPLAINED = 60  # spans of days in the list of reasons, and alarms in theirs
_NUMBERED_CELLS = 62  # days; more are drawn smaller, without their numbers


def report(
    rows: Sequence[Row],
    warehouse: str,
    period: Period | None = None,
    *,
    due: dt.date | None = None,
    now: dt.datetime | None = None,
    feedback: Feedback | None = None,
) -> str:
    """The page of some days; the latest one with a run is shown in full.

    Args:
        rows: Monitoring rows as they are stored, in any order. Those of days before the period are compared with.
        warehouse: Its address, for the page's head.
        period: The days (default: those of the rows, at most MAX_DAYS).
        due: A day after the period that should have been scored by now; no day after the period has a run.
        now: When the page is written.
        feedback: What labels say of these days, if there are any.

    Raises:
        ValueError: There is no row.
    """
    if not rows:
        raise ValueError("no run to report on")
    readable = [shown.readable(row) for row in rows]
    period = period or _period_of(readable)
    undated = [row for row in readable if not isinstance(row["partition_date"], dt.date)]
    if period is None:
        return _page(warehouse, now, due, None, [], [], undated, None)
    with_history = days_of(readable, period.with_history())
    days = [day for day in with_history if day.date >= period.first]
    return _page(warehouse, now, due, latest_with_run(days), days, with_history, undated, feedback)


def _period_of(rows: Sequence[Row]) -> Period | None:
    dates = [row["partition_date"] for row in rows if isinstance(row["partition_date"], dt.date)]
    return Period(max(min(dates), days_before(max(dates), MAX_DAYS - 1)), max(dates)) if dates else None


def _page(
    warehouse: str,
    now: dt.datetime | None,
    due: dt.date | None,
    latest: Day | None,
    days: Sequence[Day],
    with_history: Sequence[Day],
    undated: Sequence[Row],
    feedback: Feedback | None,
) -> str:
    row = latest.row if latest else undated[-1]
    assert row is not None  # noqa: S101  # nosec B101 - `latest` has a run
    has_source = any(day.row and day.row["source_rows"] is not None for day in days)
    return _template().render(
        warehouse=warehouse,
        written=shown.minute(now) if now else "",
        partition=shown.day(row["partition_date"]),
        weekday=calendar.day_name[latest.date.weekday()] if latest else "",
        state=latest.state if latest else state_of(row),
        outcome=_outcome(row),
        words=_WORDS,
        symbols=SYMBOLS,
        run_id=shown.text(row["run_id"]),
        started=shown.minute(row["runtime_ts"]),
        seconds=shown.formatted(row["processing_duration_seconds"], "{:,.1f} s"),
        notes=_notes(row, latest, days, due),
        tiles=_tiles(with_history, latest) if latest and latest.state not in ("failed", "empty") else [],
        compared=_compared(with_history, latest) if latest else "",
        months=_months(days),
        tally=_tally(days),
        reasons=_reasons(days),
        more_reasons=max(len(spans_to_explain(days)) - _MOST_EXPLAINED, 0),
        trends=_trends(days, with_history, latest) if latest and len(days) > 1 else [],
        alarms=_alarms(days),
        feedback=feedback_section(feedback, days) if feedback and feedback.measured else None,
        labels=_labels(row),
        scores=_scores(row),
        rejected=_rejected(row),
        source=_source(row),
        languages=_languages(row),
        drift=_drift(row),
        model=_model(row),
        day_columns=_day_columns(has_source),
        model_column=_day_columns(has_source).index("model"),
        days=[(day.state, _day_line(day, has_source)) for day in reversed(days)],
        runs=[_run_line(run) for run in reversed(latest.runs)] if latest else [],
        undated=[_run_line(run) for run in reversed(undated)],
        numbered=len(days) <= _NUMBERED_CELLS,
        period=" to ".join(dict.fromkeys((str(days[0].date), str(days[-1].date)))) if days else "",
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("beam_pcc.reporting"),
        autoescape=True,
        finalize=_one_line,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")


def _one_line(value: object) -> object:
    """A value as one line without control characters or changes of direction, cut if it is long; markup as it is."""
    if hasattr(value, "__html__"):
        return value
    text = printable(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _outcome(row: Row) -> str:
    state = state_of(row)
    return shown.text(row["status"])[:40] if state == "other" else _WORDS[state]


class _Note(NamedTuple):
    """A sentence below the headline, with the symbol of a state."""

    state: State
    text: str


def _notes(row: Row, latest: Day | None, days: Sequence[Day], due: dt.date | None) -> list[_Note]:
    state = state_of(row)
    notes = [_Note(state, f"{row['error_message']}")] if row["error_message"] else []
    notes += [_Note("refused" if a["action"] == "refuse" else "alarm", _alarm(a)) for a in _alerts_of(row)]
    if isinstance(row["alerts"], Unreadable):
        notes.append(_Note("other", f"alerts: {row['alerts']}"))
    if remark := _remark(row):
        notes.append(_Note("alarm", remark))
    if state == "empty":
        notes.append(_Note("empty", "The source had no rows."))
    if latest:
        notes += [_later(run) for run in latest.later_runs]
        published = [run for run in latest.runs if run["status"] == "success" and run is not row]
        if latest.state == "empty" and published:
            notes.append(
                _Note("empty", "An earlier run published this day; its rows stay unless --replace_with_empty was set.")
            )
        if since := days_since(days, latest, due):
            first, last = (dt.date.fromordinal(latest.date.toordinal() + n) for n in (1, since))
            which = str(first) if since == 1 else f"{first} to {last} ({since:,} days)"
            notes.append(_Note("alarm", f"No run yet for {which}."))
        if not latest.is_published:
            before = next((day for day in reversed(days) if day.is_published and day.date < latest.date), None)
            notes.append(
                _Note("published", f"The last published day is {before.date}.")
                if before
                else _Note("missing", "No day of this report was published.")
            )
    return notes


def _later(run: Row) -> _Note:
    reason = shown.text(run["error_message"])
    words = {"refused": "was refused", "failed": "failed"}.get(run["status"], "ended otherwise")
    return _Note(
        state_of(run), f"A later run {words}, what was published stays ({shown.minute(run['runtime_ts'])}): {reason}"
    )


def _alerts_of(row: Row) -> list[dict[str, Any]]:
    return [] if isinstance(row["alerts"], Unreadable) else row["alerts"] or []


def _alarm(alert: dict[str, Any]) -> str:
    return f"{alert['name']}: {alert['value']:.3f}, limit {alert['limit']:.3f} ({alert['action']})"


def _remark(row: Row) -> str:
    """The notes of a run, without what its alerts say too."""
    notes = row["notes"]
    if not isinstance(notes, str):
        return str(notes or "")
    alerts = [f"{a['name']} {a['value']:.3f} is above {a['limit']:.3g}" for a in _alerts_of(row)]
    parts = [part for part in notes.removeprefix("drift: ").split("; ") if part not in alerts]
    return notes if len(parts) == len(notes.split("; ")) else "; ".join(parts)


class _Tile(NamedTuple):
    label: str
    value: str
    beside: str
    changes: Sequence[tuple[str, str]]


def _tiles(days: Sequence[Day], latest: Day) -> list[_Tile]:
    """The figures of the day, with how they changed."""
    row = latest.row
    assert row is not None  # noqa: S101  # nosec B101 - of a day with a run
    scored, total = row["passed_validation"], row["total_cases"]
    limit = row["drift_psi_limit"]
    reference = "against training" if row["drift_psi_recent"] is None else "against the last weeks"
    figures: list[tuple[str, str, str, Figure, str]] = [
        ("Rows read", shown.count(total), _of_source(row), _total, "share"),
        (
            "PC",
            shown.percent(row["positive_cases"], scored),
            f"{shown.count(row['positive_cases'])} cases",
            _pc,
            "points",
        ),
        (
            "To review",
            shown.percent(row["review_cases"], scored),
            f"{shown.count(row['review_cases'])} cases{_band(row)}",
            _review,
            "points",
        ),
        (
            "Rejected",
            shown.percent(row["dropped_cases"], total),
            f"{shown.count(row['dropped_cases'])} rows",
            _dropped,
            "points",
        ),
        ("PSI of the scores", shown.number(_psi(row)), f"{reference}, limit {shown.number(limit)}", _psi, "plain"),
        (
            "Duration",
            shown.formatted(row["processing_duration_seconds"], "{:,.1f} s"),
            "start to end",
            _seconds,
            "share",
        ),
    ]
    return [
        _Tile(label, value, beside, _changes(compare(days, latest, figure), kind))
        for label, value, beside, figure, kind in figures
    ]


def _compared(days: Sequence[Day], latest: Day) -> str:
    """What the changes are measured against, and why one of them may be missing."""
    before = [day for day in days if day.date < latest.date]
    words = (
        "Changes are against other published days. Usual is the median of the last "
        f"{USUAL_DAYS} of them; pp are percentage points."
    )
    if len([day for day in before if day.is_published]) < MIN_USUAL_DAYS:
        words = f"Fewer than {MIN_USUAL_DAYS} days were published before this one, so there are no usual figures."
    if before and not before[-1].is_published:
        words += f" The day before, {before[-1].date}, was not published: {_WORDS[before[-1].state].lower()}."
    return words


def _band(row: Row) -> str:
    """How near to the threshold the cases to review are; nothing in rows of earlier versions."""
    band = row["review_band"]
    return "" if band is None else f" within {shown.formatted(band, '{:g}')} of the threshold"


def _of_source(row: Row) -> str:
    rows = row["source_rows"]
    return "of this day" if rows is None else f"of {shown.count(rows)} in the source"


def _changes(comparison: Comparison, kind: str) -> list[tuple[str, str]]:
    """Against what, and how much; what cannot be compared is left out."""
    others = {
        "day before": comparison.day_before,
        "week before": comparison.week_before,
        "usual": comparison.usual,
    }
    return [
        (name, _change(comparison.value, other, kind))
        for name, other in others.items()
        if comparison.value is not None and other is not None and (other or kind != "share")
    ]


def _change(value: float, other: float, kind: str) -> str:
    if kind == "share":
        text = f"{(value - other) / other:+.1%}"
    else:
        text = f"{100 * (value - other):+.1f} pp" if kind == "points" else f"{value - other:+.3f}"
    number, _, unit = text.partition(" ")
    if not number.strip("+-0.%"):
        number = number.lstrip("+-")  # no direction in what is rounded to nothing
    return f"{number.replace('-', chr(0x2212))} {unit}".rstrip()


def _total(row: Row) -> Any:
    return row["total_cases"]


def _pc(row: Row) -> float | None:
    return shown.share(row["positive_cases"], row["passed_validation"])


def _review(row: Row) -> float | None:
    return shown.share(row["review_cases"], row["passed_validation"])


def _dropped(row: Row) -> float | None:
    return shown.share(row["dropped_cases"], row["total_cases"])


def _psi(row: Row) -> Any:
    """That which has the limit."""
    recent = row["drift_psi_recent"]
    return row["drift_psi"] if recent is None else recent


def _limit(row: Row) -> Any:
    return row["drift_psi_limit"]


def _seconds(row: Row) -> Any:
    return row["processing_duration_seconds"]


def _flips(row: Row) -> Any:
    return row["shadow_flip_rate"]


def _source_rows(row: Row) -> Any:
    return row["source_rows"]


class _Cell(NamedTuple):
    day: Day
    number: int
    label: str
    anchor: str


def _months(days: Sequence[Day]) -> list[tuple[str, list[_Cell]]]:
    """The calendar: each month with its days; a day that is explained below has the anchor of that."""
    anchors = {
        date: f"why-{span.last.date}"
        for span in spans_to_explain(days)[:_MOST_EXPLAINED]
        for date in range(span.first.date.toordinal(), span.last.date.toordinal() + 1)
    }
    months: list[tuple[str, list[_Cell]]] = []
    for day in days:
        name = f"{calendar.month_name[day.date.month]} {day.date.year}"
        if not months or months[-1][0] != name:
            months.append((name, []))
        label = f"{calendar.day_abbr[day.date.weekday()]} {day.date}: {_WORDS[day.state].lower()}"
        months[-1][1].append(_Cell(day, day.date.day, label, anchors.get(day.date.toordinal(), "")))
    return months


def _tally(days: Sequence[Day]) -> list[tuple[State, int]]:
    counted = Counter(day.state for day in days)
    return [(state, counted[state]) for state in STATES if counted[state]]


class _Reason(NamedTuple):
    anchor: str
    dates: str
    state: State
    outcome: str
    texts: Sequence[str]


def _reasons(days: Sequence[Day]) -> list[_Reason]:
    return [_reason(span) for span in spans_to_explain(days)[:_MOST_EXPLAINED]]


def _reason(span: Span) -> _Reason:
    day = span.last
    dates = str(day.date) if span.first is day else f"{span.first.date} to {day.date}"
    anchor = f"why-{day.date}"
    if day.row is None:
        return _Reason(anchor, dates, "missing", _WORDS["missing"], ["No run has a row for it."])
    row = day.row
    texts = [*map(_alarm, _alerts_of(row)), *(_later(run).text for run in day.later_runs)]
    if row["error_message"]:
        texts.insert(0, str(row["error_message"]))
    if day.state == "empty":
        texts.append("The source had no rows.")
    return _Reason(anchor, dates, day.state, _outcome(row), texts or ["No reason was recorded."])


def _alarms(days: Sequence[Day]) -> Sequence[tuple[str, ...]]:
    """Newest first."""
    return [
        (str(day.date), alert["name"], f"{alert['value']:.3f}", f"{alert['limit']:.3f}", alert["action"])
        for day in reversed(days)
        for alert in (_alerts_of(day.row) if day.row else ())
    ][:_MOST_EXPLAINED]


class _Trend(NamedTuple):
    """A figure over the days; `svg` is empty where no day has it."""

    title: str
    caption: str
    svg: str
    keys: Sequence[tuple[str, str]] = ()


def _trends(days: Sequence[Day], with_history: Sequence[Day], latest: Day) -> list[_Trend]:
    trends = [
        _trend(
            days,
            "Volume",
            _total,
            "rows",
            bars=True,
            usual_value=_usual(with_history, latest, _total),
            second=_source_rows,
        ),
        _trend(days, "Share of PC", _pc, "%", usual_value=_usual(with_history, latest, _pc)),
        _trend(days, "Rejected rows", _dropped, "%", usual_value=_usual(with_history, latest, _dropped)),
        _trend(days, "Drift of the scores", _psi, "PSI", limit=_limit),
        _trend(days, "Duration", _seconds, "s", usual_value=_usual(with_history, latest, _seconds)),
    ]
    if any(day.row and day.row["shadow_version"] for day in days):
        trends.insert(4, _trend(days, "Shadow: labels flipped", _flips, "%"))
    return trends


def _usual(days: Sequence[Day], latest: Day, figure: Figure) -> float | None:
    return usual([day for day in days if day.date < latest.date], figure)


def _trend(
    days: Sequence[Day],
    title: str,
    figure: Figure,
    unit: str,
    *,
    bars: bool = False,
    limit: Figure | None = None,
    usual_value: float | None = None,
    second: Figure | None = None,
) -> _Trend:
    scale = 100.0 if unit == "%" else 1.0
    values = _values(days, figure, scale)
    drawn = [value for value in values if value is not None]
    if not drawn:
        return _Trend(title, "No day has this figure.", "")
    limits = _values(days, limit) if limit else []
    seconds = _values(days, second) if second else []
    level = None if usual_value is None else usual_value * scale
    top = max(value for value in (*drawn, *limits, *seconds, level) if value is not None)
    chart = DayChart(days, y_axis(top, "%" if unit == "%" else ""))
    (chart.bars if bars else chart.line)(values)
    keys = [("bar" if bars else "line", {"%": "share", "s": "seconds", "rows": "rows read"}.get(unit, unit))]
    if any(value is not None for value in seconds):
        chart.ticks(seconds)
        keys.append(("second", "rows in the source"))
    if level is not None:
        chart.level(level)
        keys.append(("usual", f"usual: {_amount(level, unit)}"))
    if any(value is not None for value in limits):
        chart.limit(limits)
        keys.append(("limit", "limit of that day"))
    if any(value is not None and not day.is_published for value, day in zip(values, days, strict=True)):
        keys.append(("hollow", "not published"))
    caption = _caption(days, values, unit)
    return _Trend(title, caption, chart.svg(title.split(":")[0].replace(" ", "-").lower(), title, caption), keys)


def _values(days: Sequence[Day], figure: Figure, scale: float = 1.0) -> Values:
    """Of each day that is published or was refused: a failed or empty one has counted nothing."""
    return [
        value * scale
        if day.row
        and (day.is_published or day.state == "refused")
        and isinstance(value := figure(day.row), (int, float))
        else None
        for day in days
    ]


def _amount(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.2f}%" if value < 1 else f"{value:.1f}%"
    return f"{value:,.0f} rows" if unit == "rows" else f"{value:,.1f} s" if unit == "s" else f"{value:.3f}"


def _caption(days: Sequence[Day], values: Values, unit: str) -> str:
    """What the chart shows, in a sentence."""
    known = [(value, day) for value, day in zip(values, days, strict=True) if value is not None]
    value, day = known[-1]
    lowest, highest = min(known, key=lambda one: one[0]), max(known, key=lambda one: one[0])
    if len(known) == 1:
        return f"{_amount(value, unit)} on {short(day.date)}."
    return (
        f"{_amount(value, unit)} on {short(day.date)}; lowest {_amount(lowest[0], unit)} on {short(lowest[1].date)}, "
        f"highest {_amount(highest[0], unit)} on {short(highest[1].date)}."
    )


def _labels(row: Row) -> list[tuple[str, ...]]:
    scored, positive, review = row["passed_validation"], row["positive_cases"], row["review_cases"]
    both = shown.is_count(scored) and shown.is_count(positive) and positive <= scored
    rows = [
        ("PC", positive, scored),
        ("NOT_PC", scored - positive if both else shown.UNREADABLE, scored),
        ("marked for review", review, scored),
        ("rejected (of the rows read)", row["dropped_cases"], row["total_cases"]),
    ]
    if row["untrained_language_cases"] is not None:
        rows.insert(3, ("in a language not in training", row["untrained_language_cases"], scored))
    return [(name, shown.count(n), shown.percent(n, of)) for name, n, of in rows]


def _languages(row: Row) -> list[tuple[str, str]]:
    """The languages of the messages; nothing of a run that scored vectors."""
    shares = row["language_shares"]
    if shares is None or isinstance(shares, Unreadable):
        return [] if shares is None else [("languages", str(shares))]
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return [(language, f"{share:.1%}") for language, share in ordered[:_LANGUAGES]]


class _Scores(NamedTuple):
    """The chart of the scores and its figures, or words instead; `baseline`: "shown", "unreadable", or "" without."""

    svg: str = ""
    baseline: str = ""
    rows: Sequence[tuple[str, ...]] = ()
    instead: str = ""


def _scores(row: Row) -> _Scores:
    own, base = row["score_histogram"], row["baseline_histogram"]
    if isinstance(own, Unreadable):
        return _Scores(instead=str(own))
    if not own or not sum(own):
        return _Scores(instead="No case was scored.")
    base = base if isinstance(base, list) and sum(base) else []
    shares = [[n / sum(counts) for n in counts] for counts in (own, base)]
    highest = max([*shares[0], *shares[1]])
    title = "Scores of this run and of the training hold-out" if base else "Scores of this run"
    chart = charts.Chart(charts.share_axis("P(PC)"), charts.count_axis(highest * 100, "% of cases"), title)
    width = 1 / SCORE_BINS
    for place, (heights, kind) in enumerate(zip(shares, ("a", "b"), strict=True)):
        starts = [(bin_ + 0.08 + 0.43 * place) * width for bin_ in range(len(heights))]
        chart.bars([(start, start + 0.41 * width) for start in starts], [100 * h for h in heights], kind)
    rows = [
        (f"{bin_ / SCORE_BINS:g} to {(bin_ + 1) / SCORE_BINS:g}", f"{n:,}", f"{shares[0][bin_]:.1%}")
        + ((f"{shares[1][bin_]:.1%}",) if base else ())
        for bin_, n in enumerate(own)
    ]
    most = max(range(SCORE_BINS), key=lambda bin_: own[bin_])
    description = f"{shares[0][most]:.1%} of the cases have a P(PC) of {rows[most][0]}; the table below has each bin."
    unreadable = isinstance(row["baseline_histogram"], Unreadable)
    svg = chart.svg(name="scores", description=description)
    return _Scores(svg, "shown" if base else "unreadable" if unreadable else "", rows)


class _Rejected(NamedTuple):
    """Rows of the table (reason, rows, share), or words instead of it."""

    rows: Sequence[tuple[str, ...]] = ()
    instead: str = ""


def _rejected(row: Row) -> _Rejected:
    if isinstance(row["reject_reasons"], Unreadable):
        return _Rejected(instead=str(row["reject_reasons"]))
    reasons = sorted((row["reject_reasons"] or {}).items(), key=lambda item: -item[1])
    total = row["total_cases"]
    return _Rejected([(reason, shown.count(n), shown.percent(n, total)) for reason, n in reasons], instead="None.")


def _source(row: Row) -> list[tuple[str, str]]:
    """What the source held, of the columns that the table has."""
    facts = [
        ("rows", "source_rows", shown.count),
        ("files", "source_files", shown.count),
        ("last changed", "source_modified", shown.minute),
        ("exact copies dropped", "exact_copies", shown.count),
    ]
    return [(name, form(row[column])) for name, column, form in facts if row[column] is not None]


def _drift(row: Row) -> Sequence[tuple[str, ...]]:
    limit, recent = shown.number(row["drift_psi_limit"]), row["drift_psi_recent"]
    rows = [
        ("score PSI against training", shown.number(row["drift_psi"]), limit if recent is None else "-"),
        ("score PSI against the last weeks", shown.number(recent), "-" if recent is None else limit),
    ]
    for block in schemas.BLOCKS:
        norm, mean = row[f"{block}_norm_shift"], row[f"{block}_mean_shift"]
        rows += [
            (f"{block} norm shift", shown.formatted(norm, "{:+.3f}"), "-"),
            (f"{block} mean shift, in spreads", shown.formatted(mean, "{:.3f}"), "-"),
        ]
    return rows


def _model(row: Row) -> list[tuple[str, str]]:
    sha256 = row["model_sha256"]
    facts = [
        ("version", row["model_version"] or "none was chosen"),
        ("vectors", shown.text(row["embedding_model"])),
        ("SHA-256", sha256[:16] if isinstance(sha256, str) and sha256 else shown.text(sha256)),
    ]
    if row["shadow_version"]:
        rate, psi = row["shadow_flip_rate"], shown.number(row["shadow_psi"])
        flips = f"{shown.formatted(rate, '{:.2%}')} labels flipped, PSI {psi}"
        facts.append(("shadow", f"{row['shadow_version']}: {'no case compared' if rate is None else flips}"))
    return facts


def _day_columns(has_source: bool) -> list[str]:
    return [
        "day",
        "outcome",
        "rows",
        *(["in the source"] if has_source else []),
        *("PC", "review", "rejected", "PSI", "limit", "flipped", "seconds", "model", "runs"),
    ]


def _day_line(day: Day, has_source: bool) -> tuple[str, ...]:
    row = day.row
    if row is None:
        return (str(day.date), _WORDS["missing"], *["-"] * (len(_day_columns(has_source)) - 3), "0")
    return (
        str(day.date),
        _outcome(row),
        shown.count(row["total_cases"]),
        *([shown.count(row["source_rows"])] if has_source else []),
        shown.percent(row["positive_cases"], row["passed_validation"]),
        shown.percent(row["review_cases"], row["passed_validation"]),
        shown.percent(row["dropped_cases"], row["total_cases"]),
        shown.number(_psi(row)),
        shown.number(row["drift_psi_limit"]),
        shown.formatted(row["shadow_flip_rate"], "{:.2%}"),
        shown.formatted(row["processing_duration_seconds"], "{:,.1f}"),
        shown.text(row["model_version"]),
        str(len(day.runs)),
    )


def _run_line(row: Row) -> tuple[str, ...]:
    return (
        shown.minute(row["runtime_ts"]),
        _outcome(row),
        shown.count(row["total_cases"]),
        shown.formatted(row["processing_duration_seconds"], "{:,.1f}"),
        shown.text(row["error_message"]),
        shown.text(row["run_id"]),
    )
