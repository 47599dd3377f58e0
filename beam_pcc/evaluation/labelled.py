"""Reads labelled rows for training and evaluation, checks them, and removes duplicates."""

from __future__ import annotations

import dataclasses
import datetime as dt
import glob
import re
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json

from beam_pcc import progress
from beam_pcc.cases import schemas
from beam_pcc.cases.columns import as_text, check_input, is_text, match_name, plain, plain_type
from beam_pcc.cases.text_validation import has_visible
from beam_pcc.cases.validation import validate
from beam_pcc.errors import ConfigurationError, SourceError
from beam_pcc.errors.machine import explain_machine
from beam_pcc.models import documents
from beam_pcc.sources.files import open_parquet, reason
from beam_pcc.sources.jsonl import open_jsonl

Labels = npt.NDArray[np.str_]
MIN_ROWS_OF_CLASS = 10
_JSON_BLOCK = 64 * 2**20  # a row must fit


@dataclass(frozen=True)
class Labelled:
    """n labelled rows of vectors or texts.

    Attributes:
        labels: (n,) PC, NOT_PC or PC/<subtype>.
        vectors: (n, 584) float32; (0, 584) for texts.
        texts: n messages; None for vectors.
        dropped: How many rows were invalid.
        duplicates: How many rows repeated an earlier one.
        contradicting: How many rows were left out because the same content is labelled both PC and NOT_PC.
        columns: Other columns, such as the language: name to n values as text.
    """

    labels: Labels
    vectors: schemas.Vectors = field(default_factory=lambda: np.empty((0, schemas.VECTOR_DIM), np.float32))
    texts: tuple[str, ...] | None = None
    dropped: int = 0
    duplicates: int = 0
    contradicting: int = 0
    columns: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def take(self, rows: npt.NDArray[np.int64]) -> Labelled:
        """The rows with these numbers."""
        return dataclasses.replace(
            self,
            labels=self.labels[rows],
            vectors=self.vectors if self.texts is not None else self.vectors[rows],
            texts=None if self.texts is None else tuple(self.texts[row] for row in rows),
            columns={name: tuple(values[row] for row in rows) for name, values in self.columns.items()},
        )


@progress.task("reading the labelled rows")
def read_labelled(path: str, text_column: str | None = None, columns: Sequence[str] = ()) -> Labelled:
    """Read Parquet or JSONL with `intent` and the text column, or with INPUT_COLUMNS (timestamp is optional).

    `path` may be a glob of files of one format. `columns` are read besides; files may lack them, but not all.

    Keeps one of equal rows (of texts that differ only in case, digits, spaces and punctuation), so that no content is
    both in the training part and in the hold-out.

    Raises:
        ConfigurationError: The file cannot be read, a label is invalid, or a column is missing.
    """
    table = _table(path, text_column, columns)
    if "intent" not in table.column_names:
        raise ConfigurationError(f"--data {path} has no column intent (PC, NOT_PC or PC/<subtype>); add it")
    _check_columns(table, path, columns)
    rows, kept = _texts(table, path, text_column) if text_column is not None else _vectors(table, path)
    rows = dataclasses.replace(rows, columns={name: _values(table[name], kept) for name in columns})
    _check_labels(rows.labels, path)
    keys: Sequence[Hashable]
    if rows.texts is not None:
        keys = [normalised(text) for text in rows.texts]
    else:
        keys = [vector.tobytes() for vector in rows.vectors]
    return _without_duplicates(rows, keys)


def require_trainable(rows: Labelled, path: str) -> None:
    """Raise ConfigurationError if the rows cannot train a classifier."""
    names, counts = np.unique(rows.labels, return_counts=True)
    if schemas.NOT_PC not in names or len(names) < 2:
        raise ConfigurationError(f"--data {path} needs rows of NOT_PC and of PC; it has: {', '.join(names) or 'none'}")
    if counts.min() < MIN_ROWS_OF_CLASS:
        few = names[counts.argmin()]
        raise ConfigurationError(
            f"--data {path} has {counts.min()} rows of {few}; at least {MIN_ROWS_OF_CLASS} of each class are needed"
        )


