"""What is measured on: Parquet files of synthetic cases and a model trained on them, made once in a cache folder."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn

from beam_pcc.sources import synthetic
from beam_pcc.training import train as training

DAY = dt.date(2026, 11, 20)
FILES = 5
GROUP_CHUNKS = 5  # chunks of 2,000 rows in a row group: 10,000 rows, so that 100,000 rows already keep two workers busy
LABELLED = 4_000
_LAYOUT = f"2 {FILES} {GROUP_CHUNKS} {LABELLED}".encode()  # raise the 2 when files come to be written otherwise
_MADE_BY = hashlib.sha256(Path(synthetic.__file__).read_bytes() + _LAYOUT).hexdigest()[:8]


def cases(cache: Path, rows: int, *, clean: bool = False, floats: bool = False) -> Path:
    """The folder with `rows` cases in up to FILES files.

    `clean`: without the 2.4 % that synthetic breaks; `floats`: vectors as list<float> instead of list<double>.
    """
    kind = ("clean" if clean else "cases") + ("-floats" if floats else "")
    folder = cache / f"{kind}-{rows}-{_MADE_BY}"
    if not folder.exists():
        print(f"writing {rows:,} {kind} to {folder}", flush=True)
        aside = folder.with_suffix(".partial")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for number, chunks in enumerate(np.array_split(np.arange(synthetic.chunks(rows)), FILES)):
            if len(chunks):
                _write(aside / f"part-{number}.parquet", rows, chunks.tolist(), clean=clean, floats=floats)
        aside.rename(folder)
    return folder


def model(cache: Path) -> Path:
    """The registry folder with one version, trained on LABELLED synthetic cases."""
    models = cache / f"models-sklearn-{sklearn.__version__}-{_MADE_BY}"
    if not (models.exists() and any(models.glob("v*"))):
        print(f"training a model on {LABELLED:,} cases in {models}", flush=True)
        labelled = cache / "labelled.parquet"
        synthetic.write(labelled, LABELLED, DAY, with_intent=True)
        training.train(str(labelled), str(models))
    return models


def count(folder: Path) -> int:
    """Rows in the folder's files."""
    return sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))


def _write(file: Path, rows: int, chunks: list[int], *, clean: bool, floats: bool) -> None:
    schema = synthetic.cases(1, DAY, chunk=0).schema
    if floats:
        at = schema.get_field_index("embedding_vector")
        schema = schema.set(at, schema.field(at).with_type(pa.list_(pa.float32())))
    with pq.ParquetWriter(file, schema, compression="none") as writer:
        for start in range(0, len(chunks), GROUP_CHUNKS):
            batches = [synthetic.cases(rows, DAY, chunk=chunk) for chunk in chunks[start : start + GROUP_CHUNKS]]
            table = pa.Table.from_batches(batches).cast(schema)
            writer.write_table(table.filter(_sound(chunks[start], len(table))) if clean else table)


def _sound(first_chunk: int, rows: int) -> pa.Array:
    index = first_chunk * synthetic.CHUNK_ROWS + np.arange(rows)
    broken = np.isin(index % synthetic.BROKEN_EVERY, list(synthetic.BROKEN_AT))
    return pa.array(~broken & (index % synthetic.MODEL_ERROR_EVERY != synthetic.MODEL_ERROR_AT))
