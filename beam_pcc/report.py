"""The report of runs: one self-contained HTML file, made of monitoring rows alone: nothing of a case is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from beam_pcc import charts, schemas
from beam_pcc.models.metadata import SCORE_BINS

Row = Mapping[str, Any]
MAX_RUNS = 400
_OUTCOMES = {"success": ("Published", "good"), "empty": ("Empty", "quiet"), "failed": ("Failed", "bad")}

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
    title = f"beam_pcc: partition {newest['partition_date']:%Y-%m-%d}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(row: Row, warehouse: str) -> str:
    words, kind = _outcome(row)
    lines = [
        f'<h1>Partition {row["partition_date"]:%Y-%m-%d} <span class="badge {kind}">{words}</span></h1>',
        f'<p class="soft">run {_text(row["run_id"])}, started {row["runtime_ts"]:%Y-%m-%d %H:%M} UTC, '
        f"into {_text(warehouse)}</p>",
    ]
    for name, more in (("error_message", " bad"), ("notes", "")):
        if row[name]:
            lines.append(f'<p class="note{more}">{_text(row[name])}</p>')
    return "".join(lines)


def _outcome(row: Row) -> tuple[str, str]:
    if row["status"] == "failed" and str(row["error_message"]).startswith("audits refused"):
        return "Refused by the audits", "bad"
    return _OUTCOMES.get(row["status"], (str(row["status"]), "quiet"))


def _tiles(row: Row) -> str:
    scored, total = row["passed_validation"], row["total_cases"]
    tiles = [
        (f"{total:,}", "rows read"),
        (_percent(row["positive_cases"], scored), f"PC: {row['positive_cases']:,} cases"),
        (_percent(row["review_cases"], scored), f"to review: {row['review_cases']:,}"),
        (_percent(row["dropped_cases"], total), f"rejected: {row['dropped_cases']:,}"),
        (_number(row["drift_psi"]), "PSI against baseline"),
        (f"{row['processing_duration_seconds']:,.1f} s", "duration"),
    ]
    boxes = [f'<div class="tile"><b>{figure}</b><small>{said}</small></div>' for figure, said in tiles]
    return f'<div class="tiles">{"".join(boxes)}</div>'


def _labels(row: Row) -> str:
    scored, positive, review = row["passed_validation"], row["positive_cases"], row["review_cases"]
    rows = [
        ("PC", positive, scored),
        ("NOT_PC", scored - positive, scored),
        ("marked for review", review, scored),
        ("rejected (of the rows read)", row["dropped_cases"], row["total_cases"]),
    ]
    return _section("Labels", _rows(("label", "cases", "share"), [(n, f"{c:,}", _percent(c, of)) for n, c, of in rows]))


def _histogram(row: Row) -> str:
    own, base = (_counts(row.get(name)) for name in ("score_histogram", "baseline_histogram"))
    if not own or not sum(own):
        return _section("Scores", "<p>No case was scored.</p>")
    shares = [[n / sum(counts) for n in counts] if counts and sum(counts) else [] for counts in (own, base)]
    highest = max([*shares[0], *shares[1]])
    y = charts.count_axis(highest * 100, "% of cases")
    chart = charts.Chart(charts.share_axis("P(PC)"), y, "Scores of this run and of the baseline")
    width = 1 / SCORE_BINS
    for place, (heights, kind) in enumerate(zip(shares, ("a", "b"), strict=True)):
        starts = [(bin_ + 0.08 + 0.43 * place) * width for bin_ in range(len(heights))]
        chart.bars([(start, start + 0.41 * width) for start in starts], [100 * h for h in heights], kind)
    key = '<i class="a"></i>this run' + (' &nbsp; <i class="b"></i>training hold-out' if shares[1] else "")
    return _section("Scores", f"<figure>{chart.svg()}<figcaption>{key}</figcaption></figure>")


def _rejected(row: Row) -> str:
    reasons = sorted(json.loads(row["reject_reasons"] or "{}").items(), key=lambda item: -item[1])
    if not reasons:
        return _section("Rejected rows", "<p>None.</p>")
    total = row["total_cases"]
    return _section(
        "Rejected rows", _rows(("reason", "rows", "share"), [(r, f"{n:,}", _percent(n, total)) for r, n in reasons])
    )


def _model(row: Row) -> str:
    facts = [
        ("version", row["model_version"] or "none was chosen"),
        ("vectors", row["embedding_model"] or "-"),
        ("SHA-256", (row["model_sha256"] or "-")[:16]),
    ]
    for block in schemas.BLOCKS:
        norm, mean = row.get(f"{block}_norm_shift"), row.get(f"{block}_mean_shift")
        if mean is not None:
            facts.append((f"{block} shift", f"norm {norm:+.3f}, mean {mean:.2f} spreads"))
    if row.get("shadow_version"):
        rate = row.get("shadow_flip_rate")
        flips = "no case compared" if rate is None else f"{rate:.2%} labels flipped, PSI {_number(row['shadow_psi'])}"
        facts.append(("shadow", f"{row['shadow_version']}: {flips}"))
    body = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts)
    return _section("Model", f"<dl>{body}</dl>")


def _pc_share(row: Row) -> float | None:
    return row["positive_cases"] / row["passed_validation"] if row["passed_validation"] else None


def _drop_share(row: Row) -> float | None:
    return row["dropped_cases"] / row["total_cases"] if row["total_cases"] else None


def _over(
    runs: Sequence[Row], title: str, figure: Any, said: str, *, percent: bool = False, limit: float | None = None
) -> str:
    """A figure over the runs, in the order in which they ended."""
    values = [figure(row) for row in runs]
    scale = 100.0 if percent else 1.0
    points = [(float(place), value * scale) for place, value in enumerate(values) if value is not None]
    if not points:
        return _section(title, "<p>No run has this figure.</p>")
    highest = max(y for _, y in points)
    shown_limit = limit is not None and highest > limit / 4
    top = max(highest, limit or 0) if shown_limit else highest
    every = max(1, -(-len(runs) // 6))
    ticks = [float(place) for place in range(0, len(runs), every)]
    words = [f"{runs[int(place)]['partition_date']:%m-%d}" for place in ticks]
    x = charts.Axis(-0.3, len(runs) - 0.7, ticks, words, "partition, in the order of the runs")
    chart = charts.Chart(x, charts.small_axis(top, "%" if percent else ""), title)
    chart.line(points, "a", dots=len(points) <= 60)
    if limit is not None and shown_limit:
        chart.mark((x.low, limit), (x.high, limit))
    return _section(title, f"<figure>{chart.svg()}<figcaption>{escape(said)}</figcaption></figure>")


def _table(runs: Sequence[Row]) -> str:
    rows = [
        (
            f"{row['partition_date']:%Y-%m-%d}",
            _outcome(row)[0],
            f"{row['total_cases']:,}",
            _percent(row["positive_cases"], row["passed_validation"]),
            _percent(row["dropped_cases"], row["total_cases"]),
            _number(row["drift_psi"]),
            f"{row['processing_duration_seconds']:,.1f}",
            str(row["model_version"] or "-"),
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
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _counts(text: str | None) -> list[int]:
    return [int(n) for n in json.loads(text)] if text else []


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _text(value: object) -> str:
    return escape(str(value))
