"""The report of runs: one self-contained HTML file, made of monitoring rows alone: nothing of a case is in it.

A table can hold anything: each stored value is checked against its column first (`_readable`), shown as unreadable
where it does not fit, and escaped where it is put into the page (`_text`).
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import pyarrow as pa

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

_CSS = """
:root{--ink:#1f2328;--soft:#57606a;--line:#d8dee4;--back:#f6f8fa;--card:#fff;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1040px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 4px}
h2{font-size:1.05rem;margin:0 0 2px}
p{margin:0 0 8px}
.soft,figcaption,small{color:var(--soft);font-size:.875rem}
.badge{display:inline-block;border-radius:999px;padding:1px 12px;color:#fff;font-size:.9rem;font-weight:600}
.badge{background:var(--soft)}
.badge.good{background:var(--good)}.badge.bad{background:var(--bad)}
.note{border-left:4px solid var(--warn);background:#fff8c5;padding:8px 12px;border-radius:4px;margin:12px 0}
.note{overflow-wrap:anywhere}
.note.bad{border-color:var(--bad);background:#ffebe9}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin:16px 0}
.tile,section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:1.5rem;line-height:1.2;font-variant-numeric:tabular-nums}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px}
figure{margin:0}
svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px 5px 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}
td.n,th.n{text-align:right}
section.all{margin-top:14px}
i.a,i.b{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.3em;background:#0969da}i.b{background:#bf8700}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
"""


def report(runs: Sequence[Row], warehouse: str) -> str:
    """The page of one or more monitoring rows, oldest first; the newest is told of in full.

    Raises:
        ValueError: There is no run.
    """
    if not runs:
        raise ValueError("no run to report on")
    runs = [_readable(row) for row in runs]
    newest = runs[-1]
    parts = [_head(newest, warehouse), _tiles(newest), '<div class="grid">', _labels(newest), _histogram(newest)]
    parts += [_rejected(newest), _model(newest)]
    if len(runs) > 1:
        parts += [_over(runs, "Share of PC", _pc_share, "of the published cases", percent=True)]
        parts += [
            _over(runs, "Drift of the scores", lambda row: row["drift_psi"], "PSI against the baseline", limit=0.25)
        ]
        parts += [_over(runs, "Duration", lambda row: row["processing_duration_seconds"], "seconds from start to end")]
        parts += [_over(runs, "Rejected", _drop_share, "of the rows read", percent=True)]
    parts += ["</div>", _table(runs)]
    title = f"beam_pcc: partition {_day(newest['partition_date'])}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_text(title)}</title><style>{_CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


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


_JSON: dict[str, Callable[[object], Any]] = {
    "reject_reasons": _reasons_of,
    "score_histogram": _histogram_of,
    "baseline_histogram": _histogram_of,
}


def _head(row: Row, warehouse: str) -> str:
    words, kind = _outcome(row)
    lines = [
        f'<h1>Partition {_text(_day(row["partition_date"]))} <span class="badge {kind}">{_text(words)}</span></h1>',
        f'<p class="soft">run {_text(_or_dash(row["run_id"]))}, started {_text(_minute(row["runtime_ts"]))}, '
        f"into {_text(warehouse)}</p>",
    ]
    for name, more in (("error_message", " bad"), ("notes", "")):
        if row[name]:
            lines.append(f'<p class="note{more}">{_text(row[name])}</p>')
    return "".join(lines)


def _outcome(row: Row) -> tuple[str, str]:
    if not isinstance(row["status"], str):
        return _or_dash(row["status"]), "quiet"
    return _OUTCOMES.get(row["status"], (row["status"][:40], "quiet"))


def _tiles(row: Row) -> str:
    scored, total = row["passed_validation"], row["total_cases"]
    tiles = [
        (_count(total), "rows read"),
        (_percent(row["positive_cases"], scored), f"PC: {_count(row['positive_cases'])} cases"),
        (_percent(row["review_cases"], scored), f"to review: {_count(row['review_cases'])}"),
        (_percent(row["dropped_cases"], total), f"rejected: {_count(row['dropped_cases'])}"),
        (_number(row["drift_psi"]), "PSI against baseline"),
        (_figure(row["processing_duration_seconds"], "{:,.1f} s"), "duration"),
    ]
    boxes = [f'<div class="tile"><b>{_text(figure)}</b><small>{_text(said)}</small></div>' for figure, said in tiles]
    return f'<div class="tiles">{"".join(boxes)}</div>'


def _labels(row: Row) -> str:
    scored, positive, review = row["passed_validation"], row["positive_cases"], row["review_cases"]
    both = _is_count(scored) and _is_count(positive) and positive <= scored
    rows = [
        ("PC", positive, scored),
        ("NOT_PC", scored - positive if both else UNREADABLE, scored),
        ("marked for review", review, scored),
        ("rejected (of the rows read)", row["dropped_cases"], row["total_cases"]),
    ]
    shown = [(name, _count(n), _percent(n, of)) for name, n, of in rows]
    return _section("Labels", _rows(("label", "cases", "share"), shown))


def _histogram(row: Row) -> str:
    own, base = row["score_histogram"], row["baseline_histogram"]
    if isinstance(own, _Unreadable):
        return _section("Scores", "<p>unreadable</p>")
    if not own or not sum(own):
        return _section("Scores", "<p>No case was scored.</p>")
    base = base if isinstance(base, list) and sum(base) else []
    shares = [[n / sum(counts) for n in counts] for counts in (own, base)]
    highest = max([*shares[0], *shares[1]])
    y = charts.count_axis(highest * 100, "% of cases")
    chart = charts.Chart(charts.share_axis("P(PC)"), y, "Scores of this run and of the baseline")
    width = 1 / SCORE_BINS
    for place, (heights, kind) in enumerate(zip(shares, ("a", "b"), strict=True)):
        starts = [(bin_ + 0.08 + 0.43 * place) * width for bin_ in range(len(heights))]
        chart.bars([(start, start + 0.41 * width) for start in starts], [100 * h for h in heights], kind)
    key = '<i class="a"></i>this run'
    if shares[1]:
        key += ' &nbsp; <i class="b"></i>training hold-out'
    elif isinstance(row["baseline_histogram"], _Unreadable):
        key += " (that of the training hold-out is unreadable)"
    return _section("Scores", f"<figure>{chart.svg()}<figcaption>{key}</figcaption></figure>")


def _rejected(row: Row) -> str:
    if isinstance(row["reject_reasons"], _Unreadable):
        return _section("Rejected rows", "<p>unreadable</p>")
    reasons = sorted((row["reject_reasons"] or {}).items(), key=lambda item: -item[1])
    if not reasons:
        return _section("Rejected rows", "<p>None.</p>")
    total = row["total_cases"]
    rows = [(reason, _count(n), _percent(n, total)) for reason, n in reasons]
    return _section("Rejected rows", f'<div class="wide">{_rows(("reason", "rows", "share"), rows)}</div>')


def _model(row: Row) -> str:
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
    body = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts)
    return _section("Model", f"<dl>{body}</dl>")


def _pc_share(row: Row) -> float | None:
    return _share(row["positive_cases"], row["passed_validation"])


def _drop_share(row: Row) -> float | None:
    return _share(row["dropped_cases"], row["total_cases"])


def _share(part: object, whole: object) -> float | None:
    if not isinstance(part, int) or not isinstance(whole, int) or not whole or part > whole:
        return None
    return part / whole


def _over(
    runs: Sequence[Row], title: str, figure: Any, said: str, *, percent: bool = False, limit: float | None = None
) -> str:
    """A figure over the runs, in the order in which they ended; a run without one that can be read is left out."""
    values = [figure(row) for row in runs]
    scale = 100.0 if percent else 1.0
    points = [
        (float(place), value * scale if value > _SMALLEST else 0.0)
        for place, value in enumerate(values)
        if isinstance(value, (int, float))
    ]
    if not points:
        return _section(title, "<p>No run has this figure.</p>")
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
    return _section(title, f"<figure>{chart.svg()}<figcaption>{_text(said)}</figcaption></figure>")


def _table(runs: Sequence[Row]) -> str:
    rows = [
        (
            _day(row["partition_date"]),
            _outcome(row)[0],
            _count(row["total_cases"]),
            _percent(row["positive_cases"], row["passed_validation"]),
            _percent(row["dropped_cases"], row["total_cases"]),
            _number(row["drift_psi"]),
            _figure(row["processing_duration_seconds"], "{:,.1f}"),
            _or_dash(row["model_version"]),
        )
        for row in reversed(runs)
    ]
    names = ("partition", "outcome", "rows", "PC", "rejected", "PSI", "seconds", "model")
    return f'<section class="all"><h2>Runs</h2><div class="wide">{_rows(names, rows, text=(0, 1, 7))}</div></section>'


def _rows(names: Sequence[str], rows: Sequence[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        marks = ["" if place in text else ' class="n"' for place in range(len(cells))]
        inner = [f"<{tag}{mark}>{_text(cell)}</{tag}>" for mark, cell in zip(marks, cells, strict=True)]
        return f"<tr>{''.join(inner)}</tr>"

    return f"<table>{line('th', names)}{''.join(line('td', row) for row in rows)}</table>"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


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


def _text(value: object) -> str:
    """Any value as text of the page: no markup, no control character, no change of direction; cut if it is long."""
    text = printable(value)
    return escape(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…")
