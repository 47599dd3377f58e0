"""The types at the door: each accepted one is read as the values that it holds, and the contracts list them exactly."""

import base64
import datetime as dt
import json
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pcc.cases import faults, schemas
from beam_pcc.cases.columns import (
    as_text,
    case_ids,
    check_input,
    has_values,
    input_columns,
    match_names,
    narrowed,
    plain,
    plain_type,
    timestamps,
    vectors,
)
from beam_pcc.cases.validation import validate
from beam_pcc.errors import SourceError
from tests.inputs import DIM, TIME, VECTOR, VECTOR_TYPES, not_utf8, rows
from tests.inputs import vectors as vectors_as

CONTRACTS = (Path(__file__).parent.parent / "docs/contracts.md").read_text()
UTC = dt.timezone.utc

ELEMENTS = {
    "halffloat": pa.float16(),
    "float": pa.float32(),
    "double": pa.float64(),
    "decimal32": pa.decimal32(9, 8),
    "decimal64": pa.decimal64(18, 9),
    "decimal128": pa.decimal128(38, 9),
    "decimal256": pa.decimal256(76, 38),
    "null": pa.null(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "string": pa.string(),
    "list": pa.list_(pa.float32()),
    "struct": pa.struct([("x", pa.float32())]),
}
CONTAINERS = {
    "list": pa.list_,
    "large_list": pa.large_list,
    "fixed_size_list": lambda dtype: pa.list_(dtype, DIM),
    "list_view": pa.list_view,
    "large_list_view": pa.large_list_view,
    "arrow.fixed_shape_tensor": lambda dtype: pa.fixed_shape_tensor(dtype, [DIM]),
    "map": lambda dtype: pa.map_(pa.string(), dtype),
    "struct": lambda dtype: pa.struct([("values", dtype)]),
}
SCALARS = {
    **{name: dtype for name, dtype in ELEMENTS.items() if name not in ("list", "struct")},
    **{f"int{bits}": getattr(pa, f"int{bits}")() for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(pa, f"uint{bits}")() for bits in (8, 16, 32, 64)},
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "fixed_size_binary": pa.binary(DIM * 4),
    "arrow.uuid": pa.uuid(),
    "arrow.json": pa.json_(),
    "arrow.bool8": pa.bool8(),
    "arrow.opaque": pa.opaque(pa.string(), "kind", "vendor"),
    "timestamp": pa.timestamp("ns", "America/New_York"),
    "date32": pa.date32(),
    "date64": pa.date64(),
    "time32": pa.time32("s"),
    "time64": pa.time64("us"),
    "duration": pa.duration("s"),
    "month_day_nano_interval": pa.month_day_nano_interval(),
    "run_end_encoded": pa.run_end_encoded(pa.int32(), pa.string()),
    "dense_union": pa.dense_union([pa.field("a", pa.string())]),
}
SOUND = {"case_id": pa.string(), "embedding_vector": pa.list_(pa.float32()), "timestamp": pa.string()}


def is_accepted(column: str, dtype: pa.DataType) -> bool:
    schema = pa.schema([*(SOUND | {"message": pa.string(), column: dtype}).items()])
    try:
        check_input(schema, "here", "message" if column == "message" else None)
    except SourceError:
        return False
    return True


def table_of_types() -> dict[str, set[str]]:
    """The last column of the table in the contracts: the names of Arrow's types of each input column."""
    section = CONTRACTS.partition("| input column |")[2].partition("\n\n")[0]
    return {
        cells[0].strip(): set(re.findall(r"`([\w.]+)`", cells[2]))
        for line in section.splitlines()[2:]
        if (cells := line.strip("|").split("|"))
    }


@pytest.mark.parametrize(
    ("row", "column"),
    [("`case_id`", "case_id"), ("`timestamp`", "timestamp"), ("messages (`--text_column`)", "message")],
)
def test_contracts_list_the_types_of_a_column(row: str, column: str) -> None:
    assert table_of_types()[row] == {name for name, dtype in SCALARS.items() if is_accepted(column, dtype)}


def test_contracts_list_the_types_of_vectors() -> None:
    table, column = table_of_types(), "embedding_vector"
    scalars = {name for name, dtype in SCALARS.items() if is_accepted(column, dtype)}
    lists = {
        (container, element)
        for container, make in CONTAINERS.items()
        for element, dtype in ELEMENTS.items()
        if not (container == "arrow.fixed_shape_tensor" and element in ("list", "struct", "string", "null", "bool"))
        if is_accepted(column, make(dtype))
    }
    assert table["`embedding_vector`, as bytes"] | table["`embedding_vector`, as text"] == scalars
    assert table["`embedding_vector`, a list"] == {container for container, _ in lists}
    assert table["its values"] == {element for _, element in lists}


@pytest.mark.parametrize("column", [*SOUND, "message"])
@pytest.mark.parametrize("name", ["string", "int64", "binary", "timestamp", "arrow.uuid", "bool", "double"])
def test_dictionary_is_accepted_as_its_values_are(column: str, name: str) -> None:
    dtype = SCALARS[name]
    assert is_accepted(column, pa.dictionary(pa.int8(), dtype)) == is_accepted(column, dtype)


@pytest.mark.parametrize("shape", [[2, 292], [1, 2, 292]])
def test_tensor_of_several_axes_is_refused(shape: list[int]) -> None:
    assert not is_accepted("embedding_vector", pa.fixed_shape_tensor(pa.float32(), shape))


def test_type_of_a_refused_column_is_named() -> None:
    with pytest.raises(SourceError, match=r"^here: column Vec is list<item: int8>, not a list of 584 floats, or .*"):
        check_input(
            pa.schema([*(SOUND | {"Vec": pa.list_(pa.int8())}).items()]), "here", None, {"embedding_vector": "vec"}
        )


def test_type_has_the_name_that_the_source_gives_it() -> None:
    schema = pa.schema([*(SOUND | {"case_id": pa.float64()}).items()])
    with pytest.raises(
        SourceError, match=r"^here: column case_id is FLOAT64, not STRING, UUID or an integer; convert it"
    ):
        check_input(schema, "here", type_names={"case_id": "FLOAT64"})


# Names of columns


def test_names_match_without_case() -> None:
    names = ["TIMESTAMP", "Case_Id", "other", "embedding_Vector"]
    assert match_names(names, "here") == {
        "case_id": "Case_Id",
        "embedding_vector": "embedding_Vector",
        "timestamp": "TIMESTAMP",
    }


@pytest.mark.parametrize("other", ["Case_ID", "case_id"])
def test_names_that_differ_in_case_are_named(other: str) -> None:
    with pytest.raises(
        SourceError, match=rf"^here has the columns case_id and {other}, which differ in case at most; "
    ):
        match_names([*SOUND, other], "here")


def test_columns_that_are_not_read_may_differ_in_case() -> None:
    assert len(match_names([*SOUND, "x", "X"], "here")) == 3


def test_mapped_names_are_read() -> None:
    columns = {"case_id": "ID", "embedding_vector": "vec"}
    batch = rows(case_id=["a"]).rename_columns(["id", "Vec", "timestamp"])
    assert check_input(batch.schema, "here", None, columns) == ["id", "Vec", "timestamp"]
    assert input_columns(batch, None, columns).to_pydict() == rows(case_id=["a"]).to_pydict()


def test_mapped_name_wins_over_the_usual_one() -> None:
    batch = rows(case_id=["a"]).append_column("id", pa.array(["b"]))
    assert input_columns(batch, None, {"case_id": "id"}).column("case_id").to_pylist() == ["b"]


def test_mapped_name_that_is_missing_is_named() -> None:
    with pytest.raises(
        SourceError, match=r"^here has no column id \(.*\); --columns maps case_id to it: correct that$"
    ):
        match_names(SOUND, "here", None, {"case_id": "id"})


def test_vectors_beside_texts_are_optional_unless_mapped() -> None:
    names = ["case_id", "timestamp", "Message"]
    assert list(match_names(names, "here", "message").values()) == ["case_id", "Message", "timestamp"]
    with pytest.raises(SourceError, match="has no column vec "):
        match_names(names, "here", "message", {"embedding_vector": "vec"})


# Layouts


def test_uuid_is_its_36_characters() -> None:
    values = [uuid.uuid5(uuid.NAMESPACE_DNS, str(i)) for i in range(5)]
    storage = pa.array([None if i == 3 else value.bytes for i, value in enumerate(values)], pa.binary(16))
    column = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    expected = [None if i == 3 else str(value) for i, value in enumerate(values)]
    assert case_ids(column).to_pylist() == expected
    assert case_ids(column.slice(1, 3)).to_pylist() == expected[1:4]
    assert case_ids(column.slice(5)).to_pylist() == []


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=20), st.integers(0, 4), st.data())
def test_any_kind_of_string_is_read_the_same(texts: list[str | None], cut: int, data: st.DataObject) -> None:
    texts = [None if text is None else text.encode("utf-8", "replace").decode() for text in texts]
    dtype = data.draw(st.sampled_from([pa.string(), pa.large_string(), pa.string_view()]))
    column = pa.array(texts, dtype)
    if data.draw(st.booleans()):
        column = pa.DictionaryArray.from_arrays(
            pa.array([*range(len(texts))], pa.int16()),
            pa.array(texts, pa.large_string() if dtype == pa.large_string() else pa.string()),
        )
    assert case_ids(column.slice(cut)).to_pylist() == as_text(column.slice(cut)).to_pylist() == texts[cut:]


