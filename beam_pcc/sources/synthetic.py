"""Synthetic cases: seeded, reproducible, made in independent chunks. For samples, the starter model and benchmarks.

The vectors have the form of real ones (a unit-length 384-block, a sparse non-negative unit-length 200-block) and
separate the classes well but not wholly. They carry no meaning: a model trained on them knows nothing of real cases.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_pcc import progress
from beam_pcc.cases import faults, schemas

CHUNK_ROWS = 2_000
CLASS_SHARES = {
    schemas.NOT_PC: 0.85,
    "PC/deletion": 0.06,
    "PC/access": 0.05,
    "PC/opt_out": 0.04,
}
BROKEN_EVERY = 250
BROKEN_AT = {
    11: faults.MISSING_CASE_ID.code,
    23: faults.DUPLICATE_CASE_ID.code,
    37: faults.MISSING_VECTOR.code,
    41: faults.WRONG_DIMENSION.code,
    53: faults.NON_FINITE.code,
    67: faults.BAD_TIMESTAMP.code,
}
"""Row i of a sample is broken in this way if i % BROKEN_EVERY is the key: 6 rows in 250, 2.4 %."""
BROKEN_MESSAGES_EVERY = 150
BROKEN_MESSAGES_AT = {17: faults.EMPTY_TEXT.code, 67: faults.MISSING_CASE_ID.code, 117: faults.BAD_TIMESTAMP.code}
"""Row i of a partition of messages is broken in this way if i % BROKEN_MESSAGES_EVERY is the key: 2 %."""
_MESSAGES_OF_GROUP = 500  # row groups are what workers share; a text takes long
MODEL_ERROR_EVERY = 20_000
MODEL_ERROR_AT = 83
"""Row i of a sample is beyond the model if i % MODEL_ERROR_EVERY is this: rare, as the model is then asked 20 times."""

_CLASSES = tuple(CLASS_SHARES)
_SIGNAL = 0.14  # length of a class's direction against the unit noise: some cases stay doubtful
_TERMS = 12  # non-zero terms of a TF-IDF block
_CLASS_TERMS = 25  # terms of the vocabulary that a class prefers
_OWN = 0.12  # share of a case's terms that are its class's


def chunks(rows: int) -> int:
    """How many chunks `rows` rows make."""
    return -(-rows // CHUNK_ROWS)


def cases(rows: int, partition: dt.date, *, chunk: int, seed: int = 0) -> pa.RecordBatch:
    """Chunk `chunk` of a sample partition of `rows` rows, with BROKEN_AT: INPUT_COLUMNS, vectors as list<double>."""
    first = chunk * CHUNK_ROWS
    index = np.arange(first, min(first + CHUNK_ROWS, rows))
    rng = np.random.default_rng([seed, partition.toordinal(), chunk])
    vectors, _ = _draw(len(index), rng)
    ids = pa.array([f"case-{partition:%Y%m%d}-{i:09d}" for i in index])
    seconds = rng.integers(0, 86_400, len(index))
    midnight = np.datetime64(partition, "us")
    times = pa.array(midnight + seconds.astype("timedelta64[s]")).cast(pa.timestamp("us", tz="UTC"))
    return _broken(index, ids, vectors, times)


@progress.task("making labelled cases")
def labelled(rows: int, *, seed: int = 0) -> pa.Table:
    """A training set of `rows` rows: case_id, embedding_vector (list<float>), timestamp, intent; none broken."""
    vectors, classes = _draw(rows, np.random.default_rng([seed, 0, 1]))
    return pa.table(
        {
            "case_id": [f"labelled-{i:09d}" for i in range(rows)],
            "embedding_vector": schemas.vector_column(vectors).cast(pa.list_(pa.float32())),
            "timestamp": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)] * rows, pa.timestamp("us", "UTC")),
            "intent": np.array(_CLASSES)[classes],
        }
    )


def write(output: Path, rows: int, partition: dt.date, *, seed: int = 0, with_intent: bool = False) -> None:
    """Write `cases` (or, with intent, `labelled`) as Parquet in row groups of ten chunks; memory does not grow."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if with_intent:
        pq.write_table(labelled(rows, seed=seed), output, row_group_size=10 * CHUNK_ROWS)
        return
    first = cases(rows, partition, chunk=0, seed=seed)
    making = progress.task("making cases", total=rows, unit="rows")
    with pq.ParquetWriter(output, first.schema) as writer, making as step:
        for start in range(0, chunks(rows), 10):
            group = range(start, min(start + 10, chunks(rows)))
            batches = [cases(rows, partition, chunk=chunk, seed=seed) for chunk in group]
            writer.write_table(pa.Table.from_batches(batches))
            step.advance(sum(batch.num_rows for batch in batches))


