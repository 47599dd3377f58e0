"""Reads a skops file into `inert` data, without running code of skops or importing anything that the file names.

A skops file is a zip of arrays and schema.json, a tree of nodes that each name a type and a loader. Every node is
compared with `allowed`, even if scoring does not use it. `estimators` checks the meaning of the data.
"""

from __future__ import annotations

import ast
import io
import json
import re
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from beam_pcc.models.safe_loading import allowed, trees
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.safe_loading.inert import LEFTOVER, Array, Budget, Objects, Record, dense, is_shape, is_unicode

MAX_MEMBERS = 50_000
MAX_SCHEMA_BYTES = 64 * 2**20
MAX_DEPTH = 60
PROTOCOL = 2  # of the locked skops; older protocols have other nodes
_MAX_ENTRY_BYTES = 128  # of a member in the zip's directory; skops needs about 70
_MEMBER = re.compile(r"schema\.json|\d{1,20}\.npy")
_NODE_KEYS = frozenset({"__loader__", "__module__", "__class__", "__id__", "__reduce__"})
_DESCRIPTION = re.compile(r"\|[biu]1|<[iuf][248]|<U[1-9]\d{0,3}", re.ASCII)
_END = struct.Struct("<4s4H2LH")


def load(data: bytes, limit: int) -> Any:
    """The data in a skops file. Raises only RefusedError.

    Args:
        data: The file.
        limit: Bytes that it may unpack to.
    """
    try:
        text, arrays = _members(data, limit)
        schema = json.loads(text)
    except RefusedError:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, KeyError) as error:
        raise RefusedError(f"is damaged, or is no skops file ({type(error).__name__})", "copy it again") from None
    except (ValueError, RecursionError, RuntimeError, struct.error, OverflowError, zlib.error) as error:
        raise RefusedError(f"is damaged, or is no skops file ({type(error).__name__})", "copy it again") from None
    if type(schema) is not dict or schema.get("protocol") != PROTOCOL:
        raise RefusedError(f"is not of skops protocol {PROTOCOL}", "save it with the skops of this package")
    _check_names(schema)
    return _Reader(arrays).value(schema, 0)


def _members(data: bytes, limit: int) -> tuple[bytes, dict[str, Array]]:
    """The schema, and the arrays by name. Decompresses no more than the size that the file declares."""
    _check_directory(data)
    schema: bytes | None = None
    arrays: dict[str, Array] = {}
    left = limit
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            name = entry.filename
            _require(bool(_MEMBER.fullmatch(name)) and name not in arrays, f"has an odd member {name!r}")
            _require(entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), "is packed in an odd way")
            _require(entry.file_size <= left, f"unpacks to more than {limit:,} bytes")
            with archive.open(entry) as member:
                content = member.read(entry.file_size + 1)  # read() without a size would decompress everything
            _require(len(content) == entry.file_size, "has a member of another size than it says")
            left -= len(content)
            if name != "schema.json":
                arrays[name] = _npy(content)  # parsed once for all nodes that name it
                continue
            _require(schema is None, "has two schemas")
            schema = content
    if schema is None:
        raise RefusedError("is no skops model: it has no schema.json")
    _require(len(schema) <= MAX_SCHEMA_BYTES and schema.isascii(), "has too large a schema.json")
    # Parsing allocates memory for each value, so count the separators first.
    Budget().step(sum(schema.count(sign) for sign in (b",", b"[", b"{")))
    return schema, arrays


def _check_directory(data: bytes) -> None:
    """Check the number of entries in the zip's end record, since `zipfile` creates an object for each entry."""
    _require(len(data) >= _END.size, "is no zip")
    sign, *disks, here, count, size, offset, comment = _END.unpack(data[-_END.size :])
    _require(sign == b"PK\5\6" and disks == [0, 0] and comment == 0, "is no zip, or has an odd end")
    _require(here == count <= MAX_MEMBERS and size <= count * _MAX_ENTRY_BYTES, "has too many members")
    _require(offset + size + _END.size == len(data), "has an odd end")


def _check_names(schema: dict[str, Any]) -> None:
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        item, depth = waiting.pop()
        _require(depth <= 3 * MAX_DEPTH, "is too deep")
        if type(item) is list:
            waiting += [(value, depth + 1) for value in item]
        elif type(item) is dict:
            waiting += [(value, depth + 1) for value in item.values()]
            if _NODE_KEYS & item.keys() and _name(item)[0] == "RandomGeneratorNode":
                _check_generator(item)