def normalised(text: str) -> str:
    """A text with its case folded, digits masked, and spaces and punctuation removed, to find duplicates."""
    folded = re.sub(r"\d", "0", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(re.sub(r"[\W_]+", " ", folded).split()) or folded


def _check_columns(table: pa.Table, path: str, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in table.column_names:
            raise ConfigurationError(f"--data {path} has no column {name}{_columns(table, path)}; name another")


def _values(column: pa.ChunkedArray, rows: npt.NDArray[np.int64]) -> tuple[str | None, ...]:
    values = column.to_pylist()
    return tuple(None if values[row] is None else str(values[row]) for row in rows)


def _table(path: str, text_column: str | None, columns: Sequence[str]) -> pa.Table:
    json_lines = _is_jsonl(path)
    files = sorted(glob.glob(path)) if glob.has_magic(path) and not Path(path).is_file() else [path]  # noqa: PTH207 - also of absolute ones
    try:
        if not files:
            raise FileNotFoundError("no file matches")
        names = [*schemas.INPUT_COLUMNS, "intent", *([] if text_column is None else [text_column]), *columns]
        tables = [
            _renamed(_read_jsonl(file) if json_lines else _read_parquet(file), names, f"--data {file}")
            for file in files
        ]
        return pa.concat_tables(tables, promote_options="default")
    except SourceError as error:
        raise ConfigurationError(str(error)) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        kind = "JSONL" if json_lines else "Parquet"
        raise explain_machine(error, f"--data {path}", ConfigurationError) or ConfigurationError(
            f"--data {path} cannot be read as {kind}: {reason(error, kind)}"
        ) from None


def _is_jsonl(path: str) -> bool:
    return path.lower().endswith((".jsonl", ".jsonl.gz"))


def _read_jsonl(file: str) -> pa.Table:
    with open_jsonl(file) as stream:
        return pyarrow.json.read_json(stream, read_options=pyarrow.json.ReadOptions(block_size=_JSON_BLOCK))


def _read_parquet(file: str) -> pa.Table:
    with open_parquet(file) as parquet:
        return parquet.read(use_threads=False)


def _renamed(table: pa.Table, names: Sequence[str], where: str) -> pa.Table:
    """With these names for what the file calls the same but for case, and plain columns, as other files may have."""
    own_names = {own: name for name in names if (own := match_name(table.column_names, name, where)) is not None}
    table = table.rename_columns([own_names.get(name, name) for name in table.column_names])
    for place, name in enumerate(table.column_names):
        if name in names:
            column = table.column(place)
            table = table.set_column(place, name, pa.chunked_array(map(plain, column.chunks), plain_type(column.type)))
    return table


def _texts(table: pa.Table, path: str, text_column: str) -> tuple[Labelled, npt.NDArray[np.int64]]:
    """The rows with a visible text, and their numbers in the table."""
    if text_column not in table.column_names:
        raise ConfigurationError(
            f"--data {path} has no column {text_column}{_columns(table, path)}; "
            "name the column of messages with --text_column"
        )
    column = table[text_column]
    if not is_text(column.type):
        raise ConfigurationError(f"--data {path}: column {text_column} is {column.type}, not STRING; convert it")
    chunks = [as_text(chunk) for chunk in column.chunks]
    visible = np.concatenate([has_visible(chunk) for chunk in chunks]) if chunks else np.empty(0, dtype=bool)
    texts = [text for chunk in chunks for text in chunk.to_pylist()]
    kept = np.flatnonzero(visible)
    labels = np.array([str(label) for label in table["intent"].to_pylist()], dtype=np.str_)[kept]
    return Labelled(labels, texts=tuple(texts[row] for row in kept), dropped=len(texts) - len(kept)), kept


def _columns(table: pa.Table, path: str) -> str:
    """A Parquet file's own columns; JSONL has none but the keys of its rows, which are content."""
    return "" if _is_jsonl(path) else f" (its columns: {', '.join(table.column_names[:8])})"


def _vectors(table: pa.Table, path: str) -> tuple[Labelled, npt.NDArray[np.int64]]:
    """The rows with a valid vector and time, and their numbers in the table."""
    if "timestamp" not in table.column_names:
        epoch = dt.datetime.fromtimestamp(0, dt.timezone.utc)
        table = table.append_column("timestamp", pa.array([epoch] * len(table), pa.timestamp("us", "UTC")))
    try:
        if _is_jsonl(path):
            table = table.select([name for name in (*schemas.INPUT_COLUMNS, "intent") if name in table.column_names])
        check_input(table.schema, f"--data {path}")
    except SourceError as error:
        raise ConfigurationError(str(error)) from None
    # Use the row number as case_id, to find the labels of the valid rows.
    numbers = pa.array(np.arange(len(table)).astype(str))
    table = table.set_column(table.column_names.index("case_id"), "case_id", numbers)
    vectors, rows = [np.empty((0, schemas.VECTOR_DIM), np.float32)], [np.empty(0, dtype=np.int64)]
    for batch in table.select(list(schemas.INPUT_COLUMNS)).to_batches(max_chunksize=schemas.BATCH_ROWS):
        cases, _ = validate(batch)
        vectors.append(schemas.vectors_of(cases))
        rows.append(cases.column("case_id").to_numpy(zero_copy_only=False).astype(np.int64))
    kept = np.concatenate(rows)
    labels = np.array([str(label) for label in table["intent"].to_pylist()], dtype=np.str_)[kept]
    return Labelled(labels, vectors=np.vstack(vectors), dropped=len(table) - len(kept)), kept


def _check_labels(labels: Labels, path: str) -> None:
    for name, rows in zip(*np.unique(labels, return_counts=True), strict=True):
        if name not in (schemas.PC, schemas.NOT_PC) and not (
            name.startswith(schemas.SUBTYPE_PREFIX)
            and len(schemas.SUBTYPE_PREFIX) < len(name) <= documents.MAX_TEXT  # else the model could not be loaded
            and name.isprintable()
        ):
            raise ConfigurationError(
                f"--data {path}: an intent is none of PC, NOT_PC, PC/<subtype> ({rows:,} rows); correct it"
            )


def _without_duplicates(rows: Labelled, keys: Sequence[Hashable]) -> Labelled:
    labels: dict[Hashable, set[bool]] = {}
    for key, label in zip(keys, rows.labels, strict=True):
        labels.setdefault(key, set()).add(label == schemas.NOT_PC)
    seen: set[Hashable] = set()
    kept, contradicting = [], 0
    for row, key in enumerate(keys):
        if len(labels[key]) > 1:
            contradicting += 1
        elif key not in seen:
            seen.add(key)
            kept.append(row)
    duplicates = len(keys) - len(kept) - contradicting
    unique = rows.take(np.array(kept, dtype=np.int64))
    return dataclasses.replace(unique, duplicates=duplicates, contradicting=contradicting)
