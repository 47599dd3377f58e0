"""Rows of JSONL files. Arrow parses blocks of lines; what it refuses is halved until only the odd lines are left.

Python's parser reads an odd line, so that it costs nothing but itself: no line decides what becomes of another.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.json
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pcc.cases import faults
from beam_pcc.cases.columns import wanted_columns
from beam_pcc.errors import SourceError
from beam_pcc.terminal import logger

_log = logger(__name__)
_BLOCK = 8 * 2**20  # bytes that are read at a time
MAX_LINE = 64 * 2**20  # bytes; a longer line is not held in memory
_HEAD = 2**20  # bytes of a line that cannot be parsed in which its case_id is looked for
_MAX_VALUES = 2_000_000  # in one line that Python parses: each becomes an object of some 64 bytes
_REPORTED = 3  # malformed lines of one file that the log names
_LONGEST_WHOLE = 300  # digits: more are beyond a double
_SAMPLED = 100  # rows of a block that are asked for its types
_SPACE = b" \t\r\n"
_GZIP, _PARQUET, _UTF8_BOM = b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf"
_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")  # their byte order marks
# Arrow's reader crashes the process on a null in place of an object, and takes objects that share or span lines.
_NOT_AN_OBJECT = re.compile(rb"\n[ \t\r]*[^{ \t\r\n]")
_NULL_AFTER_OBJECT = re.compile(rb"\}[ \t\r]*n")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def read_jsonl(
    file: str, text_column: str | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of one file, packed with gzip or not.

    Args:
        file: Of any Beam filesystem.
        text_column: The field that holds the messages, if vectors are made of them.
        columns: Input column to the file's own name of it, where that is another. Case does not matter in names.

    Yields:
        Batches of the columns that are read, and batches of STAGED_REJECTED: lines that are no rows, each with the
        reason malformed_row and its number in the file.

    Raises:
        SourceError: The file is empty, cut off, of another format or encoding, or no line of it is a JSON object.
    """
    state = _File(file, _Keys.of(text_column, columns or {}))
    with open_jsonl(file) as stream:
        for block in _blocks(stream, file):
            yield from state.read(block)
    state.finish()


