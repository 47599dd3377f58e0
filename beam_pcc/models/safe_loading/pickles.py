"""Reads a pickle of joblib or pickle into `inert` data. Its instructions call and import nothing.

A pickle is a program. This interpreter supports the instructions that saved models use, compares names with `allowed`,
and performs the few calls that create dtypes, arrays and numbers itself. It also reads the arrays that joblib writes
into the file. `estimators` checks the meaning of the data.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import pickletools
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from beam_pcc.models.safe_loading import allowed, trees
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.safe_loading.inert import (
    LEFTOVER,
    MAX_INTEGER_BYTES,
    MAX_TEXT_BYTES,
    MAX_UNPACKED_BYTES,
    Array,
    Budget,
    Global,
    Leftover,
    Objects,
    Record,
    dense,
    is_shape,
    is_unicode,
    require,
)

_MARK = object()
_CHUNK = 2**20
_LZMA_MEMORY = 128 * 2**20  # xz -9 needs 65 MB
_REPLACE = "copy it again, or train anew"
_DTYPE_CODE = re.compile(r"b1|[iu][1248]|f[248]|U[1-9]\d{0,3}|O8|V56|V64", re.ASCII)
_KEYS = (str, int, float)
_MAX_OTHER_KEYS = 1_000  # of a dict; numbers can be chosen so that all have one hash
_OBJECT = np.dtype(object)


def load(data: bytes, limit: int = MAX_UNPACKED_BYTES) -> Any:
    """The data in the pickle, which may be compressed. Raises only RefusedError.

    Args:
        data: The file.
        limit: Bytes that it may unpack to.
    """
    stream = _Stream(data, limit)
    if stream.peek() != 0x80:
        raise RefusedError("is not a joblib file or a pickle", "save the model by joblib.dump")
    value = _Machine(stream, Budget()).run()
    stream.require_end()
    return value


class _Stream:
    """The bytes of the pickle, decompressed on demand, at most `limit` of them."""

    def __init__(self, data: bytes, limit: int) -> None:
        self._left = limit
        self._unpacker: Any = _unpacker(data)
        self._source = memoryview(data)
        self._taken = 0
        self._buffer = io.BytesIO()
        if self._unpacker is None:
            if len(data) > limit:
                raise _too_large(limit)
            self._buffer = io.BytesIO(data)  # shares the bytes
            self._left = 0
        self._limit = limit

    def peek(self) -> int:
        first = self.read_some(1)
        self._buffer.seek(-len(first), io.SEEK_CUR)
        return first[0] if first else -1

    def read_some(self, size: int) -> bytes:
        """At most `size` bytes; none only at the end."""
        piece = self._buffer.read(size)
        if not piece and size and self._unpack():
            return self._buffer.read(size)
        return piece

    def read(self, size: int) -> bytes:
        """`size` bytes. Allocates memory for the bytes that exist, not for the announced size."""
        first = self._buffer.read(size)
        if len(first) == size:
            return first
        if size > self._limit:
            raise _too_large(self._limit)
        pieces = bytearray(first)
        while len(pieces) < size:
            piece = self.read_some(min(_CHUNK, size - len(pieces)))
            require(bool(piece), "is cut off, or describes an array larger than the file")
            pieces += piece
        return bytes(pieces) if size < _CHUNK else pieces  # type: ignore[return-value] # works as well, without a copy

    def _unpack(self) -> bool:
        """Decompress the next piece; False at the end."""
        while self._unpacker is not None and not self._unpacker.eof:
            packed = b""
            if self._unpacker_needs_input():
                packed = bytes(self._source[self._taken : self._taken + _CHUNK])
                self._taken += len(packed)
            try:
                piece = self._unpacker.decompress(self._pending + packed, _CHUNK)
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
                raise RefusedError(f"is damaged: it does not unpack ({error})", _REPLACE) from None
            if piece:
                self._left -= len(piece)
                if self._left < 0:
                    raise _too_large(self._limit)
                self._buffer = io.BytesIO(piece)
                return True
            if not packed and not self._pending:
                break
        return False

    def _unpacker_needs_input(self) -> bool:
        tail = getattr(self._unpacker, "unconsumed_tail", None)
        if tail is not None:  # zlib
            return not tail
        return bool(getattr(self._unpacker, "needs_input", False))

    @property
    def _pending(self) -> bytes:
        return getattr(self._unpacker, "unconsumed_tail", b"")

    def require_end(self) -> None:
        """Refuse a file with bytes after the pickle."""
        if self.read_some(1):
            raise RefusedError("goes on after its end", _REPLACE)
        if self._unpacker is not None and (
            not self._unpacker.eof or self._unpacker.unused_data or self._taken < len(self._source)
        ):
            raise RefusedError("is damaged: its compressed content is cut off, or something follows it", _REPLACE)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(f"has, or unpacks to, more than {limit:,} bytes", "train a smaller model")


def _unpacker(data: bytes) -> Any:
    if data.startswith(b"\x78"):
        return zlib.decompressobj()
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    if data.startswith(b"BZ"):
        return bz2.BZ2Decompressor()
    if data.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    if data.startswith((b"\x04\x22\x4d\x18", b"ZF")):
        raise RefusedError("is packed with lz4, or by joblib before 0.10", "save it again without compression")
    return None


class _Dtype:
    """A dtype before its state is set, which must be the one that NumPy writes."""

    __slots__ = ("code", "ready")

    def __init__(self, code: str) -> None:
        self.code = code
        self.ready = False

    def get(self) -> np.dtype[Any]:
        """The dtype, little-endian. Raises RefusedError."""
        if self.code[0] == "V":
            # `_set_state` has compared the complete description of both records.
            records = [dtype for dtype in trees.record_dtypes() if dtype.itemsize == int(self.code[1:])]
            require(self.ready and len(records) == 1, "describes an odd type of array")
            return records[0]
        return np.dtype(self.code if self.code == "O8" else f"<{self.code}")


class _Machine:
    """Interprets a pickle. A nested pickle, of an array of objects, has its own interpreter."""

    def __init__(self, stream: _Stream, budget: Budget, *, nested: bool = False) -> None:
        self._stream = stream
        self._budget = budget
        self._nested = nested
        self._read = stream.read
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: list[Any] = []
        self._names: dict[tuple[str, str], Global] = {}

    def run(self) -> Any:
        read, step, handlers = self._read, self._budget.step, _HANDLERS
        try:
            while True:
                step()
                code = read(1)[0]
                if code == _STOP:
                    value = self._pop()
                    require(not self._stack and not self._marks, "leaves values behind")
                    return value
                handler = handlers[code]
                if handler is None:
                    names = [opcode.name for opcode in pickletools.opcodes if opcode.code == chr(code)]
                    raise RefusedError(
                        f"uses the pickle instruction {names[0] if names else code}, which no model needs"
                    )
                handler(self)
        except (struct.error, UnicodeDecodeError, OverflowError):
            raise RefusedError("is damaged: it is no pickle", _REPLACE) from None

    # The stack. Instructions may only use the values above the last mark.

    def _pop(self) -> Any:
        require(len(self._stack) > (self._marks[-1] if self._marks else 0), "takes what is not there")
        return self._stack.pop()

    def _top(self) -> Any:
        require(len(self._stack) > (self._marks[-1] if self._marks else 0), "takes what is not there")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        require(bool(self._marks), "takes what is not there")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    # Instructions without a value

    def op_proto(self) -> None:
        require(self._read(1)[0] <= 5, "is of a pickle protocol that is not known")

    def op_frame(self) -> None:
        self._read(8)  # a hint to read ahead, ignored in order to detect bytes after the pickle

    def op_mark(self) -> None:
        self._marks.append(len(self._stack))

    def op_pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def op_pop_mark(self) -> None:
        self._pop_to_mark()

    # Values

    def op_none(self) -> None:
        self._stack.append(None)

    def op_newtrue(self) -> None:
        self._stack.append(True)

    def op_newfalse(self) -> None:
        self._stack.append(False)

    def op_binint(self) -> None:
        self._stack.append(int.from_bytes(self._read(4), "little", signed=True))

    def op_binint1(self) -> None:
        self._stack.append(self._read(1)[0])

    def op_binint2(self) -> None:
        self._stack.append(int.from_bytes(self._read(2), "little"))

    def op_long1(self) -> None:
        self._long(self._size(1))

    def op_long4(self) -> None:
        self._long(self._size(4))

    def _long(self, size: int) -> None:
        require(size <= MAX_INTEGER_BYTES, "holds a number that is too large")
        self._stack.append(int.from_bytes(self._read(size), "little", signed=True))

    def op_binfloat(self) -> None:
        self._stack.append(struct.unpack(">d", self._read(8))[0])

    def _size(self, length: int) -> int:
        return int.from_bytes(self._read(length), "little")

    def _text(self, length: int) -> None:
        size = self._size(length)
        require(size <= MAX_TEXT_BYTES, "holds a text that is too long")
        self._budget.allocate(4 * size)
        self._stack.append(str(self._read(size), "utf-8"))

    def op_short_binunicode(self) -> None:
        self._text(1)

    def op_binunicode(self) -> None:
        self._text(4)

    def op_binunicode8(self) -> None:
        self._text(8)

    def op_short_binbytes(self) -> None:
        self._stack.append(self._read(self._size(1)))

    def op_binbytes(self) -> None:
        self._stack.append(self._read(self._size(4)))

    def op_binbytes8(self) -> None:
        self._stack.append(self._read(self._size(8)))

    op_bytearray8 = op_binbytes8

    # Collections

    def op_empty_tuple(self) -> None:
        self._stack.append(())

    def op_tuple1(self) -> None:
        self._tuple(1)

    def op_tuple2(self) -> None:
        self._tuple(2)

    def op_tuple3(self) -> None:
        self._tuple(3)

    def _tuple(self, length: int) -> None:
        values = [self._pop() for _ in range(length)]
        self._stack.append(tuple(reversed(values)))

    def op_tuple(self) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def op_empty_list(self) -> None:
        self._stack.append([])

    def op_append(self) -> None:
        self._extend([self._pop()])

    def op_appends(self) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        require(type(target) is list, "appends to what is no list")
        target.extend(values)

    def op_empty_dict(self) -> None:
        self._stack.append({})

    def op_setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._fill([key, value])

    def op_setitems(self) -> None:
        self._fill(self._pop_to_mark())

    def _fill(self, values: list[Any]) -> None:
        target = self._top()
        require(type(target) is dict and len(values) % 2 == 0, "fills an odd dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            require(type(key) in _KEYS, "fills an odd dict")
            require(type(key) is str or len(target) < _MAX_OTHER_KEYS, "fills an odd dict")
            target[key] = value

    # The memo: picklers number what they remember without a gap

    def op_memoize(self) -> None:
        self._put(len(self._memo))

    def op_binput(self) -> None:
        self._put(self._size(1))

    def op_long_binput(self) -> None:
        self._put(self._size(4))

    def _put(self, index: int) -> None:
        require(index == len(self._memo), "remembers in an odd order")
        value = self._top()
        if type(value) is _EmptyArray:
            value.memo_places.append(index)
        self._memo.append(value)

    def op_binget(self) -> None:
        self._get(self._size(1))

    def op_long_binget(self) -> None:
        self._get(self._size(4))

    def _get(self, index: int) -> None:
        require(index < len(self._memo), "takes what is not there")
        self._stack.append(self._memo[index])

    # Names, objects and calls

    def op_global(self) -> None:
        self._name(self._line(), self._line())

    def _line(self) -> str:
        line = bytearray()
        while (letter := self._read(1)) != b"\n":
            line += letter
            require(len(line) <= 500, "holds a name that is too long")
        return str(line, "utf-8")

    def op_stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        require(type(name) is str and type(module) is str, "names something by what is no text")
        self._name(module, name)

    def _name(self, module: str, name: str) -> None:
        known = self._names.get((module, name))
        if known is None:
            canonical = allowed.canonical(module, name)
            if canonical not in allowed.PICKLE_NAMES:
                raise RefusedError(f"asks for {module}.{name}, which is not an allowed model type")
            known = self._names[module, name] = Global(*canonical)
        self._stack.append(known)

    def op_newobj(self) -> None:
        arguments, kind = self._pop(), self._pop()
        makes = type(kind) is Global and (tuple(kind) in allowed.OBJECTS or tuple(kind) == allowed.ARRAY_RECORD)
        require(makes and type(arguments) is tuple and not arguments, "makes an object in an odd way")
        self._stack.append(Record((kind.module, kind.name)))

    def op_reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        require(type(function) is Global and type(arguments) is tuple, "calls something in an odd way")
        name = (function.module, function.name)
        if name in _CALLS:
            self._stack.append(_CALLS[name](arguments, self._budget))
        elif name in allowed.PICKLE_CALLS:
            self._stack.append(LEFTOVER)
        else:
            raise RefusedError(f"is no model: it calls {function.name}")

    def op_build(self) -> None:
        state, target = self._pop(), self._top()
        if type(target) is Record:
            require(target.state is None, "gives one object its state twice")
            require(type(state) is dict, "gives an object an odd state")
            target.state = state
            if target.name == allowed.ARRAY_RECORD:
                self._stack[-1] = self._array_beside(state)
        elif type(target) is _Dtype:
            _set_state(target, state)
        elif type(target) is _EmptyArray:
            self._stack[-1] = array = target.filled(state)
            for index in target.memo_places:
                self._memo[index] = array
        else:
            require(type(target) is Leftover, "gives state to what takes none")

    def _array_beside(self, record: dict[str, Any]) -> Array | Objects:
        """The array that `record` describes, of the bytes that follow it (joblib's format since 0.10)."""
        dtype = _dtype_of(record.get("dtype"))
        shape: Any = record.get("shape")
        require(_is_ndarray(record.get("subclass")) and is_shape(shape), "describes an odd array")
        require(not self._nested, "describes an array within an array")
        if dtype.hasobject:
            value: Array | Objects = _Machine(self._stream, self._budget, nested=True).run()
            require(type(value) is Objects, "describes an odd array")
            return value
        if record.get("numpy_array_alignment_bytes") is not None:
            self._read(self._read(1)[0])
        data = self._read(math.prod(shape) * dtype.itemsize)
        return dense(data, dtype, shape, record.get("order"))


def _is_ndarray(value: Any) -> bool:
    return type(value) is Global and value == ("numpy", "ndarray")


class _EmptyArray:
    """An array before its content is set, and the places of the memo that hold it."""

    def __init__(self) -> None:
        self.memo_places: list[int] = []

    def filled(self, state: Any) -> Array | Objects:
        require(type(state) is tuple and len(state) == 5, "describes an odd array")
        _, shape, dtype, fortran, data = state
        require(is_shape(shape), "describes an odd array")
        real = _dtype_of(dtype)
        if real.hasobject:
            require(
                type(data) is list and len(data) == math.prod(shape), "describes an array that differs from its values"
            )
            require(len(shape) <= 1, "describes an odd array")
            return Objects(shape, data)
        require(type(data) in (bytes, bytearray), "describes an array that differs from its values")
        return dense(data, real, shape, "F" if type(fortran) in (bool, int) and fortran else "C")


def _dtype_of(value: Any) -> np.dtype[Any]:
    require(type(value) is _Dtype, "describes an odd type of array")
    dtype: np.dtype[Any] = value.get()
    return dtype


def _set_state(dtype: _Dtype, state: Any) -> None:
    """Refuse a state that is not the one that NumPy itself writes for this dtype."""
    require(not dtype.ready, "gives one object its state twice")
    dtype.ready = True
    usual = dtype.get().__reduce__()[2]
    require(type(state) is tuple and len(state) in (8, 9), "describes an odd type of array")
    _, order, subdtype, names, fields, *sizes = state
    plain = (order, subdtype, names, *sizes)
    # Only now may they be compared: a comparison of tuples within tuples within tuples would not end.
    flat = all(type(part) in (str, int, type(None)) for part in (order, subdtype, *sizes))
    require(flat, "describes an odd type of array")
    if names is not None:
        flat = type(names) is tuple and all(type(name) is str for name in names)
        require(flat and type(fields) is dict and tuple(fields) == names, "describes an odd type of array")
        known: dict[str, Any] = {}
        for name, field in fields.items():
            require(
                type(field) is tuple and len(field) == 2 and type(field[1]) is int, "describes an odd type of array"
            )
            known[name] = (_dtype_of(field[0]), field[1])
        fields = known
    require(fields is None or names is not None, "describes an odd type of array")
    require(
        plain == (usual[1], usual[2], usual[3], *usual[5:]) and fields == _plain_fields(usual[4]),
        "describes an odd type of array",
    )


def _plain_fields(fields: Any) -> Any:
    return None if fields is None else {name: (field[0], field[1]) for name, field in fields.items()}


def _new_dtype(a: tuple[Any, ...], _: Budget) -> Any:
    sound = tuple(map(type, a)) == (str, bool, bool) and a[1:] == (False, True) and _DTYPE_CODE.fullmatch(a[0])
    require(bool(sound), "calls dtype with odd arguments")
    return _Dtype(a[0])


def _new_array(a: tuple[Any, ...], _: Budget) -> Any:
    sound = len(a) == 3 and _is_ndarray(a[0]) and is_shape(a[1]) and type(a[2]) is bytes
    require(sound and a[1:] == ((0,), b"b"), "calls _reconstruct with odd arguments")
    return _EmptyArray()


def _scalar(a: tuple[Any, ...], budget: Budget) -> Any:
    require(len(a) == 2 and type(a[1]) is bytes, "calls scalar with odd arguments")
    dtype = _dtype_of(a[0])
    require(dtype.kind in "biufU" and dtype.itemsize == len(a[1]), "calls scalar with odd arguments")
    budget.allocate(2 * dtype.itemsize)
    value = np.frombuffer(a[1], dtype)[0]
    if dtype.kind == "U":
        require(is_unicode(np.frombuffer(a[1], "<u4")), "holds a text that is none")
    return value


def _frombuffer(a: tuple[Any, ...], _: Budget) -> Any:
    require(len(a) == 4 and type(a[0]) in (bytes, bytearray), "calls _frombuffer with odd arguments")
    dtype = _dtype_of(a[1])
    require(not dtype.hasobject and type(a[3]) is str, "calls _frombuffer with odd arguments")
    return dense(a[0], dtype, a[2], a[3])


def _tree(a: tuple[Any, ...], _: Budget) -> Any:
    return Record(allowed.TREE, a)


_CALLS: dict[allowed.Name, Callable[[tuple[Any, ...], Budget], Any]] = {
    ("numpy", "dtype"): _new_dtype,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    allowed.TREE: _tree,
}

_STOP = ord(".")
_CODES = {opcode.name: ord(opcode.code) for opcode in pickletools.opcodes}
_HANDLERS: list[Callable[[_Machine], None] | None] = [None] * 256
_KNOWN = """
    PROTO FRAME MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 SHORT_BINUNICODE BINUNICODE BINUNICODE8
    EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE STACK_GLOBAL NEWOBJ REDUCE BUILD GLOBAL
"""
for _opcode in _KNOWN.split():
    _HANDLERS[_CODES[_opcode]] = getattr(_Machine, f"op_{_opcode.lower()}")
