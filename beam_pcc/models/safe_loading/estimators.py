"""Builds a scikit-learn model from `inert` data, with one schema for each allowed estimator.

A schema names the attributes that scoring reads, with their type, dtype, shape and range, and where the estimator may
occur. They are checked, copied, and set on a new estimator. No object of the file is kept, and leftovers of training
(loss objects, random states, bins) are ignored. Sizes must agree, since scikit-learn's compiled code does not check
them. To allow another estimator, find what its `predict_proba` reads in the locked versions, and write its schema.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from beam_pcc.models import documents
from beam_pcc.models.safe_loading import allowed, trees
from beam_pcc.models.safe_loading.allowed import Name, RefusedError
from beam_pcc.models.safe_loading.inert import MAX_UNPACKED_BYTES, Array, Objects, Record, is_unicode

MAX_NESTING = 8
MAX_PARTS = 20_000
"""Trees, linear models and calibrators that score one row, counted at each use."""
MAX_FEATURES = 100_000
MAX_CLASSES = 1_000
MAX_LAYERS = 20
_FLOATS = ("<f4", "<f8")
_INTERPOLATION_COPIES = 6  # of an isotonic calibrator's points, made by SciPy

_CALIBRATION = "sklearn.calibration"
_HIST = "sklearn.ensemble._hist_gradient_boosting"
_SOLVERS = frozenset({"lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"})
_MULTI_CLASS = frozenset({"auto", "deprecated", "multinomial", "ovr", "warn"})
_SGD_LOSSES = frozenset(
    {"epsilon_insensitive", "hinge", "huber", "log_loss", "modified_huber", "perceptron", "squared_epsilon_insensitive"}
    | {"squared_error", "squared_hinge"}
)


class Built(NamedTuple):
    """A new estimator.

    Attributes:
        estimator: The estimator, with checked attributes only.
        classes: Its classes in order; empty for a transformer.
        methods: The methods that a calibrator or a pipeline may call.
        parts: The cost of scoring a row, see `MAX_PARTS`.
    """

    estimator: Any
    classes: tuple[str, ...]
    methods: frozenset[str]
    parts: int


@dataclass
class _Context:
    """The state while a model is built: its width, and the remaining bytes."""

    features: int
    numbered: tuple[str, ...] = ()  # the classes with the numbers 0, 1, ... in a calibration by temperature
    left: int = MAX_UNPACKED_BYTES
    shared: dict[int, tuple[Record, Built]] = field(default_factory=dict)
    labels: dict[int, tuple[Any, tuple[str, ...]]] = field(default_factory=dict)

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise RefusedError(f"takes more than {MAX_UNPACKED_BYTES:,} bytes", "train a smaller model")


_PROBABILITIES = frozenset({"predict_proba"})
_DECISIONS = frozenset({"decision_function"})


def build(value: Any, features: int) -> Any:
    """Build the model for rows of `features` values. Raises only RefusedError."""
    if type(value) is not Record or value.name not in allowed.CLASSIFIERS:
        type_name = value.name[1] if type(value) is Record else type(value).__name__
        raise RefusedError(
            f"holds a {type_name}, which is no allowed classifier",
            "save a LogisticRegression, a Pipeline or another kind in docs/security.md",
        )
    built = _classifier(_Context(features), value, 0)
    if "predict_proba" not in built.methods:
        raise RefusedError(f"holds a {value.name[1]} that gives no probabilities", "calibrate it")
    return built.estimator


class _Fields:
    """The attributes of a record, read with a check of their type and range."""

    def __init__(self, context: _Context, record: Record) -> None:
        self._context = context
        self._type_name = record.name[1]
        self._state: Mapping[str, Any] = record.state or {}

    def refuse(self, name: str, reason: str) -> RefusedError:
        return RefusedError(f"holds a {self._type_name} whose {name} {reason}")

    def require(self, holds: bool, name: str, reason: str) -> None:
        if not holds:
            raise self.refuse(name, reason)

    def get(self, name: str) -> Any:
        """The unchecked attribute; use only its type."""
        if name not in self._state:
            raise self.refuse(name, "is missing")
        return self._state[name]

    def has(self, name: str) -> bool:
        return name in self._state

    def integer(self, name: str, low: int, high: int) -> int:
        value = self.get(name)
        self.require(type(value) is int or isinstance(value, np.integer), name, "is no whole number")
        self.require(low <= value <= high, name, f"is not between {low} and {high}")
        return int(value)

    def boolean(self, name: str) -> bool:
        value = self.get(name)
        self.require(type(value) in (bool, np.bool_), name, "is neither true nor false")
        return bool(value)

    def choice(self, name: str, values: frozenset[str]) -> str:
        value = self.get(name)
        self.require(type(value) is str and value in values, name, "is none that it can be")
        return str(value)

    def number(self, name: str) -> Any:
        """A finite number of the same type as in the file, which determines how NumPy rounds."""
        value = self.get(name)
        if type(value) is np.ndarray and value.shape == () and value.dtype.str in _FLOATS:
            value = value[()]
        self.require(type(value) in (float, np.float32, np.float64), name, "is no number")
        self.require(math.isfinite(value), name, "is not finite")
        return type(value)(value)

    def array(self, name: str, *shapes: tuple[int | None, ...], dtypes: tuple[str, ...] = _FLOATS) -> Array:
        """A copy of a finite array with one of these shapes (None: any length) and dtypes.

        Keeps the memory order, which determines the order of BLAS sums.
        """
        return self._array(name, self.get(name), *shapes, dtypes=dtypes)

    def arrays(self, name: str, *shapes: tuple[int | None, ...]) -> list[Array]:
        """A list of arrays as `array` gives them, each of the shape at its place."""
        values = self.items(name)
        self.require(len(values) == len(shapes), name, f"are not {len(shapes)} arrays")
        return [self._array(name, value, shape) for value, shape in zip(values, shapes, strict=True)]

    def _array(
        self, name: str, value: Any, *shapes: tuple[int | None, ...], dtypes: tuple[str, ...] = _FLOATS
    ) -> Array:
        self.require(type(value) is np.ndarray, name, "is no array")
        self.require(value.dtype.str in dtypes, name, f"has an odd type ({value.dtype})")
        fits = any(
            len(shape) == value.ndim and all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
            for shape in shapes
        )
        self.require(fits, name, f"has the shape {value.shape}, which does not fit")
        self._context.spend(value.nbytes)
        copy: Array = np.array(value, order="F" if value.flags.f_contiguous and value.ndim > 1 else "C")
        self.require(value.dtype.kind != "f" or bool(np.isfinite(copy).all()), name, "holds what is not finite")
        return copy

    def nodes(self, name: str, dtype: np.dtype[Any]) -> Array:
        """A copy of a tree's nodes without the padding bytes between the fields."""
        value = self.get(name)
        self.require(type(value) is np.ndarray and value.dtype == dtype and value.ndim == 1, name, "are no nodes")
        self._context.spend(value.nbytes)
        copy = np.zeros(value.shape, dtype)
        for part in dtype.names or ():
            copy[part] = value[part]
        return copy

    def items(self, name: str) -> list[Any]:
        value: list[Any] = self.get(name)
        self.require(type(value) is list and 0 < len(value) <= MAX_PARTS, name, "is no list, or an odd one")
        return value

    def classes(self, name: str = "classes_") -> tuple[str, ...]:
        """The sorted, unique labels."""
        value = self.get(name)
        numbered = self._context.numbered
        if numbered and type(value) is np.ndarray and value.dtype.kind == "i" and value.shape == (len(numbered),):
            self.require(bool((value == np.arange(len(numbered))).all()), name, "are no numbers of classes")
            return numbered
        known = self._context.labels.get(id(value))
        if known is None:
            known = value, self._classes(name, value)
            self._context.labels[id(value)] = known
        self._context.spend(8 * len(known[1]))
        return known[1]

    def _classes(self, name: str, value: Any) -> tuple[str, ...]:
        items: list[Any] = []
        if type(value) is Objects:
            items = value.items if len(value.shape) == 1 else []
        elif type(value) is np.ndarray and value.ndim == 1:
            items = self._labels(name, value[: MAX_CLASSES + 1])
        self.require(1 < len(items) <= MAX_CLASSES, name, "are no two labels or more")
        if not all(type(label) in (str, np.str_) for label in items):
            simple = [str(label) for label in items[:10] if type(label) in (int, float, bool)]
            raise RefusedError(f"has the classes {', '.join(simple)}".rstrip(), "label the training data with texts")
        labels = tuple(_text(label) for label in items)
        self.require(all(0 < len(label) <= documents.MAX_TEXT for label in labels), name, "are empty or too long")
        self.require(list(labels) == sorted(set(labels)), name, "are not in order, or there twice")
        return labels

    def _labels(self, name: str, value: Array) -> list[Any]:
        if value.dtype.kind != "U":
            return list(value[:10].tolist())
        self.require(is_unicode(value.view("<u4")), name, "are no texts")
        return list(value)

    def version(self) -> None:
        import sklearn

        version = self._state.get("_sklearn_version")
        if type(version) is not str or version != sklearn.__version__:
            saved = version if type(version) is str else "another version"
            raise RefusedError(
                f"was saved with scikit-learn {saved[:20]}, but this is {sklearn.__version__}",
                "train anew, or install the version that saved it",
            )

    def width(self) -> None:
        trained = self.integer("n_features_in_", 1, MAX_FEATURES)
        if trained != self._context.features:
            raise RefusedError(
                f"was trained on {trained} features, but vectors have {self._context.features}",
                "train it on vectors of this pipeline",
            )


