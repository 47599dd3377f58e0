"""Monitoring rows as a report reads them: a table can hold anything, so each value is checked against its column.

Values become text here; what is null is a dash, what does not fit its column is the word "unreadable".
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.cases.monitoring_row import as_written_today
from beam_pcc.models.metadata import SCORE_BINS

Row = Mapping[str, Any]
LONGEST_TEXT = 2_000
_LARGEST = 1e12


class Unreadable:
    """Stands for a stored value that does not fit its column."""

    def __str__(self) -> str:
        return "unreadable"


UNREADABLE = Unreadable()


def readable(row: Row) -> dict[str, Any]:
    """Each column of a monitoring row: its value, None where it is null or missing, or UNREADABLE."""
    row = as_written_today(row)
    return {field.name: _value(row.get(field.name), field) for field in schemas.MONITORING}


def _value(value: object, field: pa.Field) -> Any:
    if value is None:
        return None
    if field.name in _JSON:
        return _JSON[field.name](value)
    if pa.types.is_integer(field.type):  # all of them are counts
        fits = is_count(value)
    elif pa.types.is_floating(field.type):
        fits = is_number(value)
    elif pa.types.is_timestamp(field.type):
        fits = isinstance(value, dt.datetime)
    elif pa.types.is_date(field.type):
        fits = type(value) is dt.date
    else:
        fits = isinstance(value, str)
    return value if fits else UNREADABLE


def is_count(value: object) -> bool:
    """Whether a value is a whole number that a column can hold, 0 or above."""
    return type(value) is int and 0 <= value < 2**63


def is_number(value: object) -> bool:
    """Whether a value is a finite number of a size that can be drawn."""
    return type(value) in (int, float) and abs(value) <= _LARGEST  # type: ignore[arg-type] # NaN is not


def _from_json(value: object) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and len(value) <= LONGEST_TEXT else UNREADABLE
    except (ValueError, RecursionError):
        return UNREADABLE


def _histogram(value: object) -> Any:
    counts = _from_json(value)
    fits = isinstance(counts, list) and len(counts) == SCORE_BINS and all(map(is_count, counts))
    return counts if fits else UNREADABLE


def _reasons(value: object) -> Any:
    reasons = _from_json(value)
    return reasons if isinstance(reasons, dict) and all(map(is_count, reasons.values())) else UNREADABLE


def _shares(value: object) -> Any:
    shares = _from_json(value)
    fits = isinstance(shares, dict) and all(is_number(one) and 0 <= one <= 1 for one in shares.values())
    return shares if fits else UNREADABLE


def _alerts(value: object) -> Any:
    alerts = _from_json(value)
    fits = isinstance(alerts, list) and all(isinstance(alert, dict) and _is_alert(alert) for alert in alerts)
    return alerts if fits else UNREADABLE


def _is_alert(alert: Mapping[str, object]) -> bool:
    texts = (alert.get("name"), alert.get("action"))
    numbers = (alert.get("value"), alert.get("limit"))
    return all(isinstance(text, str) for text in texts) and all(map(is_number, numbers))


_JSON: dict[str, Callable[[object], Any]] = {
    "reject_reasons": _reasons,
    "score_histogram": _histogram,
    "baseline_histogram": _histogram,
    "alerts": _alerts,
    "language_shares": _shares,
}


def share(part: object, whole: object) -> float | None:
    """The part of a whole, both counts; None if there is none."""
    if not isinstance(part, int) or not isinstance(whole, int) or not whole or part > whole:
        return None
    return part / whole


def formatted(value: Any, form: str) -> str:
    """A value by a format; a dash for null."""
    return "-" if value is None else str(value) if isinstance(value, Unreadable) else form.format(value)


def count(value: Any) -> str:
    """A count with separators."""
    return formatted(value, "{:,}")


def number(value: Any) -> str:
    """A figure with three decimals."""
    return formatted(value, "{:.3f}")


def day(value: Any) -> str:
    """A date."""
    return formatted(value, "{:%Y-%m-%d}")


def minute(value: Any) -> str:
    """A time to the minute."""
    return formatted(value, "{:%Y-%m-%d %H:%M} UTC")


def text(value: Any) -> str:
    """A text; a dash for an empty one."""
    return str(value or "-")


def percent(part: Any, whole: Any) -> str:
    """The share of a whole in per cent, with one decimal."""
    for value in (part, whole):
        if isinstance(value, Unreadable):
            return str(value)
    return f"{part / whole:.1%}" if whole and part is not None else "-"
