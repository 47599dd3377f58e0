"""Cases from Parquet and JSONL files of any Beam filesystem, in parallel and never a whole file in memory."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import glob
import io
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes, FileMetadata, FileSystem
from apache_beam.io.filesystems import FileSystems

from beam_pcc.cases import schemas
from beam_pcc.cases.columns import check_input, has_one_axis, input_columns, narrowed, narrows, plain_type
from beam_pcc.errors import ConfigurationError, MissingSourceError, SourceError, one_line
from beam_pcc.errors.foreign import explained
from beam_pcc.shielding import shielded
from beam_pcc.sources.ahead import Check, ReadParts, as_read
from beam_pcc.sources.jsonl import joined, read_jsonl
from beam_pcc.sources.volume import SourceState, SourceVolume

_GROUP_BYTES = 8 * 2**20  # of files that one worker reads as one
_GROUP_FILES = 100  # more would keep files of a bucket, which take long to open, from being read in parallel
# Rows that are decoded at once where their vectors become half as large: what decoding takes is three times its result.
_NARROWED_ROWS = 500
_PARQUET = b"PAR1"  # how a file begins and ends
_FOOTERS_AT_A_TIME = {"disk": 2, "elsewhere": 16}  # a bucket answers slowly; on a disk more threads cost more
# Bytes of a Parquet column that are read at once, instead of a whole column chunk. A bucket answers slowly; what is on
# a disk is read faster in pieces that stay in the cache.
_READ_AT_ONCE = {"disk": 64 * 2**10, "elsewhere": 4 * 2**20}


class ReadFiles(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS from the files that match `pattern` now.

    Malformed lines of JSONL come as batches of STAGED_REJECTED.

    Args:
        pattern: Of .parquet and .jsonl (or .jsonl.gz) files.
        batch_rows: Rows of one batch at most.
        text_column: The column of messages, if vectors are made of them.
        columns: Input column to the files' own name of it, where that is another.
        check: What is done with each batch in the threads that read.

    Raises:
        ConfigurationError: No file matches, or one is neither .parquet nor .jsonl (or .jsonl.gz).
    """

    def __init__(
        self,
        pattern: str,
        batch_rows: int,
        text_column: str | None = None,
        columns: Mapping[str, str] | None = None,
        check: Check = as_read,
    ) -> None:
        super().__init__()
        self._columns = _Columns(text_column, dict(columns or {}))
        self._check = check
        self._batch_rows = batch_rows
        self._matched = _match(pattern)
        self._files = _grouped(self._matched)

    def volume(self) -> SourceVolume:
        """Rows by the footers of Parquet files; JSONL does not say. Raises SourceError: a footer cannot be read."""
        parquet = [file.path for file in self._matched if _is_parquet(file.path)]
        place = "elsewhere" if any("://" in file for file in parquet) else "disk"
        with ThreadPoolExecutor(_FOOTERS_AT_A_TIME[place]) as readers:
            rows = sum(readers.map(_footer_rows, parquet))
        return SourceVolume(
            rows=rows if parquet else None,
            exact=len(parquet) == len(self._matched),
            files=len(self._matched),
            modified=self._modified(),
        )

    def state(self) -> SourceState:
        """Names, sizes and times of the files."""
        return SourceState(
            signature=[(file.path, file.size_in_bytes, file.last_updated_in_seconds) for file in self._matched],
            modified=self._modified(),
            empty=not any(file.size_in_bytes for file in self._matched),
        )

    def _modified(self) -> dt.datetime | None:
        newest = max(file.last_updated_in_seconds or 0 for file in self._matched)
        return dt.datetime.fromtimestamp(newest, dt.timezone.utc) if newest else None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Handles (files, row group) are spread over the workers; rows never cross a shuffle."""
        read = functools.partial(_read, batch_rows=self._batch_rows, columns=self._columns)
        return (
            begin
            | "Files" >> beam.Create(self._files)
            | "SpreadFiles" >> beam.Reshuffle()
            | "Parts" >> beam.FlatMap(_parts, self._columns).with_output_types(_Part)
            | "Spread" >> beam.Reshuffle()
            | "ReadRows" >> beam.ParDo(ReadParts(read, self._check)).with_output_types(pa.RecordBatch)
        )


class _Columns(NamedTuple):
    """Which columns are read: that of messages, if there is one, and own names that are not those of the graph."""

    text: str | None
    own_names: Mapping[str, str]


class _Part(NamedTuple):
    """What one worker reads at a time: one row group of a Parquet file, or whole files."""

    files: tuple[str, ...]
    row_group: int | None = None


def _grouped(files: Sequence[FileMetadata]) -> list[tuple[str, ...]]:
    """Small files of one kind together: each handle, and each batch of a few rows, has a price of its own."""
    groups: list[tuple[str, ...]] = []
    names: list[str] = []
    size = 0
    for file in files:
        fits = size + file.size_in_bytes <= _GROUP_BYTES and len(names) < _GROUP_FILES
        if names and not (fits and _is_parquet(names[0]) == _is_parquet(file.path)):
            groups.append(tuple(names))
            names, size = [], 0
        names.append(file.path)
        size += file.size_in_bytes
    return [*groups, tuple(names)] if names else groups


def _match(pattern: str) -> list[FileMetadata]:
    try:
        with explained(f"--source {pattern} cannot be listed", ConfigurationError):
            files = _listed(pattern)
    except ValueError as error:  # Beam's, of an address of no known filesystem
        raise ConfigurationError(
            f"--source {pattern} cannot be listed: {one_line(error, 160)}; check the path and the rights"
        ) from None
    if not files:
        raise MissingSourceError(f"--source {pattern} matches no file; check the path and the partition")
    for file in files:
        if not _is_parquet(file.path) and not file.path.lower().endswith((".jsonl", ".jsonl.gz")):
            raise ConfigurationError(
                f"--source {file.path} is neither .parquet nor .jsonl; for a folder say FOLDER/*.parquet"
            )
    return files


def _listed(pattern: str) -> list[FileMetadata]:
    """The files of a pattern, by name. What exists by the very name that was given is no pattern."""
    if "://" not in pattern:
        files = _listed_here(pattern)
    elif glob.has_magic(pattern) and FileSystems.exists(pattern):
        files = [FileSystems.get_filesystem(pattern).metadata(pattern)]
    else:
        files = FileSystems.match([pattern])[0].metadata_list
    return sorted(files, key=lambda file: str(file.path))


def _is_file(path: Path) -> bool:
    """As Path.is_file, which from Python 3.14 on is also false of a file in a folder that may not be entered."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