def _text(label: Any) -> str:
    text = str(label)
    if not text.isprintable():  # lone surrogates are not printable either
        raise RefusedError("has a class whose name cannot be printed")
    return text


def _labels(classes: tuple[str, ...]) -> Array:
    return np.array(classes, dtype=object)


def _record(value: Any, *names: Name) -> Record:
    if type(value) is Record and value.name in names:
        return value
    kind = value.name[1] if type(value) is Record else "value of another type"
    raise RefusedError(f"holds a {kind} where it has no place")


def _fields(context: _Context, record: Record, *, versioned: bool = True) -> _Fields:
    fields = _Fields(context, record)
    if versioned:
        fields.version()
    return fields


def _new(kind: Any, **attributes: Any) -> Any:
    estimator = kind()
    for name, value in attributes.items():
        setattr(estimator, name, value)
    return estimator


# Classifiers


def _classifier(context: _Context, value: Any, depth: int) -> Built:
    """An estimator that may be the last step of a pipeline, or be calibrated."""
    record = _record(value, *_CLASSIFIERS)
    if depth > MAX_NESTING:
        raise RefusedError("is nested too deeply", "train a simpler model")
    known = context.shared.get(id(record))
    if known is None:
        known = record, _CLASSIFIERS[record.name](context, record, depth)
        context.shared[id(record)] = known  # a calibration may use one estimator five times
    if known[1].parts > MAX_PARTS:
        raise RefusedError(f"has more than {MAX_PARTS:,} parts", "train a smaller model")
    return known[1]