def read_messages(path: Path) -> list[str]:
    """The texts of a JSONL file. Raises OSError, ValueError, KeyError or TypeError."""
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("no texts")
    return texts


@progress.task("writing messages")
def write_messages(texts: Sequence[str], output: Path, partition: dt.date, rows: int | None = None) -> int:
    """Write texts as a partition to score: case_id, text, timestamp; return the number of rows.

    Rows beyond the number of texts repeat them. Some are broken on purpose, see BROKEN_MESSAGES_AT.
    """
    index = np.arange(len(texts) if rows is None else rows)
    where = {reason: np.flatnonzero(index % BROKEN_MESSAGES_EVERY == at) for at, reason in BROKEN_MESSAGES_AT.items()}
    columns = {
        "case_id": _null(pa.array([f"message-{i:06d}" for i in index]), where[faults.MISSING_CASE_ID.code]),
        "text": _null(pa.array([texts[i % len(texts)] for i in index]), where[faults.EMPTY_TEXT.code]),
        "timestamp": _null(pa.array([f"{partition}T12:00:00Z"] * len(index)), where[faults.BAD_TIMESTAMP.code]),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), output, row_group_size=_MESSAGES_OF_GROUP)
    return len(index)


def _draw(rows: int, rng: np.random.Generator) -> tuple[schemas.Vectors, npt.NDArray[np.int64]]:
    """(rows, 584) float32 vectors and each row's class as an index into CLASS_SHARES."""
    classes = rng.choice(len(_CLASSES), size=rows, p=list(CLASS_SHARES.values()))
    world = np.random.default_rng(20_260_101)  # the same directions and terms for every seed and day
    directions = _unit(world.standard_normal((len(_CLASSES), schemas.EMBEDDING_DIM)))
    preferred = np.argsort(world.random((len(_CLASSES), schemas.TFIDF_DIM)), axis=1)[:, :_CLASS_TERMS]

    noise = _unit(rng.standard_normal((rows, schemas.EMBEDDING_DIM)))
    embedding = _unit(noise + _SIGNAL * directions[classes])

    terms = rng.integers(0, schemas.TFIDF_DIM, (rows, _TERMS))
    own = rng.random((rows, _TERMS)) < _OWN
    terms = np.where(own, preferred[classes[:, None], rng.integers(0, _CLASS_TERMS, (rows, _TERMS))], terms)
    tfidf = np.zeros((rows, schemas.TFIDF_DIM))
    np.put_along_axis(tfidf, terms, rng.uniform(0.2, 1.0, (rows, _TERMS)), axis=1)
    return np.hstack([embedding, _unit(tfidf)]).astype(np.float32), classes


def _unit(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    unit: npt.NDArray[np.float64] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return unit


def _broken(index: npt.NDArray[np.int64], ids: pa.Array, vectors: schemas.Vectors, times: pa.Array) -> pa.RecordBatch:
    """Break the rows of BROKEN_AT, each in its way."""
    where = {reason: np.flatnonzero(index % BROKEN_EVERY == at) for at, reason in BROKEN_AT.items()}
    values = vectors.astype(np.float64)
    values[where[faults.NON_FINITE.code], 5] = np.nan
    # Finite as float32, but beyond it as soon as a model scales it.
    values[index % MODEL_ERROR_EVERY == MODEL_ERROR_AT] = 3e38

    lengths = np.full(len(index), schemas.VECTOR_DIM)
    lengths[where[faults.WRONG_DIMENSION.code]] -= 1
    lengths[where[faults.MISSING_VECTOR.code]] = 0
    present = np.arange(schemas.VECTOR_DIM) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    embedding = pa.ListArray.from_arrays(offsets, pa.array(values[present]))

    duplicates = where[faults.DUPLICATE_CASE_ID.code]
    rows = np.arange(len(index))
    rows[duplicates] -= 1
    ids = ids.take(pa.array(rows))
    ids = _null(ids, where[faults.MISSING_CASE_ID.code])
    times = _null(times, where[faults.BAD_TIMESTAMP.code])
    return pa.RecordBatch.from_arrays([ids, embedding, times], names=list(schemas.INPUT_COLUMNS))


def _null(column: pa.Array, rows: npt.NDArray[np.int64]) -> pa.Array:
    mask = np.zeros(len(column), dtype=bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)
