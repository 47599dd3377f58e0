"""What the report shows of the stored rows, and what it makes of rows that nobody should have stored."""

import datetime as dt
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pcc.cases import schemas
from beam_pcc.reporting import charts
from beam_pcc.reporting.days import Period
from beam_pcc.reporting.report import report

TEMPLATES = Path(charts.__file__).parent / "templates"
VOID = {"meta", "br", "img", "link", "input", "hr"}


def run_row(day: int, **more: Any) -> dict[str, Any]:
    """A monitoring row of a sound run."""
    date = dt.date(2026, 11, day)
    start = dt.datetime(2026, 11, day, 2, tzinfo=dt.timezone.utc)
    row = dict.fromkeys(schemas.MONITORING.names)
    return {
        **row,
        "run_id": f"{date:%Y%m%d}-{date:%Y%m%d}T020000Z-0000000{day % 10}",
        "model_version": "v20261101_020000",
        "embedding_model": schemas.EMBEDDING_MODEL,
        "model_sha256": "ab" * 32,
        "partition_date": date,
        "runtime_ts": start,
        "ingestion_time": start + dt.timedelta(minutes=2),
        "status": "success",
        "total_cases": 20_000 + 37 * day,
        "passed_validation": 19_600 + 30 * day,
        "dropped_cases": 400 + 7 * day,
        "positive_cases": 2_500 + 55 * (day % 6),
        "review_cases": 310,
        "reject_reasons": json.dumps({"empty_text": 300 + 7 * day, "bad_timestamp": 90, "model_error": 10}),
        "drift_psi": 0.01 + 0.012 * (day % 9),
        "drift_psi_recent": 0.008,
        "drift_psi_limit": 0.25,
        "alerts": "[]",
        "processing_duration_seconds": 110.0 + 3.5 * (day % 7),
        "score_histogram": json.dumps([9_000, 4_000, 2_000, 900, 600, 500, 450, 400, 700, 1_050]),
        "baseline_histogram": json.dumps([920, 400, 190, 80, 60, 45, 40, 45, 80, 140]),
        "embedding_norm_shift": 0.0001,
        "embedding_mean_shift": 0.041,
        "tfidf_norm_shift": -0.012,
        "tfidf_mean_shift": 0.093,
        "shadow_version": "v20261118_020000",
        "shadow_flip_rate": 0.0123,
        "shadow_psi": 0.008,
        "source_rows": 20_000 + 37 * day,
        "source_files": 4,
        **more,
    }


REFUSED = run_row(
    25,
    status="refused",
    error_message="audits refused to publish: 14.2% of the rows rejected, more than 10.0% (empty_text 2,790)",
    notes="drift: PSI 0.311 is above 0.25",
    drift_psi=0.311,
    dropped_cases=2_840,
)
RUNS = [*(run_row(day) for day in range(1, 25)), REFUSED, run_row(26)]