def test_string_view_that_is_not_utf8_is_null() -> None:
    column = not_utf8(
        pa.string_view(), [b"\xff\xfe", b"a sound text, longer than 12 bytes", b"a broken one of that size \xff"]
    )
    assert as_text(column).to_pylist() == [None, "a sound text, longer than 12 bytes", None]


@pytest.mark.parametrize(
    "dtype", [pa.dictionary(pa.int8(), pa.int64()), pa.dictionary(pa.int64(), pa.large_string())], ids=str
)
def test_categorical_ids_are_their_values(dtype: pa.DataType) -> None:
    values = [7, 8] if dtype.value_type == pa.int64() else ["7", "8"]
    column = pa.DictionaryArray.from_arrays(
        pa.array([1, 0, None], dtype.index_type), pa.array(values, dtype.value_type)
    )
    assert case_ids(column).to_pylist() == ["8", "7", None]


@given(st.lists(st.integers(-(10**20), 10**20)), st.sampled_from([(38, 0), (38, 9), (38, 15)]))
def test_whole_decimal_is_its_digits(numbers: list[int], size: tuple[int, int]) -> None:
    column = pa.array([Decimal(number) for number in numbers], pa.decimal128(*size))
    assert case_ids(column).to_pylist() == [str(number) for number in numbers]


