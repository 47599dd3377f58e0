"""The days of a report: which are shown, which run stands for each, and what each is compared with."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases.monitoring_row import Alert, MonitoringRow, Status
from beam_pcc.cli import main as cli
from beam_pcc.errors import ConfigurationError
from beam_pcc.reporting.days import (
    MAX_DAYS,
    Comparison,
    Period,
    compare,
    days_of,
    latest_with_run,
    period_of,
    spans_to_explain,
)
from beam_pcc.reporting.readable_rows import readable
from tests.monitoring_rows import monitoring_row, store

DAY = dt.date(2026, 11, 20)


def date(day: int) -> dt.date:
    """So many days after DAY."""
    return DAY + dt.timedelta(days=day)


def run(day: int, status: Status = "success", hour: int = 2, **more: Any) -> MonitoringRow:
    """A row of a run for the day."""
    at = dt.datetime.combine(date(day + 1), dt.time(hour), dt.timezone.utc)
    run_id = f"{date(day):%Y%m%d}-{at:%Y%m%dT%H%M%SZ}-0000000{hour % 10}"
    failed = dict.fromkeys(("total_cases", "passed_validation", "dropped_cases"), 0) | {"error_message": "why"}
    return monitoring_row(date(day), at, status=status, run_id=run_id, **(failed if status == "failed" else {}) | more)


def rows(*runs: MonitoringRow) -> list[dict[str, Any]]:
    return [readable(one.to_stored()) for one in runs]


def days(first: int, last: int, *runs: MonitoringRow) -> list[Any]:
    return days_of(rows(*runs), Period(date(first), date(last)))


def test_days_without_runs_are_missing() -> None:
    assert [(day.date, day.state) for day in days(0, 2, run(0), run(2), run(7))] == [
        (date(0), "published"),
        (date(1), "missing"),
        (date(2), "published"),
    ]


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        (("success",), "published"),
        (("refused", "success"), "published"),
        (("success", "failed"), "published"),
        (("success", "refused", "failed"), "published"),
        (("failed", "refused"), "refused"),
        (("refused", "failed"), "failed"),
        (("success", "empty"), "empty"),
        (("success", "empty", "failed"), "failed"),
        (("empty",), "empty"),
    ],
)
def test_run_that_stands_for_a_day(statuses: tuple[Status, ...], state: str) -> None:
    """What a reader of the tables sees decides: a refused or failed run leaves what was published."""
    (day,) = days(0, 0, *(run(0, status, hour) for hour, status in enumerate(statuses)))
    assert day.state == state
    assert len(day.runs) == len(statuses)


def test_runs_after_the_published_one_are_known() -> None:
    (day,) = days(0, 0, run(0, hour=1), run(0, "failed", 3), run(0, "refused", 2))
    assert [later["status"] for later in day.later_runs] == ["refused", "failed"]


def test_published_day_with_an_alert_is_an_alarm() -> None:
    (day,) = days(0, 0, run(0, alerts=(Alert("drift", 1.0, 0.5, "alert"),)))
    assert day.state == "alarm"
    assert day.is_published


def test_status_of_another_version_is_other() -> None:
    (day,) = days_of([readable(run(0).to_stored() | {"status": "paused"})], Period(DAY, DAY))
    assert day.state == "other"


def test_latest_day_is_the_latest_with_a_run() -> None:
    latest = latest_with_run(days(0, 3, run(0), run(1, "failed")))
    assert latest
    assert latest.date == date(1)
    assert latest_with_run(days(0, 1)) is None


def total(row: Any) -> Any:
    return row["total_cases"]


def test_comparison_is_with_published_days() -> None:
    runs = [run(day, total_cases=100 + day) for day in range(7)]
    runs[0] = run(0, "refused", total_cases=1)
    runs += [run(7, "refused", total_cases=2), run(8, total_cases=200)]
    all_days = days(0, 8, *runs)
    # The day before and not the week before were published; the median is that of days 1 to 6.
    assert compare(all_days, all_days[8], total) == Comparison(200, None, 101, 103.5)


def test_usual_needs_three_published_days() -> None:
    two = days(0, 2, run(0), run(1), run(2))
    assert compare(two, two[2], total).usual is None
    three = days(0, 3, run(0), run(1), run(2), run(3))
    assert compare(three, three[3], total).usual == 100


def test_consecutive_missing_days_are_one_span() -> None:
    all_days = days(0, 6, run(0), run(3), run(4, "failed"), run(5, "failed"))
    spans = [(span.first.date, span.last.date) for span in spans_to_explain(all_days)]
    assert spans == [(date(6), date(6)), (date(5), date(5)), (date(4), date(4)), (date(1), date(2))]


def test_day_with_a_later_failure_is_explained() -> None:
    (span,) = spans_to_explain(days(0, 1, run(0), run(1), run(1, "failed", 9)))
    assert span.first.date == date(1)


@pytest.mark.parametrize(
    ("first", "last", "count", "yesterday", "period"),
    [
        (None, None, 10, 0, (-9, 0)),
        (None, None, 10, 3, (-6, 3)),  # three days that were not scored are part of the picture
        (None, None, 10, 9, (0, 9)),
        (None, None, 10, 10, (-9, 0)),  # an old warehouse: not a page of missing days
        (None, None, 10, -1, (-9, 0)),
        (None, 5, 10, 0, (-4, 5)),
        (-3, None, 10, 1, (-3, 1)),
        (-3, -3, 10, 1, (-3, -3)),
        (-200, 199, 10, 1, (-200, 199)),
    ],
)
def test_period(first: int | None, last: int | None, count: int, yesterday: int, period: tuple[int, int]) -> None:
    named = [None if day is None else date(day) for day in (first, last)]
    assert period_of(*named, count, DAY, date(yesterday)) == Period(*map(date, period))


@pytest.mark.parametrize(("first", "last"), [(1, 0), (-200, 200), (5, None)])
def test_period_that_is_none_is_an_error(first: int, last: int | None) -> None:
    with pytest.raises(ConfigurationError, match="--to"):
        period_of(date(first), None if last is None else date(last), 10, DAY)


dates = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))


@given(dates, st.integers(1, MAX_DAYS), st.lists(dates, max_size=5))
def test_any_period_has_each_day_once(last: dt.date, count: int, partitions: list[dt.date]) -> None:
    period = period_of(None, last, count, last)
    stored = [readable(run(0).to_stored() | {"partition_date": one}) for one in partitions]
    found = days_of(stored, period)
    assert [day.date.toordinal() for day in found] == list(range(period.first.toordinal(), last.toordinal() + 1))
    assert len(found) == min(count, last.toordinal())
    assert sum(len(day.runs) for day in found) == sum(period.first <= one <= last for one in partitions)
    assert period.with_history().first <= period.first


def report(folder: Path, *arguments: str) -> int:
    return cli.main(
        ["report", "--warehouse", str(folder / "pcc.duckdb"), "--output", str(folder / "r.html"), *arguments]
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the days -40 and -9 to 0. Shared: copy it before writing beside it."""
    path = tmp_path_factory.mktemp("days") / "pcc.duckdb"
    store(path, [run(day, "failed" if day == -4 else "success") for day in (-40, *range(-9, 1))])
    return path