class Page(HTMLParser):
    """The words of a page, and whether each tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID and not tag.startswith(("rect", "polyline", "circle")) and tag != "line":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "xlink:href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def words(runs: list[dict[str, Any]]) -> str:
    return " ".join(Page(report(runs, "pcc.duckdb")).words)


def test_the_page_is_whole_and_fetches_nothing() -> None:
    text = report(RUNS, "pcc.duckdb")
    page = Page(text)

    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert "<script" not in text
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)


def test_page_shows_each_requested_part() -> None:
    said = words(RUNS)

    for part in (
        "Partition 2026-11-26",
        "Published",
        "Labels",
        "Scores",
        "Rejected rows",
        "empty_text",
        "Drift of the scores",
        "Duration",
        "v20261101_020000",
        "v20261118_020000: 1.23% labels flipped",
        "Refused by the audits",
    ):
        assert part in said, part


def test_a_refused_run_says_why() -> None:
    said = words([REFUSED])
    assert "14.2% of the rows rejected" in said
    assert "PSI 0.311 is above 0.25" in said


def test_the_report_shows_each_alert_with_its_limit() -> None:
    alerts = [{"name": "tfidf norm shift", "value": 1.0, "limit": 0.2013, "action": "refuse"}]
    said = words([REFUSED | {"alerts": json.dumps(alerts), "drift_psi_limit": 0.412}])
    assert "tfidf norm shift: 1.000, limit 0.201 (refuse)" in said
    assert "limit 0.412" in said


def failed_row(day: int, **more: Any) -> dict[str, Any]:
    """A monitoring row of a run that could not finish."""
    counts = dict.fromkeys(("total_cases", "passed_validation", "dropped_cases", "positive_cases", "review_cases"), 0)
    row = run_row(day, **counts, status="failed", error_message="the table is not there", reject_reasons="{}")
    figures = ("drift_psi", "drift_psi_recent", "drift_psi_limit", "alerts", "score_histogram", "shadow_flip_rate")
    return row | dict.fromkeys(figures) | more


def test_headline_is_the_latest_day_not_the_latest_run() -> None:
    late = dt.datetime(2026, 11, 27, 4, tzinfo=dt.timezone.utc)
    backfill = run_row(3, runtime_ts=late, ingestion_time=late, model_version="v20261126_000000")
    shown = words([*RUNS, backfill])
    assert "Partition 2026-11-26 Thursday" in " ".join(shown.split())
    assert "Partition 2026-11-26 in detail" in shown


def test_each_marked_day_has_its_reason() -> None:
    empty = run_row(24, status="empty", total_cases=0, passed_validation=0, dropped_cases=0, alerts=None)
    alarm = [{"name": "tfidf norm shift", "value": 0.4, "limit": 0.2, "action": "alert"}]
    rows = [run_row(20), run_row(22, alerts=json.dumps(alarm)), failed_row(23), empty, REFUSED, run_row(26)]
    shown = words(rows)
    for reason in (
        "No run has a row for it.",
        "the table is not there",
        "The source had no rows.",
        "14.2% of the rows rejected",
        "tfidf norm shift: 0.400, limit 0.200 (alert)",
    ):
        assert reason in shown, reason
    page = report(rows, "pcc.duckdb")
    for day, outcome in ((21, "no run"), (22, "published with alarms"), (23, "failed"), (24, "empty")):
        assert re.search(rf'href="#why-2026-11-{day}" title="\w+ 2026-11-{day}: {outcome}"', page), day
        assert f'id="why-2026-11-{day}"' in page


def test_marked_days_are_marked_in_each_chart() -> None:
    rows = [run_row(20), failed_row(22), run_row(23), REFUSED, run_row(26)]
    charts_of_days = re.findall(r'<svg class="chart" viewBox="0 0 420 214".*?</svg>', report(rows, "pcc.duckdb"))
    assert len(charts_of_days) == 6
    for chart in charts_of_days:
        marked = re.findall(r'<path class="symbol (\w+)"', chart)
        assert marked == ["missing", "failed", "missing", "refused"]
        assert re.findall(r'<rect class="band (\w+)"', chart) == marked


def test_days_since_the_latest_are_a_note() -> None:
    def shown(due: int) -> str:
        return " ".join(Page(report(RUNS, "pcc.duckdb", due=dt.date(2026, 11, due))).words)

    assert "No run yet for 2026-11-27 to 2026-11-29 (3 days)." in shown(29)
    assert "No run yet for 2026-11-27." in shown(27)
    assert "No run yet" not in shown(26)


@pytest.mark.parametrize("status", ["failed", "empty"])
def test_day_without_rows_names_the_last_published_day(status: str) -> None:
    shown = words([*RUNS, failed_row(27, status=status)])
    assert "The last published day is 2026-11-26." in shown
    assert "day before" not in shown


def test_changes_are_against_day_week_and_usual() -> None:
    rows = [run_row(day, total_cases=1_000) for day in range(10, 19)]
    rows += [run_row(19, total_cases=1_600), run_row(20, total_cases=2_000)]
    rows[3] = run_row(13, total_cases=4_000)
    tile = re.search(r"<dt>Rows read</dt>.*?</div>", report(rows, "pcc.duckdb"), re.DOTALL)
    assert tile
    assert re.findall(r"<span>(.*?)</span> <b>(.*?)</b>", tile[0]) == [
        ("day before", "+25.0%"),
        ("week before", "\N{MINUS SIGN}50.0%"),
        ("usual", "+100.0%"),
    ]


def test_changes_leave_out_an_unpublished_day() -> None:
    rows = [run_row(18), run_row(19, status="refused", error_message="x"), run_row(20)]
    shown = words(rows)
    assert "day before" not in re.sub("The day before, .*", "", shown)
    assert "The day before, 2026-11-19, was not published: refused by the audits." in shown
    assert "Fewer than 3 days were published before this one" in shown


def test_later_failure_leaves_the_day_published() -> None:
    later = dt.datetime(2026, 11, 27, 9, tzinfo=dt.timezone.utc)
    shown = words([run_row(26), failed_row(26, runtime_ts=later, ingestion_time=later)])
    assert "A later run failed, what was published stays (2026-11-27 09:00 UTC): the table is not there" in shown
    assert "Failed" in shown  # in the table of the day's runs


def test_limit_of_each_day_is_drawn() -> None:
    rows = [run_row(day, drift_psi_limit=0.1 * day) for day in (1, 2, 3)]
    limits = re.findall(r'<polyline class="limit" points="([^"]*)"', report(rows, "pcc.duckdb"))
    assert len(limits) == 1
    heights = [float(point.split(",")[1]) for point in limits[0].split()]
    assert heights[0] == heights[1] > heights[2] == heights[3] > heights[4]


def test_shadow_is_shown_over_the_days() -> None:
    assert "Shadow: labels flipped" in words(RUNS)
    alone = [row | {"shadow_version": None, "shadow_flip_rate": None} for row in RUNS]
    assert "Shadow" not in words(alone)


def test_rows_of_the_source_are_shown_beside_those_read() -> None:
    rows = [run_row(3), run_row(4, total_cases=15_000, source_rows=20_148, exact_copies=12)]
    page = report(rows, "pcc.duckdb")
    assert "of 20,148 in the source" in page
    assert page.count('<line class="second"') == 2
    assert '<td role="cell" data-label="in the source" class="n">20,148</td>' in page
    assert "<dt>exact copies dropped</dt><dd>12</dd>" in page
    without = report([row | {"source_rows": None} for row in rows], "pcc.duckdb")
    assert "in the source" not in without


def test_alarms_have_their_limits_in_a_table() -> None:
    alarm = [{"name": "tfidf norm shift", "value": 0.4, "limit": 0.2013, "action": "accepted"}]
    page = report([run_row(3, alerts=json.dumps(alarm)), run_row(4)], "pcc.duckdb")
    table = page[page.index("Alarms of these days") :].partition("</table>")[0]
    assert re.findall(r">([^<>\n]+)</t[dh]>", table)[5:] == [
        *("2026-11-03", "tfidf norm shift", "0.400", "0.201", "accepted")
    ]


def test_note_does_not_repeat_the_alarms() -> None:
    alarm = [{"name": "score PSI against training", "value": 0.311, "limit": 0.25, "action": "alert"}]
    notes = "drift: score PSI against training 0.311 is above 0.25; rows accepted"
    shown = words([run_row(3, alerts=json.dumps(alarm), notes=notes)])
    assert "is above" not in shown
    assert "rows accepted" in shown


def test_days_before_the_period_are_only_compared_with() -> None:
    period = Period(dt.date(2026, 11, 20), dt.date(2026, 11, 24))
    page = report(RUNS, "pcc.duckdb", period)
    assert "2026-11-20 to 2026-11-24" in page
    assert "week before" in page
    assert not re.search(r"2026-11-(19|25)[:<]", page)


def test_most_days_fit_into_a_page() -> None:
    rows = [run_row(1, partition_date=dt.date(2025, 10, 1) + dt.timedelta(days=n)) for n in range(0, 500, 2)]
    page = report(rows, "pcc.duckdb")
    assert page.count('class="cell ') == 400
    assert len(page) < 1_000_000
    assert page.count('id="why-') == 60
    assert "140 earlier ones are in the table of all days." in page


def test_each_state_has_a_shape_of_its_own() -> None:
    from beam_pcc.reporting.day_charts import SYMBOLS
    from beam_pcc.reporting.days import STATES

    assert set(SYMBOLS) == set(STATES)
    assert len(set(SYMBOLS.values())) == len(STATES)


@pytest.mark.parametrize("alerts", ["[1]", "{}", '[{"name": 1}]', '[{"name": "x", "value": NaN, "limit": 1}]', "["])
def test_alerts_that_are_none_are_unreadable(alerts: str) -> None:
    assert "alerts: unreadable" in words([REFUSED | {"alerts": alerts}])


def test_refused_run_of_an_earlier_version_is_refused() -> None:
    assert "Refused by the audits" in words([REFUSED | {"status": "failed", "error_message": "x"}])


def test_failed_run_is_not_taken_for_refused() -> None:
    uncounted = dict.fromkeys(("total_cases", "passed_validation", "dropped_cases"), 0)
    assert "Refused by the audits" not in words([REFUSED | uncounted | {"status": "failed"}])


def test_a_run_that_failed_early_is_shown() -> None:
    row = dict.fromkeys(schemas.MONITORING.names) | {
        name: RUNS[0][name] for name in ("run_id", "partition_date", "runtime_ts", "ingestion_time")
    }
    zero = dict.fromkeys(("total_cases", "passed_validation", "dropped_cases", "positive_cases", "review_cases"), 0)
    row |= {
        **zero,
        "status": "failed",
        "error_message": "x",
        "reject_reasons": "{}",
        "processing_duration_seconds": 0.5,
    }
    assert "Failed" in words([row, row])


def test_what_a_row_says_is_text_and_no_markup() -> None:
    said = report([run_row(3, notes="<img src=x onerror=alert(1)>", model_version='"><script>')], "a<b>.duckdb")
    assert "<img" not in said
    assert "<script" not in said


def test_only_charts_are_markup_in_the_template() -> None:
    """Whatever else the template shows is escaped: nothing but our own SVG is marked as safe."""
    template = (TEMPLATES / "report.html.j2").read_text(encoding="utf-8")
    assert re.findall(r"[\w.]+(?=\s*\|\s*safe)", template) == ["trend.svg", "chart.svg", "scores.svg"]
    assert "autoescape" not in template.partition("#}")[2]


def test_text_of_a_chart_is_escaped() -> None:
    chart = charts.Chart(charts.share_axis("<b>"), charts.share_axis('"&'), "</svg><script>")
    assert set(re.findall(r"</?(\w+)", chart.svg())) == {"svg", "title", "style", "line", "text"}


TEXTS = {
    "script": '<script>document.title = "ran"</script>',
    "image": '"><img src=x onerror=\'document.title = "ran"\'>',
    "quotes": """' onmouseover='x' " autofocus onfocus="document.title='ran'""",
    "svg": "</svg></title></style><svg/onload=document.title='ran'>",
    "link": "[click](javascript:document.title='ran') <https://example.com>",
    "entity": "&lt;script&gt; &#60;b&#62;",
    "newlines": "first\nsecond\r\nthird\u2028fourth",
    "direction": "\u202egnp.exe \u2066x\u2069 \x1b[31mred\x1b]0;t\x07 \x9b2J",
    "surrogate": "\ud800 \x00",
    "long": "x" * 100_000,
    "wrong JSON": '{"empty_text": ',
    "deep JSON": "[" * 1_000,
    "other JSON": json.dumps({"<b>": -1, "x": "1e9", "y": None, "z": [1], "w": float("nan")}),
    "hostile keys": json.dumps({"<script>document.title='ran'</script>": 1, "\u202e": 2}),
    "huge JSON": json.dumps([10**400] * 10),
    "strings for counts": json.dumps(["1"] * 10),
    "empty": "",
}
OTHERS = [None, math.nan, math.inf, -math.inf, -1, 1e308, 5e-324, 10**40, 2**63 - 1, True, b"\xff", [], {}, object()]
HOSTILE = [*TEXTS.items(), *((repr(value), value) for value in OTHERS)]
UNLIKE = "unreadable"