@pytest.mark.parametrize("dtype", [pa.decimal32(9, 3), pa.decimal64(18, 3), pa.decimal256(76, 38)], ids=str)
def test_decimal_of_any_width_is_its_digits(dtype: pa.DataType) -> None:
    column = pa.array([Decimal("100"), Decimal("0"), Decimal("-7.25")], dtype)
    assert case_ids(column).to_pylist()[:2] == ["100", "0"]
    assert float(case_ids(column).to_pylist()[2]) == -7.25


@pytest.mark.parametrize("dtype", [*VECTOR_TYPES, pa.dictionary(pa.int8(), pa.string()), pa.uuid()], ids=str)
def test_plain_column_has_its_plain_type(dtype: pa.DataType) -> None:
    column = (
        vectors_as([VECTOR, None], dtype)
        if dtype != pa.uuid()
        else pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef", None], pa.binary(16)))
    )
    assert plain(column).type == plain_type(dtype)
    assert plain(column).null_count == 1


# Vectors


@pytest.mark.parametrize("dtype", VECTOR_TYPES, ids=str)
def test_rows_with_vectors_are_known(dtype: pa.DataType) -> None:
    assert has_values(vectors_as([None, VECTOR, VECTOR], dtype)).tolist() == [False, True, True]


@pytest.mark.parametrize("element", [name for name in ELEMENTS if name.startswith("decimal")])
def test_decimals_of_a_vector_are_numbers(element: str) -> None:
    values = [Decimal(i) / 1024 for i in range(DIM)]
    dtype = ELEMENTS[element]
    quantised = [value.quantize(Decimal(1).scaleb(-min(dtype.scale, 10))) for value in values]
    found = vectors(pa.array([quantised, None], pa.list_(dtype)))
    np.testing.assert_array_equal(found.values, np.array([quantised], dtype=np.float64).astype(np.float32))
    assert found.has_dimension.tolist() == [True, False]


