"""What validation makes of input rows, as batches that are told by their schema."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from beam_pcc.cases import schemas
from beam_pcc.cases.text_validation import validate_texts
from beam_pcc.cases.validation import validate

CHECKED = (schemas.CASES, schemas.TEXTS, schemas.STAGED_REJECTED)


def is_checked(rows: pa.RecordBatch) -> bool:
    """Whether a batch is what `check` gives, and no input any more."""
    return any(rows.schema.equals(schema) for schema in CHECKED)


def check(rows: pa.RecordBatch, text_column: str | None = None) -> Sequence[pa.RecordBatch]:
    """Input rows to batches of CASES, TEXTS and STAGED_REJECTED, none of them empty; what is checked stays as it is.

    Args:
        rows: See `validate`, and with a text column `validate_texts`.
        text_column: The column that holds the messages, where vectors are made of them.
    """
    if is_checked(rows):
        return (rows,)
    parts = validate(rows) if text_column is None else validate_texts(rows, text_column)
    return [part for part in parts if part.num_rows]
