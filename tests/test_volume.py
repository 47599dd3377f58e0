"""The volume audit: pure comparisons of counts and monitoring rows."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases.monitoring_row import Alert, MonitoringRow
from beam_pcc.publishing.volume import Volume, audit_volume, usual_rows
from beam_pcc.publishing.warehouse.base import Run
from beam_pcc.sources.volume import SourceVolume
from tests.monitoring_rows import monitoring_row

DAY = dt.date(2026, 11, 20)
RUN = Run("the run", DAY, dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc))


def row(days_before: int, cases: int, **more: Any) -> MonitoringRow:
    """What was published for a day."""
    time = dt.datetime(2026, 11, 21, tzinfo=dt.timezone.utc)
    counts = {"total_cases": cases, "passed_validation": cases, "dropped_cases": 0}
    return monitoring_row(DAY - dt.timedelta(days=days_before), time, **counts | more)


def audited(
    rows: int,
    *history: MonitoringRow,
    copies: int = 0,
    source: SourceVolume | None = None,
    min_volume: float = 0.5,
    accept: bool = False,
) -> Volume:
    return audit_volume(rows, copies, source or SourceVolume(), history, RUN, min_volume, accept=accept)


def actions(volume: Volume) -> list[str]:
    return [alert.action for alert in volume.alerts]


def test_day_below_the_usual_is_refused() -> None:
    volume = audited(3, *(row(day, 2_000) for day in (1, 2, 3)))
    assert volume.refusals == (
        "3 rows are 0.1% of the 2,000 that the last 3 published days have in the median, less than 50.0%; repair the "
        "source, or let this day through with --accept_volume",
    )
    assert volume.alerts == (Alert("share of the usual rows", 0.0015, 0.5, "refuse"),)


def test_day_at_the_limit_is_published() -> None:
    assert audited(1_000, *(row(day, 2_000) for day in (1, 2, 3))) == Volume()


@pytest.mark.parametrize("days", [0, 1, 2])
def test_few_earlier_days_refuse_nothing(days: int) -> None:
    assert audited(3, *(row(day + 1, 2_000) for day in range(days))) == Volume()


def test_day_that_shrank_is_refused_without_history() -> None:
    volume = audited(3, row(0, 2_000))
    assert "3 rows are 0.1% of the 2,000 that are published for this day" in volume.refusals[0]


def test_second_attempt_is_not_compared_with_itself() -> None:
    assert audited(3, row(0, 2_000, run_id=RUN.run_id)) == Volume()


def test_only_the_last_seven_days_count() -> None:
    earlier = [row(day, 100 if day < 8 else 10_000) for day in (1, 2, 3, 4, 5, 6, 8, 9)]
    assert usual_rows(earlier, RUN) == (100, "the last 7 published days")


def test_same_weekday_counts_where_there_are_three() -> None:
    earlier = [row(day, 50 if day % 7 == 0 else 1_000) for day in range(1, 22)]
    assert usual_rows(earlier, RUN) == (50, "the last 3 Fridays")


def test_weekdays_of_months_ago_do_not_count() -> None:
    earlier = [row(day, 1_000) for day in (1, 2, 3, 4)] + [row(day, 50) for day in (70, 77, 84)]
    assert usual_rows(earlier, RUN) == (1_000, "the last 7 published days")


def test_accepted_days_are_no_example() -> None:
    accepted = (Alert("share of the usual rows", 0.01, 0.5, "accepted"),)
    earlier = [row(1, 2_000), row(2, 20, alerts=accepted), row(3, 2_000)]
    assert usual_rows(earlier, RUN) is None


def test_days_with_accepted_drift_are_examples() -> None:
    accepted = (Alert("embedding norm shift", 0.9, 0.5, "accepted"),)
    earlier = [row(1, 2_000), row(2, 2_000, alerts=accepted), row(3, 2_000)]
    assert usual_rows(earlier, RUN) == (2_000, "the last 3 published days")


def test_accepted_volume_is_recorded() -> None:
    volume = audited(3, row(0, 2_000), accept=True)
    assert volume.refusals == ()
    assert actions(volume) == ["accepted"]
    assert volume.note == "volume: share of the day's published rows 0.0015 is below 0.5 (accepted)"


def test_min_volume_zero_is_recorded() -> None:
    volume = audited(3, row(0, 2_000), *(row(day, 2_000) for day in (1, 2, 3)), min_volume=0.0)
    assert (volume.refusals, volume.alerts) == ((), ())
    assert volume.note == "volume: not compared with other days (--min_volume 0)"


def test_rows_that_the_source_had_are_missed() -> None:
    volume = audited(9, source=SourceVolume(rows=10))
    assert "9 rows read of 10 that the source had at launch" in volume.refusals[0]


def test_missing_rows_are_refused_with_min_volume_zero() -> None:
    assert audited(9, source=SourceVolume(rows=10), min_volume=0.0).refusals


def test_missing_rows_can_be_accepted() -> None:
    volume = audited(9, source=SourceVolume(rows=10), accept=True)
    assert (volume.refusals, actions(volume)) == ((), ["accepted"])


def test_source_that_grew_is_an_alert() -> None:
    volume = audited(12, source=SourceVolume(rows=10))
    assert volume.refusals == ()
    assert volume.alerts == (Alert("rows added while the source was read", 2, 0.0, "alert"),)


def test_lines_that_nobody_counted_are_no_growth() -> None:
    assert audited(12, source=SourceVolume(rows=10, exact=False)) == Volume(SourceVolume(rows=10, exact=False))


def test_filling_streaming_buffer_is_an_alert() -> None:
    volume = audited(10, source=SourceVolume(rows=10, buffered=4))
    assert volume.alerts == (Alert("rows in the source's streaming buffer", 4, 0.0, "alert"),)


def test_empty_day_is_an_alert_and_no_refusal() -> None:
    volume = audited(0, row(0, 2_000), *(row(day, 2_000) for day in (1, 2, 3)), source=SourceVolume(rows=0))
    assert volume.refusals == ()
    assert actions(volume) == ["alert", "alert"]


def test_empty_read_of_a_full_source_is_refused() -> None:
    assert audited(0, source=SourceVolume(rows=10)).refusals


def test_copies_do_not_fill_a_day() -> None:
    assert audited(2_000, row(0, 2_000), copies=1_990).refusals


def test_copies_of_earlier_days_do_not_count() -> None:
    assert audited(100, row(0, 2_000, exact_copies=1_900)) == Volume()


@given(
    rows=st.integers(0, 10_000),
    held=st.none() | st.integers(0, 10_000),
    days=st.lists(st.integers(0, 10_000), max_size=28),
    min_volume=st.floats(0.0, 1.0),
)
def test_accepting_leaves_no_refusal_and_loses_no_alert(
    rows: int, held: int | None, days: list[int], min_volume: float
) -> None:
    history = [row(day, cases) for day, cases in enumerate(days)]
    judged, accepted = (
        audited(rows, *history, source=SourceVolume(rows=held), min_volume=min_volume, accept=accept)
        for accept in (False, True)
    )
    assert accepted.refusals == ()
    assert [alert.name for alert in judged.alerts] == [alert.name for alert in accepted.alerts]
    assert len(judged.refusals) == actions(judged).count("refuse") == actions(accepted).count("accepted")