@pytest.mark.parametrize("container", [name for name in CONTAINERS if "list" in name])
def test_list_of_nothing_but_nulls_is_not_finite(container: str) -> None:
    dtype = CONTAINERS[container](pa.null())
    reasons = validate(rows(vector=pa.array([[None] * DIM, None, [None] * DIM], dtype)))[1].column("reason")
    assert reasons.to_pylist() == ["non_finite", "missing_vector", "non_finite"]


@pytest.mark.parametrize("dtype", [pa.list_view(pa.float32()), pa.large_list_view(pa.float64())], ids=str)
def test_list_view_may_share_values_in_any_order(dtype: pa.DataType) -> None:
    both = pa.array([*VECTOR, *-VECTOR], dtype.value_type)
    wide = isinstance(dtype, pa.LargeListViewType)
    make, size = (pa.LargeListViewArray, pa.int64()) if wide else (pa.ListViewArray, pa.int32())
    offsets, sizes = pa.array([DIM, 7, 0, DIM, 0], size), pa.array([DIM, 3, DIM, DIM, 0], size)
    column = make.from_arrays(offsets, sizes, both, mask=pa.array([False, False, False, True, False]))
    found = vectors(column)
    assert found.lengths.tolist() == [DIM, 3, DIM, 0, 0]
    np.testing.assert_array_equal(found.values, np.array([-VECTOR, VECTOR], np.float32))
    np.testing.assert_array_equal(vectors(column.slice(1, 2)).values, np.array([VECTOR], np.float32))


def test_column_of_nothing_but_nulls_is_missing() -> None:
    batch = pa.RecordBatch.from_pydict({name: pa.nulls(2) for name in schemas.INPUT_COLUMNS})
    assert validate(batch)[1].column("reason").to_pylist() == ["missing_case_id"] * 2
    batch = rows(vector=pa.nulls(2), timestamp=pa.nulls(2))
    assert validate(batch)[1].column("reason").to_pylist() == ["missing_vector"] * 2
    assert validate(rows(timestamp=pa.nulls(2)))[1].column("reason").to_pylist() == ["bad_timestamp"] * 2


