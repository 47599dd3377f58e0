"""Input rows to CASES rows and rejected rows, whole batches at a time. Pure functions that know nothing of Beam.

Only rows that are already known to be bad are looked at one by one, to say what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import content, faults, schemas
from beam_pcc.cases.faults import Mask, VectorColumn
from beam_pcc.errors import SourceError

_VECTOR_BYTES = schemas.VECTOR_DIM * 4  # float32
_FIRST_TIME, _LAST_TIME = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds: the years 1 to 9999
_ZONE = r"(?:Z|[+-]\d{2}(?::?\d{2})?)$"


def check_input(
    schema: pa.Schema, where: str, text_column: str | None = None, *, type_names: Mapping[str, str] | None = None
) -> list[str]:
    """Refuse a source whose columns cannot be cases at all.

    Args:
        schema: The source's own columns and types.
        where: The source's name, for the message.
        text_column: The column that holds the messages, where vectors are to be made of them.
        type_names: What the source itself calls the type of each column, for the message; default: Arrow's names.

    Returns:
        The columns to read: INPUT_COLUMNS, or with a text column that one, and vectors only where the source has some.

    Raises:
        SourceError: A column is missing, or of a type that no row could be read from.
    """
    accepted: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
        "case_id": (_is_id, "STRING or an integer"),
        "embedding_vector": (_is_vector, f"a list of {schemas.VECTOR_DIM} floats or {_VECTOR_BYTES} BYTES"),
        "timestamp": (_is_time, "TIMESTAMP, DATE or an ISO 8601 STRING"),
    }
    wanted = list(schemas.INPUT_COLUMNS)
    if text_column is not None:
        accepted[text_column] = _is_text, "STRING"
        wanted = ["case_id", text_column, "timestamp"]
        if schema.get_field_index("embedding_vector") >= 0:
            wanted.append("embedding_vector")
    for name in wanted:
        if schema.get_field_index(name) < 0:
            found = ", ".join(schema.names[:8]) or "none"
            raise SourceError(f"{where} has no column {name} (its columns: {found}); rename or add it")
        fits, kinds = accepted[name]
        kind = schema.field(name).type
        if not fits(kind):
            found = type_names[name] if type_names else _name(kind)
            raise SourceError(f"{where}: column {name} is {found}, not {kinds}; convert it")
    return wanted


def _name(kind: pa.DataType) -> str:
    """The name of a type, without the names of fields in it: where rows became structs, those were keys of rows."""
    name = str(kind)
    return name.partition("<")[0] if any(word in name for word in ("struct", "map", "union")) else name


def validate(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Split input rows into CASES and STAGED_REJECTED.

    Every row comes out exactly once, a row with several faults with the first of them (`faults.FAULTS`).

    Args:
        rows: INPUT_COLUMNS in any type that `check_input` accepts; n rows.

    Returns:
        The valid rows (m), and the others (n - m) with case_id, reason and a detail without content.
    """
    case_id = case_ids(rows.column("case_id"))
    timestamp = timestamps(rows.column("timestamp"))
    vectors = _vectors(rows.column("embedding_vector"))
    columns = {"case_id": case_id, "embedding_vector": vectors, "timestamp": timestamp}
    valid, rejected = faults.split(columns)
    if valid.all():
        kept_vectors = vectors.values
        values = [case_id, schemas.vector_column(kept_vectors), timestamp]
    else:
        keep, kept = pa.array(valid), valid[vectors.has_dimension]
        kept_vectors = vectors.values if kept.all() else vectors.values[kept]
        values = [case_id.filter(keep), schemas.vector_column(kept_vectors), timestamp.filter(keep)]
    values.append(content.of_vectors(kept_vectors))
    return pa.RecordBatch.from_arrays(values, schema=schemas.CASES), rejected


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_id(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind))


def _is_vector(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or (_is_list(kind) and pa.types.is_floating(kind.value_type))


def _is_time(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_timestamp(kind) or t.is_date(kind) or t.is_string(kind) or t.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind))


def case_ids(column: pa.Array) -> pa.Array:
    """As strings; null where it is not UTF-8."""
    return column.cast(pa.string()) if pa.types.is_integer(column.type) else as_text(column)