@pytest.fixture(scope="module")
def our_tags() -> set[str]:
    return set(re.findall(r"<(\w+)", report(RUNS, "x") + report([RUNS[0]], "x")))


def check_page(page: str, our_tags: set[str], rows: int, where: str) -> None:
    assert set(re.findall(r"<(\w+)", page)) <= our_tags, where
    assert page.replace("\n", "").isprintable(), where
    page.encode()
    assert len(page) < 400_000 * rows, where


@pytest.mark.parametrize("column", schemas.MONITORING.names)
def test_a_hostile_value_in_a_column_is_text(our_tags: set[str], column: str) -> None:
    """No tag that ours does not have, whatever stands in one column of the only run."""
    for name, value in HOSTILE:
        check_page(report([run_row(3, **{column: value})], "pcc.duckdb"), our_tags, 1, name)


@pytest.mark.parametrize("column", schemas.MONITORING.names)
def test_hostile_values_among_sound_runs_leave_a_whole_page(our_tags: set[str], column: str) -> None:
    """Each value on a day of its own, before days without fault, one of them refused; then the last day too."""
    first = dt.date(2026, 10, 1)
    days = [{"partition_date": first + dt.timedelta(days=n), column: value} for n, (_, value) in enumerate(HOSTILE)]
    bad = [run_row(3, **day) for day in days]
    for runs in ([*bad, *RUNS[-2:]], [*RUNS[:2], *bad]):
        page = report(runs, "pcc.duckdb")
        assert Page(page).open == []
        check_page(page, our_tags, len(runs), column)


