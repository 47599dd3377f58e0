"""Input rows to CASES rows and rejected rows, whole batches at a time. Pure functions that know nothing of Beam.

Only rows that are already known to be bad are looked at one by one, to say what is wrong with them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases import content, faults, schemas
from beam_pcc.cases.columns import case_ids, timestamps, vectors


def validate(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Split input rows into CASES and STAGED_REJECTED.

    Every row comes out exactly once, a row with several faults with the first of them (`faults.FAULTS`).

    Args:
        rows: INPUT_COLUMNS in any type that `columns.check_input` accepts; n rows.

    Returns:
        The valid rows (m), and the others (n - m) with case_id, reason and a detail without content.
    """
    case_id = case_ids(rows.column("case_id"))
    timestamp = timestamps(rows.column("timestamp"))
    vector = vectors(rows.column("embedding_vector"))
    columns = {"case_id": case_id, "embedding_vector": vector, "timestamp": timestamp}
    valid, rejected = faults.split(columns)
    if valid.all():
        kept_vectors = vector.values
        values = [case_id, schemas.vector_column(kept_vectors), timestamp]
    else:
        keep, kept = pa.array(valid), valid[vector.has_dimension]
        kept_vectors = vector.values if kept.all() else _rows(vector.values, kept)
        values = [case_id.filter(keep), schemas.vector_column(kept_vectors), timestamp.filter(keep)]
    values.append(content.of_vectors(kept_vectors))
    return pa.RecordBatch.from_arrays(values, schema=schemas.CASES), rejected


def _rows(vectors: schemas.Vectors, kept: npt.NDArray[np.bool_]) -> schemas.Vectors:
    """The rows that are kept, in Arrow's memory: on C's heap, megabytes leave gaps that are never given back."""
    rows = schemas.new_floats(np.count_nonzero(kept) * schemas.VECTOR_DIM).reshape(-1, schemas.VECTOR_DIM)
    return np.compress(kept, vectors, axis=0, out=rows)
