"""The report: one file, nothing fetched, readable on a phone; opened in a real browser."""

import datetime as dt
import html
import json
import math
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from beam_pcc.cases import schemas
from beam_pcc.cli import main as cli
from beam_pcc.reporting import charts
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
    assert page.links == []
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
    assert re.findall(r"[\w.]+(?=\s*\|\s*safe)", template) == ["scores.svg", "trend.svg"]
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


@pytest.mark.parametrize("column", schemas.MONITORING.names)
def test_a_hostile_value_in_a_column_is_text(column: str) -> None:
    """Whatever stands in one column, alone or among sound runs: a whole page, and no tag that ours does not have."""
    tags = set(re.findall(r"<(\w+)", report(RUNS, "x") + report([RUNS[0]], "x")))
    sound = RUNS[-2:]  # one of them refused
    for name, value in HOSTILE:
        bad = run_row(3, **{column: value})
        for runs in ([bad], [bad, *sound, bad]):
            said = report(runs, "pcc.duckdb")
            assert len(runs) == 1 or Page(said).open == [], name
            assert set(re.findall(r"<(\w+)", said)) <= tags, name
            assert said.replace("\n", "").isprintable(), name
            said.encode()
            assert len(said) < 400_000, name


@pytest.mark.parametrize("column", schemas.MONITORING.names)
def test_value_of_another_type_is_unreadable(column: str) -> None:
    misfit = "no number" if pa.types.is_integer(schemas.MONITORING.field(column).type) else object()
    last = run_row(3, **{column: misfit})
    assert UNLIKE not in words([run_row(3)])
    if column not in ("ingestion_time",):  # which is not shown
        assert UNLIKE in words([last]), column


def test_a_table_that_lacks_columns_has_a_report() -> None:
    assert "Partition -" in words([{}, {"status": "success"}])


def test_a_status_of_another_version_is_text() -> None:
    said = report([run_row(3, status="<b onclick=x>paused</b>")], "pcc.duckdb")
    assert "&lt;b onclick=x&gt;paused&lt;/b&gt;" in said


def test_no_runs_are_no_report() -> None:
    with pytest.raises(ValueError, match="no run"):
        report([], "pcc.duckdb")


@pytest.fixture
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    missing = "Chromium is not found, so the report is not opened in a browser"
    if found is None:
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return found


def opened(browser: str, folder: Path, *flags: str, page: Path) -> str:
    quiet = "--disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"
    fixed = ["--headless", "--no-sandbox", "--disable-sync", *quiet.split(), f"--user-data-dir={folder / 'profile'}"]
    command = [browser, *fixed, *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


# Measured in the page itself: whether anything sticks out to the right, and how large the smallest words are.
MEASURE = """<script>
addEventListener('load', () => {
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const sizes = [...document.querySelectorAll('svg text')].filter(t => t.textContent.trim()).map(t =>
    parseFloat(getComputedStyle(t).fontSize) * t.closest('svg').getBoundingClientRect().width / 420);
  const drawn = document.querySelectorAll('svg rect, svg polyline').length;
  document.title = JSON.stringify({wide, smallest: Math.min(...sizes), drawn, width: innerWidth});
});
</script>"""


@pytest.mark.parametrize("width", [500, 1200])
def test_a_browser_shows_it_without_scrolling_sideways(browser: str, tmp_path: Path, width: int) -> None:
    page = tmp_path / "report.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report(RUNS, "pcc.duckdb"))
    page.write_text(text.replace("</body>", f"{MEASURE}</body>"), encoding="utf-8")
    shown = opened(browser, tmp_path, f"--window-size={width},900", "--dump-dom", page=page)
    measured = json.loads(re.search(r"<title>(\{.*?\})</title>", shown)[1])  # type: ignore[index]

    assert measured["wide"] <= 0
    assert measured["smallest"] >= 9
    assert measured["drawn"] > 20
    assert "Partition 2026-11-26" in shown


def test_no_script_runs_in_a_browser(browser: str, tmp_path: Path) -> None:
    """Without the page's own policy: what keeps scripts out is that nothing is markup."""
    hostile = [run_row(3, **{column: value}) for column in schemas.MONITORING.names for _, value in HOSTILE]
    everywhere = run_row(4, **dict.fromkeys(schemas.MONITORING.names, TEXTS["script"]))
    for number, runs in enumerate((hostile[:350], [*hostile[-350:], everywhere])):
        page = tmp_path / f"report{number}.html"
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report(runs, TEXTS["image"]))
        page.write_text(text.replace("</body>", f"{MEASURE.replace('document.title =', 'document.body.id =')}</body>"))
        shown = opened(browser, tmp_path, "--window-size=1200,900", "--dump-dom", page=page)

        assert "<title>beam_pcc: partition" in shown
        measured = json.loads(html.unescape(re.search(r'<body id="([^"]*)"', shown)[1]))  # type: ignore[index]
        assert measured["wide"] <= 0
        assert shown.count("<script") == 1
        assert shown.count("<tr") > 300


def test_a_screenshot_can_be_taken(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(report(RUNS, "pcc.duckdb"), encoding="utf-8")
    picture = tmp_path / "report.png"
    opened(browser, tmp_path, "--window-size=1100,1500", f"--screenshot={picture}", page=page)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_a_warehouse_without_runs_has_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["report", "--warehouse", str(tmp_path / "pcc.duckdb"), "--output", str(tmp_path / "r.html")])
    assert (code, "has no run to report on" in capsys.readouterr().err) == (2, True)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("last", ["0", "100000"])
def test_how_many_runs_is_bounded(last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--warehouse", str(tmp_path / "pcc.duckdb"), "--last", last]) == 2
    assert "--last must be between" in capsys.readouterr().err