def _linear(context: _Context, fields: _Fields, classes: tuple[str, ...]) -> dict[str, Any]:
    fields.width()
    rows = 1 if len(classes) == 2 else len(classes)
    intercept = fields.get("intercept_")
    return {
        "classes_": _labels(classes),
        "n_features_in_": context.features,
        "coef_": fields.array("coef_", (rows, context.features)),
        "intercept_": fields.array("intercept_", (rows,))
        if type(intercept) is np.ndarray and intercept.ndim
        else fields.number("intercept_"),
    }


def _logistic(context: _Context, record: Record, _: int) -> Built:
    from sklearn.linear_model import LogisticRegression

    fields = _fields(context, record)
    classes = fields.classes()
    estimator = _new(LogisticRegression, **_linear(context, fields, classes))
    estimator.solver = fields.choice("solver", _SOLVERS)
    if hasattr(estimator, "multi_class"):  # until scikit-learn 1.8
        estimator.multi_class = fields.choice("multi_class", _MULTI_CLASS)
    return Built(estimator, classes, _DECISIONS | _PROBABILITIES, 1)


def _sgd(context: _Context, record: Record, _: int) -> Built:
    from sklearn.linear_model import SGDClassifier

    fields = _fields(context, record)
    classes = fields.classes()
    loss = fields.choice("loss", _SGD_LOSSES)
    estimator = _new(SGDClassifier, loss=loss, **_linear(context, fields, classes))
    probabilities = _PROBABILITIES if loss in ("log_loss", "modified_huber") else frozenset()
    return Built(estimator, classes, _DECISIONS | probabilities, 1)


