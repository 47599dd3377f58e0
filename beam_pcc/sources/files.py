"""Cases from Parquet and JSONL files of any Beam filesystem, in parallel and never a whole file in memory."""

from __future__ import annotations

import base64
import contextlib
import functools
import glob
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pcc.cases import schemas
from beam_pcc.cases.validation import check_input
from beam_pcc.errors import ConfigurationError, SourceError, one_line
from beam_pcc.errors.foreign import explained
from beam_pcc.shielding import shielded

_READ_AHEAD = 4 * 2**20  # bytes of a Parquet column held compressed at a time, instead of a whole column chunk
_JSON_BLOCK = 8 * 2**20  # bytes of JSONL parsed at a time; a row must fit


class ReadFiles(beam.PTransform):
    """PBegin -> PCollection[RecordBatch] of INPUT_COLUMNS from the files that match `pattern` now.

    Raises:
        ConfigurationError: No file matches, or one is neither .parquet nor .jsonl (or .jsonl.gz).
    """

    def __init__(self, pattern: str, batch_rows: int, text_column: str | None = None) -> None:
        super().__init__()
        self._text_column = text_column
        self._batch_rows = batch_rows
        self._files = _match(pattern)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Handles (file, row group) are spread over the workers; rows never cross a shuffle."""
        return (
            begin
            | "Files" >> beam.Create(self._files)
            | "SpreadFiles" >> beam.Reshuffle()
            | "Parts" >> beam.FlatMap(_parts, self._text_column).with_output_types(_Part)
            | "Spread" >> beam.Reshuffle()
            | "ReadRows" >> beam.FlatMap(_read, self._batch_rows, self._text_column).with_output_types(pa.RecordBatch)
        )


class _Part(NamedTuple):
    """What one worker reads at a time: one row group of a Parquet file, or a whole JSONL file."""

    file: str
    row_group: int


def _match(pattern: str) -> list[str]:
    try:
        with explained(f"--source {pattern} cannot be listed", ConfigurationError):
            found = [pattern] if _is_file(pattern) else _listed(pattern)
    except ValueError as error:  # Beam's, of an address of no known filesystem
        raise ConfigurationError(
            f"--source {pattern} cannot be listed: {one_line(error, 160)}; check the path and the rights"
        ) from None
    if not found:
        raise ConfigurationError(f"--source {pattern} matches no file; check the path and the partition")
    for file in found:
        if not _is_parquet(file) and not file.endswith((".jsonl", ".jsonl.gz")):
            raise ConfigurationError(
                f"--source {file} is neither .parquet nor .jsonl; for a folder say FOLDER/*.parquet"
            )
    return found


def _listed(pattern: str) -> list[str]:
    return sorted(file.path for file in FileSystems.match([pattern])[0].metadata_list)


def _is_file(path: str) -> bool:
    """Whether a path that looks like a pattern is the name of a file on this disk."""
    return glob.has_magic(path) and "://" not in path and Path(path).is_file()


def _is_parquet(file: str) -> bool:
    return file.endswith(".parquet")


def _explained(file: str, file_format: str) -> AbstractContextManager[None]:
    """Say which file it was, whatever its reader raises."""
    return explained(file, SourceError, file_format=file_format, words=functools.partial(reason, kind=file_format))


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
def _parts(file: str, text_column: str | None) -> Iterator[_Part]:
    if not _is_parquet(file):
        yield _Part(file, 0)
        return
    with _explained(file, "Parquet"), _parquet(file) as parquet:
        check_input(parquet.schema_arrow, file, text_column)
        for row_group in range(parquet.num_row_groups):
            yield _Part(file, row_group)


@shielded
def _read(part: _Part, batch_rows: int, text_column: str | None) -> Iterator[pa.RecordBatch]:
    if _is_parquet(part.file):
        with _explained(part.file, "Parquet"), _parquet(part.file) as parquet:
            columns = check_input(parquet.schema_arrow, part.file, text_column)
            yield from _ahead(
                parquet.iter_batches(batch_rows, row_groups=[part.row_group], columns=columns, use_threads=False)
            )
    else:
        with _explained(part.file, "JSONL"):
            yield from _read_jsonl(part.file, batch_rows, text_column)


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Decode the next batch (Arrow lets go of the GIL) while the graph works on this one."""
    with ThreadPoolExecutor(max_workers=1) as decoder:
        coming = decoder.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = decoder.submit(next, batches, None)
            yield batch