WIDTHS = {"<f2": "float16", "<f8": "float64", "<i1": "int8"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("as_base64", [False, True])
def test_bytes_of_another_width_are_named(width: str, as_base64: bool) -> None:
    raw = VECTOR.astype(width).tobytes()
    column = pa.array([base64.b64encode(raw).decode() if as_base64 else raw])
    cases, rejected = validate(rows(vector=column))
    assert cases.num_rows == 0
    assert rejected.column("reason").to_pylist() == [faults.WRONG_DIMENSION.code]
    (detail,) = rejected.column("detail").to_pylist()
    assert detail == f"{len(raw)} bytes (as 584 values of {WIDTHS[width]} have), not 2336 (584 values of float32)"


@pytest.mark.parametrize(("size", "words"), [(3072, "768 values of float32"), (2337, "no whole number of float32")])
def test_bytes_of_another_length_are_named(size: int, words: str) -> None:
    (detail,) = validate(rows(vector=pa.array([b"x" * size])))[1].column("detail").to_pylist()
    assert detail == f"{size} bytes ({words}), not 2336 (584 values of float32)"


def encoded(raw: bytes) -> dict[str, str]:
    standard, url_safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    return {
        "base64": standard,
        "base64 without padding": standard.rstrip("="),
        "base64 in lines": base64.encodebytes(raw).decode(),
        "URL-safe base64": url_safe,
        "URL-safe base64 without padding": url_safe.rstrip("="),
        "JSON": json.dumps(np.frombuffer(raw, "<f4").astype(float).tolist()),
        "JSON of pgvector": "[" + ",".join(map(str, np.frombuffer(raw, "<f4").tolist())) + "]",
        "JSON with spaces": "\n [ " + " ,\t".join(map(str, np.frombuffer(raw, "<f4").tolist())) + " ] ",
    }


@pytest.mark.parametrize("form", encoded(b""))
def test_vector_as_text_is_read(form: str) -> None:
    raw = [np.random.default_rng(i).standard_normal(DIM).astype("<f4") for i in range(3)]
    found = vectors(pa.array([encoded(vector.tobytes())[form] for vector in raw]))
    np.testing.assert_array_equal(found.values, np.array(raw))


UNREADABLE = {
    "words": "a vector",
    "a word": "soon",
    "numbers without commas": "[0.1 0.2 0.3]",
    "braces of PostgreSQL": "{0.1,0.2}",
    "hexadecimal of PostgreSQL": r"\x3f800000",
    "a number": "[0.1, 0.2",
    "texts in a list": '["0.1", "0.2"]',
    "true in a list": "[true]",
    "a list in a list": "[[0.1]]",
    "an object in a list": '[{"x": 1}]',
    "too deep": "[" * 100_000,
    "one character too many": "AAAAA",
    "half a surrogate pair": "\ufffd",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_text_that_is_no_vector_is_named(text: str) -> None:
    good = json.dumps(VECTOR.tolist())
    cases, rejected = validate(rows(vector=pa.array([text, good])))
    assert cases.column("case_id").to_pylist() == ["c1"]
    assert rejected.column("reason").to_pylist() == [faults.MALFORMED_ROW.code]
    assert rejected.column("detail").to_pylist() == [
        "embedding_vector is text that is neither a JSON list of numbers nor base64"
    ]


@pytest.mark.parametrize("text", ["", " ", "null", "[]", None])
def test_text_without_a_value_is_a_missing_vector(text: str | None) -> None:
    rejected = validate(rows(vector=pa.array([text], pa.string())))[1]
    assert rejected.column("reason").to_pylist() == [faults.MISSING_VECTOR.code]


@pytest.mark.parametrize("number", ["NaN", "null", "1e999", "-Infinity", "1" + "0" * 5_000])
def test_number_in_text_that_is_not_finite_is_named(number: str) -> None:
    text = json.dumps(VECTOR.tolist()).replace("[0.0,", f"[{number},")
    rejected = validate(rows(vector=pa.array([text])))[1]
    assert rejected.column("reason").to_pylist() == [faults.NON_FINITE.code]


def test_text_of_another_length_is_wrong_dimension() -> None:
    (detail,) = validate(rows(vector=pa.array(["[0.5, 1]"])))[1].column("detail").to_pylist()
    assert detail == "2 values, not 584"


def test_text_that_is_not_utf8_is_no_vector() -> None:
    assert validate(rows(vector=not_utf8(pa.string(), [b"\xff"])))[1].column("reason").to_pylist() == ["malformed_row"]


# Timestamps

moments = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29))
ZONES = [
    ("", 0),
    ("Z", 0),
    ("z", 0),
    (" UTC", 0),
    ("+00", 0),
    ("-00:00", 0),
    ("+0530", 330),
    ("+05:30", 330),
    (" -08:00", -480),
]