def _svm(context: _Context, record: Record, _: int) -> Built:
    from sklearn.svm import LinearSVC

    fields = _fields(context, record)
    classes = fields.classes()
    return Built(_new(LinearSVC, **_linear(context, fields, classes)), classes, _DECISIONS, 1)


def _perceptron(context: _Context, record: Record, _: int) -> Built:
    from sklearn.neural_network import MLPClassifier

    fields = _fields(context, record)
    fields.width()
    classes = fields.classes()
    outputs = 1 if len(classes) == 2 else len(classes)
    fields.integer("n_outputs_", outputs, outputs)
    layers = fields.integer("n_layers_", 2, MAX_LAYERS)
    sizes = [context.features]
    for weights in fields.items("coefs_")[: layers - 2]:
        fields.require(type(weights) is np.ndarray and weights.ndim == 2, "coefs_", "are no tables")
        sizes.append(weights.shape[1])
    sizes.append(outputs)
    fields.require(len(sizes) == layers, "coefs_", "are not one for each layer")
    estimator = _new(
        MLPClassifier,
        classes_=_labels(classes),
        n_features_in_=context.features,
        n_outputs_=outputs,
        n_layers_=layers,
        activation=fields.choice("activation", frozenset({"identity", "logistic", "relu", "tanh"})),
        out_activation_=fields.choice("out_activation_", frozenset({"logistic" if outputs == 1 else "softmax"})),
        coefs_=fields.arrays("coefs_", *itertools.pairwise(sizes)),
        intercepts_=fields.arrays("intercepts_", *((size,) for size in sizes[1:])),
    )
    return Built(estimator, classes, _PROBABILITIES, layers)


def _forest(context: _Context, record: Record, _: int) -> Built:
    from sklearn.ensemble import RandomForestClassifier

    fields = _fields(context, record)
    fields.width()
    classes = fields.classes()
    fields.integer("n_classes_", len(classes), len(classes))
    fields.integer("n_outputs_", 1, 1)
    members = [_decision_tree(context, item, len(classes)) for item in fields.items("estimators_")]
    estimator = _new(
        RandomForestClassifier,
        n_estimators=len(members),
        estimators_=members,
        classes_=_labels(classes),
        n_classes_=len(classes),
        n_outputs_=1,
        n_features_in_=context.features,
    )
    return Built(estimator, classes, _PROBABILITIES, len(members))