def _refuse_unreadable_folder(error: OSError) -> None:
    """Else its files would be missing from the day without a word."""
    if isinstance(error, PermissionError) and Path(os.fsdecode(error.filename)).name != "lost+found":
        raise error


def _listed_here(pattern: str) -> list[FileMetadata]:
    """The files of a pattern on this disk, in Beam's syntax; its matcher cannot be told that a [ is a [."""
    path = Path(pattern)
    if _is_file(path):
        return [_metadata(path)]
    folder, *below = Path(path.anchor), *path.parts[1:]
    while below and (folder / below[0]).is_dir():
        folder /= below.pop(0)
    if not below or not glob.has_magic(below[0]):
        return []
    matches = re.compile(FileSystem.translate_pattern("/".join(below))).match
    files = []
    for here, folders, names in os.walk(folder, onerror=_refuse_unreadable_folder):
        inside = Path(here).relative_to(folder)
        files += [_metadata(Path(here, name)) for name in names if matches(str(inside / name))]
        if "**" not in pattern and len(inside.parts) + 1 >= len(below):
            folders.clear()
    return files


def _metadata(path: Path) -> FileMetadata:
    status = path.stat()
    # A file that is moved here keeps its time of modification, but not that of its entry (on Windows: of its creation).
    return FileMetadata(str(path), status.st_size, max(status.st_mtime, status.st_ctime))