@st.composite
def written(draw: st.DrawFn) -> tuple[str, dt.datetime]:
    """A time in one of the forms of ISO 8601, and what it means."""
    moment = draw(moments)
    digits = draw(st.integers(0, 9))
    basic = draw(st.booleans())
    date = f"{moment.year:04d}-{moment:%m-%d}".replace("-", "" if basic else "-")
    precision = draw(st.sampled_from(["date", "hour", "minute", "second"]))
    if precision == "date":
        return date, moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    colon = "" if basic else ":"
    kept = {"hour": ["%H"], "minute": ["%H", "%M"], "second": ["%H", "%M", "%S"]}[precision]
    time = colon.join(f"{moment:{part}}" for part in kept)
    moment = moment.replace(minute=moment.minute if len(kept) > 1 else 0, second=moment.second if len(kept) > 2 else 0)
    fraction = ""
    if precision == "second" and digits:
        fraction = f"{moment.microsecond:06d}{draw(st.integers(0, 999)):03d}"[:digits]
        micros = int(fraction.ljust(9, "0")[:6])
        fraction = draw(st.sampled_from(".,")) + fraction
    else:
        micros = 0
    zone, minutes = draw(st.sampled_from(ZONES))
    text = date + draw(st.sampled_from(["T", "t", " ", "  "])) + time + fraction + zone
    meant = moment.replace(microsecond=micros, tzinfo=dt.timezone(dt.timedelta(minutes=minutes))).astimezone(UTC)
    return draw(st.sampled_from(["", " "])) + text, meant


@given(st.lists(written(), min_size=1, max_size=8), st.booleans())
def test_any_form_of_iso_8601_is_read(times: list[tuple[str, dt.datetime]], with_null: bool) -> None:
    texts: list[str | None] = [text for text, _ in times]
    meant: list[dt.datetime | None] = [time for _, time in times]
    if with_null:
        texts, meant = [*texts, None, "soon"], [*meant, None, None]
    assert timestamps(pa.array(texts)).to_pylist() == meant
    assert timestamps(pa.array(texts).dictionary_encode()).to_pylist() == meant


@given(written(), st.data())
def test_mutated_time_is_read_right_or_not_at_all(time: tuple[str, dt.datetime], data: st.DataObject) -> None:
    """The library's parser, where it takes the text too, must agree."""
    text = time[0].strip()
    place = data.draw(st.integers(0, len(text)))
    inserted = data.draw(st.text(alphabet="0123456789-+:.,TtZz WQ\u0660\u2212", max_size=2))
    text = text[:place] + inserted + text[place + data.draw(st.integers(0, 2)) :]
    (found,) = timestamps(pa.array([text])).to_pylist()
    try:
        meant = dt.datetime.fromisoformat(text)
    except ValueError:
        return
    meant = meant if meant.tzinfo else meant.replace(tzinfo=UTC)
    assert found is None or found == meant


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("20260101T101010Z", dt.datetime(2026, 1, 1, 10, 10, 10)),
        ("2026-01-01T10Z", dt.datetime(2026, 1, 1, 10)),
        ("2026-01-01t10:10:10z", dt.datetime(2026, 1, 1, 10, 10, 10)),
        ("2026-01-01T10:10:10,123456789Z", dt.datetime(2026, 1, 1, 10, 10, 10, 123456)),
        ("2026-01-01T10:10:10.1234567+01:00", dt.datetime(2026, 1, 1, 9, 10, 10, 123456)),
        ("2026-01-01T10:10:10.9999999", dt.datetime(2026, 1, 1, 10, 10, 10, 999999)),
        ("20260101", dt.datetime(2026, 1, 1)),
        ("2026-01-01 10:10:10 +0530", dt.datetime(2026, 1, 1, 4, 40, 10)),
    ],
)
def test_time_is_cut_to_microseconds_in_utc(text: str, time: dt.datetime) -> None:
    assert timestamps(pa.array([text])).to_pylist() == [time.replace(tzinfo=UTC)]


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_nanoseconds_before_1970_are_cut_down(zone: str | None) -> None:
    column = pa.array([-1, -1_999, 1_999], pa.timestamp("ns", zone))
    texts = ["1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999998001Z", "1970-01-01T00:00:00.000001999Z"]
    expected = [-1, -2, 1]
    assert timestamps(column).cast(pa.int64()).to_pylist() == expected
    assert timestamps(pa.array(texts)).cast(pa.int64()).to_pylist() == expected
    assert timestamps(pa.array([*texts, "soon"])).cast(pa.int64()).to_pylist() == [*expected, None]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T10:30.5Z",
        "2026-01-01T10.5Z",
        "2026-01-01Z",
        "2026-1-1",
        "202601",
        "2026",
        "2026-01-01T10:10:10.Z",
        "20260101101010",
    ],
)
def test_text_that_is_almost_a_time_is_not_read(text: str) -> None:
    assert timestamps(pa.array([text])).to_pylist() == [None]


