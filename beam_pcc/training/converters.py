"""Converts models of other libraries to ONNX, and scores rows with the original to compare.

Linear scikit-learn models are converted by this package, others by skl2onnx, LightGBM's and XGBoost's by onnxmltools,
which are the extra `import`.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from beam_pcc.cases import schemas
from beam_pcc.config.extras import extra
from beam_pcc.errors import ConfigurationError, ModelError, one_line
from beam_pcc.models import artifact, folding, onnx_graphs
from beam_pcc.models.safe_loading.allowed import RefusedError
from beam_pcc.models.scoring import Floats

Kind: TypeAlias = Literal["onnx", "scikit-learn", "lightgbm", "xgboost"]
KINDS: tuple[str, ...] = get_args(Kind)
_ENDINGS: Mapping[str, Kind] = {
    ".onnx": "onnx",
    ".joblib": "scikit-learn",
    ".pkl": "scikit-learn",
    ".pickle": "scikit-learn",
    ".skops": "scikit-learn",
    ".txt": "lightgbm",
    ".lgb": "lightgbm",
    ".json": "xgboost",
    ".ubj": "xgboost",
}
_WHO = "models import of this file"
_AS_IS = "publish a scikit-learn file of an allowed kind as it is, or export the model to ONNX yourself"


@dataclass(frozen=True)
class Converted:
    """A model as ONNX.

    Attributes:
        data: The file.
        classes: That the model names, in the order of its probabilities; None if it names none.
        score: (n, classes) probabilities of (n, 584) vectors by the original; None for a file that was ONNX already.
        libraries: Name to version, of what made and converted it.
    """

    data: bytes
    classes: tuple[str, ...] | None
    score: Callable[[schemas.Vectors], Floats] | None
    libraries: Mapping[str, str]


def kind_of(path: str) -> Kind:
    """What a file is, by its ending. Raises ConfigurationError."""
    kind = _ENDINGS.get(Path(path).suffix.lower())
    if kind is None:
        raise ConfigurationError(
            f"{path} has none of the endings {', '.join(_ENDINGS)}; say what it is with --format {'|'.join(KINDS)}"
        )
    return kind


def convert(path: str, kind: Kind, *, trusted: bool = False) -> Converted:
    """Read a model file, and convert it.

    Args:
        path: The file.
        kind: What it is.
        trusted: Load also scikit-learn classes that are not on the allow-list; that can run code of the file.

    Raises:
        ConfigurationError: It cannot be read, or a converter is missing.
        ModelError: It cannot be converted.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {one_line(error.strerror, 80)}; check the path") from None
    try:
        if kind == "onnx":
            return _onnx(data)
        if kind == "scikit-learn":
            return _sklearn(data, path, trusted=trusted)
        return _lightgbm(data, path) if kind == "lightgbm" else _xgboost(data, path)
    except RefusedError as refused:
        raise ModelError(f"{path} {one_line(refused, 200)}; {refused.remedy}") from None


@contextlib.contextmanager
def _converting(path: str, tool: str) -> Iterator[None]:
    """A converter or library may raise anything for a model that it does not know."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MemoryError, RefusedError, ConfigurationError):
        raise
    except Exception as error:
        message = one_line(f"{type(error).__name__}: {error}", 160)
        raise ModelError(f"{path} cannot be converted: {tool} raised {message}; {_AS_IS}") from None


def _onnx(data: bytes) -> Converted:
    ready = onnx_graphs.of_file(data)
    _check_with_onnx(ready.data)
    return Converted(ready.data, ready.classes, None, {})


def _check_with_onnx(data: bytes) -> None:
    """Have the checker of the onnx package look at a graph, if the package is there."""
    try:
        import onnx
    except ImportError:
        return
    try:
        onnx.checker.check_model(data)
    except Exception as error:  # the checker's own classes, and protobuf's
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RefusedError(f"is no valid ONNX model ({one_line(line, 120)})", "export it again") from None


def _sklearn(data: bytes, path: str, *, trusted: bool) -> Converted:
    model = _load_sklearn(data, path, trusted=trusted)
    if not hasattr(model, "predict_proba") or not hasattr(model, "classes_"):
        raise RefusedError(f"holds a {type(model).__name__} that gives no probabilities", "calibrate it")
    import sklearn

    libraries = {"scikit-learn": sklearn.__version__}
    classes = tuple(model.classes_) if all(isinstance(one, str) for one in model.classes_) else None
    classes = None if classes is None else tuple(str(one) for one in classes)

    def score(vectors: schemas.Vectors) -> Floats:  # in float64, see `folding.decide`
        return np.asarray(model.predict_proba(vectors.astype(np.float64)), dtype=np.float64)

    try:
        return Converted(onnx_graphs.of_linear(model), classes, score, libraries)
    except folding.NotLinearError:
        pass
    with extra("import", _WHO):
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType
    with _converting(path, "skl2onnx"):
        converted = skl2onnx.convert_sklearn(
            _with_folded_members(model),
            initial_types=[(onnx_graphs.INPUT, FloatTensorType([None, schemas.VECTOR_DIM]))],
            options={"zipmap": False},
            target_opset={"": onnx_graphs.OPSET, "ai.onnx.ml": onnx_graphs.ML_OPSET},
        )
        data = converted.SerializeToString()
    libraries["skl2onnx"] = skl2onnx.__version__
    return Converted(onnx_graphs.of_file(data).data, classes, score, libraries)


def _with_folded_members(model: Any) -> Any:
    """A calibration whose linear pipelines are one estimator each: skl2onnx calibrates probabilities of a pipeline."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import LinearSVC

    if not isinstance(model, CalibratedClassifierCV):
        return model
    changed = copy.copy(model)
    changed.calibrated_classifiers_ = []
    for member in model.calibrated_classifiers_:
        one = copy.copy(member)
        try:
            folded = folding.fold(member.estimator)
        except folding.NotLinearError:
            pass
        else:
            one.estimator = LinearSVC()
            one.estimator.coef_, one.estimator.intercept_ = folded.weights.T, folded.intercept
            one.estimator.classes_, one.estimator.n_features_in_ = folded.classes_, folded.n_features_in_
            changed.estimator = one.estimator
        changed.calibrated_classifiers_.append(one)
    return changed