def read_objects(file: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Read the objects of a small file, whatever their fields are, line by line.

    Args:
        file: Of any Beam filesystem, packed with gzip or not.
        names: Of the fields that are read; case does not matter. One that a line lacks is None.

    Yields:
        The number of a line that is not blank, with its values as Python has them, or with what is wrong with it.

    Raises:
        SourceError: The file is empty, cut off, or of another format or encoding.
    """
    keys = _Keys(None, {name: name for name in names}, {name.lower(): name for name in names})
    lines = 0
    with open_jsonl(file) as stream:
        for block in _blocks(stream, file):
            if block.overlong:
                lines += 1
                yield block.first_line, f"it is longer than {MAX_LINE // 2**20} MiB"
                continue
            for number, line in enumerate(block.content.split(b"\n"), block.first_line):
                if not line.strip(_SPACE):
                    continue
                lines += 1
                parsed = _parsed(line)
                if isinstance(parsed, str) and block.last and _is_cut(line):
                    raise SourceError(f"{file} is cut off: it ends within line {number}; write it again")
                try:
                    yield number, parsed if isinstance(parsed, str) else _wanted(parsed, keys)
                except _UnfitError as fault:
                    yield number, str(fault)
    if not lines:
        raise SourceError(f"{file} is empty; write it again")


@contextlib.contextmanager
def open_jsonl(file: str) -> Iterator[pa.NativeFile]:
    """The bytes of a file, unpacked if it is packed with gzip.

    Its name does not tell: Cloud Storage can unpack a .gz file as it hands it over.
    """
    with contextlib.ExitStack() as stack:
        stored = stack.enter_context(FileSystems.open(file, compression_type=CompressionTypes.UNCOMPRESSED))
        packed = stored.read(2) == _GZIP
        stored.seek(0)
        stream = stack.enter_context(pa.PythonFile(stored, mode="r"))
        yield stack.enter_context(pa.CompressedInputStream(stream, "gzip")) if packed else stream


class _Block(NamedTuple):
    """Whole lines of a file. Of an overlong line, only its head."""

    first_line: int
    content: bytes
    overlong: bool = False
    last: bool = False


def _blocks(stream: pa.NativeFile, file: str) -> Iterator[_Block]:
    """Split a file at the ends of lines. Holds one block, and a line of at most MAX_LINE, at a time."""
    line = 1
    pending = _start(_read(stream, file), file)
    while True:
        cut = pending.rfind(b"\n") + 1
        if cut:
            yield _Block(line, pending[:cut])
            line += pending.count(b"\n", 0, cut)
            pending = pending[cut:]
        piece = _read(stream, file)
        if not piece:
            yield _Block(line, pending, last=True)
            return
        pending = pending + piece
        if len(pending) > MAX_LINE and b"\n" not in pending:
            yield _Block(line, pending[:_HEAD], overlong=True)
            while piece and b"\n" not in piece:
                piece = _read(stream, file)
            pending = piece.partition(b"\n")[2]
            line += 1


def _read(stream: pa.NativeFile, file: str) -> bytes:
    try:
        content: bytes = stream.read(_BLOCK)
    except OSError as error:  # of the unpacking; it quotes nothing of what it unpacks
        if "Truncated" in str(error):
            raise SourceError(f"{file} is cut off: its gzip data have no end; write it again") from None
        if "zlib" in str(error):
            raise SourceError(f"{file}: its gzip data are damaged; write it again") from None
        raise
    return content


def _start(content: bytes, file: str) -> bytes:
    """Refuse what is no JSONL by its first bytes; take a UTF-8 mark off."""
    if content.startswith(_UTF16_OR_32) or 0 < content[:4].count(0) < 4:
        raise SourceError(
            f"{file} is UTF-16 or UTF-32 and not UTF-8; convert it, as with iconv -f UTF-16 -t UTF-8, or write it with "
            "-Encoding utf8 from PowerShell"
        )
    if content.startswith(_PARQUET):
        raise SourceError(f"{file} is Parquet and not JSONL; give it a name that ends in .parquet")
    content = content.removeprefix(_UTF8_BOM)
    if _begins_array(content.lstrip(_SPACE).partition(b"\n")[0]):
        raise SourceError(f"{file} is a JSON array and not JSONL; write one object a line, as jq -c '.[]' does")
    return content


def _begins_array(line: bytes) -> bool:
    """Whether a first line is that of an array over several lines; one that is whole is a bad row at most."""
    if not line.startswith(b"["):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return line[1:].strip(_SPACE)[:1] in (b"", b"{")
    return False


@dataclass(frozen=True)
class _Keys:
    """The keys that are read.

    Attributes:
        text_column: The name of the field of messages.
        own_names: Name in the graph to the file's own, in any spelling.
        names: The file's own name in small letters to the name in the graph.
    """

    text_column: str | None
    own_names: Mapping[str, str]
    names: Mapping[str, str]

    @classmethod
    def of(cls, text_column: str | None, columns: Mapping[str, str]) -> _Keys:
        own_names = {name: columns.get(name, name) for name in wanted_columns(text_column)}
        return cls(text_column, own_names, {own_name.lower(): name for name, own_name in own_names.items()})

    def name_of(self, key: str) -> str | None:
        """The name in the graph of a key; None if it is not read."""
        return self.names.get(key.lower())


class _Layout(NamedTuple):
    """How Arrow reads a block.

    Attributes:
        schema: Type of each key, as the block spells it.
        names: The names in the graph, in the same order.
        other_spelling: Matches a key that is read and spelled differently, which Arrow would pass over.
    """

    schema: pa.Schema
    names: list[str]
    other_spelling: re.Pattern[bytes]

    @classmethod
    def of(cls, types: Mapping[str, pa.DataType], spellings: Mapping[str, str]) -> _Layout:
        keys = b"|".join(re.escape(spelling.encode("utf-8")) for spelling in spellings.values())
        other = re.compile(rb'"(?!(?:%s)")(?i:%s)"[ \t\r]*:' % (keys, keys))
        return cls(pa.schema([(spellings[name], dtype) for name, dtype in types.items()]), list(types), other)


@dataclass
class _File:
    """What is known of a file while its blocks are read."""

    name: str
    keys: _Keys
    rows: int = 0
    malformed: int = 0
    has_object: bool = False
    first_fault: str = ""
    first_keys: frozenset[str] | None = None
    with_values: set[str] = field(default_factory=set)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        names = wanted_columns(self.keys.text_column)
        return names if self.keys.text_column is None else tuple(name for name in names if name != "embedding_vector")

    def read(self, block: _Block) -> Iterator[pa.RecordBatch]:
        """The rows of a block, and its malformed lines."""
        if not block.content.strip(_SPACE):
            return
        if block.overlong:
            detail = f"line {block.first_line}: it is longer than {MAX_LINE // 2**20} MiB"
            yield self._rejected([_Malformed(_case_id(block.content, self.keys), detail)])
            return
        layout = self._layout(block.content)
        batch = _parse(block.content, layout)
        if batch is not None:
            yield self._rows(batch)
            return
        numbered = [
            (number, line)
            for number, line in enumerate(block.content.split(b"\n"), block.first_line)
            if line.strip(_SPACE)
        ]
        odd: list[tuple[int, bytes]] = []
        batches = list(_sound(numbered, layout, odd))
        if batches:
            yield self._rows(joined(batches))
        rows, malformed = [], []
        for number, line in odd:
            row = _row(line, number, self.keys)
            if isinstance(row, _Malformed):
                if block.last and _is_cut(line):
                    raise SourceError(f"{self.name} is cut off: it ends within line {number}; write it again")
                malformed.append(row)
            else:
                rows.append(row)
        yield from map(self._rows, _batches(rows))
        if malformed:
            yield self._rejected(malformed)

    def _layout(self, content: bytes) -> _Layout:
        """The spelling of keys and the types that the first rows of a block have: ids may be numbers, vectors text."""
        spellings: dict[str, str] = {}
        values: dict[str, Any] = {}
        enough = {"case_id", "embedding_vector"} if self.keys.text_column is None else {"case_id"}
        for line in _first_lines(content):
            with contextlib.suppress(ValueError, RecursionError):
                row = None if _has_too_many_values(line) else json.loads(line)
                if isinstance(row, dict):
                    read = {name: key for key in row if (name := self.keys.name_of(key)) is not None}
                    if self.first_keys is None:
                        self.first_keys = frozenset(self.required) & read.keys()
                    spellings = {**read, **spellings}
                    values = {**values, **{name: row[key] for name, key in read.items() if values.get(name) is None}}
            if all(values.get(name) is not None for name in enough):
                break
        case_id, vector = values.get("case_id"), values.get("embedding_vector")
        is_whole = isinstance(case_id, int) and not isinstance(case_id, bool)
        types = dict.fromkeys(wanted_columns(self.keys.text_column), pa.string())
        types["case_id"] = pa.int64() if is_whole else pa.string()
        types["embedding_vector"] = pa.string() if isinstance(vector, str) else pa.list_(pa.float64())
        return _Layout.of(types, {**self.keys.own_names, **spellings})

    def _rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.rows += batch.num_rows
        for name in self.required:
            if name not in self.with_values and batch.column(name).null_count < batch.num_rows:
                self.with_values.add(name)
        return batch

    def _rejected(self, malformed: Sequence[_Malformed]) -> pa.RecordBatch:
        for one in malformed[: max(0, _REPORTED - self.malformed)]:
            _log.warning("%s: %s; the row is rejected as %s", self.name, one.detail, faults.MALFORMED_ROW.code)
        self.first_fault = self.first_fault or malformed[0].detail
        self.has_object = self.has_object or any(one.is_object for one in malformed)
        self.malformed += len(malformed)
        return faults.rejected(
            pa.array([one.case_id for one in malformed], pa.string()),
            [faults.MALFORMED_ROW.code] * len(malformed),
            [one.detail for one in malformed],
        )

    def finish(self) -> None:
        """Judge the file as a whole. Raises SourceError."""
        lines = self.rows + self.malformed
        if not lines:
            raise SourceError(
                f"{self.name} is empty; write it again (a day without rows is a Parquet file without rows)"
            )
        if lines > 1 and not self.rows and not self.has_object:
            raise SourceError(
                f"{self.name}: no line of it is a JSON object ({self.first_fault}); write one object a line"
            )
        if self.malformed > _REPORTED:
            _log.warning("%s: %s lines are malformed", self.name, f"{self.malformed:,}")
        keys = self.first_keys or frozenset()
        own_names = self.keys.own_names
        missing = [own_names[name] for name in self.required if name not in keys and name not in self.with_values]
        if missing and self.rows > 1:
            # The other keys are content, like the values, and are not told.
            has = ", ".join(own_names[name] for name in self.required if name in keys) or "none of those that are read"
            raise SourceError(f"{self.name}: its rows have no {missing[0]} (they have: {has}); rename or add it")


def _first_lines(content: bytes) -> Iterator[bytes]:
    lines = (line for line in io.BytesIO(content) if line.strip(_SPACE))
    return itertools.islice(lines, _SAMPLED)


def _parse(lines: bytes, layout: _Layout) -> pa.RecordBatch | None:
    """The rows of whole lines, one of each that is not blank; None if Arrow refuses them or could misread them."""
    if not lines.lstrip(_SPACE).startswith(b"{") or _NOT_AN_OBJECT.search(lines) or _NULL_AFTER_OBJECT.search(lines):
        return None
    if layout.other_spelling.search(lines):
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(lines),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=layout.schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException:
        return None
    (batch,) = table.combine_chunks().to_batches()
    if _count_objects(lines) != batch.num_rows:
        return None
    return batch.select(layout.schema.names).rename_columns(layout.names)


def _count_objects(lines: bytes) -> int | None:
    """The number of lines that are not blank; None if one does not end as an object does."""
    lines = lines.strip(_SPACE)
    ends = lines.count(b"\n") + 1
    if lines.endswith(b"}") and lines.count(b"}\n") == ends - 1:
        return ends
    whole = [line.rstrip(_SPACE).endswith(b"}") for line in lines.split(b"\n") if line.strip(_SPACE)]
    return len(whole) if all(whole) else None


def _sound(
    lines: Sequence[tuple[int, bytes]], layout: _Layout, odd: list[tuple[int, bytes]]
) -> Iterator[pa.RecordBatch]:
    """The rows of the lines that Arrow takes; the others are appended to `odd`."""
    half = len(lines) // 2
    for part in (lines[:half], lines[half:]) if half else (lines,):
        batch = _parse(b"\n".join(line for _, line in part), layout)
        if batch is not None:
            yield batch
        elif len(part) == 1:
            odd.extend(part)
        else:
            yield from _sound(part, layout, odd)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows of batches of one schema, in one batch. There must be a row."""
    if len(batches) == 1:
        return batches[0]
    (batch,) = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return batch


class _Malformed(NamedTuple):
    """A line that is no row. The detail names its number and the fault, and no value."""

    case_id: str | None
    detail: str
    is_object: bool = False


class _Object(list[tuple[str, Any]]):
    """The pairs of a JSON object, so that a key that is there twice is seen."""


class _TooLarge:
    """A number beyond a double, such as 1e999."""


class _UnfitError(Exception):
    """A value of another type than its column. Its text is the detail."""


def _row(line: bytes, number: int, keys: _Keys) -> dict[str, Any] | _Malformed:
    """What Python's parser makes of a line that Arrow refuses."""

    def malformed(fault: str, case_id: str | None, *, is_object: bool = False) -> _Malformed:
        return _Malformed(case_id, f"line {number}: {fault}", is_object)

    pairs = _parsed(line)
    if isinstance(pairs, str):
        return malformed(pairs, _case_id(line, keys))
    try:
        text_column = keys.text_column
        values = _wanted(pairs, keys)
        values["case_id"] = _id(values["case_id"])
        if text_column is not None:
            values[text_column] = _text(values[text_column], text_column)
            if (values[text_column] or "").strip():
                values["embedding_vector"] = None  # of a row with a message it is not used
        values["embedding_vector"] = _vector(values["embedding_vector"])
        values["timestamp"] = _text(values["timestamp"], "timestamp")
    except _UnfitError as fault:
        return malformed(str(fault), _known_id(pairs, keys), is_object=True)
    return values


def _parsed(line: bytes) -> _Object | str:
    """The object of a line, or what is wrong with it."""
    try:
        text = line.decode("utf-8")
        if _has_too_many_values(line):
            return f"it has more than {_MAX_VALUES:,} values"
        pairs = json.loads(text, object_pairs_hook=_Object, parse_float=_float, parse_int=_int)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except json.JSONDecodeError as error:
        return f"{error.msg.partition(':')[0]} at character {error.pos + 1}"
    except RecursionError:
        return "it is nested too deeply"
    return pairs if isinstance(pairs, _Object) else f"it is {_json_type(pairs)}, not an object"


def _has_too_many_values(line: bytes) -> bool:
    return line.count(b",") + line.count(b"[") + line.count(b"{") > _MAX_VALUES


def _wanted(pairs: _Object, keys: _Keys) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(keys.own_names)
    spellings: dict[str, str] = {}
    for key, value in pairs:
        name = keys.name_of(key)
        if name is None:
            continue
        if spellings.get(name) == key:
            raise _UnfitError(f"{key} is there twice")
        if name in spellings:
            raise _UnfitError(f"{spellings[name]} and {key} differ in case only")
        spellings[name] = key
        values[name] = value
    return values


def _known_id(pairs: _Object, keys: _Keys) -> str | None:
    ids = [value for key, value in pairs if keys.name_of(key) == "case_id"]
    with contextlib.suppress(_UnfitError):
        return _id(ids[0]) if len(ids) == 1 else None
    return None


def _float(digits: str) -> float | _TooLarge:
    number = float(digits)
    return number if math.isfinite(number) else _TooLarge()


def _int(digits: str) -> int | float | _TooLarge:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else _float(digits)


def _id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and not _HALF_PAIR.search(value)):
        return value
    if isinstance(value, str):
        raise _UnfitError("case_id has half a surrogate pair")
    raise _UnfitError(f"case_id is {_json_type(value)}, not text or a whole number")


