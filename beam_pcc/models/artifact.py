"""Loads the bytes of a model file as a classifier, of scikit-learn or ONNX. Independent of Beam and of storage.

Trusted: the installed scikit-learn, NumPy, SciPy and ONNX Runtime, and a digest that the caller has from another
source. Not trusted: the bytes. They are parsed to plain data (`pickles`, `skops_files`), checked by the schema of each
estimator, and set on new estimators (`estimators`); an ONNX graph is checked operator by operator (`onnx_files`).
`load` guarantees that it runs no code of the file, calls and imports nothing that the file names, opens no other file,
and raises one `ModelError` for every bad file. It guarantees nothing about the model's predictions, which depend on
whoever wrote the file. `checking` limits the memory and time that a file may take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.models import folding
from beam_pcc.models.onnx_model import OnnxClassifier
from beam_pcc.models.safe_loading import allowed, estimators, pickles, skops_files
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.safe_loading.inert import MAX_UNPACKED_BYTES
from beam_pcc.models.scoring import Floats

MAX_MODEL_BYTES = MAX_UNPACKED_BYTES
"""Of a model file, and of what it unpacks to."""

_REPLACE = "copy it again, or train anew"
_PROBE_ROWS = 2
_ROUNDING = 1e-5  # of float32, in batches of other lengths


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in lower-case hexadecimal, as `load` expects it."""
    return hashlib.sha256(data).hexdigest()


def require_digest(data: bytes, pins: Mapping[str, str | None], *, where: str) -> str:
    """The digest of `data`. Raises ModelError if one of `pins` (see `load`) is another digest."""
    actual = digest(data)
    for source, pin in pins.items():
        if pin and pin.lower() != actual:
            raise ModelError(
                f"{where} has the SHA-256 digest {actual}, not {one_line(pin.lower(), 80)} as {source} says; it was "
                "changed or swapped: restore it, or use another version"
            )
    return actual


def load(
    data: bytes,
    *,
    file_format: Literal["joblib", "skops", "onnx"],
    where: str,
    pins: Mapping[str, str | None] = MappingProxyType({}),
    features: int = schemas.VECTOR_DIM,
    classes: Sequence[str] | None = None,
) -> Any:
    """Build the model in `data` after comparing the digest.

    Args:
        data: The file. A joblib file may be compressed (zlib, gzip, bz2, xz, lzma), or be a plain pickle.
        file_format: The format; it is not guessed from the content.
        where: Names the file in errors.
        features: Width of the vectors.
        pins: Required SHA-256 digests (or None) by their source, which the error names.
        classes: Of an ONNX model, in the order of its probabilities; other files name them.

    Returns:
        The model, of a class in `allowed.CLASSIFIERS`, or an `OnnxClassifier`. `check_classifier` checks whether it
        can score vectors.

    Raises:
        MemoryError: The machine has too little memory.
        ConfigurationError: ONNX Runtime is missing.
        ModelError: Any other fault, in one line: the file has another digest, is too large, damaged, of another
            scikit-learn version, or needs anything that is not in `allowed`.
    """
    require_digest(data, pins, where=where)
    try:
        _require_size(len(data))
        if file_format == "onnx":
            return _onnx(data, classes, features)
        return estimators.build(_READERS[file_format](data, MAX_MODEL_BYTES), features)
    except RefusedError as refused:
        message = f"{where} {one_line(refused, 200)}; {refused.remedy}"
    except (MemoryError, ConfigurationError):  # of this machine: the limits of a file have been checked
        raise
    except Exception as error:  # a hostile or damaged file can cause any exception of any library
        message = f"{where} is damaged, or is no {file_format} model ({_describe(error)}); {_REPLACE}"
    raise ModelError(message)


def _onnx(data: bytes, classes: Sequence[str] | None, features: int) -> OnnxClassifier:
    if not classes:
        raise RefusedError("names no classes", "name them in metadata.json, in the order of its probabilities")
    return OnnxClassifier(data, classes, features)


def _describe(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}".removesuffix(": "), 120)


_READERS: dict[str, Callable[[bytes, int], Any]] = {"joblib": pickles.load, "skops": skops_files.load}


def _require_size(size: int) -> None:
    if size > MAX_MODEL_BYTES:
        raise RefusedError(f"has {size:,} bytes, more than {MAX_MODEL_BYTES:,}", "train a smaller model")


def check_classifier(
    model: Any, *, where: str, feature_count: int = schemas.VECTOR_DIM, classes: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Check that a loaded model scores vectors into known classes, by its attributes and by scoring a few rows.

    Args:
        model: The result of `load`.
        where: Names the file in errors.
        feature_count: Width of the vectors.
        classes: The required classes in this order, if the metadata names them.

    Returns:
        The model's classes in the order of its probabilities: NOT_PC, and PC or PC/<subtype>, each once.

    Raises:
        ModelError: Anything else, in one line.
    """
    try:
        return _checked_classes(model, feature_count, classes)
    except RefusedError as refused:
        message = f"{where} {one_line(refused, 200)}; {refused.remedy}"
    except Exception as error:  # attributes of the file can cause any exception of scikit-learn
        message = f"{where} cannot score vectors of {feature_count} values ({_describe(error)}); train anew"
    raise ModelError(message)


def _checked_classes(model: Any, feature_count: int, expected: Sequence[str] | None) -> tuple[str, ...]:
    cls = type(model)
    if cls is not OnnxClassifier and (cls.__module__, cls.__qualname__) not in allowed.CLASSIFIERS:
        raise RefusedError(f"holds a {cls.__qualname__}, which is no allowed classifier")
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
        names = one_line(", ".join(expected), 80)
        raise RefusedError(
            f"has the classes {one_line(', '.join(classes), 80)}, but its metadata says {names}",
            "use the metadata that was written with it",
        )
    probe = np.zeros((_PROBE_ROWS, feature_count), dtype=np.float32)
    if cls is OnnxClassifier and feature_count == schemas.VECTOR_DIM:  # a whole batch: a graph can take memory by rows
        probe = np.concatenate([probe, folding.random_vectors(2 * schemas.BATCH_ROWS)[::2]])
    with np.errstate(all="ignore"):
        probabilities = model.predict_proba(probe)
    right_shape = np.shape(probabilities) == (len(probe), len(classes))
    if not right_shape or not np.isfinite(probabilities).all() or not np.allclose(probabilities.sum(axis=1), 1.0):
        raise RefusedError("gives no probabilities: not one finite number for each class, 1 in sum", "train anew")
    if cls is OnnxClassifier:
        _check_rows_apart(model, probe, probabilities)
    return classes


def _check_rows_apart(model: OnnxClassifier, rows: schemas.Vectors, probabilities: Floats) -> None:
    """A graph can compute over the rows of a batch: then a case's score depends on the cases beside it."""
    few = slice(-_PROBE_ROWS, None)
    alone = np.concatenate([model.predict_proba(row[None]) for row in rows[few]])
    if not np.allclose(alone, probabilities[few], rtol=0, atol=_ROUNDING):
        raise RefusedError("scores a row otherwise beside other rows", "export it without steps over the rows")
