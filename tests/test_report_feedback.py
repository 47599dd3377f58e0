"""The section of the report that has the feedback."""

import datetime as dt
from typing import Any

from beam_pcc.feedback.estimates import feedback_of
from beam_pcc.reporting.days import Period
from beam_pcc.reporting.report import report
from tests.feedback.published import feedback_row, feedback_table
from tests.test_report import RUNS, Page

FIRST, LAST = dt.date(2026, 11, 1), dt.date(2026, 11, 26)


def page(*rows: dict[str, Any]) -> str:
    feedback = feedback_of(feedback_table(*rows), FIRST, LAST)
    return report(RUNS, "pcc.duckdb", Period(FIRST, LAST), feedback=feedback)


def labelled(day: int, *labels: str, **more: Any) -> list[dict[str, Any]]:
    """Cases of a day that were published as PC."""
    date = dt.date(2026, 11, day)
    return [
        feedback_row(case_id=f"c{number}", label=label, partition_date=date, **more)
        for number, label in enumerate(labels)
    ]


def section(text: str) -> str:
    return text.partition('<h2 id="feedback">')[2].partition("</section>")[0]


def test_precision_is_drawn_over_the_days_with_its_interval() -> None:
    said = section(page(*labelled(3, "PC", "PC", "NOT_PC", "NOT_PC"), *labelled(4, "PC", "PC", "PC", "NOT_PC")))
    precision = said.partition("Precision by the labels")[2].partition("</svg>")[0]
    assert precision.count('class="interval"') == 2
    assert precision.count('class="dot"') == 2
    assert "75.0% (30% to 95%) of the cases published as PC are PC, by the labels of 2026-11-04." in said


def test_each_version_and_day_is_in_the_table() -> None:
    said = section(page(*labelled(3, "PC"), *labelled(4, "NOT_PC", model_version="v2")))
    rows = [row.partition("</tr>")[0] for row in said.split("<tr role=")[2:]]
    names = [row.partition('scope="row">')[2].partition("<")[0] for row in rows]
    assert names == ["all", "version v1", "version v2", "no review", "2026-11-04", "2026-11-03"]


def test_a_day_with_a_sample_is_drawn_by_it() -> None:
    sample = labelled(3, "NOT_PC", weight=5.0, sample="20261103-20261103-1-0a1b2c3d", stratum="s01", drawn=1)
    others = labelled(3, "x", "PC", "PC")[1:]
    said = section(page(*sample, *others))
    assert "0.0% (0% to 79%) of the cases published as PC are PC" not in said
    assert "of the cases published as PC are PC, by the labels of 2026-11-03." in said
    assert "By a sample: figures of all published cases. By labels: figures of the labelled cases alone" in said


def test_page_without_feedback_has_no_section() -> None:
    assert 'id="feedback"' not in page()
    assert 'href="#feedback"' not in page()


def test_hostile_text_of_feedback_is_no_markup() -> None:
    said = page(*labelled(3, "PC", model_version='"><script>alert(1)</script>'))
    assert "<script" not in said
    assert Page(said).open == []
