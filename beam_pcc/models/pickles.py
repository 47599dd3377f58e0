"""Reading a pickle, as joblib or pickle wrote it, that may build nothing but what `allowed` lists.

A pickle is a program. Here its instructions, the names it uses, the arguments of its calls and the state it gives
to objects are each held to what trained models need. Arrays are read here too, so that no code of joblib's loader
runs: that one opens files beside the model, maps memory, and before joblib 1.6 reads arrays of objects without
any limit. What the finished object holds is for `contents` to judge.
"""

from __future__ import annotations

import importlib
import io
import math
import pickle
import pickletools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.models import allowed
from beam_pcc.models.allowed import RefusedError
from beam_pcc.models.calls import CALLS, Arguments, array_state, dtype_state, is_dense, is_shape, require

_OPCODES = frozenset(
    name
    for row in (
        "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT",
        "SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8 SHORT_BINUNICODE BINUNICODE BINUNICODE8",
        "EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3",
        "BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL NEWOBJ REDUCE BUILD",
    )
    for name in row.split()
)
MAX_READS = 20_000_000  # a forest of 1,000 trees takes 320,000; an instruction of one byte can make 64 in memory
_KEYS = (str, int, float)  # to hash, say, a deep tuple would exhaust the C stack
_STATEFUL = allowed.RANDOM | {allowed.TREE}


def load(data: bytes) -> Any:
    """The object that the pickle in `data` builds.

    Raises RefusedError, or whatever exception a damaged pickle brings out.
    """
    if not data.startswith(pickle.PROTO):
        raise RefusedError("is not a joblib file or a pickle", "save the model by joblib.dump")
    stream = _Stream(data)
    model = _Unpickler(stream).load()
    if stream.tell() != len(data):
        raise RefusedError(f"goes on for {len(data) - stream.tell():,} bytes after its end")
    return model


class _Stream(io.BytesIO):
    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        require(self.reads <= MAX_READS, "goes on and on")
        return super().read(size)


class _ArrayRecord:
    """Stands in for joblib's NumpyArrayWrapper: what array the bytes that follow hold."""


class _Handlers(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> Callable[[Any], None]:
        names = [opcode.name for opcode in pickletools.opcodes if opcode.code == chr(code)]
        raise RefusedError(f"uses the pickle instruction {names[0] if names else code}, which no model needs")


class _Unpickler(pickle._Unpickler):  # the Python one, as joblib's is: the C one has no hooks for instructions
    dispatch = _Handlers(
        (ord(opcode.code), pickle._Unpickler.dispatch[ord(opcode.code)])
        for opcode in pickletools.opcodes
        if opcode.name in _OPCODES
    )
    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self._stream = stream
        self._calls: dict[int, tuple[str, Callable[[Arguments], bool]]] = {}  # these are by id: a hash could be
        self._classes: set[int] = set()  # hostile, and what find_class gave out stays where it is
        self._built: dict[int, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = allowed.canonical(module, name)
        if known not in allowed.PICKLE_NAMES:
            raise RefusedError(f"asks for {module}.{name}, which is not an allowed model type")
        if known == allowed.ARRAY_RECORD:
            found: Any = _ArrayRecord
            self._classes.add(id(found))
            return found
        found = getattr(importlib.import_module(known[0]), name)
        if known in CALLS:
            self._calls[id(found)] = (name, CALLS[known])
        if known in allowed.OBJECTS:
            self._classes.add(id(found))
        return found

    def load_frame(self) -> None:
        self.read(8)  # a frame is a hint to read ahead; without it, what follows the pickle's end is seen

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))  # pickle's own sets memory aside before it looks for the bytes

    def load_append(self) -> None:
        require(type(self.stack[-2]) is list, "appends to what is no list")
        super().load_append()  # type: ignore[misc]

    def load_appends(self) -> None:
        require(type(self.metastack[-1][-1]) is list, "appends to what is no list")
        super().load_appends()  # type: ignore[misc]

    def load_setitem(self) -> None:
        require(type(self.stack[-3]) is dict and type(self.stack[-2]) in _KEYS, "fills an odd dict")
        super().load_setitem()  # type: ignore[misc]

    def load_setitems(self) -> None:
        require(type(self.metastack[-1][-1]) is dict, "fills an odd dict")
        require(all(type(key) in _KEYS for key in self.stack[::2]), "fills an odd dict")
        super().load_setitems()  # type: ignore[misc]

    def load_newobj(self) -> None:
        require(self.stack[-1] == () and id(self.stack[-2]) in self._classes, "makes an object in an odd way")
        super().load_newobj()  # type: ignore[misc]

    def load_reduce(self) -> None:
        function, arguments = self.stack[-2:]
        name, fits = self._calls.get(id(function), ("something", None))
        sound = fits is not None and type(arguments) is tuple and fits(arguments)
        require(sound, f"calls {name} with odd arguments")
        super().load_reduce()  # type: ignore[misc]

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        # A Tree that gets a second state writes past its memory; an array frees memory that another may show.
        require(id(target) not in self._built, "gives one object its state twice")
        self._built[id(target)] = target
        kind = type(target)
        if kind is _ArrayRecord:
            self.stack[-1] = self._read_array(state)
        elif isinstance(target, np.dtype):
            target.__setstate__(dtype_state(target, state))  # type: ignore[attr-defined]
        elif kind is np.ndarray:
            target.__setstate__(array_state(target, state))
        elif id(kind) in self._classes and type(state) is dict:
            getattr(target, "__setstate__", vars(target).update)(state)
        else:
            require((kind.__module__, kind.__name__) in _STATEFUL, "gives state to what takes none")
            target.__setstate__(state)

    def _read_array(self, record: dict[str, Any]) -> npt.NDArray[Any]:
        """The array that `record` describes, of the bytes that follow it (joblib's format since 0.10)."""
        dtype, shape = record["dtype"], record["shape"]
        require(record["subclass"] is np.ndarray and is_shape(shape), "describes an odd array")
        array: npt.NDArray[Any]
        if is_dense(dtype):
            if record.get("numpy_array_alignment_bytes") is not None:
                self.read(self.read(1)[0])
            size = math.prod(shape) * dtype.itemsize
            left = self._stream.getbuffer().nbytes - self._stream.tell()
            require(size <= left, "describes an array larger than the file")
            order: Any = "F" if record["order"] == "F" else "C"
            array = np.ndarray(shape, dtype, bytearray(self.read(size)), order=order)
        else:
            array = type(self)(self._stream).load()  # a pickle within the pickle: the same limits
            require(type(array) is np.ndarray and array.dtype.kind == "O", "describes an odd array")
        return array

    for _handler in (
        *(load_frame, load_bytearray8, load_append, load_appends, load_setitem, load_setitems),
        *(load_newobj, load_reduce, load_build),
    ):
        dispatch[getattr(pickle, _handler.__name__.removeprefix("load_").upper())[0]] = _handler