def _name(node: dict[str, Any]) -> tuple[str, allowed.Name]:
    """Loader and type of a node. Raises RefusedError unless they are allowed."""
    loader, module, name = (node.get(key) for key in ("__loader__", "__module__", "__class__"))
    if type(loader) is str and type(module) is str and type(name) is str:
        known = (loader, *allowed.canonical(module, name))
        if known in allowed.SKOPS_NODES:
            return loader, (known[1], known[2])
    raise RefusedError(f"asks for {module}.{name} by {loader}, which is not an allowed model type")


def _check_generator(node: dict[str, Any]) -> None:
    """Refuse generators that skops itself would create: any name in numpy.random, with a pool of any size."""
    try:
        bits, seeds = node["content"]["bit_generator"]["content"], node["content"]["seed_seq"]["content"]
        is_usual = bits["bit_generator"]["content"] == '"PCG64"' and seeds["pool_size"]["content"] == "4"
    except (KeyError, TypeError):
        is_usual = False
    _require(is_usual, "has an odd random generator")


class _Reader:
    """Converts nodes to data."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self._budget = Budget()

    def value(self, node: Any, depth: int) -> Any:
        _require(type(node) is dict and depth <= MAX_DEPTH, "has an odd node")
        self._budget.step()
        loader, name = _name(node)
        content = node.get("content")
        if loader == "JsonNode":
            return self._json(content)
        if loader == "NdArrayNode":
            return self._array(node, name, depth)
        if loader in ("ListNode", "TupleNode"):
            values = [self.value(item, depth + 1) for item in self._list(content)]
            return values if loader == "ListNode" else tuple(values)
        if loader == "DictNode":
            return self._dict(content, depth)
        if loader == "ObjectNode":
            state = self.value(content, depth + 1)
            _require(type(state) is dict or state is None, "has an odd node")
            return Record(name, (), state or {})
        if loader == "TreeNode":
            reduced = node.get("__reduce__")
            _require(type(reduced) is dict, "has an odd node")
            arguments = self.value(reduced.get("args"), depth + 1)
            state = self.value(content, depth + 1)
            _require(type(arguments) is tuple and type(state) is dict, "has an odd node")
            return Record(allowed.TREE, arguments, state)
        return LEFTOVER  # losses, random generators, types of keys

    def _list(self, content: Any) -> list[Any]:
        _require(type(content) is list, "has an odd node")
        values: list[Any] = content
        return values

    def _dict(self, content: Any, depth: int) -> dict[str, Any]:
        _require(type(content) is dict, "has an odd node")
        return {str(key): self.value(item, depth + 1) for key, item in content.items()}

    def _json(self, content: Any) -> Any:
        _require(type(content) is str and len(content) <= 2**20, "has an odd node")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            raise RefusedError("is no skops model: it has an odd node") from None
        return value if type(value) in (str, int, float, bool, type(None)) else LEFTOVER  # others have their nodes

    def _array(self, node: dict[str, Any], name: allowed.Name, depth: int) -> Any:
        if node.get("type") == "json":
            shape, content = self.value(node.get("shape"), depth + 1), self._list(node.get("content"))
            _require(name[1] == "ndarray" and is_shape(shape) and shape == (len(content),), "has an odd array")
            return Objects(shape, [self.value(item, depth + 1) for item in content])
        file = node.get("file")
        _require(node.get("type") == "numpy" and type(file) is str and file in self._arrays, "has an odd array")
        array = self._arrays[str(file)]
        if name[1] == "ndarray":
            return array
        _require(array.ndim == 0 and array.dtype.kind in "biufU", "has an odd number")
        _require(array.dtype.kind != "U" or is_unicode(array.reshape(1).view("<u4")), "has an odd text")
        self._budget.allocate(2 * array.itemsize)
        return array[()]


def _npy(content: bytes) -> Array:
    """The array in a file of NumPy's format, version 1 or 2; a view of its bytes."""
    _require(content[:6] == b"\x93NUMPY" and content[6:8] in (b"\1\0", b"\2\0"), "has an odd array")
    start = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:start], "little")
    header = content[start : start + length]
    _require(length <= 10_000 and len(header) == length and header.isascii(), "has an odd array")
    try:
        description = ast.literal_eval(header.decode().strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise RefusedError("is no skops model: it has an odd array") from None
    _require(
        type(description) is dict and description.keys() == {"descr", "fortran_order", "shape"}, "has an odd array"
    )
    order = "F" if description["fortran_order"] is True else "C"
    return dense(content[start + length :], _dtype(description["descr"]), description["shape"], order)


def _dtype(description: Any) -> np.dtype[Any]:
    if type(description) is str and _DESCRIPTION.fullmatch(description):
        return np.dtype(description)
    records = [dtype for dtype in trees.record_dtypes() if type(description) is list and dtype.descr == description]
    _require(len(records) == 1, "has an array of an odd type")
    return records[0]


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RefusedError(f"is no skops model: it {reason}")
