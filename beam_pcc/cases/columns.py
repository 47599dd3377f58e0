"""A source's columns in the types that validation works on, a whole column at a time. Pure functions of Arrow arrays.

A value that does not fit becomes a null, and validation rejects its row.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import schemas
from beam_pcc.cases.faults import Mask, VectorColumn
from beam_pcc.errors import SourceError

VECTOR_BYTES = schemas.VECTOR_DIM * 4  # float32
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds: the years 1 to 9999
_UTC = schemas.CASES.field("timestamp").type
_ISO_8601 = (
    r"^\s*(?P<date>\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:(?:[Tt]|\s+)(?P<time>\d{2}(?::\d{2}(?::\d{2})?)?|\d{4}(?:\d{2})?)(?P<fraction>[.,]\d+)?"
    r"\s*(?P<zone>[Zz]|UTC|[+\x{2212}-]\d{2}(?::?\d{2})?)?)?\s*$"
)
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_UUID_DASHES = (8, 13, 18, 23)
_STANDARD_BASE64 = str.maketrans("-_", "+/")


def check_input(
    schema: pa.Schema,
    where: str,
    text_column: str | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    type_names: Mapping[str, str] | None = None,
) -> list[str]:
    """Refuse a source whose columns cannot be cases at all.

    Args:
        schema: The source's own columns and types.
        where: The source's name, for the message.
        text_column: The column that holds the messages, where vectors are to be made of them.
        columns: Input column to the source's own name of it, where that is another.
        type_names: What the source itself calls the type of each column, for the message; default: Arrow's names.

    Returns:
        The columns to read, by the names that the source has: INPUT_COLUMNS, or with a text column that one, and
        vectors only where the source has some.

    Raises:
        SourceError: A column is missing, there twice, or of a type that no row could be read from.
    """
    own_names = match_names(schema.names, where, text_column, columns)
    for name, own_name in own_names.items():
        dtype = schema.field(own_name).type
        if name == text_column:
            fits, words = is_text(dtype), "STRING"
        elif name == "case_id":
            fits, words = is_id(dtype), "STRING, UUID or an integer"
        elif name == "timestamp":
            fits, words = is_time(dtype), "TIMESTAMP, DATE or an ISO 8601 STRING"
        else:
            fits = _is_vector(dtype)
            words = f"a list of {schemas.VECTOR_DIM} floats, or these as {VECTOR_BYTES} BYTES or as text"
        if not fits:
            type_name = type_names[own_name] if type_names else _type_name(dtype)
            raise SourceError(f"{where}: column {own_name} is {type_name}, not {words}; convert it")
    return list(own_names.values())


def match_name(names: Iterable[str], wanted: str, where: str) -> str | None:
    """The source's own spelling of a column; None if it has no such column. Raises SourceError if it has two."""
    matches = [name for name in names if name.lower() == wanted.lower()]
    if len(matches) > 1:
        both = " and ".join(matches)
        raise SourceError(f"{where} has the columns {both}, which differ in case at most; rename one")
    return matches[0] if matches else None


