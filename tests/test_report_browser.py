"""The report in a real Chromium: at three widths, dark, on paper, by keyboard, and for who cannot see it."""

import datetime as dt
import importlib.util
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_pcc.cases import schemas
from beam_pcc.reporting.report import report
from tests.browser import Browser, Page, running
from tests.test_report import HOSTILE, REFUSED, TEXTS, failed_row, run_row

WIDTHS = [390, 768, 1280]
ALARM = '[{"name": "score PSI against the last weeks", "value": 0.31, "limit": 0.25, "action": "alert"}]'
EMPTY = run_row(19, status="empty", total_cases=0, passed_validation=0, dropped_cases=0, score_histogram=None)
# A day in each state; the 18th and 22nd are missing.
DAYS = [
    *(run_row(day) for day in range(1, 18)),
    EMPTY,
    failed_row(20),
    run_row(21, alerts=ALARM, drift_psi_recent=0.31),
    run_row(23),
    run_row(24, status="success"),
    REFUSED,
    run_row(26),
    run_row(26, status="paused"),
]

# What each text is drawn in: the colour, and that of the nearest background which is not transparent.
CONTRAST = """(() => {
  const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {rgb: [r, g, b], a}; };
  const light = ({rgb}) => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.a > 0) return colour;
    }
  };
  const ratio = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  const texts = [], shapes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || node.closest('title, desc, style')) continue;
    const style = getComputedStyle(node);
    texts.push([ratio(parse(node.closest('svg') ? style.fill : style.color), behind(node)), node.outerHTML]);
  }
  for (const node of document.querySelectorAll('.icon path, svg :is(.line, .limit, .usual, .symbol, .axis)'))
    shapes.push([ratio(parse(getComputedStyle(node).stroke), behind(node)), node.outerHTML]);
  for (const node of document.querySelectorAll('svg :is(.bar, .dot):not(.hollow)'))
    shapes.push([ratio(parse(getComputedStyle(node).fill), behind(node)), node.outerHTML]);
  const body = light(parse(getComputedStyle(document.body).backgroundColor));
  return {texts, shapes, body};
})()"""

