"""The calls and the states in a pickle that are harmless: names do not settle it, what goes with them counts.

numpy and Cython take much on trust: a dtype may claim fields beyond its items, an array that gets a second state
frees memory that another array shows, a Tree writes past its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.models import allowed, trees

Arguments = tuple[Any, ...]

_DTYPE_CODE = re.compile(r"b1|[iu][1248]|f[248]|U[1-9]\d{0,3}|O8|V56|V64")
_BIT_GENERATORS = (np.random.MT19937, np.random.PCG64)
_SGD = "sklearn.linear_model._sgd_fast"


def require(holds: bool, reason: str) -> None:
    """Raise RefusedError, saying that the pickle does what `reason` says, unless `holds`."""
    if not holds:
        raise allowed.RefusedError(f"is no model: it {reason}")


def is_shape(shape: object) -> bool:
    """Whether this is the shape of an array."""
    return type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)


def is_dense(dtype: object) -> bool:
    """Whether this is the dtype of an array that holds numbers or text itself, not references to objects."""
    return isinstance(dtype, np.dtype) and not dtype.hasobject


def _are(arguments: Arguments, *types: type) -> bool:
    return tuple(map(type, arguments)) == types


def _dtype(a: Arguments) -> bool:
    # The last of the three asks for a copy: state given to a dtype that numpy shares would change it everywhere.
    return _are(a, str, bool, bool) and a[1:] == (False, True) and bool(_DTYPE_CODE.fullmatch(a[0]))


def _scalar(a: Arguments) -> bool:
    dtype, value = a
    return is_dense(dtype) and dtype.kind != "V" and type(value) is bytes and len(value) == dtype.itemsize


def _frombuffer(a: Arguments) -> bool:
    data, dtype, shape, order = a
    return type(data) in (bytes, bytearray) and is_dense(dtype) and is_shape(shape) and order in ("C", "F")


def _one_bit_generator(a: Arguments) -> bool:
    return len(a) == 1 and type(a[0]) in _BIT_GENERATORS


def _multinomial(a: Arguments) -> bool:
    return _are(a, type, int, tuple) and a[0].__name__ == "CyHalfMultinomialLoss" and a[2] == ()


CALLS: dict[allowed.Name, Callable[[Arguments], bool]] = {
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): lambda a: a[0] is np.ndarray and a[1:] == ((0,), b"b"),
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy.random._pickle", "__bit_generator_ctor"): lambda a: len(a) == 1 and a[0] in _BIT_GENERATORS,
    ("numpy.random._pickle", "__generator_ctor"): _one_bit_generator,
    ("numpy.random._pickle", "__randomstate_ctor"): _one_bit_generator,
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"): lambda a: (
        _are(a, type, int, type(None)) and a[0] is np.random.SeedSequence
    ),
    ("sklearn._loss._loss", "CyHalfBinomialLoss"): lambda a: _are(a),
    ("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss"): _multinomial,
    (_SGD, "Hinge"): lambda a: _are(a, float),
    (_SGD, "SquaredHinge"): lambda a: _are(a, float),
    (_SGD, "ModifiedHuber"): lambda a: _are(a),
    allowed.TREE: lambda a: _are(a, int, np.ndarray, int),
}
"""Whether the arguments of a call in `allowed.PICKLE_CALLS` are such as trained models write."""


def dtype_state(dtype: np.dtype[Any], state: object) -> object:
    """The state for `dtype`: what numpy itself would write, if `state` is equal to that. Raises RefusedError."""
    if dtype.kind == "V":
        known = [record for record in trees.record_dtypes() if record.itemsize == dtype.itemsize]
    else:
        known = [dtype.newbyteorder("<")]
    written = [own.__reduce__()[2] for own in known]
    require(state in written, "describes an odd type of array")
    return written[0]


def array_state(array: npt.NDArray[Any], state: Arguments) -> Arguments:
    """The state for an `array` fresh from _reconstruct, if `state` describes just what it holds.

    Raises RefusedError, or ValueError or TypeError of what is no state.
    """
    _, shape, dtype, fortran, data = state
    require(array.shape == (0,) and array.dtype == np.int8, "gives an array its state twice")
    require(is_shape(shape) and isinstance(dtype, np.dtype), "describes an odd array")
    held, size = (list, math.prod(shape)) if dtype.hasobject else (bytes, math.prod(shape) * dtype.itemsize)
    require(type(data) is held and len(data) == size, "describes an array that differs from its values")
    return (1, shape, dtype, bool(fortran), data)