def as_text(column: pa.Array) -> pa.Array:
    """As strings; a value that is not UTF-8 (Parquet does not check) becomes null."""
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
    utc = schemas.CASES.field("timestamp").type
    naive = pa.timestamp("us")
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return _cast_what_fits(column, utc)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return _cast_what_fits(column, naive).cast(utc)
    # BigQuery's JSON export ends its times in " UTC".
    column = pc.replace_substring_regex(pc.utf8_trim_whitespace(as_text(column)), r"\s*(?:UTC|z)$", "Z")
    zoned = pc.fill_null(pc.match_substring_regex(column, _ZONE), False)
    # A date such as 2026-11-20 ends like the zone -20: only what has a time of day can have a zone.
    zoned = pc.and_(zoned, pc.fill_null(pc.match_substring(column, ":"), False))
    none = pa.scalar(None, column.type)
    if not pc.any(zoned).as_py():
        return _cast_what_fits(column, naive).cast(utc)
    if pc.all(zoned).as_py():
        return _cast_what_fits(column, utc)
    with_zone = _cast_what_fits(pc.if_else(zoned, column, none), utc)
    without = _cast_what_fits(pc.if_else(zoned, none, column), naive).cast(utc)
    return pc.coalesce(with_zone, without)


def _storable(times: pa.Array) -> pa.Array:
    """Null where BigQuery could not store the time; microseconds reach further than its years do."""
    micros = times.cast(pa.int64())
    beyond = pc.or_(pc.less(micros, _FIRST_TIME), pc.greater(micros, _LAST_TIME))
    return pc.if_else(beyond, pa.scalar(None, times.type), times) if pc.any(beyond).as_py() else times


def _cast_what_fits(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast whole; on failure halve, so that only the values that do not fit become null."""
    try:
        return _storable(pc.cast(column, options=pc.CastOptions(kind, allow_time_truncate=True)))
    except pa.ArrowInvalid:
        if len(column) <= 1:
            return pa.nulls(len(column), kind)
        half = len(column) // 2
        parts = [_cast_what_fits(part, kind) for part in (column.slice(0, half), column.slice(half))]
        return pa.concat_arrays(parts)


def _vectors(column: pa.Array) -> VectorColumn:
    if _is_bytes(column.type):
        size = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        has_dimension = size == _VECTOR_BYTES
        return VectorColumn(_from_bytes(_filter(column, has_dimension)), size / 4, has_dimension)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    has_dimension = lengths == schemas.VECTOR_DIM
    flat = column.flatten()
    if flat.null_count:
        flat = pc.fill_null(flat, float("nan"))
    with np.errstate(over="ignore", invalid="ignore"):
        values = flat.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    if not has_dimension.all():
        values = _rows(values, lengths, has_dimension)
    return VectorColumn(values.reshape(-1, schemas.VECTOR_DIM), lengths.astype(np.float64), has_dimension)


def _rows(values: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], wanted: Mask) -> npt.NDArray[np.float32]:
    """The values of the wanted rows, run by run: to filter a list column in Arrow takes several times as long."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    changes = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    runs = [values[starts[first] : starts[end]] for first, end in changes.reshape(-1, 2)]
    return np.concatenate(runs) if runs else values[:0]


def _filter(column: pa.Array, mask: Mask) -> pa.Array:
    return column if mask.all() else column.filter(pa.array(mask))


def _from_bytes(column: pa.Array) -> schemas.Vectors:
    """Rows of exactly 2,336 bytes lie one behind the other in the column's data buffer."""
    n = len(column)
    if n == 0:
        return np.empty((0, schemas.VECTOR_DIM), dtype=np.float32)
    if pa.types.is_fixed_size_binary(column.type):
        data, start = column.buffers()[1], column.offset * _VECTOR_BYTES
    else:
        width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
        offsets = np.frombuffer(column.buffers()[1], dtype=width)
        data, start = column.buffers()[2], int(offsets[column.offset])
    values = np.frombuffer(data, dtype="<f4", count=n * schemas.VECTOR_DIM, offset=start)
    return values.astype(np.float32, copy=False).reshape(n, schemas.VECTOR_DIM)
