"""The Arrow schema of everything that flows or is stored, once. The tables' DDL derives from here.

Knows nothing of Beam, of a model or of a warehouse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

EMBEDDING_DIM = 384  # all-MiniLM-L6-v2
TFIDF_DIM = 200
VECTOR_DIM = EMBEDDING_DIM + TFIDF_DIM
BLOCKS = {"embedding": slice(0, EMBEDDING_DIM), "tfidf": slice(EMBEDDING_DIM, VECTOR_DIM)}
EMBEDDING_MODEL = "all-MiniLM-L6-v2+tfidf200"

BATCH_ROWS = 2_000  # rows of one flowing RecordBatch at most
COUNTERS = "pcc"  # the namespace of the Beam counters; Flink shows them as pcc.<name>

PC = "PC"
NOT_PC = "NOT_PC"
SUBTYPE_PREFIX = "PC/"

Vectors = npt.NDArray[np.float32]
"""Shape (n, 584), C order."""

_UTC = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


INPUT_COLUMNS = ("case_id", "embedding_vector", "timestamp")
"""The columns that a source passes on, in the types it found them in; validation.py makes CASES of them."""

CASES = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, unique in its partition"),
        _column("vector", pa.list_(pa.float32(), VECTOR_DIM), "384 MiniLM values, then 200 TF-IDF values"),
        _column("timestamp", _UTC, "When the case was written"),
    ]
)

TEXTS = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, unique in its partition"),
        _column("text", pa.string(), "The message; it goes no further than to where it is made a vector"),
        _column("timestamp", _UTC, "When the case was written"),
    ]
)

SHADOW_VECTOR = "shadow_vector"
"""A column that a CASES batch has besides, where a shadow model wants other vectors of the same texts."""

STAGED_PREDICTIONS = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case"),
        _column("predicted_label", pa.string(), "PC or NOT_PC"),
        _column("subtype_label", pa.string(), "The part after PC/ of the likeliest privacy class", nullable=True),
        _column("confidence", pa.float64(), "Probability of the predicted label, 0 to 1"),
        _column("inference_timestamp", _UTC, "When the case was scored"),
        _column("prediction_notes", pa.string(), "Why a person should review the case", nullable=True),
        _column("case_timestamp", _UTC, "The case's own timestamp; settles duplicates, is not published"),
    ]
)

STAGED_REJECTED = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, where it has one", nullable=True),
        _column("reason", pa.string(), "Reason code"),
        _column("detail", pa.string(), "What was wrong; never the message text"),
    ]
)

_RUN_ID = _column("run_id", pa.string(), "The run that wrote the row")
_PARTITION_DATE = _column("partition_date", pa.date32(), "Day of the data")
_INGESTION_TIME = _column("ingestion_time", _UTC, "When the row was published (the day of the run)")


def _staged(schema: pa.Schema, *names: str) -> list[pa.Field]:
    return [schema.field(name) for name in names]


OUTPUT = pa.schema(
    [
        *_staged(STAGED_PREDICTIONS, "case_id", "predicted_label", "subtype_label", "confidence"),
        _column("model_version", pa.string(), "Version of the model in the registry"),
        _column("embedding_model", pa.string(), "What made the vectors that the model expects"),
        *_staged(STAGED_PREDICTIONS, "inference_timestamp", "prediction_notes"),
        _INGESTION_TIME,
        _PARTITION_DATE,
        _RUN_ID,
    ]
)

MONITORING = pa.schema(
    [
        _RUN_ID,
        _column("model_version", pa.string(), "Version of the model; null if the run failed first", nullable=True),
        _column("embedding_model", pa.string(), "What made the vectors that the model expects", nullable=True),
        _PARTITION_DATE,
        _column("runtime_ts", _UTC, "When the run started"),
        _column("status", pa.string(), "success, failed or empty"),
        _column("total_cases", pa.int64(), "Rows read"),
        _column("passed_validation", pa.int64(), "Rows scored and fit to publish"),
        _column("dropped_cases", pa.int64(), "Rows rejected, for any reason"),
        _column("notes", pa.string(), "Warnings, such as drift", nullable=True),
        _INGESTION_TIME,
        _column("processing_duration_seconds", pa.float64(), "From the start of the run to this row"),
        _column("error_message", pa.string(), "Why the run failed or was refused, in one line", nullable=True),
        _column("positive_cases", pa.int64(), "Rows labelled PC"),
        _column("review_cases", pa.int64(), "Rows within the review band"),
        _column("drift_psi", pa.float64(), "PSI of the scores against the model's baseline", nullable=True),
        _column("reject_reasons", pa.string(), "JSON object: reason code to number of rows"),
        _column("model_sha256", pa.string(), "Digest of the model file that scored", nullable=True),
        _column("score_histogram", pa.string(), "JSON array: cases by P(PC), in 10 equal bins", nullable=True),
        _column("baseline_histogram", pa.string(), "JSON array: the same of the training hold-out", nullable=True),
        *(
            _column(f"{block}_{what}_shift", pa.float64(), f"{text} of the {block} block", nullable=True)
            for block in BLOCKS
            for what, text in (("norm", "Mean norm less the baseline's,"), ("mean", "Distance of means, in spreads,"))
        ),
        _column("shadow_version", pa.string(), "Version that scored in the shadow", nullable=True),
        _column("shadow_flip_rate", pa.float64(), "Share of cases that it labels otherwise", nullable=True),
        _column("shadow_psi", pa.float64(), "PSI of its scores against the model's own", nullable=True),
    ]
)

QUARANTINE = pa.schema([*STAGED_REJECTED, _PARTITION_DATE, _RUN_ID, _INGESTION_TIME])

TABLES = {
    "pcc_inference_output": OUTPUT,
    "pcc_monitoring_logs": MONITORING,
    "pcc_quarantine": QUARANTINE,
}


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """Wrap an (n, 584) float32 array as an Arrow column, without a copy if it is C-contiguous."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, VECTOR_DIM)


def vectors_of(cases: pa.RecordBatch, column: str = "vector") -> Vectors:
    """The (n, 584) float32 view of a CASES batch's vectors, without a copy."""
    flat: Vectors = cases.column(column).flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(-1, VECTOR_DIM)
