"""A model file's bytes made into a scikit-learn classifier. Knows nothing of Beam or of storage.

Trusted: the installed scikit-learn, NumPy and SciPy, and a digest that the caller has from elsewhere. Not trusted: the
bytes. They are read into plain data (`pickles`, `skops_files`), checked by the schema of each estimator, and set on
fresh estimators (`estimators`). A caller may rely on this: `load` runs no code that the file brings, calls and imports
nothing that it names, opens no other file, and answers every bad file with one `ModelError`. It does not vouch for a
model's predictions: those are up to whoever could write the file. What a file of 256 MiB may cost, `checking` bounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.errors import ModelError, one_line
from beam_pcc.models.safe_loading import allowed, estimators, pickles, skops_files
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.safe_loading.inert import MAX_UNPACKED_BYTES

MAX_MODEL_BYTES = MAX_UNPACKED_BYTES
"""Of a model file, and of what it unpacks to."""

_REPLACE = "copy it again, or train anew"
_PROBE_ROWS = 2


def digest(data: bytes) -> str:
    """The SHA-256 of `data` in lower-case hexadecimal, as `load` expects it."""
    return hashlib.sha256(data).hexdigest()


def require_digest(data: bytes, pins: Mapping[str, str | None], *, where: str) -> str:
    """The digest of `data`. Raises ModelError if anybody in `pins` (see `load`) says that it is another."""
    found = digest(data)
    for whose, pin in pins.items():
        if pin and pin.lower() != found:
            raise ModelError(
                f"{where} has the SHA-256 digest {found}, not {one_line(pin.lower(), 80)} as {whose} says; it was "
                "changed or swapped: restore it, or use another version"
            )
    return found


def load(
    data: bytes,
    *,
    file_format: Literal["joblib", "skops"],
    where: str,
    pins: Mapping[str, str | None] = MappingProxyType({}),
    features: int = schemas.VECTOR_DIM,
) -> Any:
    """Build the model that `data` holds; of exactly these bytes, after their digest was compared.

    Args:
        data: The whole file. A joblib file may be compressed (zlib, gzip, bz2, xz, lzma), or be a plain pickle.
        file_format: How to read it. The content has no say in this.
        where: Names the file in errors.
        features: Width of the vectors.
        pins: Refuse any other file than that of these digests: who says it -> SHA-256, or None where nobody does.

    Returns:
        The model, of a kind in `allowed.CLASSIFIERS`. Whether it can score vectors is for `check_classifier` to say.

    Raises:
        ModelError: The only exception, in one line: the file is another one, too large, damaged, of another
            scikit-learn version, or asks for anything that is not in `allowed`.
    """
    require_digest(data, pins, where=where)
    try:
        _require_size(len(data))
        return estimators.build(_READERS[file_format](data, MAX_MODEL_BYTES), features)
    except RefusedError as refused:
        said = f"{where} {one_line(refused, 200)}; {refused.then}"
    except MemoryError:
        said = f"{where} takes more memory than there is; train a smaller model"
    except Exception as error:  # a hostile or damaged file can bring out any exception of any library
        said = f"{where} is damaged, or is no {file_format} model ({_named(error)}); {_REPLACE}"
    raise ModelError(said)


def _named(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}".removesuffix(": "), 120)


_READERS: dict[str, Callable[[bytes, int], Any]] = {"joblib": pickles.load, "skops": skops_files.load}


def _require_size(size: int) -> None:
    if size > MAX_MODEL_BYTES:
        raise RefusedError(f"has {size:,} bytes, more than {MAX_MODEL_BYTES:,}", "train a smaller model")


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
    kind = type(model)
    if (kind.__module__, kind.__qualname__) not in allowed.CLASSIFIERS:
        raise RefusedError(f"holds a {kind.__qualname__}, which is no allowed classifier")
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
