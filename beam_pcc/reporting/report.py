"""The report of runs: one self-contained HTML file, made of monitoring rows alone: nothing of a case is in it.

A table can hold anything: each stored value is checked against its column first (`_readable`), shown as unreadable
where it does not fit, and escaped where templates/report.html.j2 puts it into the page.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import as_written_today
from beam_pcc.models.metadata import SCORE_BINS
from beam_pcc.reporting import charts
from beam_pcc.terminal import printable

Row = Mapping[str, Any]
MAX_RUNS = 400
_LONGEST_TEXT = 2_000
_LARGEST, _SMALLEST = 1e12, 1e-12  # of a figure that is told from none
_OUTCOMES: dict[str, tuple[str, str]] = {
    "success": ("Published", "good"),
    "empty": ("Empty", "quiet"),
    "refused": ("Refused by the audits", "bad"),
    "failed": ("Failed", "bad"),
}


def report(runs: Sequence[Row], warehouse: str) -> str:
    """The page of one or more monitoring rows, oldest first; the newest is told of in full.

    Raises:
        ValueError: There is no run.
    """
    if not runs:
        raise ValueError("no run to report on")
    runs = [_readable(row) for row in runs]
    newest = runs[-1]
    return _template().render(
        partition=_day(newest["partition_date"]),
        outcome=_outcome(newest),
        run_id=_or_dash(newest["run_id"]),
        started=_minute(newest["runtime_ts"]),
        warehouse=warehouse,
        notes=[(newest[name], kind) for name, kind in (("error_message", "bad"), ("notes", "")) if newest[name]]
        + _alerts(newest),
        tiles=_tiles(newest),
        labels=_labels(newest),
        scores=_scores(newest),
        rejected=_rejected(newest),
        source=_source(newest),
        model=_model(newest),
        trends=_trends(runs) if len(runs) > 1 else [],
        runs=[_table_row(row) for row in reversed(runs)],
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("beam_pcc.reporting"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2")


def _shown(value: object) -> object:
    """A value as one line without control characters or changes of direction, cut if it is long; markup as it is."""
    if hasattr(value, "__html__"):
        return value
    text = printable(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


class _Unreadable:
    """What stands for a stored value that does not fit its column."""

    def __str__(self) -> str:
        return "unreadable"


UNREADABLE = _Unreadable()


def _readable(row: Row) -> dict[str, Any]:
    """Each column of a monitoring row: its value, None where it is null or not there, or UNREADABLE."""
    row = as_written_today(row)
    return {field.name: _value(row.get(field.name), field) for field in schemas.MONITORING}


def _value(value: object, field: pa.Field) -> Any:
    if value is None:
        return None
    if field.name in _JSON:
        return _JSON[field.name](value)
    if pa.types.is_integer(field.type):  # all of them are counts
        fits = type(value) is int and 0 <= value < 2**63
    elif pa.types.is_floating(field.type):
        fits = type(value) in (int, float) and math.isfinite(value) and abs(value) <= _LARGEST  # type: ignore[arg-type]
    elif pa.types.is_timestamp(field.type):
        fits = isinstance(value, dt.datetime)
    elif pa.types.is_date(field.type):
        fits = type(value) is dt.date
    else:
        fits = isinstance(value, str)
    return value if fits else UNREADABLE


def _from_json(value: object) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else UNREADABLE
    except (ValueError, RecursionError):
        return UNREADABLE


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _histogram_of(value: object) -> Any:
    counts = _from_json(value)
    sound = isinstance(counts, list) and len(counts) == SCORE_BINS and all(map(_is_count, counts))
    return counts if sound else UNREADABLE


def _reasons_of(value: object) -> Any:
    reasons = _from_json(value)
    return reasons if isinstance(reasons, dict) and all(map(_is_count, reasons.values())) else UNREADABLE


def _alerts_of(value: object) -> Any:
    entries = _from_json(value)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and _is_alert(entry) for entry in entries):
        return UNREADABLE
    return entries


def _is_alert(entry: Mapping[str, object]) -> bool:
    texts = (entry.get("name"), entry.get("action"))
    numbers = (entry.get("value"), entry.get("limit"))
    return all(isinstance(text, str) for text in texts) and all(
        type(number) in (int, float) and abs(number) <= _LARGEST  # type: ignore[arg-type] # NaN is not
        for number in numbers
    )


_JSON: dict[str, Callable[[object], Any]] = {
    "reject_reasons": _reasons_of,
    "score_histogram": _histogram_of,
    "baseline_histogram": _histogram_of,
    "alerts": _alerts_of,
}


def _outcome(row: Row) -> tuple[str, str]:
    if not isinstance(row["status"], str):
        return _or_dash(row["status"]), "quiet"
    return _OUTCOMES.get(row["status"], (row["status"][:40], "quiet"))


def _alerts(row: Row) -> list[tuple[str, str]]:
    alerts = row["alerts"]
    if isinstance(alerts, _Unreadable):
        return [(f"alerts: {alerts}", "")]
    return [(f"{a['name']}: {a['value']:.3f}, limit {a['limit']:.3f} ({a['action']})", "bad") for a in alerts or ()]


def _tiles(row: Row) -> list[tuple[str, str]]:
    scored, total = row["passed_validation"], row["total_cases"]
    return [
        (_count(total), "rows read"),
        (_percent(row["positive_cases"], scored), f"PC: {_count(row['positive_cases'])} cases"),
        (_percent(row["review_cases"], scored), f"to review: {_count(row['review_cases'])}"),
        (_percent(row["dropped_cases"], total), f"rejected: {_count(row['dropped_cases'])}"),
        (_number(row["drift_psi"]), "PSI against baseline"),
        (_number(row["drift_psi_recent"]), f"PSI against the last weeks, limit {_number(row['drift_psi_limit'])}"),
        (_figure(row["processing_duration_seconds"], "{:,.1f} s"), "duration"),
    ]


def _labels(row: Row) -> list[tuple[str, str, str]]:
    scored, positive, review = row["passed_validation"], row["positive_cases"], row["review_cases"]
    both = _is_count(scored) and _is_count(positive) and positive <= scored
    rows = [
        ("PC", positive, scored),
        ("NOT_PC", scored - positive if both else UNREADABLE, scored),
        ("marked for review", review, scored),
        ("rejected (of the rows read)", row["dropped_cases"], row["total_cases"]),
    ]
    return [(name, _count(n), _percent(n, of)) for name, n, of in rows]


class _Scores(NamedTuple):
    """The chart of the scores, or words instead of it; `baseline`: "shown", "unreadable", or "" without one."""

    svg: str = ""
    baseline: str = ""
    instead: str = ""


def _scores(row: Row) -> _Scores:
    own, base = row["score_histogram"], row["baseline_histogram"]
    if isinstance(own, _Unreadable):
        return _Scores(instead=str(own))
    if not own or not sum(own):
        return _Scores(instead="No case was scored.")
    base = base if isinstance(base, list) and sum(base) else []
    shares = [[n / sum(counts) for n in counts] for counts in (own, base)]
    highest = max([*shares[0], *shares[1]])
    y = charts.count_axis(highest * 100, "% of cases")
    chart = charts.Chart(charts.share_axis("P(PC)"), y, "Scores of this run and of the baseline")
    width = 1 / SCORE_BINS
    for place, (heights, kind) in enumerate(zip(shares, ("a", "b"), strict=True)):
        starts = [(bin_ + 0.08 + 0.43 * place) * width for bin_ in range(len(heights))]
        chart.bars([(start, start + 0.41 * width) for start in starts], [100 * h for h in heights], kind)
    unreadable = isinstance(row["baseline_histogram"], _Unreadable)
    return _Scores(chart.svg(), "shown" if shares[1] else "unreadable" if unreadable else "")


class _Rejected(NamedTuple):
    """Rows of the table (reason, rows, share), or words instead of it."""

    rows: Sequence[tuple[str, str, str]] = ()
    instead: str = ""


def _rejected(row: Row) -> _Rejected:
    if isinstance(row["reject_reasons"], _Unreadable):
        return _Rejected(instead=str(row["reject_reasons"]))
    reasons = sorted((row["reject_reasons"] or {}).items(), key=lambda item: -item[1])
    total = row["total_cases"]
    return _Rejected([(reason, _count(n), _percent(n, total)) for reason, n in reasons], instead="None.")


def _source(row: Row) -> list[tuple[str, str]]:
    return [
        ("rows", _count(row["source_rows"])),
        ("files", _count(row["source_files"])),
        ("last changed", _minute(row["source_modified"])),
        ("exact copies", _count(row["exact_copies"])),
    ]


def _model(row: Row) -> list[tuple[str, str]]:
    sha256 = row["model_sha256"]
    facts = [
        ("version", row["model_version"] or "none was chosen"),
        ("vectors", _or_dash(row["embedding_model"])),
        ("SHA-256", sha256[:16] if isinstance(sha256, str) and sha256 else _or_dash(sha256)),
    ]
    for block in schemas.BLOCKS:
        norm, mean = row[f"{block}_norm_shift"], row[f"{block}_mean_shift"]
        if mean is not None or norm is not None:
            facts.append((f"{block} shift", f"norm {_figure(norm, '{:+.3f}')}, mean {_figure(mean, '{:.2f}')} spreads"))
    if row["shadow_version"]:
        rate = row["shadow_flip_rate"]
        flips = f"{_figure(rate, '{:.2%}')} labels flipped, PSI {_number(row['shadow_psi'])}"
        facts.append(("shadow", f"{row['shadow_version']}: {'no case compared' if rate is None else flips}"))
    return facts


def _pc_share(row: Row) -> float | None:
    return _share(row["positive_cases"], row["passed_validation"])


def _drop_share(row: Row) -> float | None:
    return _share(row["dropped_cases"], row["total_cases"])


def _share(part: object, whole: object) -> float | None:
    if not isinstance(part, int) or not isinstance(whole, int) or not whole or part > whole:
        return None
    return part / whole


class _Trend(NamedTuple):
    """A figure over the runs; `svg` is empty where no run has it."""

    title: str
    caption: str
    svg: str


def _judged_psi(row: Row) -> Any:
    recent = row["drift_psi_recent"]
    return row["drift_psi"] if recent is None else recent


def _limit(runs: Sequence[Row]) -> float | None:
    """Of the newest run that has one."""
    limits = [row["drift_psi_limit"] for row in runs]
    return next((limit for limit in reversed(limits) if isinstance(limit, (int, float))), None)


def _trends(runs: Sequence[Row]) -> list[_Trend]:
    return [
        _trend(runs, "Share of PC", _pc_share, "of the published cases", percent=True),
        _trend(
            runs, "Drift of the scores", lambda row: row["drift_psi"], "PSI against the baseline", limit=_limit(runs)
        ),
        _trend(runs, "Duration", lambda row: row["processing_duration_seconds"], "seconds from start to end"),
        _trend(runs, "Rejected", _drop_share, "of the rows read", percent=True),
    ]


def _trend(
    runs: Sequence[Row],
    title: str,
    figure: Callable[[Row], Any],
    caption: str,
    *,
    percent: bool = False,
    limit: float | None = None,
) -> _Trend:
    """In the order in which the runs ended; a run without a figure that can be read is left out."""
    values = [figure(row) for row in runs]
    scale = 100.0 if percent else 1.0
    points = [
        (float(place), value * scale if value > _SMALLEST else 0.0)
        for place, value in enumerate(values)
        if isinstance(value, (int, float))
    ]
    if not points:
        return _Trend(title, caption, "")
    highest = max(y for _, y in points)
    shown_limit = limit is not None and highest > limit / 4
    top = max(highest, limit or 0) if shown_limit else highest
    every = max(1, -(-len(runs) // 6))
    ticks = [float(place) for place in range(0, len(runs), every)]
    words = [_day(runs[int(place)]["partition_date"])[5:] for place in ticks]
    x = charts.Axis(-0.3, len(runs) - 0.7, ticks, words, "partition, in the order of the runs")
    chart = charts.Chart(x, charts.small_axis(top, "%" if percent else ""), title)
    chart.line(points, "a", dots=len(points) <= 60)
    if limit is not None and shown_limit:
        chart.mark((x.low, limit), (x.high, limit))
    return _Trend(title, caption, chart.svg())


def _table_row(row: Row) -> tuple[str, ...]:
    return (
        _day(row["partition_date"]),
        _outcome(row)[0],
        _count(row["total_cases"]),
        _percent(row["positive_cases"], row["passed_validation"]),
        _percent(row["dropped_cases"], row["total_cases"]),
        _number(row["drift_psi"]),
        _figure(row["processing_duration_seconds"], "{:,.1f}"),
        _or_dash(row["model_version"]),
    )


def _figure(value: Any, form: str) -> str:
    """A value by a format; a dash for null, and what is unreadable by that word."""
    return "-" if value is None else str(value) if isinstance(value, _Unreadable) else form.format(value)


def _count(value: Any) -> str:
    return _figure(value, "{:,}")


def _number(value: Any) -> str:
    return _figure(value, "{:.3f}")


def _day(value: Any) -> str:
    return _figure(value, "{:%Y-%m-%d}")


def _minute(value: Any) -> str:
    return _figure(value, "{:%Y-%m-%d %H:%M} UTC")


def _or_dash(value: Any) -> str:
    return str(value or "-")


def _percent(part: Any, whole: Any) -> str:
    for value in (part, whole):
        if isinstance(value, _Unreadable):
            return str(value)
    return f"{part / whole:.1%}" if whole and part is not None else "-"