def _footer_rows(file: str) -> int:
    with _explained(file, "Parquet"), _open(file) as source:
        return int(pq.read_metadata(source).num_rows)


@contextlib.contextmanager
def _open(file: str) -> Iterator[Any]:
    """What pyarrow opens: a path of this disk, or Beam's handle of a file elsewhere."""
    if "://" not in file:
        yield file
        return
    with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
        yield handle


def _is_parquet(file: str) -> bool:
    return file.lower().endswith(".parquet")


def _explained(file: str, file_format: str) -> AbstractContextManager[None]:
    """Say which file it was, whatever its reader raises."""
    detail = functools.partial(_parquet_fault, file) if file_format == "Parquet" else _jsonl_fault
    return explained(file, SourceError, file_format=file_format, detail=detail)


def _jsonl_fault(error: BaseException) -> str:
    return reason(error, "JSONL")


def _parquet_fault(file: str, error: BaseException) -> str:
    """What is wrong with the file. Arrow says of a truncated file only that it has no footer, as any other file."""
    message = reason(error, "Parquet")
    if "magic bytes" not in message and "file size" not in message:
        return message
    with FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED) as content:
        start = content.read(len(_PARQUET))
    if start == _PARQUET:
        return "it is cut off: its end is missing"
    return "it is not Parquet" if start else "it is empty"


def reason(error: BaseException, kind: str) -> str:
    """What a reader's error says of the file, without what it quotes of a row.

    Parquet's speak of the file's own structure. JSON's quote values and keys, so only their place is taken.
    """
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.partition(':')[0]} at character {error.pos} of its line"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if kind == "Parquet" or (isinstance(error, OSError) and not isinstance(error, pa.ArrowException)):
        return one_line(error, 160)
    parsing = re.fullmatch(
        r"JSON parse error: (?:Column\((.*)\) (.+)|([A-Z][a-z ]+)\.?) in row (\d+)", str(error), re.DOTALL
    )
    if parsing is None:
        return type(error).__name__
    path, happened, fault, row = parsing.groups()
    column = path and path.split("/")[1]
    named = f"its {column}" if column in schemas.INPUT_COLUMNS else "a value"
    return f"{f'{named} {happened}' if path else fault} in row {row} of a block"


@shielded
def _parts(files: tuple[str, ...], columns: _Columns) -> Iterator[_Part]:
    file = files[0]
    if len(files) > 1 or not _is_parquet(file):
        yield _Part(files)
        return
    with _explained(file, "Parquet"), open_parquet(file) as parquet:
        _checked(parquet, file, columns)
        for row_group in range(parquet.num_row_groups):
            yield _Part(files, row_group)


@shielded
def _read(part: _Part, batch_rows: int, columns: _Columns) -> Iterator[pa.RecordBatch]:
    if _is_parquet(part.files[0]):
        batches = (batch for file in part.files for batch in _read_parquet(file, part.row_group, batch_rows, columns))
    else:
        batches = (batch for file in part.files for batch in _read_jsonl(file, batch_rows, columns))
    yield from _filled(batches, batch_rows)


def _read_parquet(file: str, row_group: int | None, batch_rows: int, columns: _Columns) -> Iterator[pa.RecordBatch]:
    for batch in _decoded(file, row_group, batch_rows, columns):
        yield input_columns(batch, *columns)  # outside of what explains errors of the file: its own may quote values


