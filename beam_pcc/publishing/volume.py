"""Whether a run has as many rows as its source holds, and as many as the day usually has.

Pure functions of counts and monitoring rows. docs/operations.md says what to do about a refusal.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from beam_pcc.cases.monitoring_row import Alert, MonitoringRow
from beam_pcc.publishing.warehouse.base import Run
from beam_pcc.sources.volume import UNKNOWN, SourceVolume

USUAL_DAYS = 7
MIN_DAYS = 3  # fewer published days say nothing about what is usual
LOOK_BACK_DAYS = 28  # four of each weekday

_OF_SOURCE = "share of the source's rows"
_OF_PUBLISHED = "share of the day's published rows"
_OF_USUAL = "share of the usual rows"
_GREW = "rows added while the source was read"
_BUFFERED = "rows in the source's streaming buffer"
_MISSING = (_OF_SOURCE, _OF_PUBLISHED, _OF_USUAL)


@dataclass(frozen=True)
class Volume:
    """What came of the comparison.

    Attributes:
        source: What the source said at launch.
        alerts: The limits that were passed.
        refusals: What forbids to publish, one phrase each.
        note: For the monitoring row.
    """

    source: SourceVolume = UNKNOWN
    alerts: tuple[Alert, ...] = ()
    refusals: tuple[str, ...] = ()
    note: str | None = None


def is_of_volume(alert: Alert) -> bool:
    """Whether this audit raised the alert."""
    return alert.name in (*_MISSING, _GREW, _BUFFERED)


def split_history(rows: Sequence[MonitoringRow], run: Run) -> tuple[MonitoringRow | None, list[MonitoringRow]]:
    """The row of what another run published for the run's own day, if one did, and those of earlier days."""
    published = [row for row in rows if row.partition_date == run.partition_date and row.run_id != run.run_id]
    earlier = [row for row in rows if row.partition_date < run.partition_date]
    return (published[0] if published else None), earlier


def usual_rows(earlier: Sequence[MonitoringRow], run: Run) -> tuple[float, str] | None:
    """The median number of cases of a published day, and of which days it is; None if there are too few.

    The same weekday counts where there are enough of it: weekends differ from working days.

    Args:
        earlier: Of each published day before the run's, newest first.
        run: For its day.
    """
    judged = [row for row in earlier if not _was_accepted(row)]
    same = [
        row
        for row in judged
        if row.partition_date.weekday() == run.partition_date.weekday()
        and (run.partition_date - row.partition_date).days <= LOOK_BACK_DAYS
    ]
    days, name = (
        (same, f"{run.partition_date:%A}s") if len(same) >= MIN_DAYS else (judged[:USUAL_DAYS], "published days")
    )
    if len(days) < MIN_DAYS:
        return None
    return statistics.median(_cases(row) for row in days), f"the last {len(days)} {name}"


def _was_accepted(row: MonitoringRow) -> bool:
    return any(alert.action == "accepted" and alert.name in _MISSING for alert in row.alerts or ())


def _cases(row: MonitoringRow) -> int:
    return row.total_cases - (row.exact_copies or 0)


def audit_volume(
    rows_read: int,
    copies: int,
    source: SourceVolume,
    history: Sequence[MonitoringRow],
    run: Run,
    min_volume: float,
    *,
    accept: bool = False,
) -> Volume:
    """Compare the rows of a run with its source, with what is published for the day, and with the usual day.

    An empty day is not refused for being smaller than others, as it replaces nothing unless it is told to.

    Args:
        rows_read: All of them, copies included.
        copies: Of the rows read, those that are exact copies of others.
        source: What it said at launch.
        history: The latest successful run of each published day, the run's own day included, newest first.
        run: Which one.
        min_volume: The share of the other days' rows that the day must have; 0: it is not compared with them.
        accept: Whether a violation is let through; it is recorded then.
    """
    published, earlier = split_history(history, run)
    usual = usual_rows(earlier, run)
    cases = rows_read - copies
    passed: list[tuple[Alert, str]] = []

    def require(name: str, value: float, limit: float, message: str, action: str) -> None:
        if value < limit:
            passed.append((Alert(name, value, limit, action), message))

    action = "accepted" if accept else "refuse"
    if source.rows:
        message = f"{rows_read:,} rows read of {source.rows:,} that the source had at launch"
        require(_OF_SOURCE, rows_read / source.rows, 1.0, message, action)
    if min_volume:
        than_days = "alert" if not rows_read else action
        references = [(_OF_PUBLISHED, float(_cases(published)), "that are published for this day")] if published else []
        references += [(_OF_USUAL, usual[0], f"that {usual[1]} have in the median")] if usual else []
        for name, reference, words in references:
            if reference:
                share = cases / reference
                message = f"{cases:,} rows are {share:.1%} of the {reference:,.0f} {words}, less than {min_volume:.1%}"
                require(name, share, min_volume, message, than_days)
    alerts = [alert for alert, _ in passed]
    if source.exact and source.rows is not None and rows_read > source.rows:
        alerts.append(Alert(_GREW, rows_read - source.rows, 0.0, "alert"))
    if source.buffered:
        alerts.append(Alert(_BUFFERED, source.buffered, 0.0, "alert"))
    refused = [message for alert, message in passed if alert.action == "refuse"]
    if refused:
        refused[-1] += "; repair the source, or let this day through with --accept_volume"
    return Volume(source, tuple(alerts), tuple(refused), _note(alerts, min_volume))


def _note(alerts: Sequence[Alert], min_volume: float) -> str | None:
    parts = [
        f"{a.name} {a.value:.3g} is {'below' if a.name in _MISSING else 'above'} {a.limit:.3g}"
        + (" (accepted)" if a.action == "accepted" else "")
        for a in alerts
        if a.action != "refuse"
    ]
    if not min_volume:
        parts.append("not compared with other days (--min_volume 0)")
    return f"volume: {'; '.join(parts)}" if parts else None
