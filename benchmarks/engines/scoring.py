"""What every peer computes of a batch: sound rows, probabilities, labels. It checks shape and finite values, no more.

No duplicates are found, nothing is explained, and no statistics are kept.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DIMENSION, BATCH_ROWS = 584, 2_000
DAY = dt.date(2026, 11, 20)
NOT_PC, SUBTYPE_PREFIX = "NOT_PC", "PC/"
THRESHOLD, REVIEW_BAND = 0.5, 0.10
LARGEST = 1e30  # beyond it the model's scaling overflows: such rows are left out before they are scored
UTC_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "case_id": pa.string(),
        "predicted_label": pa.string(),
        "subtype_label": pa.string(),
        "confidence": pa.float64(),
        "model_version": pa.string(),
        "embedding_model": pa.string(),
        "inference_timestamp": UTC_TIME,
        "prediction_notes": pa.string(),
        "ingestion_time": UTC_TIME,
        "partition_date": pa.date32(),
        "run_id": pa.string(),
    }
)
"""Of the output: the columns of the published table."""


@functools.lru_cache
def load(model: Path) -> Any:
    """The model, once for each process."""
    return joblib.load(model)


def array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, with list or string offsets of any width."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def scored(ids: pa.Array, column: pa.Array, model: Any) -> pa.RecordBatch:
    """SCHEMA of the sound rows of a batch: `ids` of n cases, and their vectors as a list column."""
    shaped = pc.equal(pc.list_value_length(column), DIMENSION)
    flat = column.filter(shaped).flatten().to_numpy(zero_copy_only=False)
    vectors = flat.astype(np.float32).reshape(-1, DIMENSION)
    sound = (np.abs(vectors) < LARGEST).all(axis=1)  # false for NaN too
    if not sound.all():
        vectors = vectors[sound]
    ids = ids.filter(shaped).filter(pa.array(sound)).cast(pa.string())
    probabilities = model.predict_proba(vectors) if len(vectors) else np.empty((0, len(model.classes_)))
    return pa.RecordBatch.from_arrays(_columns(ids, probabilities, model.classes_), schema=SCHEMA)


def _columns(ids: pa.Array, probabilities: npt.NDArray[np.float64], classes: Sequence[str]) -> list[pa.Array]:
    n = len(ids)
    privacy = np.array([i for i, name in enumerate(classes) if name != NOT_PC])
    subtypes = np.array([classes[i].removeprefix(SUBTYPE_PREFIX) for i in privacy], dtype=object)
    probability = probabilities[:, privacy].sum(axis=1)
    positive = probability >= THRESHOLD
    near = np.abs(probability - THRESHOLD) < REVIEW_BAND
    time = pa.scalar(dt.datetime.now(dt.timezone.utc), UTC_TIME)
    return [
        ids,
        pa.array(np.where(positive, "PC", NOT_PC), pa.string()),
        pa.array(np.where(positive, subtypes[probabilities[:, privacy].argmax(axis=1)], None), pa.string()),
        pa.array(np.where(positive, probability, 1.0 - probability)),
        pa.repeat("v1", n),
        pa.repeat("all-MiniLM-L6-v2+tfidf200", n),
        pa.repeat(time, n),
        pa.array(np.where(near, "review", None), pa.string()),
        pa.repeat(time, n),
        pa.repeat(pa.scalar(DAY), n),
        pa.repeat("peer", n),
    ]