def test_review_tile_names_the_band() -> None:
    assert "cases within 0.15 of the threshold" in words([run_row(3, review_band=0.15)])
    assert "of the threshold" not in words([run_row(3, review_band=None)])


@pytest.mark.parametrize("column", schemas.MONITORING.names)
def test_value_of_another_type_is_unreadable(column: str) -> None:
    misfit = "no number" if pa.types.is_integer(schemas.MONITORING.field(column).type) else object()
    last = run_row(3, **{column: misfit})
    assert UNLIKE not in words([run_row(3)])
    if column not in ("ingestion_time",):  # which is not shown
        assert UNLIKE in words([last]), column


def test_a_hostile_address_of_the_warehouse_is_text() -> None:
    for text in TEXTS.values():
        assert Page(report(RUNS, text)).open == []


def test_a_table_that_lacks_columns_has_a_report() -> None:
    assert "Partition -" in words([{}, {"status": "success"}])


def test_a_status_of_another_version_is_text() -> None:
    said = report([run_row(3, status="<b onclick=x>paused</b>")], "pcc.duckdb")
    assert "&lt;b onclick=x&gt;paused&lt;/b&gt;" in said


def test_no_runs_are_no_report() -> None:
    with pytest.raises(ValueError, match="no run"):
        report([], "pcc.duckdb")