def _load_sklearn(data: bytes, path: str, *, trusted: bool) -> Any:
    is_skops = data[:2] == b"PK"
    if not trusted:
        try:
            return artifact.load(data, file_format="skops" if is_skops else "joblib", where=path)
        except ModelError as error:
            raise ModelError(f"{error}; if you made the file, --trusted loads any class and runs its code") from None
    from sklearn.exceptions import InconsistentVersionWarning

    with _converting(path, "loading it"), warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        if is_skops:
            with extra("import", _WHO):
                import skops.io
            return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
        import joblib

        return joblib.load(io.BytesIO(data))
    raise AssertionError  # for mypy: a context manager may suppress


def _lightgbm(data: bytes, path: str) -> Converted:
    with extra("import", _WHO):
        import lightgbm
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType
    with _converting(path, "LightGBM"):
        booster = lightgbm.Booster(model_str=data.decode("utf-8"), params={"verbosity": -1})
        _require_width(booster.num_feature())
    with _converting(path, "onnxmltools"):
        converted = onnxmltools.convert_lightgbm(
            booster,
            initial_types=[(onnx_graphs.INPUT, FloatTensorType([None, schemas.VECTOR_DIM]))],
            zipmap=False,
            target_opset=15,
        )

    def score(vectors: schemas.Vectors) -> Floats:
        return _columns(booster.predict(vectors))

    libraries = {"lightgbm": lightgbm.__version__, "onnxmltools": onnxmltools.__version__}
    return Converted(onnx_graphs.of_file(converted.SerializeToString()).data, None, score, libraries)


def _xgboost(data: bytes, path: str) -> Converted:
    with extra("import", _WHO):
        import onnxmltools
        import xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
    with _converting(path, "XGBoost"):
        booster = xgboost.Booster()
        booster.load_model(bytearray(data))
        booster.feature_names = None  # the converter knows columns by number only
        _require_width(booster.num_features())
    with _converting(path, "onnxmltools"):
        converted = onnxmltools.convert_xgboost(
            booster,
            initial_types=[(onnx_graphs.INPUT, FloatTensorType([None, schemas.VECTOR_DIM]))],
            target_opset=15,
        )

    def score(vectors: schemas.Vectors) -> Floats:
        return _columns(booster.predict(xgboost.DMatrix(vectors, missing=np.nan)))

    libraries = {"xgboost": xgboost.__version__, "onnxmltools": onnxmltools.__version__}
    return Converted(onnx_graphs.of_file(converted.SerializeToString()).data, None, score, libraries)


def _require_width(features: int) -> None:
    if features != schemas.VECTOR_DIM:
        raise RefusedError(
            f"was trained on {features} features, but vectors have {schemas.VECTOR_DIM}",
            "train it on vectors of this pipeline",
        )


def _columns(prediction: Any) -> Floats:
    """(n, classes): a booster of two classes gives P of the second, (n,)."""
    values = np.asarray(prediction, dtype=np.float64)
    return np.column_stack([1.0 - values, values]) if values.ndim == 1 else values


def named(classes: Sequence[str] | None, given: Sequence[str] | None, path: str) -> tuple[str, ...]:
    """The classes of the model: those that it names, or those of the flag. Raises ConfigurationError."""
    if classes is None and not given:
        raise ConfigurationError(f"{path} names no classes; name them in the order of its labels: --classes NOT_PC PC")
    if classes is not None and given and tuple(given) != classes:
        ours, theirs = one_line(", ".join(given), 100), one_line(", ".join(classes), 100)
        raise ConfigurationError(f"{path} has the classes {theirs}, not {ours} as --classes says; leave the flag out")
    return tuple(given or classes or ())