def match_names(
    names: Iterable[str], where: str, text_column: str | None = None, columns: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Find the columns that are read among those of a source. Case does not matter, as in BigQuery.

    Returns:
        Name in the graph to the source's own name.

    Raises:
        SourceError: One is missing, or there twice.
    """
    columns, names = columns or {}, list(names)
    own_names: dict[str, str] = {}
    for name in wanted_columns(text_column):
        wanted = columns.get(name, name)
        own_name = match_name(names, wanted, where)
        if own_name is not None:
            own_names[name] = own_name
        elif name != "embedding_vector" or text_column is None or name in columns:
            shown = ", ".join(names[:8]) or "none"
            raise SourceError(f"{where} has no column {wanted} (its columns: {shown}); {_advice(name, columns)}")
    return own_names


def _advice(name: str, columns: Mapping[str, str]) -> str:
    return f"--columns maps {name} to it: correct that" if name in columns else "rename or add it, or see --columns"


def wanted_columns(text_column: str | None) -> tuple[str, ...]:
    """The columns that a run can read, by their names in the graph."""
    return schemas.INPUT_COLUMNS if text_column is None else ("case_id", text_column, "timestamp", "embedding_vector")


def input_columns(
    rows: pa.RecordBatch, text_column: str | None = None, columns: Mapping[str, str] | None = None
) -> pa.RecordBatch:
    """The columns that are read, under the names that the graph has for them, without dictionaries, views, extensions.

    Args:
        rows: Of a source that `check_input` accepted; other columns are left out.
        text_column: The same as there.
        columns: The same as there.

    Raises:
        SourceError: A column is not there.
    """
    own_names = match_names(rows.schema.names, "the source", text_column, columns)
    return pa.RecordBatch.from_pydict({name: plain(rows.column(own)) for name, own in own_names.items()})


def _type_name(dtype: pa.DataType) -> str:
    """The name of a type, without the names of fields in it: where rows became structs, those were keys of rows."""
    name = str(dtype)
    return name.partition("<")[0] if any(word in name for word in ("struct", "map", "union")) else name


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """The type of `plain` of a column of this type."""
    if isinstance(dtype, pa.DictionaryType):
        return plain_type(dtype.value_type)
    if isinstance(dtype, pa.UuidType):
        return pa.string()
    if pa.types.is_string_view(dtype):
        return pa.large_string()
    if isinstance(dtype, pa.FixedShapeTensorType) and has_one_axis(dtype):
        return dtype.storage_type
    if pa.types.is_binary_view(dtype):
        return pa.large_binary()
    return dtype


def plain(column: pa.Array) -> pa.Array:
    """Bring a column to an ordinary layout with the same values: no dictionary, view of bytes, or extension."""
    dtype = column.type
    if isinstance(dtype, pa.DictionaryType):
        return plain(column.dictionary).take(column.indices)
    if isinstance(dtype, pa.UuidType):
        return _uuids(column.storage)
    if plain_type(dtype) == dtype:
        return column
    if isinstance(dtype, pa.BaseExtensionType):
        return column.storage
    if pa.types.is_string_view(dtype):  # by way of bytes: what is not UTF-8 could not be cast
        return column.cast(pa.binary_view()).cast(pa.large_binary()).view(pa.large_string())
    return column.cast(plain_type(dtype))


def has_one_axis(tensor: pa.FixedShapeTensorType) -> bool:
    """Whether all its values lie along one axis, so that their order is known."""
    return len([size for size in tensor.shape if size != 1]) <= 1


def _uuids(storage: pa.Array) -> pa.Array:
    """16 bytes each -> text of 36 characters, such as 550e8400-e29b-41d4-a716-446655440000."""
    n = len(storage)
    if n == 0:
        return pa.array([], pa.string())
    raw = np.frombuffer(storage.buffers()[1], dtype=np.uint8, count=16 * n, offset=16 * storage.offset).reshape(n, 16)
    text = np.full((n, 36), ord("-"), dtype=np.uint8)
    digits = [place for place in range(36) if place not in _UUID_DASHES]
    text[:, digits] = _HEX[np.stack([raw >> 4, raw & 15], axis=2)].reshape(n, 32)
    ids = pa.FixedSizeBinaryArray.from_buffers(pa.binary(36), n, [None, pa.py_buffer(text)]).cast(pa.string())
    return pc.if_else(storage.is_valid(), ids, pa.scalar(None, pa.string())) if storage.null_count else ids


def is_text(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds text; one of nothing but nulls is a column of any type."""
    dtype = dtype.value_type if isinstance(dtype, pa.DictionaryType) else dtype
    return not _is_uuid(dtype) and (_is_string(plain_type(dtype)) or bool(pa.types.is_null(dtype)))


def _is_uuid(dtype: pa.DataType) -> bool:
    return isinstance(dtype.value_type if isinstance(dtype, pa.DictionaryType) else dtype, pa.UuidType)


def _is_string(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype))


