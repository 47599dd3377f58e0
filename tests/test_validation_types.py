"""What types a source may have, and what each way to write a timestamp means."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.columns import check_input
from beam_pcc.cases.validation import validate
from beam_pcc.errors import SourceError
from tests.inputs import TIME, VECTOR_TYPES, not_utf8, rows


def times(column: Any) -> list[dt.datetime | None]:
    """What validation makes of each timestamp; None where it rejects it."""
    cases, rejected = validate(rows(timestamp=column))
    assert set(rejected.column("reason").to_pylist()) <= {faults.BAD_TIMESTAMP.code}
    ids, found = cases.column("case_id").to_pylist(), cases.column("timestamp").to_pylist()
    by_id = dict(zip(ids, found, strict=True))
    return [by_id.get(f"c{i}") for i in range(len(column))]


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-20T10:00:00", 10),
        ("2026-11-20 10:00", 10),
        ("2026-11-20T10", 10),
        ("2026-11-20", 0),
        (" 2026-11-20T10:00:00Z ", 10),
        ("2026-11-20T10:00:00+02:00", 8),
        ("2026-11-20T10:00:00-0800", 18),
        ("2026-11-20 10:00:00.000000+02", 8),
        ("2026-11-20 10:00:00 UTC", 10),
    ],
)
def test_a_timestamp_in_text_is_utc_unless_it_has_a_zone(text: str, hour: int) -> None:
    assert times([text]) == [TIME.replace(hour=hour)]


def test_batch_may_mix_forms_of_timestamps() -> None:
    mixed = ["2026-11-20T10:00:00", "2026-11-20T12:00:00+02:00", "soon", None, "2026-11-20", "2026-11-20T10:00:00Z"]
    assert times(mixed) == [TIME, TIME, None, None, TIME.replace(hour=0), TIME]


GARBAGE = ["", "soon", "2026-02-30", "2026-11-20T25:00:00", "20/11/2026", "1795168800", "2026-11-20T10:00:00+99:99"]


@pytest.mark.parametrize("text", [*GARBAGE, None])
def test_what_is_no_iso_8601_time_is_a_bad_timestamp(text: str | None) -> None:
    assert times(pa.array([text, "2026-11-20T10:00:00Z"], pa.string())) == [None, TIME]
    assert times(pa.array([text, "2026-11-20T10:00:00"], pa.large_string())) == [None, TIME]


def test_a_timestamp_that_is_not_utf8_is_bad() -> None:
    assert times(not_utf8(pa.string(), [b"\xff2026-11-20", b"2026-11-20T10:00:00"])) == [None, TIME]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamp_of_any_unit_and_zone_is_one_instant(unit: str, zone: str | None) -> None:
    instant = pa.array([int(TIME.timestamp())], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    column = instant if zone is None else instant.cast(pa.timestamp(unit, "UTC")).cast(pa.timestamp(unit, zone))
    assert times(column) == [TIME]


def test_nanoseconds_are_cut_to_microseconds() -> None:
    after = pa.array([int(TIME.timestamp()) * 10**9 + 123_456_789], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    assert times(after) == [TIME.replace(microsecond=123_456)]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_a_date_is_its_midnight_in_utc(kind: pa.DataType) -> None:
    assert times(pa.array([TIME.date()], kind)) == [TIME.replace(hour=0)]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("s", "UTC"), pa.timestamp("ms")], ids=str)
def test_instant_beyond_microseconds_is_bad_timestamp(kind: pa.DataType) -> None:
    far = 9 * 10**15 * (1_000 if kind.unit == "ms" else 1)
    assert times(pa.array([far, None], pa.int64()).cast(kind)) == [None, None]


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("us", "UTC")], ids=str)
def test_only_what_bigquery_can_store_is_a_timestamp(kind: pa.DataType) -> None:
    first, last = -62_135_596_800_000_000, 253_402_300_799_999_999  # 0001-01-01 00:00 to 9999-12-31 23:59:59.999999
    column = pa.array([first - 1, first, last, last + 1], pa.int64()).cast(kind)

    utc = dt.timezone.utc
    assert times(column) == [None, dt.datetime.min.replace(tzinfo=utc), dt.datetime.max.replace(tzinfo=utc), None]


GOOD_TYPES = {"case_id": pa.string(), "embedding_vector": pa.list_(pa.float32()), "timestamp": pa.string()}


@pytest.mark.parametrize("missing", schemas.INPUT_COLUMNS)
def test_a_source_without_a_column_is_refused_by_name(missing: str) -> None:
    schema = pa.schema([(name, kind) for name, kind in GOOD_TYPES.items() if name != missing])
    with pytest.raises(SourceError, match=rf"^day\.parquet has no column {missing} \(its columns: "):
        check_input(schema, "day.parquet")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("case_id", pa.float64()),
        ("case_id", pa.binary()),
        ("embedding_vector", pa.list_(pa.int64())),
        ("embedding_vector", pa.float64()),
        ("timestamp", pa.int64()),
        ("timestamp", pa.time32("s")),
    ],
    ids=str,
)
def test_column_of_an_unreadable_type_is_refused_by_name(column: str, kind: pa.DataType) -> None:
    schema = pa.schema([*(GOOD_TYPES | {column: kind}).items()])
    with pytest.raises(SourceError, match=rf"^day\.parquet: column {column} is .*; convert it$"):
        check_input(schema, "day.parquet")


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_accepted_types_and_more_columns_are_read(kind: pa.DataType) -> None:
    schema = pa.schema([("text", pa.string()), *(GOOD_TYPES | {"embedding_vector": kind}).items()])
    assert check_input(schema, "day.parquet") == list(schemas.INPUT_COLUMNS)