def _decision_tree(context: _Context, value: Any, classes: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    record = _record(value, ("sklearn.tree._classes", "DecisionTreeClassifier"))
    fields = _fields(context, record)
    fields.width()
    fields.integer("n_classes_", classes, classes)
    fields.integer("n_outputs_", 1, 1)
    tree = _tree(context, fields.get("tree_"), classes)
    record.state = None  # frees the numbers; no forest has a tree twice
    return _new(
        DecisionTreeClassifier,
        tree_=tree,
        classes_=np.arange(classes, dtype=np.float64),
        n_classes_=classes,
        n_outputs_=1,
        n_features_in_=context.features,
    )


def _tree(context: _Context, value: Any, classes: int) -> Any:
    record = _record(value, allowed.TREE)
    arguments = record.arguments
    named = Record(allowed.TREE, (), dict(zip(("n_features", "n_classes", "n_outputs"), arguments, strict=False)))
    counts_fields = _Fields(context, named)
    counts_fields.require(len(arguments) == 3, "arguments", "are not three")
    counts_fields.integer("n_features", context.features, context.features)
    counts_fields.integer("n_outputs", 1, 1)
    counts = counts_fields.array("n_classes", (1,), dtypes=("<i8", "<i4"))
    counts_fields.require(int(counts[0]) == classes, "n_classes", "differ from the model's")
    fields = _fields(context, record, versioned=False)
    nodes = fields.nodes("nodes", trees.record_dtypes()[0])
    fields.integer("node_count", len(nodes), len(nodes))
    values = fields.array("values", (len(nodes), 1, classes), dtypes=("<f8",))
    depth = fields.integer("max_depth", 0, max(len(nodes) - 1, 0))
    return trees.forest_tree(nodes, np.ascontiguousarray(values), depth, context.features)


def _boosted(context: _Context, record: Record, _: int) -> Built:
    from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.ensemble import HistGradientBoostingClassifier

    fields = _fields(context, record)
    fields.width()
    classes = fields.classes()
    columns = 1 if len(classes) == 2 else len(classes)
    fields.integer("n_trees_per_iteration_", columns, columns)
    fields.require(fields.get("_preprocessor") is None, "_preprocessor", "is there: it was trained on categories")
    _without_categories(context, fields, "is_categorical_")
    binned = _record(fields.get("_bin_mapper"), (f"{_HIST}.binning", "_BinMapper"))
    _without_categories(context, _fields(context, binned), "is_categorical_")
    loss = ("sklearn._loss.loss", "HalfBinomialLoss" if columns == 1 else "HalfMultinomialLoss")
    _record(fields.get("_loss"), loss)
    baseline = fields.array("_baseline_prediction", (1, columns), dtypes=("<f8",))
    predictors = [[_predictor(context, item) for item in row] for row in _rows(fields, "_predictors", columns)]
    estimator = _new(
        HistGradientBoostingClassifier,
        classes_=_labels(classes),
        n_features_in_=context.features,
        _n_features=context.features,
        n_trees_per_iteration_=columns,
        is_categorical_=None,
        _preprocessor=None,
        _in_fit=False,
        _bin_mapper=_no_categories(context.features),
        _baseline_prediction=baseline,
        _predictors=predictors,
        _loss=HalfBinomialLoss() if columns == 1 else HalfMultinomialLoss(n_classes=columns),
    )
    return Built(estimator, classes, _DECISIONS | _PROBABILITIES, columns * len(predictors))


def _rows(fields: _Fields, name: str, columns: int) -> Iterator[list[Any]]:
    """Each iteration's trees, one for each column."""
    for row in fields.items(name):
        fields.require(type(row) is list and len(row) == columns, name, "are not one tree for each column")
        yield row


def _without_categories(context: _Context, fields: _Fields, name: str) -> None:
    if fields.get(name) is not None:
        flags = fields.array(name, (context.features,), dtypes=("|b1", "|u1"))
        fields.require(not flags.any(), name, "says that it was trained on categories, which vectors do not have")


def _no_categories(features: int) -> Any:
    """A bin mapper with the one attribute that scoring reads: which features are categories."""
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

    return _new(_BinMapper, is_categorical_=np.zeros(features, np.uint8), bin_thresholds_=[])


def _predictor(context: _Context, value: Any) -> Any:
    record = _record(value, (f"{_HIST}.predictor", "TreePredictor"))
    fields = _fields(context, record, versioned=False)
    for name in ("binned_left_cat_bitsets", "raw_left_cat_bitsets"):
        fields.array(name, (0, 8), dtypes=("<u4",))
    nodes = fields.nodes("nodes", trees.record_dtypes()[1])
    record.state = None  # as in a forest
    return trees.boosted_tree(nodes, context.features)


# Estimators of other estimators


def _pipeline(context: _Context, record: Record, depth: int) -> Built:
    from sklearn.pipeline import Pipeline

    steps, last = _steps(context, record)
    before = _transformers(context, steps, depth)
    final = _classifier(context, last, depth + 1)
    named = [(str(number), step.estimator) for number, step in enumerate([*before, final])]
    return Built(Pipeline(named), final.classes, final.methods, final.parts + sum(step.parts for step in before))


def _steps(context: _Context, record: Record) -> tuple[list[Any], Any]:
    fields = _fields(context, record)
    values = []
    for step in fields.items("steps"):
        fields.require(type(step) is tuple and len(step) == 2, "steps", "are no pairs of name and estimator")
        values.append(step[1])
    fields.require(len(values) <= 20, "steps", "are more than 20")
    return values[:-1], values[-1]


def _transformers(context: _Context, values: list[Any], depth: int) -> list[Built]:
    """The steps before the last, without those that change nothing."""
    active = [value for value in values if value is not None and not (type(value) is str and value == "passthrough")]
    return [_transformer(context, value, depth + 1) for value in active]


def _transformer(context: _Context, value: Any, depth: int) -> Built:
    if depth > MAX_NESTING:
        raise RefusedError("is nested too deeply", "train a simpler model")
    record = _record(value, *_TRANSFORMERS)
    return _TRANSFORMERS[record.name](context, record, depth)


def _scaler(context: _Context, record: Record, _: int) -> Built:
    from sklearn.preprocessing import StandardScaler

    fields = _fields(context, record)
    fields.width()
    with_mean, with_std = fields.boolean("with_mean"), fields.boolean("with_std")
    scale = fields.array("scale_", (context.features,)) if with_std else None
    fields.require(scale is None or bool((scale > 0).all()), "scale_", "is not above zero")
    mean = fields.array("mean_", (context.features,)) if with_mean else None
    estimator = StandardScaler(with_mean=with_mean, with_std=with_std)
    estimator.mean_, estimator.scale_, estimator.n_features_in_ = mean, scale, context.features
    estimator.var_, estimator.n_samples_seen_ = None, 1
    return Built(estimator, (), frozenset(), 1)


def _transforming_pipeline(context: _Context, record: Record, depth: int) -> Built:
    from sklearn.pipeline import Pipeline

    steps, last = _steps(context, record)
    built = _transformers(context, [*steps, last], depth)
    if not built:
        raise RefusedError("holds a Pipeline of nothing")
    named = [(str(number), step.estimator) for number, step in enumerate(built)]
    return Built(Pipeline(named), (), frozenset(), sum(step.parts for step in built))


def _frozen(context: _Context, record: Record, depth: int) -> Built:
    from sklearn.frozen import FrozenEstimator

    inner = _classifier(context, _fields(context, record).get("estimator"), depth + 1)
    return inner._replace(estimator=FrozenEstimator(inner.estimator))


def _frozen_transformer(context: _Context, record: Record, depth: int) -> Built:
    from sklearn.frozen import FrozenEstimator

    inner = _transformer(context, _fields(context, record).get("estimator"), depth + 1)
    return inner._replace(estimator=FrozenEstimator(inner.estimator))


def _calibrated(context: _Context, record: Record, depth: int) -> Built:
    from sklearn.calibration import CalibratedClassifierCV

    fields = _fields(context, record)
    if fields.has("n_features_in_"):
        fields.width()
    classes = fields.classes()
    members, parts = [], 0
    for item in fields.items("calibrated_classifiers_"):
        one, cost = _calibrated_classifier(context, item, classes, depth)
        members.append(one)
        parts += cost
        if parts > MAX_PARTS:
            raise RefusedError(f"has more than {MAX_PARTS:,} parts", "train a smaller model")
    estimator = _new(
        CalibratedClassifierCV,
        classes_=_labels(classes),
        calibrated_classifiers_=members,
        n_features_in_=context.features,
    )
    return Built(estimator, classes, _PROBABILITIES, parts)


def _calibrated_classifier(context: _Context, value: Any, classes: tuple[str, ...], depth: int) -> tuple[Any, int]:
    from sklearn.calibration import _CalibratedClassifier

    record = _record(value, (_CALIBRATION, "_CalibratedClassifier"))
    fields = _fields(context, record, versioned=False)
    fields.require(fields.classes("classes") == classes, "classes", "differ from the model's")
    method = fields.choice("method", frozenset(_CALIBRATORS))
    outer, context.numbered = context.numbered, classes if method == "temperature" else ()
    inner = _classifier(context, fields.get("estimator"), depth + 1)
    context.numbered = outer
    fields.require(set(inner.classes) <= set(classes), "estimator", "has other classes than the model")
    values = fields.items("calibrators")
    # Of two classes, a classifier gives one column of decisions.
    columns = 1 if len(inner.classes) == 2 else len(inner.classes)
    if method == "temperature":
        fields.require(inner.classes == classes, "estimator", "has other classes than the model")
        columns = 1
    fields.require(len(values) == columns, "calibrators", "are not one for each class")
    calibrators = [_CALIBRATORS[method](context, item) for item in values]
    calibrated = _CalibratedClassifier(inner.estimator, calibrators, classes=_labels(classes), method=method)
    return calibrated, inner.parts + columns


def _sigmoid(context: _Context, value: Any) -> Any:
    from sklearn.calibration import _SigmoidCalibration

    fields = _fields(context, _record(value, (_CALIBRATION, "_SigmoidCalibration")))
    return _new(_SigmoidCalibration, a_=fields.number("a_"), b_=fields.number("b_"))


def _temperature(context: _Context, value: Any) -> Any:
    from sklearn.calibration import _TemperatureScaling

    fields = _fields(context, _record(value, (_CALIBRATION, "_TemperatureScaling")))
    beta = fields.number("beta_")
    fields.require(beta > 0, "beta_", "is not above zero")
    return _new(_TemperatureScaling, beta_=beta)


def _isotonic(context: _Context, value: Any) -> Any:
    from sklearn.isotonic import IsotonicRegression

    fields = _fields(context, _record(value, ("sklearn.isotonic", "IsotonicRegression")))
    x, y = fields.array("X_thresholds_", (None,)), fields.array("y_thresholds_", (None,))
    fields.require(len(x) == len(y) >= 1, "thresholds", "are not as many as their values")
    fields.require(bool((np.diff(x) > 0).all()), "X_thresholds_", "are not in order")
    steps = np.diff(y)
    fields.require(bool((steps >= 0).all() or (steps <= 0).all()), "y_thresholds_", "are not in order")
    context.spend(_INTERPOLATION_COPIES * (x.nbytes + y.nbytes))
    estimator = _new(
        IsotonicRegression,
        out_of_bounds=fields.choice("out_of_bounds", frozenset({"clip", "nan", "raise"})),
        X_thresholds_=x,
        y_thresholds_=y,
        X_min_=fields.number("X_min_"),
        X_max_=fields.number("X_max_"),
        increasing_=fields.boolean("increasing_"),
    )
    fields.require(estimator.X_min_ <= estimator.X_max_, "X_min_", "is above X_max_")
    estimator._build_f(x, y)
    return estimator


_CALIBRATORS: dict[str, Callable[[_Context, Any], Any]] = {
    "sigmoid": _sigmoid,
    "isotonic": _isotonic,
    "temperature": _temperature,
}
_FROZEN: Name = ("sklearn.frozen._frozen", "FrozenEstimator")
_PIPELINE: Name = ("sklearn.pipeline", "Pipeline")
_CLASSIFIERS: dict[Name, Callable[[_Context, Record, int], Built]] = {
    (_CALIBRATION, "CalibratedClassifierCV"): _calibrated,
    ("sklearn.ensemble._forest", "RandomForestClassifier"): _forest,
    (f"{_HIST}.gradient_boosting", "HistGradientBoostingClassifier"): _boosted,
    _FROZEN: _frozen,
    ("sklearn.linear_model._logistic", "LogisticRegression"): _logistic,
    ("sklearn.linear_model._stochastic_gradient", "SGDClassifier"): _sgd,
    ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier"): _perceptron,
    _PIPELINE: _pipeline,
    ("sklearn.svm._classes", "LinearSVC"): _svm,
}
_TRANSFORMERS: dict[Name, Callable[[_Context, Record, int], Built]] = {
    _FROZEN: _frozen_transformer,
    _PIPELINE: _transforming_pipeline,
    ("sklearn.preprocessing._data", "StandardScaler"): _scaler,
}