def _decoded(file: str, row_group: int | None, batch_rows: int, columns: _Columns) -> Iterator[pa.RecordBatch]:
    with _explained(file, "Parquet"), open_parquet(file) as parquet:
        schema = _checked(parquet, file, columns)
        groups = None if row_group is None else [row_group]
        if any(map(narrows, schema.types)):
            batch_rows = -(-batch_rows // -(-batch_rows // _NARROWED_ROWS))  # in equal parts
        batches = parquet.iter_batches(batch_rows, row_groups=groups, columns=schema.names, use_threads=False)
        for batch in batches:
            arrays = [
                narrowed(_as_null(batch.column(name), dtype))
                for name, dtype in zip(schema.names, schema.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _checked(parquet: pq.ParquetFile, file: str, columns: _Columns) -> pa.Schema:
    """The columns to read; one without any value has the type null, as its writer had to give it some type.

    Raises:
        SourceError: They cannot be cases.
    """
    schema = parquet.schema_arrow
    try:
        names = check_input(schema, file, *columns)
    except SourceError:
        schema = pa.schema(
            [field.with_type(pa.null()) if _is_empty(parquet, field.name) else field for field in schema]
        )
        names = check_input(schema, file, *columns)
    return pa.schema([schema.field(name) for name in names])


def _is_empty(parquet: pq.ParquetFile, name: str) -> bool:
    """Whether the file says that no row has a value in a column, or has no rows."""
    metadata = parquet.metadata
    paths = [parquet.schema.column(place).path for place in range(metadata.num_columns)]
    leaves = [place for place, path in enumerate(paths) if path == name or path.startswith(f"{name}.")]
    chunks = [metadata.row_group(group).column(leaf) for group in range(metadata.num_row_groups) for leaf in leaves]
    return all(
        chunk.is_stats_set and chunk.statistics.has_null_count and chunk.statistics.null_count == chunk.num_values
        for chunk in chunks
    )


def _as_null(column: pa.Array, dtype: pa.DataType) -> pa.Array:
    return pa.nulls(len(column)) if pa.types.is_null(dtype) else column


def _read_jsonl(file: str, batch_rows: int, columns: _Columns) -> Iterator[pa.RecordBatch]:
    with _explained(file, "JSONL"):
        for block in read_jsonl(file, *columns):
            for start in range(0, block.num_rows, batch_rows):
                yield block.slice(start, batch_rows)


def _filled(batches: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Join batches of one schema that follow each other, as far as batch_rows allows."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if pending and (rows + batch.num_rows > batch_rows or not batch.schema.equals(pending[0].schema)):
            yield joined(pending)
            pending, rows = [], 0
        pending.append(batch)
        rows += batch.num_rows
        if rows >= batch_rows:
            yield joined(pending)
            pending, rows = [], 0
    if pending:
        yield joined(pending)


@contextlib.contextmanager
def open_parquet(file: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file of any Beam filesystem, with ordinary types instead of those that Arrow notes beside them."""
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context(_open(file))

        def opened(metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
            parquet = pq.ParquetFile(
                handle,
                metadata=metadata,
                buffer_size=_READ_AT_ONCE["elsewhere" if "://" in file else "disk"],
                pre_buffer=False,
                page_checksum_verification=True,
                coerce_int96_timestamp_unit="us",  # in nanoseconds, Arrow's default, the year 9999 is read as 1816
            )
            return stack.enter_context(parquet)

        parquet = opened()
        if any(_is_noted(dtype) for dtype in parquet.schema_arrow.types):
            parquet = opened(_without_arrow_types(parquet.metadata))
        yield parquet


def _is_noted(dtype: pa.DataType) -> bool:
    """Whether Arrow reads a type only because it noted that beside the file's own, and the values are the same without.

    Lists of a fixed size are read back with an error where one is null; dictionaries and views are only undone later.
    """
    if isinstance(dtype, pa.FixedShapeTensorType):
        return has_one_axis(dtype)  # else the order of the values is in the note
    return pa.types.is_fixed_size_list(dtype) or (plain_type(dtype) != dtype and not isinstance(dtype, pa.UuidType))


def _without_arrow_types(metadata: pq.FileMetaData) -> pq.FileMetaData:
    """The metadata of the same file without the note on Arrow's types; what they are in Parquet is kept."""
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    return pq.read_metadata(io.BytesIO(footer.getvalue().replace(b"ARROW:schema", b"-----:schema")))
