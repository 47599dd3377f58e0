"""The Arrow schema of everything that flows or is stored, once. The tables' DDL derives from here.

Knows nothing of Beam, of a model or of a warehouse.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from beam_pcc.cases.monitoring_row import Alerts, Counts, Histogram, Shares, Status
from beam_pcc.cases.monitoring_row import columns as monitoring_columns

EMBEDDING_DIM = 384  # all-MiniLM-L6-v2
TFIDF_DIM = 200
VECTOR_DIM = EMBEDDING_DIM + TFIDF_DIM
SCORE_BINS = 10  # equal bins over [0, 1] of a score histogram
BLOCKS = {"embedding": slice(0, EMBEDDING_DIM), "tfidf": slice(EMBEDDING_DIM, VECTOR_DIM)}
EMBEDDING_MODEL = "all-MiniLM-L6-v2+tfidf200"

BATCH_ROWS = 2_000  # rows of one flowing RecordBatch at most
BLOCK_ROWS = 250  # rows whose vectors stay in a core's cache between two steps of a computation
COUNTERS = "pcc"  # the namespace of the Beam counters; Flink shows them as pcc.<name>

PC = "PC"
NOT_PC = "NOT_PC"
SUBTYPE_PREFIX = "PC/"

Vectors = npt.NDArray[np.float32]
"""Shape (n, 584), C order."""

_UTC = pa.timestamp("us", tz="UTC")


def _column(name: str, kind: pa.DataType, description: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


_CONTENT = _column("content_digest", pa.int64(), "Of the vector or message; tells copies apart, is not published")

INPUT_COLUMNS = ("case_id", "embedding_vector", "timestamp")
"""The columns that a source passes on, in the types it found them in; validation.py makes CASES of them."""

CASES = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, unique in its partition"),
        _column("vector", pa.list_(pa.float32(), VECTOR_DIM), "384 MiniLM values, then 200 TF-IDF values"),
        _column("timestamp", _UTC, "When the case was written"),
        _CONTENT,
    ]
)

TEXTS = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, unique in its partition"),
        _column("text", pa.string(), "The message; it goes no further than to where it is made a vector"),
        _column("timestamp", _UTC, "When the case was written"),
        _CONTENT,
    ]
)

SHADOW_VECTOR = "shadow_vector"
"""A column that a CASES batch has besides, where a shadow model wants other vectors of the same texts."""

WINDOWS = "windows"
SHADOW_WINDOWS = "shadow_windows"
"""Columns of a CASES batch with long messages, for the model and its shadow: all windows of a message, in their order.