# Every cell that is shown: where it is, and what names it where the row of headings is hidden.
CELLS = """[...document.querySelectorAll('td, th')].filter(cell => !cell.closest('details:not([open])')).map(cell => {
  const box = cell.getBoundingClientRect(), style = getComputedStyle(cell);
  return {left: box.left, right: box.right, width: box.width, height: box.height, text: cell.textContent,
    cut: cell.scrollWidth - cell.clientWidth, hidden: style.visibility != 'visible' || style.display == 'none',
    head: !!cell.closest('thead'), label: getComputedStyle(cell, '::before').content};
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(DAYS, "bq://my-project.pcc"), encoding="utf-8")
    return path


def needed(module: str) -> None:
    """Skip where a package of the development extra is not installed; in CI that is a failure."""
    if importlib.util.find_spec(module) is None:
        missing = f"{module} is not installed"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


def assert_fits(page: Page, width: int) -> None:
    """Nothing sticks out to the right, and the page was not shrunk to make it fit."""
    inner, shown, whole = page.evaluate(
        "[innerWidth, document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert inner == width
    assert whole <= shown


@pytest.mark.parametrize("width", WIDTHS)
def test_page_does_not_scroll_sideways(browser: Browser, page: Path, width: int) -> None:
    assert_fits(browser.open(page, width=width), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_cell_is_within_the_page(browser: Browser, page: Path, width: int) -> None:
    cells = browser.open(page, width=width).evaluate(CELLS)
    assert sum(not cell["head"] for cell in cells) > 12 * 26
    for cell in cells:
        if cell["head"] and width == 390:
            continue
        assert cell["width"] > 0, cell
        assert cell["height"] > 0, cell
        assert cell["left"] >= 0, cell
        assert cell["right"] <= width, cell
        assert cell["cut"] <= 1, cell
        assert not cell["hidden"], cell


def test_cells_of_a_narrow_page_name_their_columns(browser: Browser, page: Path) -> None:
    shown = browser.open(page, width=390)
    labels = shown.evaluate(
        "[...document.querySelectorAll('.wide tbody tr:first-child td')].map(cell => "
        "getComputedStyle(cell, '::before').content.split(' / ')[0].replaceAll('\"', ''))"
    )
    names = ["outcome", "rows", "PC", "review", "rejected", "PSI", "limit", "flipped", "seconds", "model", "runs"]
    assert [label for label in labels if label != "in the source"] == names


@pytest.mark.parametrize("width", WIDTHS)
def test_words_in_charts_can_be_read(browser: Browser, page: Path, width: int) -> None:
    sizes = browser.open(page, width=width).evaluate(
        "[...document.querySelectorAll('svg text')].map(text => parseFloat(getComputedStyle(text).fontSize) * "
        "text.closest('svg').getBoundingClientRect().width / 420)"
    )
    assert len(sizes) > 30
    assert min(sizes) >= 9


@pytest.mark.parametrize("width", WIDTHS)
def test_words_in_charts_do_not_overlap(browser: Browser, page: Path, width: int) -> None:
    overlaps = browser.open(page, width=width).evaluate(
        """[...document.querySelectorAll('svg.chart')].flatMap(svg => {
          const boxes = [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()]);
          const outer = svg.getBoundingClientRect();
          const out = boxes.filter(([, b]) => b.left < outer.left - 1 || b.right > outer.right + 1);
          return [...out.map(([text]) => 'outside: ' + text.textContent), ...boxes.flatMap(([one, a], n) =>
            boxes.slice(n + 1).filter(([, b]) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom - 2 &&
              b.top + 2 < a.bottom - 2).map(([other]) => one.textContent + ' and ' + other.textContent))];
        })"""
    )
    assert overlaps == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_is_enough(browser: Browser, page: Path, dark: bool) -> None:
    """WCAG 2.2 AA: 4.5 for text, 3 for what else carries meaning."""
    colours = browser.open(page, width=1280, dark=dark).evaluate(CONTRAST)
    assert (colours["body"] < 0.03) is dark
    assert len(colours["texts"]) > 500
    assert [text for text in colours["texts"] if text[0] < 4.5] == []
    assert len(colours["shapes"]) > 100
    assert [shape for shape in colours["shapes"] if shape[0] < 3] == []


def test_charts_have_names_descriptions_and_figures(browser: Browser, page: Path) -> None:
    shown = browser.open(page, width=1280)
    nodes = shown.call("Accessibility.getFullAXTree")["nodes"]
    images = [node for node in nodes if not node["ignored"] and node["role"]["value"] == "image"]
    assert len(images) == 7
    for image in images:
        assert len(image["name"]["value"]) > 20
    assert shown.evaluate("!!document.querySelector('#trends ~ p a[href=\"#days\"]')")
    assert shown.evaluate("document.querySelectorAll('details table tbody tr').length") == schemas.SCORE_BINS


def test_page_has_landmarks_and_an_outline(browser: Browser, page: Path) -> None:
    roles = browser.open(page, width=1280).roles()
    counts = Counter(role for role, _ in roles)
    assert [counts[role] for role in ("banner", "navigation", "main", "contentinfo")] == [1, 1, 1, 1]
    headings = browser.open(page, width=1280).evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(heading => +heading.tagName[1])"
    )
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(headings))


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_are_tables_at_each_width(browser: Browser, page: Path, width: int) -> None:
    """Laid out as blocks they would lose their roles."""
    roles = browser.open(page, width=width).roles()
    names = [name for role, name in roles if role == "table"]
    assert len(names) == 7
    assert all(names)
    counts = Counter(role for role, _ in roles)
    assert counts["rowheader"] > 40
    assert counts["columnheader"] > 30
    assert counts["cell"] > 12 * 24


def test_calendar_names_each_day_and_its_state(browser: Browser, page: Path) -> None:
    text = " ".join(name for role, name in browser.open(page, width=1280).roles() if role in ("StaticText", "link"))
    for words in (
        "Wed 2026-11-18: no run",
        "Thu 2026-11-19: empty",
        "Fri 2026-11-20: failed",
        "Sat 2026-11-21: published with alarms",
        "Wed 2026-11-25: refused by the audits",
    ):
        assert words in text, words


def test_page_is_used_by_keyboard(browser: Browser, page: Path) -> None:
    shown = browser.open(page, width=1280)
    focused = """(() => { const node = document.activeElement, box = node.getBoundingClientRect(),
      style = getComputedStyle(node); return [node.textContent.trim() || node.tagName, box.top >= 0 && box.bottom <=
      innerHeight, style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 2]; })()"""
    shown.press("Tab")
    assert shown.evaluate(focused) == ["Skip to the day", True, True]
    stops = []
    links = shown.evaluate("document.querySelectorAll('a, summary').length")
    for _ in range(links - 1):
        shown.press("Tab")
        name, seen, outlined = shown.evaluate(focused)
        assert seen, name
        assert outlined, name
        stops.append(name)
    assert stops[:4] == ["Calendar", "Trends", "The day", "All days"]
    assert stops[-1] == "Figures of the chart"
    shown.press("Enter")
    assert shown.evaluate("document.querySelector('details').open")


def test_skip_link_leads_to_the_day(browser: Browser, page: Path) -> None:
    shown = browser.open(page, width=390)
    shown.press("Tab")
    shown.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_has_no_objection(browser: Browser, page: Path, width: int, dark: bool) -> None:
    needed("axe_core_python")
    spec = importlib.util.find_spec("axe_core_python")
    assert spec
    assert spec.origin
    shown = browser.open(page, width=width, dark=dark)
    shown.evaluate((Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8") + "; true")
    objections = shown.evaluate(
        "axe.run(document).then(result => result.violations.map(one => [one.id, one.nodes.map(node => node.html)]))"
    )
    assert objections == []


def test_paper_is_a4_and_has_every_column(browser: Browser, page: Path) -> None:
    """The overview upright, the wide table of all days across."""
    needed("pypdf")
    import pypdf

    pages = pypdf.PdfReader(io.BytesIO(browser.open(page, width=1280, dark=True).pdf())).pages
    sizes = [tuple(round(float(side) * 25.4 / 72) for side in one.mediabox[2:]) for one in pages]
    assert set(sizes) == {(210, 297), (297, 210)}
    assert sizes == sorted(sizes)
    for one in pages:
        places: list[float] = []
        one.extract_text(
            visitor_text=lambda text, ctm, tm, *_, found=places: (
                found.append(tm[4] * ctm[0] + tm[5] * ctm[2] + ctm[4]) if text.strip() else None
            )
        )
        assert len(places) > 5
        assert min(places) > 25
        assert max(places) < float(one.mediabox[2]) - 25
    text = " ".join(" ".join(one.extract_text().replace("\ufb02", "fl") for one in pages).split())
    assert re.search("day outcome rows (in the source )?PC review rejected PSI limit flipped seconds model runs", text)
    for day in range(1, 27):
        if day != 26:
            assert re.search(rf"2026-11-{day:02} (Published|No run|Empty|Failed|Refused)", text), day
    assert "0.9 to 1" in text  # the figures of the scores are open on paper
    assert "Skip to the day" not in text


@pytest.mark.parametrize("width", [703, 1032], ids=["upright", "across"])
def test_nothing_sticks_out_of_the_paper(browser: Browser, page: Path, width: int) -> None:
    """A4 less its margins, in CSS pixels, in dark ink. The wide table would fit upright too."""
    shown = browser.open(page, width=width)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    shown.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(29, 35, 41)"
    assert shown.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for cell in shown.evaluate(CELLS):
        assert cell["width"] > 0, cell
        assert cell["right"] <= width, cell
        assert cell["cut"] <= 1, cell


def test_no_script_runs(browser: Browser, tmp_path: Path) -> None:
    """Without the page's own policy: what keeps scripts out is that nothing is markup."""
    hostile = [run_row(3, **{column: value}) for column in schemas.MONITORING.names for _, value in HOSTILE]
    everywhere = run_row(4, **dict.fromkeys(schemas.MONITORING.names, TEXTS["script"]))
    for number, rows in enumerate((hostile[:350], [*hostile[-350:], everywhere])):
        path = tmp_path / f"report{number}.html"
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report(rows, TEXTS["image"]))
        path.write_text(text)
        for width in (390, 1280):
            shown = browser.open(path, width=width)
            assert shown.evaluate("document.title").startswith("beam_pcc: partition 2026-11-03")
            assert shown.evaluate("document.scripts.length + document.images.length") == 0
            assert shown.evaluate("document.querySelectorAll('tr').length") > 300
            assert_fits(shown, width)


def test_four_hundred_days_fit(browser: Browser, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        run_row(1, partition_date=dt.date(2025, 10, 1) + dt.timedelta(days=n)) for n in range(400) if n % 9
    ]
    path = tmp_path / "report.html"
    path.write_text(report(rows, "pcc.duckdb"), encoding="utf-8")
    for width in (390, 1280):
        shown = browser.open(path, width=width)
        assert_fits(shown, width)
        assert shown.evaluate("document.querySelectorAll('.cell').length") == 399
