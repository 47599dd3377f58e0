"""The reasons for which a row is not published: each one declared once, for rows with vectors and with texts alike.

A row with several faults is rejected for the first of them in the order of `FAULTS`. A new reason needs its entry here,
its line in docs/contracts.md, which is its meaning, and a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import schemas

Mask = npt.NDArray[np.bool_]
"""Shape (n,): a Boolean of each row."""


class VectorColumn(NamedTuple):
    """The vectors of n rows, of which k have 584 values."""

    values: schemas.Vectors
    """(k, 584) float32; a null, and what is beyond float32, is not finite here."""
    lengths: npt.NDArray[np.int64]
    """(n,) number of values, or of bytes where the vector is bytes; 0 of a null."""
    has_dimension: Mask
    """(n,) which rows those k are."""
    is_bytes: Mask | None = None
    """(n,) which rows have bytes, also as base64; None for none."""
    unreadable: Mask | None = None
    """(n,) which rows have text that is no vector in any known form; None for none."""


class TextColumn(NamedTuple):
    """The messages of n rows, and which of them have a character that a person would see."""

    values: pa.Array
    visible: Mask


@dataclass(frozen=True)
class Fault:
    """A reason to reject a row.

    Args:
        code: What the tables and counters call it.
        meaning: Its line in docs/contracts.md.
        column: The input column that validation looks at; empty if the fault is found later.
        has_fault: From that column, as validation normalised it, to which rows have the fault.
        detail: What the quarantine says of a row: a sentence, or a function of the column and the row's number. It may
            name numbers, and never the content of a row.
    """

    code: str
    meaning: str
    column: str = ""
    has_fault: Callable[[Any], Mask] | None = None
    detail: str | Callable[[Any, int], str] = ""

    def describe(self, column: Any, row: int) -> str:
        """The detail of one row."""
        return self.detail if isinstance(self.detail, str) else self.detail(column, row)


def _blank(case_id: pa.Array) -> Mask:
    return _mask(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(case_id), ""), True))


def _not_finite(vectors: VectorColumn) -> Mask:
    values, mask = vectors.values, np.zeros(len(vectors.has_dimension), dtype=np.bool_)
    starts = range(0, len(values), schemas.BLOCK_ROWS)
    finite = [np.isfinite(values[start : start + schemas.BLOCK_ROWS]).all(axis=1) for start in starts]
    mask[vectors.has_dimension] = ~np.concatenate(finite) if finite else False
    return mask


def _count_not_finite(vectors: VectorColumn, row: int) -> str:
    positions = np.flatnonzero(~np.isfinite(vectors.values[np.count_nonzero(vectors.has_dimension[:row])]))
    return f"{len(positions)} values are null, NaN, infinite or beyond float32; the first at position {positions[0]}"


def _is_missing(vectors: VectorColumn) -> Mask:
    mask: Mask = (vectors.lengths == 0) & ~_is_unreadable(vectors)
    return mask


def _is_unreadable(vectors: VectorColumn) -> Mask:
    return np.zeros(len(vectors.lengths), np.bool_) if vectors.unreadable is None else vectors.unreadable


def _describe_length(vectors: VectorColumn, row: int) -> str:
    length, dimension = int(vectors.lengths[row]), schemas.VECTOR_DIM
    if vectors.is_bytes is None or not vectors.is_bytes[row]:
        return f"{length} values, not {dimension}"
    width = {1: "int8", 2: "float16", 8: "float64"}.get(length // dimension) if length % dimension == 0 else None
    if width is not None:
        held = f"as {dimension} values of {width} have"
    else:
        held = f"{length // 4} values of float32" if length % 4 == 0 else "no whole number of float32"
    return f"{length} bytes ({held}), not {dimension * 4} ({dimension} values of float32)"


def _mask(column: pa.Array) -> Mask:
    mask: Mask = column.to_numpy(zero_copy_only=False)
    return mask


MISSING_CASE_ID = Fault(
    "missing_case_id", "null, blank or not UTF-8", "case_id", _blank, "case_id is null, blank or not UTF-8"
)
MALFORMED_ROW = Fault(
    "malformed_row",
    "a line of JSONL that is no JSON object, or has a field of another type (the detail has its number); or a vector "
    "as text that is neither a JSON list of numbers nor base64",
    "embedding_vector",
    _is_unreadable,
    "embedding_vector is text that is neither a JSON list of numbers nor base64",
)
EMPTY_TEXT = Fault(
    "empty_text",
    "text mode: null, not UTF-8, or without a visible character (and no vector either)",
    "text",
    lambda texts: ~texts.visible,
    "the text is null, without a visible character, or not UTF-8",
)
MISSING_VECTOR = Fault(
    "missing_vector",
    "null or empty",
    "embedding_vector",
    _is_missing,
    "embedding_vector is null or empty",
)
WRONG_DIMENSION = Fault(
    "wrong_dimension",
    f"not {schemas.VECTOR_DIM} values, or not {schemas.VECTOR_DIM * 4} bytes",
    "embedding_vector",
    lambda vectors: ~vectors.has_dimension,
    _describe_length,
)
NON_FINITE = Fault(
    "non_finite",
    "a null, NaN, infinite, or beyond float32 among the values",
    "embedding_vector",
    _not_finite,
    _count_not_finite,
)
BAD_TIMESTAMP = Fault(
    "bad_timestamp",
    "null, not a time, or not of the years 1 to 9999",
    "timestamp",
    lambda timestamps: _mask(timestamps.is_null()),
    "timestamp is null, not an ISO 8601 date and time, or not of the years 1 to 9999",
)
MODEL_ERROR = Fault(
    "model_error",
    "the model raised on this row, or gave no probability; or no vector could be made of its text",
)
DUPLICATE_CASE_ID = Fault(
    "duplicate_case_id",
    "another row of the partition with this id is later, or as late and more confident. An exact copy (the same id, "
    "timestamp, and vector or message) is not rejected: it is dropped and counted in `exact_copies`",
)

FAULTS = (
    MISSING_CASE_ID,
    MALFORMED_ROW,
    EMPTY_TEXT,
    MISSING_VECTOR,
    WRONG_DIMENSION,
    NON_FINITE,
    BAD_TIMESTAMP,
    MODEL_ERROR,
    DUPLICATE_CASE_ID,
)


COUNTER = "rows_rejected_"
"""How the name of the counter of a reason begins."""


def rejected_rows(counters: Mapping[str, int]) -> int:
    """Rows rejected before Publish, which rejects some of the scored ones besides, by the counters of a run."""
    duplicates = f"{COUNTER}{DUPLICATE_CASE_ID.code}"
    return sum(n for name, n in counters.items() if name.startswith(COUNTER) and name != duplicates)


def split(columns: Mapping[str, Any]) -> tuple[Mask, pa.RecordBatch]:
    """Find the first fault of each of n rows.

    Args:
        columns: Input column to its values as validation normalised them; case_id is among them, as strings. Faults of
            a column that is not there are not looked for.

    Returns:
        (n,) which rows are valid, and STAGED_REJECTED of the others.
    """
    found = [
        (fault, fault.has_fault(columns[fault.column]))
        for fault in FAULTS
        if fault.has_fault is not None and fault.column in columns
    ]
    valid = ~np.logical_or.reduce([mask for _, mask in found])
    invalid_rows = np.flatnonzero(~valid)
    first = [next(fault for fault, mask in found if mask[row]) for row in invalid_rows]
    details = [fault.describe(columns[fault.column], int(row)) for row, fault in zip(invalid_rows, first, strict=True)]
    case_ids = columns["case_id"].take(pa.array(invalid_rows))
    return valid, rejected(case_ids, [fault.code for fault in first], details)


def rejected(case_ids: pa.Array, reasons: Sequence[str], details: Sequence[str]) -> pa.RecordBatch:
    """A STAGED_REJECTED batch of k rows from k ids, reason codes and details."""
    columns = [case_ids, pa.array(reasons, pa.string()), pa.array(details, pa.string())]
    return pa.RecordBatch.from_arrays(columns, schema=schemas.STAGED_REJECTED)