A message of one window has none there: `vector` is it. Of the others `vector` is the first window until the model has
decided, then the deciding one.
"""
WINDOW_LIST = pa.list_(pa.struct([("vector", pa.list_(pa.float32(), VECTOR_DIM)), ("place", pa.string())]))

LANGUAGE = "language"
"""A column that a CASES batch of messages has besides: the language of each."""

STAGED_PREDICTIONS = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case"),
        _column("predicted_label", pa.string(), "PC or NOT_PC"),
        _column("subtype_label", pa.string(), "The part after PC/ of the likeliest privacy class", nullable=True),
        _column("confidence", pa.float64(), "Probability of the predicted label, 0 to 1"),
        _column("inference_timestamp", _UTC, "When the case was scored"),
        _column("prediction_notes", pa.string(), "Why a person should review the case", nullable=True),
        _column("case_timestamp", _UTC, "The case's own timestamp; settles duplicates, is not published"),
        _CONTENT,
    ]
)

STAGED_REJECTED = pa.schema(
    [
        _column("case_id", pa.string(), "Identifier of the case, where it has one", nullable=True),
        _column("reason", pa.string(), "Reason code"),
        _column("detail", pa.string(), "What was wrong; never the message text"),
    ]
)

_ARROW = {
    str: pa.string(),
    Status: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    dt.date: pa.date32(),
    dt.datetime: _UTC,
    Counts: pa.string(),
    Shares: pa.string(),
    Histogram: pa.string(),
    Alerts: pa.string(),
}
MONITORING = pa.schema(
    [_column(c.name, _ARROW[c.type], c.description, nullable=c.nullable) for c in monitoring_columns()]
)
_RUN_ID, _PARTITION_DATE, _INGESTION_TIME = map(MONITORING.field, ("run_id", "partition_date", "ingestion_time"))


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

QUARANTINE = pa.schema([*STAGED_REJECTED, _PARTITION_DATE, _RUN_ID, _INGESTION_TIME])

_LABEL = [
    _column("case_id", pa.string(), "Identifier of the case"),
    _column("label", pa.string(), "What the case is: PC or NOT_PC"),
    _column("source", pa.string(), "Who says so, such as a team or a process"),
    _column("label_time", _UTC, "When it was said; of one source the newest label counts"),
]
_DRAW = [
    _column("sample", pa.string(), "The sample that the case was drawn for, if it was", nullable=True),
    _column("stratum", pa.string(), "The stratum of that sample", nullable=True),
    _column("weight", pa.float64(), "Published cases that the case stands for: 1 / its probability", nullable=True),
    _column("drawn", pa.int64(), "Cases drawn from the stratum", nullable=True),
]
FEEDBACK = pa.schema(
    [
        *_LABEL,
        _column("partition_date", pa.date32(), "The day of the prediction; null if none is known", nullable=True),
        *_DRAW,
        _column("predicted_label", pa.string(), "What was published at the import; null if nothing", nullable=True),
        _column("confidence", pa.float64(), "Probability of the predicted label", nullable=True),
        _column("review", pa.bool_(), "Whether the case was marked for review", nullable=True),
        _column("model_version", pa.string(), "The version that predicted", nullable=True),
        _column("run_id", pa.string(), "The run that published the prediction", nullable=True),
        _column("published_at", _UTC, "When it was published", nullable=True),
        _INGESTION_TIME,
    ]
)
"""Labels that came after the prediction, each beside what was published then: the prediction itself goes sooner."""

LABELS = pa.schema(
    [
        _column("number", pa.int64(), "Of the row in its file"),
        *_LABEL,
        _column("partition_date", pa.date32(), "The day of the prediction, if the file names it", nullable=True),
        *_DRAW,
    ]
)
"""Labels as a file of feedback has them, checked."""

DRAWN = pa.schema(
    [
        *_staged(OUTPUT, "case_id", "partition_date", "predicted_label", "confidence"),
        _column("bin", pa.int64(), "Of P(PC), of SCORE_BINS"),
        _column("review", pa.bool_(), "Whether it is marked for review"),
        _column("key", pa.string(), "By which cases are drawn"),
    ]
)
"""Published cases that may be drawn for a sample."""

TABLES = {
    "pcc_inference_output": OUTPUT,
    "pcc_monitoring_logs": MONITORING,
    "pcc_quarantine": QUARANTINE,
    "pcc_feedback": FEEDBACK,
}


def readable(schema: pa.Schema, columns: Collection[str]) -> pa.Schema:
    """The columns of a table that are there. Each is nullable, as one is that was added later."""
    return pa.schema([field.with_nullable(True) for field in schema if field.name in columns])


def new_floats(n: int) -> npt.NDArray[np.float32]:
    """An array for n values, in memory that Arrow keeps for its next arrays: fresh pages cost more than a copy."""
    return np.frombuffer(pa.allocate_buffer(4 * n), dtype=np.float32)


def vector_column(vectors: Vectors) -> pa.FixedSizeListArray:
    """Wrap an (n, 584) float32 array as an Arrow column, without a copy if it is C-contiguous."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, VECTOR_DIM)


def vectors_of(cases: pa.RecordBatch, column: str = "vector") -> Vectors:
    """The (n, 584) float32 view of a CASES batch's vectors, without a copy."""
    flat: Vectors = cases.column(column).flatten().to_numpy(zero_copy_only=True)
    return flat.reshape(-1, VECTOR_DIM)


def window_column(vectors: Vectors, places: Sequence[str | None], counts: npt.NDArray[np.int64]) -> pa.ListArray:
    """WINDOWS of n messages.

    Args:
        vectors: (m, 584) of all windows.
        places: Of the m windows, for people.
        counts: (n,) windows of each message, m in sum; of one window none are kept.
    """
    several = counts > 1
    kept = np.repeat(several, counts)
    offsets = np.concatenate([[0], np.cumsum(np.where(several, counts, 0))])
    windows = pa.StructArray.from_arrays(
        [vector_column(vectors[kept]), pa.array(np.array(places, dtype=object)[kept], pa.string())],
        fields=list(WINDOW_LIST.value_type),
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), windows)


def with_windows(cases: pa.RecordBatch) -> pa.RecordBatch:
    """The cases with a column WINDOWS, and without one of a shadow model, so that batches can be joined."""
    if WINDOWS not in cases.schema.names:
        none = pa.ListArray.from_arrays(
            pa.array(np.zeros(cases.num_rows + 1), pa.int32()), pa.array([], WINDOW_LIST.value_type)
        )
        cases = cases.append_column(WINDOWS, none)
    return cases.select([*CASES.names, WINDOWS])


def windows_of(
    cases: pa.RecordBatch, vectors: str = "vector", windows: str = WINDOWS
) -> tuple[Vectors, npt.NDArray[np.int64], list[str | None]]:
    """The inverse of `window_column`, for a CASES batch: vectors and places of all windows, and counts by message."""
    whole = vectors_of(cases, vectors)
    column = cases.column(windows)
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    counts = np.maximum(lengths, 1)
    split = np.repeat(lengths > 0, counts)
    parts, places = column.flatten().flatten()
    every = np.empty((len(split), VECTOR_DIM), np.float32)
    every[~split] = whole[lengths == 0]
    every[split] = parts.flatten().to_numpy(zero_copy_only=True).reshape(-1, VECTOR_DIM)
    named = np.full(len(split), None, dtype=object)
    named[split] = places.to_pylist()
    return every, counts, named.tolist()
