"""The row of `pcc_monitoring_logs`: its columns, declared once, and how a stored row is read and written.

`beam_pcc.cases.schemas` derives the table's Arrow schema from the class. What a run's row holds is computed in
`beam_pcc.publishing.monitoring`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

Status = Literal["success", "empty", "refused", "failed"]
"""success: published; empty: no rows; refused: the audits forbade publishing; failed: the run could not finish."""
STATUSES: tuple[Status, ...] = typing.get_args(Status)

Counts: TypeAlias = dict[str, int]
Shares: TypeAlias = dict[str, float]
Histogram: TypeAlias = tuple[int, ...]


class Alert(NamedTuple):
    """A limit that a run passed.

    `action`: alert, refuse (nothing was published) or accepted (with --accept_drift or --accept_volume).
    """

    name: str
    value: float
    limit: float
    action: str


Alerts: TypeAlias = tuple[Alert, ...]
StoredRow: TypeAlias = Mapping[str, Any]
"""A row as a table holds it: column to value, JSON columns as text. Nothing in it has been checked."""


@dataclass(frozen=True, kw_only=True)
class MonitoringRow:
    """One run, as a row. A field is a column: its type, whether it may be null, its description."""

    run_id: Annotated[str, "The run that wrote the row"]
    model_version: Annotated[str | None, "Version of the model; null if the run failed first"] = None
    embedding_model: Annotated[str | None, "What made the vectors that the model expects"] = None
    partition_date: Annotated[dt.date, "Day of the data"]
    runtime_ts: Annotated[dt.datetime, "When the run started"]
    status: Annotated[Status, "success, empty, refused or failed"]
    total_cases: Annotated[int, "Rows read"]
    passed_validation: Annotated[int, "Rows scored and fit to publish"]
    dropped_cases: Annotated[int, "Rows rejected, for any reason"]
    notes: Annotated[str | None, "Warnings, such as drift"] = None
    ingestion_time: Annotated[dt.datetime, "When the row was published (the day of the run)"]
    processing_duration_seconds: Annotated[float, "From the start of the run to this row"]
    error_message: Annotated[str | None, "Why the run failed or was refused, in one line"] = None
    positive_cases: Annotated[int, "Rows labelled PC"]
    review_cases: Annotated[int, "Rows within the review band"]
    drift_psi: Annotated[float | None, "PSI of the scores against the model's baseline"] = None
    reject_reasons: Annotated[Counts, "JSON object: reason code to number of rows"]
    model_sha256: Annotated[str | None, "Digest of the model file that scored"] = None
    score_histogram: Annotated[Histogram | None, "JSON array: cases by P(PC), in 10 equal bins"] = None
    baseline_histogram: Annotated[Histogram | None, "JSON array: the same of the training hold-out"] = None
    embedding_norm_shift: Annotated[float | None, "Mean norm less the baseline's, of the embedding block"] = None
    embedding_mean_shift: Annotated[float | None, "Distance of means, in spreads, of the embedding block"] = None
    tfidf_norm_shift: Annotated[float | None, "Mean norm less the baseline's, of the tfidf block"] = None
    tfidf_mean_shift: Annotated[float | None, "Distance of means, in spreads, of the tfidf block"] = None
    shadow_version: Annotated[str | None, "Version that scored in the shadow"] = None
    shadow_flip_rate: Annotated[float | None, "Share of cases that it labels otherwise"] = None
    shadow_psi: Annotated[float | None, "PSI of its scores against the model's own"] = None
    drift_psi_recent: Annotated[float | None, "PSI of the scores against the last published weeks"] = None
    drift_psi_limit: Annotated[float | None, "Limit of the PSI that was judged; null if none was"] = None
    alerts: Annotated[Alerts | None, "JSON array: each limit that was passed: name, value, limit, action"] = None
    exact_copies: Annotated[int | None, "Rows dropped as exact copies of another; not among dropped_cases"] = None
    source_rows: Annotated[int | None, "Rows that the source had at launch; of JSONL, the rows read"] = None
    source_files: Annotated[int | None, "Files of the source; null if it has none"] = None
    source_modified: Annotated[dt.datetime | None, "When the source was last changed before the launch"] = None
    language_shares: Annotated[Shares | None, "JSON object: language to its share of the messages"] = None
    untrained_language_cases: Annotated[int | None, "Messages in a language that the model was not trained on"] = None
    review_band: Annotated[float | None, "How near to the threshold P(PC) is of a case to review"] = None

    def to_stored(self) -> dict[str, Any]:
        """The values of the table's columns, in their order; dicts and tuples become JSON text."""
        return {column.name: column.to_stored(getattr(self, column.name)) for column in columns()}

    @classmethod
    def from_stored(cls, row: StoredRow) -> MonitoringRow:
        """Inverse of `to_stored`, also of a row that an earlier version wrote; columns of others are ignored.

        Raises:
            ValueError: A value does not fit its column. One line: the column and what is wrong, never the value.
        """
        row = as_written_today(row)
        return cls(**{column.name: column.from_stored(row.get(column.name)) for column in columns()})

    def to_json(self) -> dict[str, Any]:
        """The stored row with dates and times as ISO 8601 text."""
        return {
            name: value.isoformat() if isinstance(value, dt.date) else value for name, value in self.to_stored().items()
        }

    @classmethod
    def from_json(cls, row: object) -> MonitoringRow:
        """Inverse of `to_json`. Raises ValueError as `from_stored` does."""
        if not isinstance(row, dict):
            raise ValueError("the monitoring row is not a JSON object")
        parsers = {column.name: _PARSERS[column.type] for column in columns() if column.type in _PARSERS}
        return cls.from_stored({name: _parsed(value, parsers.get(name)) for name, value in row.items()})


