"""Reads a file of labels into `schemas.LABELS`, and names each row that is none.

Whatever is wrong with a row costs that row alone. Nothing here quotes a value of a row but its case_id.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.cases.columns import as_text, case_ids, is_id, is_text, is_time, match_name, plain, plain_type, timestamps
from beam_pcc.errors import ConfigurationError, SourceError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.sources.files import open_parquet, reason
from beam_pcc.sources.jsonl import open_jsonl, read_objects

REQUIRED = ("case_id", "label", "source", "time")
OPTIONAL = ("partition", "sample", "stratum", "weight", "drawn")
COLUMNS = (*REQUIRED, *OPTIONAL)
FORMATS = (".parquet", ".jsonl", ".jsonl.gz", ".csv")
CLOCK_SKEW = dt.timedelta(minutes=5)
MAX_TEXT = 200
"""Characters of a source, a sample or a stratum: a name, and no message."""

MALFORMED_ROW = "malformed_row"
MISSING_CASE_ID = "missing_case_id"
MISSING_LABEL = "missing_label"
BAD_LABEL = "bad_label"
BAD_SOURCE = "bad_source"
BAD_TIME = "bad_time"
FUTURE_TIME = "future_time"
BAD_PARTITION = "bad_partition"
BAD_WEIGHT = "bad_weight"
CONTRADICTING = "contradicting_label"
REASONS: Mapping[str, str] = {
    MALFORMED_ROW: "a line that is no JSON object, a row of CSV with other columns, or a value of another type",
    MISSING_CASE_ID: "case_id is null, blank or not UTF-8",
    MISSING_LABEL: "label is null or blank: the case is not labelled yet",
    BAD_LABEL: f"label is neither {schemas.PC} nor {schemas.NOT_PC}",
    BAD_SOURCE: f"source, sample or stratum is not UTF-8, or longer than {MAX_TEXT} characters; or there is no source",
    BAD_TIME: "time is null, not an ISO 8601 date and time, or not of the years 1 to 9999",
    FUTURE_TIME: "time is in the future; a time without a zone is UTC",
    BAD_PARTITION: "partition is no day, such as 20261120 or 2026-11-20",
    BAD_WEIGHT: "weight is no number of at least 1, or drawn is no whole number of at least 1",
    CONTRADICTING: "the file has this case, source and time with the other label too",
}


class Rejected(NamedTuple):
    """A row that is not imported; `number` is that of the line, or of the row in a Parquet file, from 1."""

    number: int
    case_id: str | None
    reason: str


class Labels(NamedTuple):
    """The rows of a file: rows read = labels + rejected + copies."""

    table: pa.Table
    """LABELS."""
    rejected: list[Rejected]
    copies: int
    """Rows that repeat another one."""

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return len(self.table) + len(self.rejected) + self.copies

    def reasons(self) -> dict[str, int]:
        """Rejected rows by reason, the most frequent first."""
        return dict(Counter(row.reason for row in self.rejected).most_common())


@progress.task("reading the labels")
def read_labels(path: str, now: dt.datetime, source: str | None = None) -> Labels:
    """Read a file of any Beam filesystem.

    Args:
        path: Of .parquet, .jsonl (or .jsonl.gz) or .csv, with the columns REQUIRED and perhaps OPTIONAL, in any case.
        now: No label is later.
        source: Of rows without one.

    Raises:
        ConfigurationError: The file cannot be read, or its columns cannot be labels.
    """
    name = path.lower()
    if not name.endswith(FORMATS):
        raise ConfigurationError(f"--data {path} is neither .parquet nor .jsonl nor .csv; convert it")
    kind = "Parquet" if name.endswith(".parquet") else "CSV" if name.endswith(".csv") else "JSONL"
    read = {"Parquet": _read_parquet, "CSV": _read_csv, "JSONL": _read_jsonl}[kind]
    try:
        columns, rejected = read(path, REQUIRED if source is None else tuple(c for c in REQUIRED if c != "source"))
    except SourceError as error:
        raise ConfigurationError(f"--data {error}") from None
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise explain_machine(error, f"--data {path}", ConfigurationError) or ConfigurationError(
            f"--data {path} cannot be read as {kind}: {reason(error, kind)}; check it"
        ) from None
    return _checked(columns, rejected, now, source)


class _Columns(NamedTuple):
    """The rows as columns: numbers, and each of COLUMNS in a type that `_checked` takes."""

    numbers: pa.Array
    values: Mapping[str, pa.Array]


def _missing(path: str, names: Sequence[str], required: Sequence[str], *, show: bool) -> None:
    """Raise SourceError for a column that is not there. The names in JSONL are content, like the values."""
    for name in required:
        if match_name(names, name, path) is None:
            shown = f" (its columns: {', '.join(names[:8])})" if show else ""
            advice = "name it with --label_source" if name == "source" else "add it"
            raise SourceError(f"{path} has no column {name}{shown}; {advice}")


def _read_parquet(path: str, required: Sequence[str]) -> tuple[_Columns, list[Rejected]]:
    with open_parquet(path) as parquet:
        schema = parquet.schema_arrow
        _missing(path, schema.names, required, show=True)
        own = {name: own for name in COLUMNS if (own := match_name(schema.names, name, path)) is not None}
        for name, own_name in own.items():
            _check_type(path, name, own_name, schema.field(own_name).type)
        table = parquet.read(columns=list(own.values()), use_threads=False)
    values = {name: _column(name, table.column(own_name)) for name, own_name in own.items()}
    return _Columns(pa.array(range(1, len(table) + 1), pa.int64()), values), []


_TYPES = {
    "case_id": (is_id, "STRING, UUID or an integer"),
    "time": (is_time, "TIMESTAMP, DATE or an ISO 8601 STRING"),
    "partition": (lambda t: is_time(t) or _is_number(t), "DATE, or YYYYMMDD as STRING or an integer"),
    "weight": (lambda t: _is_number(t) or is_text(t), "a number"),
    "drawn": (lambda t: _is_number(t) or is_text(t), "a whole number"),
}


def _is_number(dtype: pa.DataType) -> bool:
    t, own = pa.types, plain_type(dtype)
    return bool(t.is_integer(own) or t.is_floating(own) or t.is_decimal(own))


def _check_type(path: str, name: str, own_name: str, dtype: pa.DataType) -> None:
    fits, words = _TYPES.get(name, (is_text, "STRING"))
    if not fits(dtype):
        raise SourceError(f"{path}: column {own_name} is {plain_type(dtype)}, not {words}; convert it")


def _column(name: str, column: pa.ChunkedArray) -> pa.Array:
    """In one piece, with an ordinary layout; a day that is a number as its digits."""
    chunks = [plain(chunk) for chunk in column.chunks]
    whole = pa.concat_arrays(chunks) if chunks else pa.array([], plain_type(column.type))
    if name == "partition" and pa.types.is_floating(whole.type):  # so pandas writes whole numbers of which some lack
        days = (None if value is None or math.isnan(value) else f"{value:.0f}" for value in whole.to_pylist())
        return pa.array(list(days), pa.string())
    return case_ids(whole) if name == "partition" and _is_number(whole.type) else whole


def _read_jsonl(path: str, required: Sequence[str]) -> tuple[_Columns, list[Rejected]]:
    rows: list[tuple[int, dict[str, str | None]]] = []
    rejected = []
    present: set[str] = set()
    for number, read in read_objects(path, COLUMNS):
        if isinstance(read, str):
            rejected.append(Rejected(number, None, MALFORMED_ROW))
            continue
        present |= {name for name, value in read.items() if value is not None}
        row = _as_texts(read)
        if row is None:
            case_id = read["case_id"]
            rejected.append(Rejected(number, case_id if isinstance(case_id, str) else None, MALFORMED_ROW))
        else:
            rows.append((number, row))
    if len(rows) > 1:
        _missing(path, sorted(present), required, show=False)
    return _from_rows(rows), rejected


def _as_texts(values: Mapping[str, Any]) -> dict[str, str | None] | None:
    """The values of a JSON object as text; None if one is of another type: numbers are not guessed to be times."""
    numeric: dict[str, tuple[type, ...]] = {
        "case_id": (int,),
        "partition": (int,),
        "weight": (int, float),
        "drawn": (int,),
    }
    texts: dict[str, str | None] = {}
    for name, value in values.items():
        if value is None or isinstance(value, str):
            texts[name] = value
        elif name in numeric and isinstance(value, numeric[name]) and not isinstance(value, bool):
            texts[name] = str(value)
        else:
            return None
        if texts[name] is not None and any("\ud800" <= c <= "\udfff" for c in texts[name] or ""):
            return None  # half a surrogate pair
    return texts


def _read_csv(path: str, required: Sequence[str]) -> tuple[_Columns, list[Rejected]]:
    """Row by row, as text: no value may be guessed to be a number, such as an id that begins with 0."""
    rows: list[tuple[int, dict[str, str | None]]] = []
    rejected = []
    with open_jsonl(path) as stream:
        text = stream.read().decode("utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, None)
    if not header:
        raise SourceError(f"{path} is empty; write it again")
    _missing(path, header, required, show=True)
    places = {name: header.index(own) for name in COLUMNS if (own := match_name(header, name, path)) is not None}
    for cells in reader:
        if not cells:
            continue
        if len(cells) == len(header):
            rows.append((reader.line_num, {name: cells[place] or None for name, place in places.items()}))
        else:
            rejected.append(Rejected(reader.line_num, None, MALFORMED_ROW))
    return _from_rows(rows), rejected


def _from_rows(rows: Sequence[tuple[int, Mapping[str, str | None]]]) -> _Columns:
    values = {name: pa.array([row.get(name) for _, row in rows], pa.string()) for name in COLUMNS}
    return _Columns(pa.array([number for number, _ in rows], pa.int64()), values)


def _checked(columns: _Columns, rejected: Sequence[Rejected], now: dt.datetime, source: str | None) -> Labels:
    """Find the first fault of each row; keep one of equal rows."""
    n = len(columns.numbers)

    def text(name: str) -> pa.Array:
        """Without the space around it; null where it is blank."""
        column = columns.values.get(name)
        trimmed = pc.utf8_trim_whitespace(pa.nulls(n, pa.string()) if column is None else as_text(column))
        return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)

    ids = case_ids(columns.values["case_id"]).cast(pa.string())
    label, sources = text("label"), text("source")
    unlabelled = _mask(label.is_null()) & ~_unfit(columns.values["label"], label)
    if source is not None:
        sources = pc.fill_null(sources, source)
    time = timestamps(columns.values["time"])
    named, day = _days(columns.values.get("partition"), n)
    names = {name: text(name) for name in ("sample", "stratum")}
    weight, has_weight = _numbers(columns.values.get("weight"), n)
    drawn, has_drawn = _numbers(columns.values.get("drawn"), n)
    unfit_texts = [_unfit(columns.values.get(name), values) for name, values in {"source": sources, **names}.items()]
    latest = pa.scalar(now + CLOCK_SKEW, time.type)
    faults = (
        (MISSING_CASE_ID, _mask(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(ids), ""), True))),
        (MISSING_LABEL, unlabelled),
        (BAD_LABEL, ~_mask(pc.is_in(label, pa.array([schemas.PC, schemas.NOT_PC])))),
        (BAD_SOURCE, _mask(sources.is_null()) | np.logical_or.reduce(unfit_texts)),
        (BAD_TIME, _mask(time.is_null())),
        (FUTURE_TIME, _mask(pc.fill_null(pc.greater(time, latest), False))),
        (BAD_PARTITION, named & _mask(day.is_null())),
        (BAD_WEIGHT, (has_weight & ~(weight >= 1)) | (has_drawn & ~_is_count(drawn))),
    )
    first: list[str | None] = [None] * n
    for code, mask in reversed(faults):
        for row in np.flatnonzero(mask):
            first[row] = code
    table = pa.table(
        [
            columns.numbers,
            ids,
            label,
            sources,
            time,
            day,
            *names.values(),
            pa.array(weight, mask=~has_weight),
            pa.array(np.where(_is_count(drawn), drawn, 0).astype(np.int64), mask=~has_drawn),
        ],
        schema=pa.schema([field.with_nullable(True) for field in schemas.LABELS]),
    )
    _mark_contradictions(table, first)
    bad = [
        Rejected(number, case_id, code)
        for number, case_id, code in zip(columns.numbers.to_pylist(), ids.to_pylist(), first, strict=True)
        if code is not None
    ]
    sound = table.filter(pa.array([code is None for code in first], pa.bool_()))
    unique = _without_copies(sound)
    return Labels(
        unique.cast(schemas.LABELS), sorted([*rejected, *bad], key=lambda row: row.number), len(sound) - len(unique)
    )


def _mask(column: pa.Array) -> Any:
    return column.to_numpy(zero_copy_only=False).astype(np.bool_)


def _unfit(column: pa.Array | None, values: pa.Array) -> Any:
    """Which texts are too long or have lost their value, as they are not UTF-8."""
    long = _mask(pc.fill_null(pc.greater(pc.utf8_length(values), MAX_TEXT), False))
    if column is None:
        return long
    return long | (_mask(column.is_valid()) & _mask(as_text(column).is_null()))


def _days(column: pa.Array | None, n: int) -> tuple[Any, pa.Array]:
    """Which rows name a day, and the days."""
    if column is None:
        return np.zeros(n, np.bool_), pa.nulls(n, pa.date32())
    named = _mask(column.is_valid())
    if is_text(column.type):
        texts = pc.utf8_trim_whitespace(as_text(column))
        named &= ~_mask(pc.fill_null(pc.equal(texts, ""), False))
        column = texts
    return named, timestamps(column).cast(pa.timestamp("s", "UTC"), safe=False).cast(pa.date32(), safe=False)


def _numbers(column: pa.Array | None, n: int) -> tuple[Any, Any]:
    """The numbers, NaN where there is none or it is infinite; and which rows have something there."""
    if column is None:
        return np.full(n, np.nan), np.zeros(n, np.bool_)
    values: list[float | None] = [_number(value) for value in plain(column).to_pylist()]
    given = np.array([value is not None for value in values], np.bool_)
    return np.array([math.nan if value is None else value for value in values], np.float64), given


def _is_count(numbers: Any) -> Any:
    return (numbers >= 1) & (numbers % 1 == 0) & (numbers < 2**53)


def _number(value: Any) -> float | None:
    """None for no value; NaN for one that is no number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _keys(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def _mark_contradictions(table: pa.Table, first: list[str | None]) -> None:
    """Neither of two labels of one case that one source gave at one time can be the newer one."""
    seen: dict[tuple[Any, ...], str] = {}
    contradicting = set()
    keys = list(_keys(table, "case_id", "partition_date", "source", "label_time"))
    for key, label, code in zip(keys, table.column("label").to_pylist(), first, strict=True):
        if code is None and seen.setdefault(key, label) != label:
            contradicting.add(key)
    for row, key in enumerate(keys):
        if first[row] is None and key in contradicting:
            first[row] = CONTRADICTING


def _without_copies(table: pa.Table) -> pa.Table:
    seen = set()
    kept = []
    for row, key in enumerate(_keys(table, "case_id", "partition_date", "source", "label_time", "sample")):
        if key not in seen:
            seen.add(key)
            kept.append(row)
    return table.take(pa.array(kept, pa.int64()))