def _text(value: Any, name: str) -> str | None:
    """As text; of a surrogate pair that was cut in two, a replacement character is left."""
    if value is not None and not isinstance(value, str):
        raise _UnfitError(f"{name} is {_json_type(value)}, not text")
    return value and _HALF_PAIR.sub("\ufffd", value)


def _vector(value: Any) -> list[float | None] | str | None:
    if value is None or isinstance(value, str):
        return value and _HALF_PAIR.sub("\ufffd", value)
    if not isinstance(value, list) or isinstance(value, _Object):
        raise _UnfitError(f"embedding_vector is {_json_type(value)}, not a list")
    for position, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, (int, float, type(None))):
            raise _UnfitError(f"embedding_vector holds {_json_type(number)} at position {position}, not a number")
    return value


def _json_type(value: Any) -> str:
    names: Mapping[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        _TooLarge: "a number beyond float64",
        str: "text",
        _Object: "an object",
        list: "a list",
    }
    return names.get(type(value), "null")


def _batches(rows: Sequence[Mapping[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Rows that Python read, in batches of one type: vectors may be lists or text."""
    as_text = [row for row in rows if isinstance(row["embedding_vector"], str)]
    as_lists = [row for row in rows if not isinstance(row["embedding_vector"], str)]
    for same, vectors in ((as_text, pa.string()), (as_lists, pa.list_(pa.float64()))):
        if same:
            types = {name: vectors if name == "embedding_vector" else pa.string() for name in same[0]}
            yield pa.RecordBatch.from_pylist(same, schema=pa.schema(list(types.items())))


def _is_cut(line: bytes) -> bool:
    """Whether a last line without an end is the beginning of an object."""
    text = line.decode("utf-8", "replace").lstrip()
    if not text.startswith("{"):
        return False
    structure = _STRING.sub("", text)
    opened = structure.count("{") + structure.count("[")
    return '"' in structure or opened > structure.count("}") + structure.count("]")


def _case_id(line: bytes, keys: _Keys) -> str | None:
    """The case_id of an object that is not sound JSON, if it comes before the fault."""
    text = line[:_HEAD].decode("utf-8", "replace")
    decoder = json.JSONDecoder(parse_int=_int)
    place = 0
    with contextlib.suppress(ValueError, RecursionError, IndexError):
        place = _skip_space(text, place, "{")
        while True:
            key, place = decoder.raw_decode(text, _skip_space(text, place))
            if not isinstance(key, str):
                return None
            value, place = decoder.raw_decode(text, _skip_space(text, _skip_space(text, place, ":")))
            place = _skip_space(text, place)
            if keys.name_of(key) == "case_id" and text[place] in ",}":  # else a number may have been cut off
                with contextlib.suppress(_UnfitError):
                    case_id = _id(value)
                    return None if case_id is None or "\ufffd" in case_id else case_id
                return None
            place = _skip_space(text, place, ",")
    return None


def _skip_space(text: str, place: int, expected: str = "") -> int:
    """The place behind spaces and the expected character. Raises ValueError if another comes."""
    while text[place] in " \t\r\n":
        place += 1
    if expected and text[place] != expected:
        raise ValueError
    return place + len(expected)