# Any row of any type


@st.composite
def vector_rows(draw: st.DrawFn) -> tuple[pa.DataType, list[Any], list[str | None]]:
    """A type, values of rows, and the reason for which each is rejected."""
    dtype = draw(st.sampled_from(VECTOR_TYPES))
    fixed = pa.types.is_fixed_size_list(plain_type(dtype)) or pa.types.is_fixed_size_binary(dtype)
    faulty = ["sound", "null", "nan"] if fixed else ["sound", "null", "nan", "short", "long", "empty"]
    values, reasons = [], []
    for i, fault in enumerate(draw(st.lists(st.sampled_from(faulty), max_size=8))):
        vector = VECTOR / 2 ** (i % 3)
        made = {
            "null": None,
            "empty": np.empty(0),
            "short": vector[1:],
            "long": np.append(vector, 0.5),
            "sound": vector,
        }
        values.append(np.where(np.arange(DIM) == i, np.nan, vector) if fault == "nan" else made[fault])
        codes = {"null": "missing_vector", "empty": "missing_vector", "nan": "non_finite", "sound": None}
        reasons.append(codes.get(fault, "wrong_dimension"))
    return dtype, values, reasons


@given(vector_rows(), st.integers(0, 3))
def test_no_accepted_type_changes_a_value(
    given_rows: tuple[pa.DataType, list[Any], list[str | None]], cut: int
) -> None:
    dtype, values, reasons = given_rows
    batch = (
        rows(vector=vectors_as(values, dtype)).slice(cut) if values else rows(vector=vectors_as([None], dtype)).slice(1)
    )
    cases, rejected = validate(input_columns(batch))
    kept = [i for i, reason in enumerate(reasons) if reason is None and i >= cut]
    assert cases.column("case_id").to_pylist() == [f"c{i}" for i in kept]
    assert rejected.column("reason").to_pylist() == [reason for reason in reasons[cut:] if reason is not None]
    expected = np.array([values[i] for i in kept], np.float32).reshape(-1, DIM)
    np.testing.assert_array_equal(schemas.vectors_of(cases), expected)


NUMBERS = st.sampled_from([0.1, -2.5, 1e-300, 1e300, 3.4028236e38, np.nan, np.inf, None])


@given(
    st.lists(st.none() | st.tuples(NUMBERS, st.sampled_from([DIM, DIM, 0, 1, DIM + 1])), max_size=8), st.integers(0, 3)
)
def test_narrowed_vectors_are_those_of_double(given_rows: list[tuple[float | None, int] | None], cut: int) -> None:
    lists = [None if row is None else [row[0], *[0.3] * (row[1] - 1)][: row[1]] for row in given_rows]
    column = pa.array(lists, pa.list_(pa.float64())).slice(cut)

    as_float = narrowed(column)

    assert as_float.type == pa.list_(pa.float32())
    assert as_float.is_null().to_pylist() == column.is_null().to_pylist()
    for got, expected in zip(vectors(as_float)[:3], vectors(column)[:3], strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [dtype for dtype in VECTOR_TYPES if dtype != pa.list_(pa.float64())], ids=str)