@contextlib.contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    with contextlib.ExitStack() as stack:
        handle: Any = file
        if "://" in file:
            handle = stack.enter_context(FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED))

        def opened(metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
            parquet = pq.ParquetFile(
                handle, metadata=metadata, buffer_size=_READ_AHEAD, pre_buffer=False, page_checksum_verification=True
            )
            return stack.enter_context(parquet)

        parquet = opened()
        schema = parquet.schema_arrow
        vector = schema.get_field_index("embedding_vector")
        if vector >= 0 and pa.types.is_fixed_size_list(schema.types[vector]):
            parquet = opened(_without_arrow_types(parquet.metadata))
        yield parquet


def _without_arrow_types(metadata: pq.FileMetaData) -> pq.FileMetaData:
    """Parquet knows lists of any size only. Arrow notes beside them that theirs was fixed, and then reads no null back.

    Without that note they are plain lists, nulls and all.
    """
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    return pq.read_metadata(io.BytesIO(footer.getvalue().replace(b"ARROW:schema", b"-----:schema")))


def _read_jsonl(file: str, batch_rows: int, text_column: str | None) -> Iterator[pa.RecordBatch]:
    with _text_bytes(file) as handle:
        schema = _jsonl_schema(_lines(handle), file, text_column)
    if schema is None:
        return
    base64_vectors = "embedding_vector" in schema.names and schema.field("embedding_vector").type == pa.string()
    with _text_bytes(file) as handle:
        reader = pyarrow.json.open_json(
            handle,
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=_JSON_BLOCK),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        for block in reader:
            for start in range(0, block.num_rows, batch_rows):
                rows = block.slice(start, batch_rows)
                yield _decode_vectors(rows) if base64_vectors else rows


@contextlib.contextmanager
def _text_bytes(file: str) -> Iterator[pa.NativeFile]:
    with contextlib.ExitStack() as stack:
        stored = stack.enter_context(FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED))
        stream = stack.enter_context(pa.PythonFile(stored, mode="r"))
        yield stack.enter_context(pa.CompressedInputStream(stream, "gzip")) if file.endswith(".gz") else stream


def _lines(handle: pa.NativeFile) -> Iterator[bytes]:
    """The lines that are not blank, however far down or long they are."""
    begun = b""
    while block := handle.read(_JSON_BLOCK):
        *whole, begun = (begun + block).lstrip().split(b"\n")
        yield from filter(bytes.strip, whole)
    if begun.strip():
        yield begun


def _jsonl_schema(lines: Iterator[bytes], file: str, text_column: str | None) -> pa.Schema | None:
    """The types that the first values show: ids may be numbers, vectors base64 (BigQuery exports BYTES so).

    The first row tells them, but for what is null there; None if there is no row.
    """
    rows = (_object(line, file) for line in lines)
    row = next(rows, None)
    if row is None:
        return None
    wanted = schemas.INPUT_COLUMNS if text_column is None else ("case_id", text_column, "timestamp")
    missing = [name for name in wanted if name not in row]
    if missing:
        # Its other keys are content, like its values, and are not told.
        has = ", ".join(name for name in wanted if name in row) or "none of those that are read"
        raise SourceError(f"{file}: its first row has no {missing[0]} (it has: {has})")
    has_vector = "embedding_vector" in row
    case_id, vector = row["case_id"], row.get("embedding_vector")
    while (case_id is None or (has_vector and vector is None)) and (row := next(rows, None)) is not None:
        case_id = row.get("case_id") if case_id is None else case_id
        vector = row.get("embedding_vector") if vector is None else vector
    types = {"case_id": pa.int64() if isinstance(case_id, int) else pa.string()}
    if text_column is not None:
        types[text_column] = pa.string()
    if has_vector:
        types["embedding_vector"] = pa.string() if isinstance(vector, str) else pa.list_(pa.float64())
    types["timestamp"] = pa.string()
    return pa.schema(list(types.items()))


def _object(line: bytes, file: str) -> dict[str, Any]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise SourceError(f"{file}: a line of it is not a JSON object; write one object a line")
    return row


def _decode_vectors(rows: pa.RecordBatch) -> pa.RecordBatch:
    """What is not base64 becomes zero bytes long, which validation rejects as a missing vector."""

    def decoded(text: str | None) -> bytes | None:
        try:
            return None if text is None else base64.b64decode(text, validate=True)
        except ValueError:
            return b""

    column = pa.array([decoded(t) for t in rows.column("embedding_vector").to_pylist()], pa.binary())
    return rows.set_column(rows.schema.get_field_index("embedding_vector"), "embedding_vector", column)