def is_id(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds identifiers."""
    return is_text(dtype) or _is_uuid(dtype) or _is_exact_number(plain_type(dtype))


def _is_exact_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_decimal(dtype))


def is_time(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds times, perhaps as text."""
    plain_dtype = plain_type(dtype)
    return is_text(dtype) or bool(pa.types.is_timestamp(plain_dtype) or pa.types.is_date(plain_dtype))


def _is_vector(dtype: pa.DataType) -> bool:
    if isinstance(dtype, pa.JsonType) or is_text(dtype):
        return True
    plain_dtype = plain_type(dtype)
    return _is_bytes(plain_dtype) or (_is_list(plain_dtype) and _is_float(plain_type(plain_dtype.value_type)))


def _is_float(dtype: pa.DataType) -> bool:
    """Whether a vector may have values of this type. Integers are a vector in another scale (it was quantised)."""
    t = pa.types
    return bool(t.is_floating(dtype) or t.is_decimal(dtype) or t.is_null(dtype))


def _is_list(dtype: pa.DataType) -> bool:
    # Arrow 25 casts a list view with a null in it to a list with wrong offsets, so views are read as they are.
    t = pa.types
    is_view = t.is_list_view(dtype) or t.is_large_list_view(dtype)
    return bool(is_view or t.is_list(dtype) or t.is_large_list(dtype) or t.is_fixed_size_list(dtype))


def _is_bytes(dtype: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(dtype) or t.is_large_binary(dtype) or t.is_fixed_size_binary(dtype))


def case_ids(column: pa.Array) -> pa.Array:
    """As strings; null where it is not UTF-8. A whole number is its digits, also where its type has a scale."""
    column = plain(column)
    if not _is_exact_number(column.type):
        return as_text(column)
    text = column.cast(pa.string())
    if pa.types.is_decimal(column.type) and column.type.scale:
        text = pc.replace_substring_regex(text, r"^(-?\d+)\.0+$", r"\1")
        text = pc.replace_substring_regex(text, r"^0E-\d+$", "0")  # so Arrow writes a zero
    return text


def as_text(column: pa.Array) -> pa.Array:
    """As strings; a value that is not UTF-8 (Parquet does not check) becomes null."""
    column = plain(column)
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = column.cast(pa.large_binary()).to_pylist()
        return pa.array([None if b is None else _decoded(b) for b in raw], pa.string())
    return column.cast(pa.string())


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def timestamps(column: pa.Array) -> pa.Array:
    """As UTC microseconds; null where it is not a time. A time without a zone is UTC."""
    column = plain(column)
    naive = pa.timestamp("us")
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return _cast_what_fits(_cut(column.cast(pa.timestamp(column.type.unit, "UTC"))), _UTC)
    if pa.types.is_timestamp(column.type):
        return _cast_what_fits(_cut(column), naive).cast(_UTC)
    if not _is_string(column.type):
        return _cast_what_fits(column, naive).cast(_UTC)
    column = as_text(column)
    # Arrow's own parser takes columns in which all have a zone, or none has. Nanoseconds do not reach all years.
    for dtype in (_UTC, naive, pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        with contextlib.suppress(pa.ArrowInvalid):
            return _storable(_cut(column.cast(dtype))).cast(_UTC)
    return _cast_what_fits(_extended(column), _UTC)


def _extended(column: pa.Array) -> pa.Array:
    """ISO 8601 in any of its forms -> the one that Arrow reads: 2026-11-20T10:11:12.000000+00:00; else null."""
    parts = pc.extract_regex(column, _ISO_8601)
    date, time, fraction, zone = (pc.struct_field(parts, name) for name in ("date", "time", "fraction", "zone"))
    date, time = (pc.replace_substring_regex(part, "[-:]", "") for part in (date, time))
    # A fraction is one of a second: of an hour or a minute it is not read.
    partial = pc.and_(pc.not_equal(fraction, ""), pc.not_equal(pc.utf8_length(time), 6))
    date = pc.if_else(partial, pa.scalar(None, pa.string()), date)
    time = pc.utf8_rpad(time, 6, "0")
    micros = pc.utf8_rpad(pc.utf8_slice_codeunits(fraction, 1, 7), 6, "0")
    zone = pc.replace_substring_regex(pc.replace_substring(zone, "\u2212", "-"), "^(?:[Zz]|UTC)?$", "+00:00")
    year, month, day = (pc.utf8_slice_codeunits(date, *part) for part in ((0, 4), (4, 6), (6, 8)))
    hour, minute, second = (pc.utf8_slice_codeunits(time, *part) for part in ((0, 2), (2, 4), (4, 6)))
    dates = pc.binary_join_element_wise(year, month, day, "-")
    times = pc.binary_join_element_wise(hour, minute, second, ":")
    return pc.binary_join_element_wise(dates, "T", times, ".", micros, zone, "")


def _cut(times: pa.Array) -> pa.Array:
    """To microseconds, down: a cast would round what is before 1970 up."""
    if times.type.unit != "ns":
        return times
    return pc.floor_temporal(times, unit="microsecond").cast(pa.timestamp("us", times.type.tz))


def _storable(times: pa.Array) -> pa.Array:
    """Null where BigQuery could not store the time; microseconds reach further than its years do."""
    micros = times.cast(pa.int64())
    beyond = pc.or_(pc.less(micros, _FIRST_TIME), pc.greater(micros, _LAST_TIME))
    return pc.if_else(beyond, pa.scalar(None, times.type), times) if pc.any(beyond).as_py() else times


def _cast_what_fits(column: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Cast whole; on failure halve, so that only the values that do not fit become null."""
    try:
        return _storable(column.cast(dtype))
    except pa.ArrowInvalid:
        if len(column) <= 1:
            return pa.nulls(len(column), dtype)
        half = len(column) // 2
        parts = [_cast_what_fits(part, dtype) for part in (column.slice(0, half), column.slice(half))]
        return pa.concat_arrays(parts)


def has_values(column: pa.Array) -> Mask:
    """Which rows of a column of vectors hold anything."""
    column = _plain_vectors(column)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.bool_)
    lengths = pc.list_value_length(column) if _is_list(column.type) else pc.binary_length(column)
    filled: Mask = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False) > 0
    return filled


def vectors(column: pa.Array) -> VectorColumn:
    """As float32, each value the nearest to what the source has."""
    column = _plain_vectors(column)
    if _is_list(column.type):
        return _from_lists(column)
    if _is_string(column.type):
        return _from_text(column)
    return _from_binary(column.cast(pa.binary()) if pa.types.is_null(column.type) else column)


def narrows(dtype: pa.DataType) -> bool:
    """Whether `narrowed` makes a column of this type half as large."""
    return bool(pa.types.is_list(dtype) and pa.types.is_float64(dtype.value_type))


def narrowed(column: pa.Array) -> pa.Array:
    """Lists of double as lists of float, whose values `vectors` would have made; any other column as it is."""
    if not narrows(column.type):
        return column
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    nulls = column.is_null() if column.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(_as_float32(column.flatten())), mask=nulls)


def _plain_vectors(column: pa.Array) -> pa.Array:
    return plain(column.storage if isinstance(column.type, pa.JsonType) else column)


def _from_lists(column: pa.Array) -> VectorColumn:
    # A list view with nulls is not cast: Arrow 25 then gives its rows the values of others.
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    has_dimension = lengths == schemas.VECTOR_DIM
    if pa.types.is_null(column.type.value_type):
        values = np.full(lengths.sum(), np.nan, dtype=np.float32)
    else:
        values = _as_float32(column.flatten())
    if not has_dimension.all():
        values = _rows(values, lengths, has_dimension)
    return VectorColumn(values.reshape(-1, schemas.VECTOR_DIM), lengths, has_dimension)


def _as_float32(numbers: pa.Array) -> npt.NDArray[np.float32]:
    """A null is not a number."""
    numbers = plain(numbers)
    if pa.types.is_decimal(numbers.type):
        numbers = numbers.cast(pa.float64())
    if numbers.null_count:
        numbers = pc.fill_null(numbers, float("nan"))
    source = numbers.to_numpy(zero_copy_only=False)
    if source.dtype == np.float32:
        return source  # type: ignore[no-any-return]
    values = schemas.new_floats(len(source))
    with np.errstate(over="ignore", invalid="ignore"):
        np.copyto(values, source, casting="same_kind")
    return values


def _rows(values: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], wanted: Mask) -> npt.NDArray[np.float32]:
    """The values of the wanted rows, run by run: to filter a list column in Arrow takes several times as long."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    changes = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    runs = [values[starts[first] : starts[end]] for first, end in changes.reshape(-1, 2)]
    return np.concatenate(runs, out=schemas.new_floats(sum(map(len, runs)))) if runs else values[:0]


def _from_binary(column: pa.Array) -> VectorColumn:
    sizes = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    has_dimension = sizes == VECTOR_BYTES
    return VectorColumn(
        _floats(_filter(column, has_dimension)), sizes, has_dimension, is_bytes=np.full(len(sizes), True)
    )


def _filter(column: pa.Array, mask: Mask) -> pa.Array:
    return column if mask.all() else column.filter(pa.array(mask))


def _floats(column: pa.Array) -> schemas.Vectors:
    """Rows of exactly 2,336 bytes lie one behind the other in the column's data buffer."""
    n = len(column)
    if n == 0:
        return np.empty((0, schemas.VECTOR_DIM), dtype=np.float32)
    if pa.types.is_fixed_size_binary(column.type):
        data, start = column.buffers()[1], column.offset * VECTOR_BYTES
    else:
        width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
        offsets = np.frombuffer(column.buffers()[1], dtype=width)
        data, start = column.buffers()[2], int(offsets[column.offset])
    values = np.frombuffer(data, dtype="<f4", count=n * schemas.VECTOR_DIM, offset=start)
    return values.astype(np.float32, copy=False).reshape(n, schemas.VECTOR_DIM)


def _from_text(column: pa.Array) -> VectorColumn:
    """Of the forms that `_read_text` knows. Row by row: such sources are rare, and none is read fast."""
    texts = as_text(column).to_pylist()
    n = len(texts)
    lengths, is_bytes, unreadable = np.zeros(n, dtype=np.int64), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    sound = []
    given = column.is_valid().to_numpy(zero_copy_only=False)
    for row, text in enumerate(texts):
        vector = _read_text(text) if text is not None else (None if given[row] else b"")
        if vector is None:
            unreadable[row] = True
            continue
        is_bytes[row] = isinstance(vector, bytes)
        lengths[row] = len(vector)
        if lengths[row] == (VECTOR_BYTES if is_bytes[row] else schemas.VECTOR_DIM):
            sound.append(np.frombuffer(vector, "<f4") if isinstance(vector, bytes) else vector)
    with np.errstate(over="ignore"):
        values = np.array(sound, dtype=np.float32).reshape(-1, schemas.VECTOR_DIM)
    has_dimension = lengths == np.where(is_bytes, VECTOR_BYTES, schemas.VECTOR_DIM)
    return VectorColumn(values, lengths, has_dimension, is_bytes=is_bytes, unreadable=unreadable)


def _read_text(text: str) -> npt.NDArray[np.float64] | bytes | None:
    """The numbers of a JSON list, or the bytes of base64 (also URL-safe, not padded, in lines); None if neither."""
    text = text.strip()
    if text in ("", "null"):
        return b""
    if text.startswith("["):
        return _numbers(text)
    encoded = "".join(text.splitlines()).rstrip("=").translate(_STANDARD_BASE64)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) % 4 == 0 else None  # else it is a word such as "soon", whose letters are base64 too


def _numbers(text: str) -> npt.NDArray[np.float64] | None:
    try:
        values: Any = json.loads(text, parse_int=float)
    except (ValueError, RecursionError):
        return None
    if not all(type(value) is float or value is None for value in values):
        return None
    return np.array(values, dtype=np.float64)  # of None, NaN
