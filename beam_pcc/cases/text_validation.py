"""Input rows with messages to TEXTS, CASES and rejected rows. Pure functions that know nothing of Beam.

A row's message counts; its vector, where the source has one, is used only if there is no message.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pcc.cases import content, faults, schemas
from beam_pcc.cases.columns import as_text, case_ids, has_values, timestamps
from beam_pcc.cases.faults import Mask, TextColumn
from beam_pcc.cases.validation import validate

_VISIBLE = r"[^\pC\pZ\s]"  # a character that is neither a control, a format character, nor a space


def validate_texts(rows: pa.RecordBatch, text_column: str) -> tuple[pa.RecordBatch, pa.RecordBatch, pa.RecordBatch]:
    """Split input rows into TEXTS, CASES (rows that have a vector and no message) and STAGED_REJECTED.

    Every row comes out exactly once, a row with several faults with the first of them (`faults.FAULTS`). A row without
    a message but with a vector is judged as `validate` judges it.

    Args:
        rows: case_id, timestamp and `text_column`, and embedding_vector if the source has it, in any type that
            `columns.check_input` accepts.
        text_column: The column that holds the messages.
    """
    text = as_text(rows.column(text_column))
    visible = has_visible(text)
    by_vector = np.zeros(rows.num_rows, dtype=bool)
    if "embedding_vector" in rows.schema.names:
        by_vector = ~visible & has_values(rows.column("embedding_vector"))
    if by_vector.any():
        chosen = rows.filter(pa.array(by_vector)).select(list(schemas.INPUT_COLUMNS))
        cases, refused = validate(chosen)
    else:
        cases, refused = pa.RecordBatch.from_pylist([], schema=schemas.CASES), None

    others = pa.array(~by_vector)
    texts, more = _texts(
        case_ids(rows.column("case_id")).filter(others),
        text.filter(others),
        timestamps(rows.column("timestamp")).filter(others),
        visible[~by_vector],
    )
    return texts, cases, more if refused is None else _joined(refused, more)


def has_visible(text: pa.Array) -> Mask:
    """Whether each string has a character that a person would see; of a null, no."""
    found: Mask = pc.fill_null(pc.match_substring_regex(text, _VISIBLE), False).to_numpy(zero_copy_only=False)
    return found


def _texts(
    case_id: pa.Array, text: pa.Array, timestamp: pa.Array, visible: Mask
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    columns = {"case_id": case_id, "text": TextColumn(text, visible), "timestamp": timestamp}
    valid, rejected = faults.split(columns)
    keep = pa.array(valid)
    texts = [column.filter(keep) for column in (case_id, text, timestamp)]
    texts.append(content.of_texts(texts[1]))
    return pa.RecordBatch.from_arrays(texts, schema=schemas.TEXTS), rejected


def _joined(*batches: pa.RecordBatch) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batches[0]