def as_written_today(row: StoredRow) -> dict[str, Any]:
    """A stored row of any version with the status that this version would have written.

    Earlier versions wrote `failed` for a refused run too. Only a refused run has counted rows: that of a run that could
    not finish has 0 in each of these columns.
    """
    counts = [row.get(name) for name in ("total_cases", "passed_validation", "dropped_cases")]
    if row.get("status") == "failed" and any(type(count) is int and count > 0 for count in counts):
        return {**row, "status": "refused"}
    return dict(row)


class Column(NamedTuple):
    """A field of MonitoringRow: `type` without the None, by which `nullable` is declared."""

    name: str
    type: Any
    nullable: bool
    description: str

    def to_stored(self, value: Any) -> Any:
        """The value in the table."""
        if value is not None and self.type == Alerts:
            value = [alert._asdict() for alert in value]
        return json.dumps(value) if value is not None and self.type in (Counts, Shares, Histogram, Alerts) else value

    def from_stored(self, value: object) -> Any:
        """Inverse of `to_stored`. Raises ValueError."""
        if value is None:
            if self.nullable:
                return None
            raise ValueError(f"{self.name} is null")
        try:
            return _READERS[self.type](value)
        except _MisfitError as error:
            raise ValueError(f"{self.name} is {error}") from None


@functools.cache
def columns() -> tuple[Column, ...]:
    """The columns, in the order of the table."""
    hints = typing.get_type_hints(MonitoringRow, include_extras=True)
    return tuple(_column(field.name, hints[field.name]) for field in dataclasses.fields(MonitoringRow))


def _column(name: str, hint: Any) -> Column:
    declared, description = typing.get_args(hint)
    parts = typing.get_args(declared)
    if type(None) not in parts:
        return Column(name, declared, False, description)
    return Column(name, next(part for part in parts if part is not type(None)), True, description)


class _MisfitError(Exception):
    """What a value is that does not fit its column."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _MisfitError("not a text")
    return value


def _status(value: object) -> Status:
    for status in STATUSES:
        if value == status:
            return status
    raise _MisfitError(f"none of {', '.join(STATUSES)}")


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise _MisfitError("not a count")
    return value


def _number(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise _MisfitError("not a finite number")
    return float(value)  # type: ignore[arg-type]


def _date(value: object) -> dt.date:
    if type(value) is not dt.date:
        raise _MisfitError("not a date")
    return value


def _time(value: object) -> dt.datetime:
    if not isinstance(value, dt.datetime) or value.tzinfo is None:
        raise _MisfitError("not a time with a zone")
    return value


def _json(value: object) -> Any:
    try:
        return json.loads(_text(value))
    except (ValueError, RecursionError):
        raise _MisfitError("not JSON") from None


def _counts(value: object) -> Counts:
    found = _json(value)
    if not isinstance(found, dict):
        raise _MisfitError("not a JSON object")
    return {name: _count(number) for name, number in found.items()}


def _shares(value: object) -> Shares:
    found = _json(value)
    if not isinstance(found, dict):
        raise _MisfitError("not a JSON object")
    return {name: _number(share) for name, share in found.items()}


def _histogram(value: object) -> Histogram:
    found = _json(value)
    if not isinstance(found, list):
        raise _MisfitError("not a JSON array")
    return tuple(_count(number) for number in found)


def _alerts(value: object) -> Alerts:
    entries = _json(value)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _MisfitError("not a JSON array of objects")
    return tuple(
        Alert(
            _text(entry.get("name")),
            _number(entry.get("value")),
            _number(entry.get("limit")),
            _text(entry.get("action")),
        )
        for entry in entries
    )


_READERS: dict[Any, Any] = {
    str: _text,
    Status: _status,
    int: _count,
    float: _number,
    dt.date: _date,
    dt.datetime: _time,
    Counts: _counts,
    Shares: _shares,
    Histogram: _histogram,
    Alerts: _alerts,
}
_PARSERS: dict[Any, Any] = {dt.date: dt.date.fromisoformat, dt.datetime: dt.datetime.fromisoformat}


def _parsed(value: object, parse: Any) -> Any:
    """Text as `parse` reads it; anything else, and text that is none, is left for `from_stored` to report."""
    try:
        return parse(value) if parse and isinstance(value, str) else value
    except ValueError:
        return value
