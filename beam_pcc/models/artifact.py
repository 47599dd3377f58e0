"""A model file's bytes made into a scikit-learn classifier. Knows nothing of Beam or of storage.

Trusted: the installed scikit-learn, numpy, scipy and skops, the lists in `allowed`, and a digest that the caller has
from elsewhere. Not trusted: the bytes. A caller may rely on this: `load` runs no code that the file brings, calls
and imports nothing beyond the lists, opens no other file, and answers every bad file with one `ModelError`. It does
not vouch for a model's predictions: those are up to whoever could write the file.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import threading
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from beam_pcc import schemas
from beam_pcc.errors import ModelError, one_line
from beam_pcc.models import contents, pickles, skops_files
from beam_pcc.models.allowed import RefusedError

MAX_MODEL_BYTES = 512 * 2**20
"""Of a model file, and of what it unpacks to."""

_REPLACE = "copy it again, or train anew"
_LZMA_MEMORY = 128 * 2**20  # xz -9 needs 65 MB
_PROBE_ROWS = 2
_filters = threading.Lock()  # `warnings.catch_warnings` changes the whole process


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in lower-case hexadecimal, as `load` expects it."""
    return hashlib.sha256(data).hexdigest()


def load(
    data: bytes,
    *,
    file_format: Literal["joblib", "skops"],
    where: str,
    pins: Mapping[str, str | None] = MappingProxyType({}),
) -> Any:
    """Build the model that `data` holds; of exactly these bytes, after their digest was compared.

    Args:
        data: The whole file. A joblib file may be compressed (zlib, gzip, bz2, xz, lzma), or be a plain pickle.
        file_format: How to read it. The content has no say in this.
        where: Names the file in errors.
        pins: Refuse any other file than that of these digests: who says it -> SHA-256, or None where nobody does.

    Returns:
        The model, of a kind in `allowed.CLASSIFIERS`. Whether it can score vectors is for `check_classifier` to say.

    Raises:
        ModelError: The only exception, in one line: the file is another one, too large, damaged, of another
            scikit-learn version, or asks for anything that is not in `allowed`.
    """
    found = digest(data)
    for whose, pin in pins.items():
        if pin and pin.lower() != found:
            raise ModelError(
                f"{where} has the SHA-256 digest {found}, not {one_line(pin.lower(), 80)} as {whose} says; it was "
                "changed or swapped: restore it, or use another version"
            )
    try:
        _require_size(len(data))
        model = _READERS[file_format](data)
        contents.check(model)
        return model
    except RefusedError as refused:
        said = f"{where} {one_line(refused, 200)}; {refused.then}"
    except Exception as error:  # a hostile or damaged file can bring out any exception of any library
        said = f"{where} is damaged, or is no {file_format} model ({_named(error)}); {_REPLACE}"
    raise ModelError(said)


def _named(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}".removesuffix(": "), 120)


def _read_joblib(data: bytes) -> Any:
    return _of_this_version(pickles.load, _unpacked(data))


def _read_skops(data: bytes) -> Any:
    return _of_this_version(skops_files.load, data, MAX_MODEL_BYTES)


_READERS: dict[str, Callable[[bytes], Any]] = {"joblib": _read_joblib, "skops": _read_skops}


def _of_this_version(read: Callable[..., Any], *args: Any) -> Any:
    """`read(*args)`, where scikit-learn's warning that another version saved an estimator is a RefusedError."""
    from sklearn.exceptions import InconsistentVersionWarning

    with _filters, warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return read(*args)
        except InconsistentVersionWarning as warning:
            saved, here = warning.original_sklearn_version, warning.current_sklearn_version
            raise RefusedError(
                f"was saved with scikit-learn {one_line(saved, 20)}, but this is {here}",
                "train anew, or install the version that saved it",
            ) from None


def _unpacked(data: bytes) -> bytes:
    """The pickle in `data`, which joblib may have compressed; never more than `MAX_MODEL_BYTES` of it."""
    unpacker: Any
    if data.startswith(b"\x78"):
        unpacker = zlib.decompressobj()
    elif data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    elif data.startswith(b"BZ"):
        unpacker = bz2.BZ2Decompressor()
    elif data.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        unpacker = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    elif data.startswith((b"\x04\x22\x4d\x18", b"ZF")):
        raise RefusedError("is packed with lz4, or by joblib before 0.10", "save it again without compression")
    else:
        return data
    pickled: bytes = unpacker.decompress(data, MAX_MODEL_BYTES + 1)
    _require_size(len(pickled))
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError("is damaged: its compressed content is cut off, or something follows it", _REPLACE)
    return pickled


def _require_size(size: int) -> None:
    if size > MAX_MODEL_BYTES:
        raise RefusedError(f"has, or unpacks to, more than {MAX_MODEL_BYTES:,} bytes", "train a smaller model")


def check_classifier(
    model: Any, *, where: str, feature_count: int = schemas.VECTOR_DIM, classes: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Check that a loaded model scores vectors into known classes, by its attributes and by a try.

    Args:
        model: What `load` returned.
        where: Names the file in errors.
        feature_count: Width of the vectors.
        classes: The classes that the model has to have, in this order, if its metadata says.

    Returns:
        The model's classes in the order of its probabilities: NOT_PC, and PC or PC/<subtype>, each once.

    Raises:
        ModelError: Anything else, in one line.
    """
    try:
        return _checked_classes(model, feature_count, classes)
    except RefusedError as refused:
        said = f"{where} {one_line(refused, 200)}; {refused.then}"
    except Exception as error:  # attributes come from a file, and so may anything that scikit-learn says of them
        said = f"{where} cannot score vectors of {feature_count} values ({_named(error)}); train anew"
    raise ModelError(said)


def _checked_classes(model: Any, feature_count: int, expected: Sequence[str] | None) -> tuple[str, ...]:
    contents.check_kind(model)
    if not hasattr(model, "predict_proba"):
        raise RefusedError(f"holds a {type(model).__name__} that gives no probabilities", "calibrate it")
    if model.n_features_in_ != feature_count:
        raise RefusedError(
            f"was trained on {model.n_features_in_} features, but vectors have {feature_count}",
            "train it on vectors of this pipeline",
        )
    classes = tuple(str(label) if isinstance(label, str) else "" for label in model.classes_)
    privacy = [c for c in classes if c == schemas.PC or c.removeprefix(schemas.SUBTYPE_PREFIX) not in ("", c)]
    if not privacy or sorted(classes) != sorted({*privacy, schemas.NOT_PC}):
        raise RefusedError(
            f"has the classes {one_line(', '.join(map(str, model.classes_)), 100)}",
            f"label the training data {schemas.NOT_PC} and {schemas.PC}, or {schemas.SUBTYPE_PREFIX}<subtype>",
        )
    if expected is not None and classes != tuple(expected):
        said = one_line(", ".join(expected), 80)
        raise RefusedError(
            f"has the classes {one_line(', '.join(classes), 80)}, but its metadata says {said}",
            "use the metadata that was written with it",
        )
    probe = np.zeros((_PROBE_ROWS, feature_count), dtype=np.float32)
    with np.errstate(all="ignore"):
        probabilities = model.predict_proba(probe)
    right_shape = np.shape(probabilities) == (_PROBE_ROWS, len(classes))
    if not right_shape or not np.isfinite(probabilities).all() or not np.allclose(probabilities.sum(axis=1), 1.0):
        raise RefusedError("gives no probabilities: not one finite number for each class, 1 in sum", "train anew")
    return classes