def test_other_vectors_are_not_narrowed(dtype: pa.DataType) -> None:
    column = vectors_as([VECTOR], dtype)
    assert narrowed(column) is column


ID_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.uuid(),
    pa.int16(),
    pa.uint64(),
    pa.decimal128(25, 3),
    pa.dictionary(pa.int8(), pa.int32()),
    pa.dictionary(pa.int32(), pa.string()),
]
TIME_TYPES = [
    pa.timestamp("s"),
    pa.timestamp("ms", "UTC"),
    pa.timestamp("us", "Asia/Kolkata"),
    pa.timestamp("ns", "America/New_York"),
    pa.string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.large_string()),
    pa.dictionary(pa.int8(), pa.timestamp("us", "UTC")),
]


def ids_as(numbers: list[int | None], dtype: pa.DataType) -> pa.Array:
    if isinstance(dtype, pa.DictionaryType):
        return ids_as(numbers, dtype.value_type).dictionary_encode()
    if isinstance(dtype, pa.UuidType):
        raw = [None if number is None else uuid.UUID(int=number).bytes for number in numbers]
        return pa.ExtensionArray.from_storage(dtype, pa.array(raw, pa.binary(16)))
    if pa.types.is_integer(dtype) or pa.types.is_decimal(dtype):
        return pa.array(numbers, pa.int64()).cast(dtype)
    return pa.array([None if number is None else str(number) for number in numbers], dtype)


def times_as(times: list[dt.datetime | None], dtype: pa.DataType) -> pa.Array:
    if isinstance(dtype, pa.DictionaryType):
        return times_as(times, dtype.value_type).dictionary_encode()
    if pa.types.is_timestamp(dtype):
        return pa.array(times, pa.timestamp("us", "UTC")).cast(pa.timestamp(dtype.unit, "UTC")).cast(dtype)
    return pa.array([None if time is None else time.isoformat() for time in times], dtype)


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 30_000)), st.booleans(), st.booleans()), max_size=6),
    st.sampled_from(ID_TYPES),
    st.sampled_from(VECTOR_TYPES),
    st.sampled_from(TIME_TYPES),
    st.integers(0, 3),
)
def test_rows_of_any_types_come_out_as_they_are(
    drawn: list[tuple[int | None, bool, bool]],
    id_type: pa.DataType,
    vector_type: pa.DataType,
    time_type: pa.DataType,
    cut: int,
) -> None:
    times = [TIME + dt.timedelta(seconds=row) if has_time else None for row, (_, _, has_time) in enumerate(drawn)]
    has_vector = [has for _, has, _ in drawn]
    columns = {
        "Case_Id": ids_as([number for number, _, _ in drawn], id_type),
        "other": pa.nulls(len(drawn)),
        "vec": vectors_as([VECTOR if has else None for has in has_vector], vector_type),
        "TIMESTAMP": times_as(times, time_type),
    }
    batch = pa.RecordBatch.from_pydict(columns).slice(cut)
    cases, rejected = validate(input_columns(batch, None, {"embedding_vector": "VEC"}))

    expected, reasons = [], []
    for (number, has, _), time in [*zip(drawn, times, strict=True)][cut:]:
        reason = "missing_case_id" if number is None else None if has else "missing_vector"
        reason = reason or (None if time else "bad_timestamp")
        if reason is None and number is not None:
            text = str(uuid.UUID(int=number)) if isinstance(id_type, pa.UuidType) else str(number)
            expected.append({"case_id": text, "vector": VECTOR.tolist(), "timestamp": time})
        else:
            reasons.append(reason)
    assert cases.drop_columns(["content_digest"]).to_pylist() == expected
    assert rejected.column("reason").to_pylist() == reasons


def test_time_of_sound_rows_is_unchanged() -> None:
    assert validate(rows())[0].column("timestamp").to_pylist() == [TIME]
