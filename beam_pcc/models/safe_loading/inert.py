"""The plain data that reading a model file produces, without importing or calling anything of scikit-learn.

`estimators` builds a model from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from beam_pcc.models.safe_loading.allowed import Name, RefusedError

MAX_UNPACKED_BYTES = 256 * 2**20
MAX_STEPS = 4_000_000
"""Pickle instructions, or values of a skops schema: a tree takes 170 to 220 (skops: 350)."""
MAX_TEXT_BYTES = 2**20
MAX_INTEGER_BYTES = 32  # of a random generator's state: 128 bits and a sign
MAX_DIMENSIONS = 4

Array: TypeAlias = "npt.NDArray[Any]"


class Global(NamedTuple):
    """A name as a value in the file. It is not imported."""

    module: str
    name: str


class Leftover:
    """An object of training that scoring does not need, such as a random generator. Its content is dropped."""


LEFTOVER = Leftover()


class Record:
    """An object of the file: the name of its type, and its attributes, or None before they are set."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: Name, arguments: tuple[Any, ...] = (), state: dict[str, Any] | None = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state = state


class Objects(NamedTuple):
    """A NumPy array of dtype object: its shape, and its items of any type in C order."""

    shape: tuple[int, ...]
    items: list[Any]


@dataclass
class Budget:
    """The steps and bytes that reading a file may still use. Raises RefusedError when they are used up."""

    steps: int = field(default_factory=lambda: MAX_STEPS)
    bytes_left: int = field(default_factory=lambda: MAX_UNPACKED_BYTES)

    def step(self, count: int = 1) -> None:
        """Count instructions or values."""
        self.steps -= count
        if self.steps < 0:
            raise RefusedError("has too many parts", "train a smaller model")

    def allocate(self, size: int) -> None:
        """Count allocated bytes that are not read from the file: a short file can request many."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise RefusedError("takes too much memory", "train a smaller model")


def require(holds: bool, reason: str) -> None:
    """Raise RefusedError with `reason` unless `holds`."""
    if not holds:
        raise RefusedError(f"is no model: it {reason}")


def is_shape(shape: object) -> bool:
    """Whether this is a valid shape of an array, so that multiplying its lengths is safe."""
    return (
        type(shape) is tuple
        and len(shape) <= MAX_DIMENSIONS
        and all(type(length) is int and 0 <= length < 2**31 for length in shape)
        and math.prod(length or 1 for length in shape) < 2**31  # also for empty arrays: NumPy refuses larger ones
    )


def dense(data: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: object) -> Array:
    """An array view of `data`, without a copy. Raises RefusedError if the sizes differ."""
    require(is_shape(shape) and type(order) is str and order in ("C", "F"), "describes an odd array")
    require(math.prod(shape) * dtype.itemsize == len(data), "describes an array of another size than its values")
    layout: Literal["C", "F"] = "F" if order == "F" else "C"
    array: Array = np.ndarray(shape, dtype, data, order=layout)
    return array


def is_unicode(points: Array) -> bool:
    """Whether these UTF-32 code points are valid; NumPy does not check them."""
    return bool(((points < 0xD800) | ((points > 0xDFFF) & (points < 0x110000))).all())