@pytest.fixture
def warehouse(tmp_path: Path, database: Path) -> Path:
    """The folder of a copy of it."""
    shutil.copy(database, tmp_path)
    return tmp_path


def test_report_of_a_range(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(warehouse, "--from", "20261115", "--to", "2026-11-18") == 0
    assert capsys.readouterr().out == f"{warehouse / 'r.html'}: 4 days, 2026-11-15 to 2026-11-18\n"
    page = (warehouse / "r.html").read_text()
    assert "Partition 2026-11-18" in page
    assert 'id="why-2026-11-16"' in page
    assert "2026-11-19:" not in page
    assert "No run yet" not in page  # later days have runs


def test_report_of_one_day_compares_it(warehouse: Path) -> None:
    assert report(warehouse, "--partition", "20261119") == 0
    page = (warehouse / "r.html").read_text()
    assert "Partition 2026-11-19" in page
    assert "<span>day before</span>" in page
    assert "<span>usual</span>" in page


def test_last_counts_days_back_from_the_end(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, first in (((), date(-29)), (("--last", "3"), date(-2))):
        assert report(warehouse, *arguments, "--to", "20261120") == 0
        assert f"{first} to 2026-11-20" in capsys.readouterr().out


def test_report_names_the_days_that_were_not_run(warehouse: Path) -> None:
    """Also those after the last one that has a run."""
    assert report(warehouse, "--to", "20261122") == 0
    assert "No run yet for 2026-11-21 to " in (warehouse / "r.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "20261118", "--to", "20261115"], "--to 20261115 is before --from 20261118"),
        (["--from", "20250101", "--to", "20261115"], "at most 400 days apart"),
        (["--from", "2026-13-01"], "is not a date"),
        (["--to", "monday"], "is not a date"),
        (["--to", "20261120", "--partition", "20261120"], "--partition is one day"),
        (["--last", "5", "--partition", "20261120"], "--partition is one day"),
        (["--last", "5", "--from", "20261120"], "--last and --from exclude each other"),
        (["--last", "0"], "--last must be between 1 and 400"),
        (["--last", "401"], "--last must be between 1 and 400"),
        (["--from", "20261001", "--to", "20261005"], "its latest day is 20261120"),
        (["--partition", "20261201"], "its latest day is 20261120"),
    ],
)
def test_period_that_cannot_be_shown_exits_with_2(
    warehouse: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert report(warehouse, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (warehouse / "r.html").exists()


def test_warehouse_without_runs_has_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (report(tmp_path), "has no run to report on" in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_written_page_keeps_the_mode_and_the_link(warehouse: Path) -> None:
    (warehouse / "real.html").write_text("old")
    (warehouse / "real.html").chmod(0o640)
    (warehouse / "r.html").symlink_to("real.html")
    assert report(warehouse, "--to", "20261120") == 0
    assert (warehouse / "r.html").is_symlink()
    assert "Partition 2026-11-20" in (warehouse / "real.html").read_text()
    assert (warehouse / "real.html").stat().st_mode & 0o777 == 0o640


def test_output_that_is_no_file_is_written_to(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = cli.main(
        ["report", "--warehouse", str(warehouse / "pcc.duckdb"), "--to", "20261120", "--output", "/dev/stdout"]
    )
    assert code == 0


def test_output_in_a_folder_that_is_a_file_is_an_error(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(
        [
            *("report", "--warehouse", str(warehouse / "pcc.duckdb"), "--to", "20261120"),
            *("--output", str(warehouse / "pcc.duckdb/r.html")),
        ]
    )
    assert (code, "cannot be written" in capsys.readouterr().err) == (2, True)
