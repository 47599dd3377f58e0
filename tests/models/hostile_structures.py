"""Model files with allowed types only, but in wrong places, with wrong numbers, or at too high a cost.

`STRUCTURES` are models that were changed after training; each becomes a joblib and a skops file. `COSTLY` and
`COSTLY_SKOPS` are files that ask for much time or memory.
"""

from __future__ import annotations

import bz2
import copy
import functools
import gzip
import io
import lzma
import struct
import types
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree._tree import NODE_DTYPE, Tree

from tests.models.hostile import (
    array_record,
    as_skops,
    call,
    dtype,
    in_model,
    instance,
    json_node,
    mapping,
    name,
    node,
    number,
    packed,
    plain,
    program,
    text,
    training,
    values,
)

# Models to be changed


def _three() -> np.ndarray:
    return np.array(["NOT_PC", "PC/access", "PC/deletion"] * 20, dtype=object)


@functools.cache
def _fitted(kind: str) -> Any:
    two, three = training(), (training()[0], _three())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds: dict[str, Callable[[], Any]] = {
            "logistic": lambda: LogisticRegression(max_iter=5).fit(*two),
            "logistic3": lambda: LogisticRegression(max_iter=5).fit(*three),
            "scaled": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=5)).fit(*two),
            "sgd": lambda: SGDClassifier(loss="log_loss", max_iter=3).fit(*two),
            "forest": lambda: RandomForestClassifier(2, random_state=1).fit(*two),
            "boosted": lambda: HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3).fit(*two),
            "boosted3": lambda: HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3).fit(*three),
            "perceptron": lambda: MLPClassifier((4,), max_iter=2, random_state=1).fit(*two),
            "sigmoid": lambda: CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2).fit(*two),
            "sigmoid3": lambda: CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2).fit(*three),
            "isotonic": lambda: CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2, method="isotonic").fit(*two),
            "isotonic3": lambda: CalibratedClassifierCV(LinearSVC(max_iter=20), cv=2, method="isotonic").fit(*three),
        }
        return kinds[kind]()


def fitted(kind: str) -> Any:
    return copy.deepcopy(_fitted(kind))


def _at(model: Any, path: str) -> Any:
    for part in path.split("."):
        model = model[int(part)] if part.isdigit() else getattr(model, part)
    return model


def changed(kind: str, path: str, **attributes: Any) -> Callable[[], Any]:
    """A trained model, some object of which gets other attributes; a function makes one of what was there."""

    def make() -> Any:
        model = fitted(kind)
        target = _at(model, path) if path else model
        for attribute, value in attributes.items():
            before = getattr(target, attribute, None)
            target.__dict__[attribute] = value(before) if isinstance(value, types.FunctionType) else value
        return model

    return make


def without(kind: str, path: str, attribute: str) -> Callable[[], Any]:
    def make() -> Any:
        model = fitted(kind)
        del vars(_at(model, path) if path else model)[attribute]
        return model

    return make


def _renewed(change: Callable[[dict[str, Any]], Any], features: int = 584, classes: int = 2, outputs: int = 1) -> Any:
    """A function that renews a forest's first tree with another state."""

    def renew(trees: list[Any]) -> list[Any]:
        state = trees[0].tree_.__getstate__()
        change(state)
        tree = Tree(features, np.full(outputs, classes), outputs)
        tree.__setstate__(state)
        trees[0].tree_ = tree
        return trees

    return changed("forest", "", estimators_=renew)


def _node(**fields: Any) -> Any:
    def change(state: dict[str, Any]) -> None:
        inner = np.flatnonzero(state["nodes"]["left_child"] >= 0)
        for field, value in fields.items():
            state["nodes"][field][inner[0]] = value

    return _renewed(change)


def _boosted_node(field: str, value: Any) -> Callable[[], Any]:
    def make() -> Any:
        model = fitted("boosted")
        model._predictors[0][0].nodes[field][0] = value
        return model

    return make


def _pipeline(*steps: Any) -> Callable[[], Any]:
    def make() -> Any:
        model = fitted("scaled")
        model.steps = [(f"step{position}", step) for position, step in enumerate(step() for step in steps)]
        return model

    return make


def _bin_mapper() -> Any:
    mapper = fitted("boosted")._bin_mapper
    mapper.missing_values_bin_idx_ = 0x4141414141414141
    return mapper


def _nested(depth: int) -> Any:
    model = fitted("logistic")
    for _ in range(depth):
        frozen = FrozenEstimator(model)
        model = Pipeline([("frozen", frozen)])
    return model


def _set_isotonic(**attributes: Any) -> Callable[[], Any]:
    return changed("isotonic", "calibrated_classifiers_.0.calibrators.0", **attributes)


def _one_tree() -> Any:
    return fitted("forest").estimators_[0].tree_


LABELS = np.array(["NOT_PC", "PC"], dtype=object)
STRUCTURES: dict[str, Callable[[], Any]] = {
    # A perceptron's layers
    "perceptron_of_narrow_layers": changed("perceptron", "", coefs_=lambda layers: [layers[0][:, :3], layers[1]]),
    "perceptron_of_short_input": changed("perceptron", "", coefs_=lambda layers: [layers[0][:500], layers[1]]),
    "perceptron_of_more_layers": changed("perceptron", "", n_layers_=9),
    "perceptron_of_many_layers": changed("perceptron", "", n_layers_=2**40),
    "perceptron_of_texts": changed("perceptron", "", coefs_=["a", "b"]),
    "perceptron_of_nan": changed("perceptron", "", coefs_=lambda layers: [layers[0] * np.nan, layers[1]]),
    "perceptron_with_an_unknown_activation": changed("perceptron", "", activation="__import__"),
    "perceptron_without_probabilities": changed("perceptron", "", out_activation_="identity"),
    "perceptron_with_few_intercepts": changed("perceptron", "", intercepts_=lambda values: values[:1]),
    "perceptron_of_other_outputs": changed("perceptron", "", n_outputs_=3),
    "optimizer_as_a_layer": changed("perceptron", "", coefs_=[_fitted("perceptron")._optimizer]),
    # What stands where
    "bin_mapper_as_a_step": _pipeline(_bin_mapper, lambda: fitted("logistic")),
    "classifier_as_a_transformer": _pipeline(lambda: fitted("logistic"), lambda: fitted("logistic")),
    "forest_as_a_transformer": _pipeline(lambda: fitted("forest"), lambda: fitted("logistic")),
    "transformer_at_the_end": _pipeline(StandardScaler, lambda: StandardScaler().fit(training()[0])),
    "tree_as_a_step": _pipeline(_one_tree, lambda: fitted("logistic")),
    "no_steps": changed("scaled", "", steps=[]),
    "steps_that_are_no_pairs": changed("scaled", "", steps=lambda steps: [step[1] for step in steps]),
    "tree_as_a_calibrator": changed("sigmoid", "calibrated_classifiers_.0", calibrators=[_one_tree()]),
    "classifier_as_a_calibrator": changed("sigmoid", "calibrated_classifiers_.0", calibrators=[_fitted("logistic")]),
    "scaler_that_is_calibrated": changed("sigmoid", "calibrated_classifiers_.0", estimator=StandardScaler()),
    "tree_that_is_calibrated": changed("sigmoid", "calibrated_classifiers_.0", estimator=_one_tree()),
    "model_in_place_of_the_loss": changed("boosted", "", _loss=_fitted("boosted"), _in_fit=True),
    "loss_of_another_kind": changed("boosted", "", _loss=_fitted("boosted3")._loss),
    "scaler_as_the_bin_mapper": changed("boosted", "", _bin_mapper=StandardScaler()),
    "logistic_in_a_forest": changed("forest", "", estimators_=lambda trees: [*trees, _fitted("logistic")]),
    "tree_in_a_forest_bare": changed("forest", "", estimators_=lambda trees: [tree.tree_ for tree in trees]),
    "logistic_as_a_boosted_tree": changed("boosted", "", _predictors=[[_fitted("logistic")]]),
    "decision_tree_alone": lambda: fitted("forest").estimators_[0],
    "nested_deeply": lambda: _nested(30),
    # Numbers of linear models
    "coef_of_half_precision": changed("logistic", "", coef_=lambda coef: coef.astype(np.float16)),
    "coef_of_other_byte_order": changed("logistic", "", coef_=lambda coef: coef.astype(">f8")),
    "coef_of_integers": changed("logistic", "", coef_=lambda coef: coef.astype(np.int64)),
    "coef_of_objects": changed("logistic", "", coef_=lambda coef: coef.astype(object)),
    "coef_of_text": changed("logistic", "", coef_=lambda coef: coef.astype("U5")),
    "coef_of_truth_values": changed("logistic", "", coef_=lambda coef: coef.astype(bool)),
    "coef_of_one_dimension": changed("logistic", "", coef_=lambda coef: coef[0]),
    "coef_of_three_dimensions": changed("logistic", "", coef_=lambda coef: coef[None]),
    "coef_too_narrow": changed("logistic", "", coef_=lambda coef: coef[:, :-1].copy()),
    "coef_of_no_values": changed("logistic", "", coef_=lambda coef: coef[:0]),
    "coef_for_more_classes": changed("logistic", "", coef_=lambda coef: np.vstack([coef] * 3)),
    "coef_for_fewer_classes": changed("logistic3", "", coef_=lambda coef: coef[:2]),
    "coef_that_is_a_list": changed("logistic", "", coef_=lambda coef: coef.tolist()),
    "coef_not_a_number": changed("logistic", "", coef_=lambda coef: coef * np.nan),
    "coef_infinite": changed("sgd", "", coef_=lambda coef: coef * np.inf),
    "coef_missing": without("logistic", "", "coef_"),
    "intercept_too_long": changed("logistic", "", intercept_=np.zeros(4)),
    "intercept_not_a_number": changed("logistic", "", intercept_=np.array([np.nan])),
    "intercept_of_text": changed("logistic", "", intercept_="0.0"),
    "features_as_truth": changed("logistic", "", n_features_in_=True),
    "features_as_a_float": changed("logistic", "", n_features_in_=584.0),
    "features_negative": changed("logistic", "", n_features_in_=-584),
    "features_beyond_memory": changed("logistic", "", n_features_in_=2**62),
    "features_missing": without("logistic", "", "n_features_in_"),
    "solver_unknown": changed("logistic", "", solver="__class__"),
    "loss_unknown": changed("sgd", "", loss="quantile"),
    "scale_of_zero": changed("scaled", "steps.0.1", scale_=np.zeros(584)),
    "scale_below_zero": changed("scaled", "steps.0.1", scale_=-np.ones(584)),
    "scale_too_narrow": changed("scaled", "steps.0.1", scale_=np.ones(1)),
    "mean_not_a_number": changed("scaled", "steps.0.1", mean_=np.full(584, np.nan)),
    "scaler_of_another_width": changed("scaled", "steps.0.1", n_features_in_=3),
    "with_mean_as_a_number": changed("scaled", "steps.0.1", with_mean=1),
    # Classes
    "classes_twice_the_same": changed("logistic", "", classes_=LABELS[[1, 1]]),
    "classes_out_of_order": changed("logistic", "", classes_=LABELS[::-1].copy()),
    "classes_of_one": changed("logistic", "", classes_=LABELS[:1]),
    "classes_of_numbers": changed("logistic", "", classes_=np.arange(2)),
    "classes_in_two_dimensions": changed("logistic", "", classes_=LABELS.astype("U6")[None]),
    "classes_of_surrogates": changed("logistic", "", classes_=np.array(["NOT_PC", "PC\udc80"], dtype=object)),
    "classes_with_a_newline": changed("logistic", "", classes_=np.array(["NOT_PC", "PC\n"], dtype=object)),
    "classes_too_long": changed("logistic", "", classes_=np.array(["NOT_PC", "PC" * 200], dtype=object)),
    "classes_too_many": changed("logistic", "", classes_=np.array([f"PC/{n:05}" for n in range(5_000)])),
    "classes_of_mixed_types": changed("logistic", "", classes_=np.array(["NOT_PC", 2.0], dtype=object)),
    # Trees
    "tree_values_not_a_number": _renewed(lambda state: state["values"].fill(np.nan)),
    "tree_values_beyond_one": _renewed(lambda state: state["values"].fill(7.0)),
    "tree_values_below_zero": _renewed(lambda state: state["values"].fill(-1.0)),
    "tree_for_more_classes": _renewed(lambda s: s.update(values=np.ones((len(s["nodes"]), 1, 9)) / 9), classes=9),
    "tree_for_two_outputs": _renewed(lambda s: s.update(values=np.ones((len(s["nodes"]), 2, 2)) / 2), outputs=2),
    "tree_of_another_width": _renewed(lambda state: None, features=3),
    "tree_of_a_huge_depth": _renewed(lambda state: state.update(max_depth=2**40)),
    "tree_threshold_not_a_number": _node(threshold=np.nan),
    "tree_child_twice": _node(left_child=2, right_child=2),
    "tree_child_of_itself": _node(left_child=0),
    "tree_child_at_the_end": _node(right_child=2**31),
    "tree_child_below_zero": _node(left_child=-2),
    "tree_feature_beyond": _node(feature=584),
    "tree_that_was_swapped_for_a_number": changed("forest", "estimators_.0", tree_=7),
    "forest_of_no_trees": changed("forest", "", estimators_=[]),
    "forest_for_more_classes": changed("forest", "", n_classes_=3),
    "forest_of_two_outputs": changed("forest", "", n_outputs_=2),
    "forest_tree_of_other_classes": changed("forest", "estimators_.0", n_classes_=7),
    # Boosting
    "boosted_categories_too_few": changed("boosted", "_bin_mapper", is_categorical_=np.zeros(3, np.uint8)),
    "boosted_categories_everywhere": changed("boosted", "_bin_mapper", is_categorical_=np.ones(584, np.uint8)),
    "boosted_categories_of_the_model": changed("boosted", "", is_categorical_=np.ones(584, bool)),
    "boosted_bitsets": changed("boosted", "_predictors.0.0", raw_left_cat_bitsets=np.ones((9, 8), np.uint32)),
    "boosted_bitsets_too_narrow": changed("boosted", "_predictors.0.0", raw_left_cat_bitsets=np.ones((0, 1), "u4")),
    "boosted_nodes_of_a_forest": changed("boosted", "_predictors.0.0", nodes=np.zeros(3, NODE_DTYPE)),
    "boosted_nodes_of_numbers": changed("boosted", "_predictors.0.0", nodes=np.zeros((3, 7))),
    "boosted_trees_missing": changed("boosted3", "", _predictors=lambda rows: [row[:1] for row in rows]),
    "boosted_trees_too_many": changed("boosted", "", _predictors=lambda rows: [row * 3 for row in rows]),
    "boosted_columns": changed("boosted", "", n_trees_per_iteration_=9),
    "boosted_columns_as_text": changed("boosted", "", n_trees_per_iteration_="1"),
    "boosted_baseline_too_wide": changed("boosted", "", _baseline_prediction=np.zeros((1, 9))),
    "boosted_baseline_not_a_number": changed("boosted", "", _baseline_prediction=np.array([[np.nan]])),
    "boosted_baseline_of_integers": changed("boosted", "", _baseline_prediction=np.zeros((1, 1), np.int64)),
    "boosted_value_infinite": _boosted_node("value", np.inf),
    "boosted_leaf_of_two": _boosted_node("is_leaf", 2),
    "boosted_threshold": _boosted_node("num_threshold", np.nan),
    "boosted_child_of_itself": _boosted_node("left", 0),
    "boosted_feature": _boosted_node("feature_idx", -1),
    "boosted_without_a_loss": without("boosted", "", "_loss"),
    # Calibration
    "calibrators_too_few": changed("sigmoid3", "calibrated_classifiers_.0", calibrators=lambda all_: all_[:1]),
    "calibrators_too_many": changed("sigmoid", "calibrated_classifiers_.0", calibrators=lambda all_: all_ * 3),
    "calibrators_none": changed("sigmoid", "calibrated_classifiers_.0", calibrators=[]),
    "calibrated_by_nothing": changed("sigmoid", "", calibrated_classifiers_=[]),
    "calibrated_in_an_unknown_way": changed("sigmoid", "calibrated_classifiers_.0", method="venn"),
    "calibrated_in_another_way": changed("sigmoid", "calibrated_classifiers_.0", method="isotonic"),
    "calibrated_classes_differ": changed("sigmoid", "calibrated_classifiers_.0", classes=LABELS[:1]),
    "calibrated_model_of_more_classes": changed("sigmoid", "calibrated_classifiers_.0", estimator=_fitted("logistic3")),
    "slope_not_a_number": changed("sigmoid", "calibrated_classifiers_.0.calibrators.0", a_=float("nan")),
    "slope_of_text": changed("sigmoid", "calibrated_classifiers_.0.calibrators.0", a_="1"),
    "slope_of_truth": changed("sigmoid", "calibrated_classifiers_.0.calibrators.0", a_=True),
    "slope_of_many": changed("sigmoid", "calibrated_classifiers_.0.calibrators.0", a_=np.ones(10**5)),
    "isotonic_out_of_order": _set_isotonic(X_thresholds_=lambda x: x[::-1].copy()),
    "isotonic_that_goes_up_and_down": _set_isotonic(y_thresholds_=lambda y: np.arange(len(y)) % 2 * 1.0),
    "isotonic_of_other_lengths": _set_isotonic(y_thresholds_=lambda y: y[:1]),
    "isotonic_not_a_number": _set_isotonic(X_thresholds_=lambda x: x * np.nan),
    "isotonic_empty": _set_isotonic(X_thresholds_=np.zeros(0), y_thresholds_=np.zeros(0)),
    "isotonic_ends_crossed": _set_isotonic(X_min_=np.float64(2), X_max_=np.float64(1)),
    "isotonic_bounds": _set_isotonic(out_of_bounds="extrapolate"),
}


def as_joblib(model: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def files() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Name -> format, and what makes the file."""
    found: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for title, make in STRUCTURES.items():
        found[title] = "joblib", lambda make=make: as_joblib(make())
        if title not in _NOT_BY_SKOPS:
            found[f"skops_{title}"] = "skops", lambda make=make: skops.io.dumps(make())
    for title, build in COSTLY.items():
        found[title] = "joblib", build
    for title, build in COSTLY_SKOPS.items():
        found[title] = "skops", build
    return found


_NOT_BY_SKOPS = {"coef_of_objects", "classes_of_surrogates"}

# Files that cost much

MILLIONS = 1_000_000


def _doubled(start: bytes, times: int, pair: bytes) -> bytes:
    """Memo 0 is `start`, and each further value holds the one before it twice."""
    built = start + b"\x94"
    for place in range(times):
        built += b"h" + bytes([place]) + b"h" + bytes([place]) + pair + b"\x94"
    return built


def _listed(item: bytes, count: int) -> bytes:
    """A list of one remembered value, many times."""
    return b"](" + item + b"\x94" + b"h\x00" * count + b"e"


def _reals(count: int) -> bytes:
    """An array of zeros in the pickle itself."""
    data = b"B" + struct.pack("<I", 8 * count) + bytes(8 * count)
    return call("numpy._core.numeric", "_frombuffer", data, dtype("f8"), values(number(count)), text("C"))


def _version() -> bytes:
    import sklearn

    return text(sklearn.__version__)


def _classes() -> bytes:
    return plain(np.array(["NOT_PC", "PC"]))


def _forest_of(trees: bytes) -> bytes:
    state = {"n_features_in_": number(584), "n_classes_": number(2), "n_outputs_": number(1)}
    items = mapping(estimators_=trees, classes_=_classes(), _sklearn_version=_version(), **state)
    return program(instance("sklearn.ensemble._forest", "RandomForestClassifier", items))


def _calibration_of(members: bytes) -> bytes:
    items = mapping(calibrated_classifiers_=members, classes_=_classes(), _sklearn_version=_version())
    return instance("sklearn.calibration", "CalibratedClassifierCV", items)


def _nested_calibrations() -> bytes:
    """Each calibration uses the one before it 50 times; the first is a sound model."""
    inner = plain(fitted("logistic"))
    sigmoid = plain(fitted("sigmoid").calibrated_classifiers_[0].calibrators[0])
    for level in range(6):
        items = mapping(estimator=inner, calibrators=b"](" + sigmoid + b"e", classes=_classes(), method=text("sigmoid"))
        member = instance("sklearn.calibration", "_CalibratedClassifier", items)
        inner = _calibration_of(b"](" + member + b"\x94" + (b"h" + bytes([level])) * 49 + b"e")
    return program(inner)


def _isotonic_copies() -> bytes:
    """A thousand calibrators share one array of 16 MB."""
    import pickle

    model = fitted("isotonic")
    points = np.arange(2_000_000.0)
    for one in model.calibrated_classifiers_:
        one.calibrators[0].X_thresholds_ = one.calibrators[0].y_thresholds_ = points
        del one.calibrators[0].f_
    first = model.calibrated_classifiers_[0]
    made = []
    for _ in range(1_000):
        again = copy.copy(first)
        calibrator = IsotonicRegression(out_of_bounds="clip")
        calibrator.__dict__.update(first.calibrators[0].__dict__)
        again.calibrators = [calibrator]
        made.append(again)
    model.calibrated_classifiers_ = made
    return pickle.dumps(model, protocol=5)


def _scalars() -> bytes:
    """A number of 4 kB that is made half a million times from one text of bytes."""
    make = name("numpy._core.multiarray", "scalar") + b"\x94"
    arguments = values(dtype("U1000"), b"B" + struct.pack("<I", 4000) + bytes(4000)) + b"\x94"
    return in_model(b"](" + make + b"0" + arguments + b"0" + b"h\x00h\x01R" * 500_000 + b"e")


def _arrays() -> bytes:
    make = name("numpy._core.numeric", "_frombuffer") + b"\x94"
    data = b"B" + struct.pack("<I", 8_000_000) + bytes(8_000_000)
    arguments = values(data, dtype("f8"), values(number(1_000_000)), text("C")) + b"\x94"
    return in_model(b"](" + make + b"0" + arguments + b"0" + b"h\x00h\x01R" * 500_000 + b"e")


def _colliding_keys() -> bytes:
    """Numbers of one hash, as the keys of a dict."""
    prime = 2**61 - 1
    keys = b"".join(b"\x8a\x0c" + (prime * (n + 1)).to_bytes(12, "little") + b"N" for n in range(200_000))
    return in_model(b"}(" + keys + b"u")


def _shapes(*lengths: int) -> bytes:
    return in_model(array_record(dtype("f8"), values(*(b"\x8a\x08" + struct.pack("<q", n) for n in lengths))))


def _numbers_as_shape() -> bytes:
    long = b"\x8a\xff" + b"\x7f" * 255 + b"\x94"
    return in_model(array_record(dtype("f8"), b"(" + long + b"h\x00" * 1_000_000 + b"t"))


def _zeros(size: int) -> bytes:
    """A model whose coefficients are so many zeros."""
    return in_model(b"B" + struct.pack("<I", size) + bytes(size))


@functools.cache
def _large() -> bytes:
    return _zeros(300 * 2**20)


def _raw_tree(classes: Any = None, outputs: int = 1, **state: Any) -> bytes:
    """A forest of one tree that no constructor of scikit-learn has seen."""
    nodes = np.zeros(1, NODE_DTYPE)
    nodes["left_child"] = nodes["right_child"] = -1
    honest = {"max_depth": 0, "node_count": 1, "nodes": nodes, "values": np.full((1, 1, 2), 0.5)}
    arguments = number(584), plain(np.array([2]) if classes is None else classes), number(outputs)
    tree = call("sklearn.tree._tree", "Tree", *arguments) + plain({**honest, **state}) + b"b"
    items = mapping(tree_=tree, n_features_in_=number(584), n_classes_=number(2), n_outputs_=number(1))
    items = items[:-1] + text("_sklearn_version") + _version() + b"u"
    return _forest_of(b"](" + instance("sklearn.tree._classes", "DecisionTreeClassifier", items) + b"e")


COSTLY: dict[str, Callable[[], bytes]] = {
    "tuples_that_double": lambda: in_model(_doubled(b")", 40, b"\x86")),
    "lists_that_double": lambda: in_model(_doubled(b"]", 40, b"\x86")),
    "steps_that_double": lambda: program(
        instance(
            "sklearn.pipeline", "Pipeline", mapping(_sklearn_version=_version(), steps=_doubled(b")", 40, b"\x86"))
        )
    ),
    "classes_that_double": lambda: in_model(_doubled(b")", 40, b"\x86"), "classes_"),
    "references_by_the_million": lambda: in_model(_listed(b"]", MILLIONS)),
    "trees_by_the_million": lambda: _forest_of(_listed(plain(fitted("forest").estimators_[0]), MILLIONS)),
    "trees_by_the_thousand": lambda: _forest_of(_listed(plain(fitted("forest").estimators_[0]), 25_000)),
    "calibrations_by_the_million": lambda: program(_calibration_of(_listed(b"]", MILLIONS))),
    "calibrations_within_calibrations": _nested_calibrations,
    "isotonic_copies": _isotonic_copies,
    "lists_by_the_million": lambda: program(b"](" + b"]" * MILLIONS + b"e"),
    "dicts_by_the_million": lambda: program(b"](" + b"}" * MILLIONS + b"e"),
    "marks_by_the_million": lambda: program(b"(" * MILLIONS),
    "memo_by_the_million": lambda: program(b"]" + b"\x94" * MILLIONS),
    "tuples_within_tuples": lambda: program(b")" + b"\x85" * MILLIONS),
    "lists_within_lists": lambda: program(b"]" * 1_000_000 + b"a" * 999_999),
    "scalars_by_the_million": _scalars,
    "arrays_by_the_million": _arrays,
    "keys_of_one_hash": _colliding_keys,
    "shape_beyond_memory": lambda: _shapes(2**62, 2**62),
    "shape_of_nothing_times_much": lambda: _shapes(0, 2**62),
    "shape_below_zero": lambda: _shapes(-1, 8),
    "shape_of_many_numbers": lambda: _shapes(*[2**40] * 100_000),
    "shape_of_long_numbers": _numbers_as_shape,
    "number_of_a_megabyte": lambda: in_model(b"\x8b" + struct.pack("<i", 2**20) + bytes(2**20)),
    "text_of_wide_letters": lambda: in_model(text("\U0001f600" + "a" * 60_000_000)),
    "tree_of_many_outputs": lambda: _raw_tree(np.full(3, 2), 2**31 - 1),
    "tree_of_classes_by_the_million": lambda: _raw_tree(np.full(1_000_000, 2)),
    "tree_with_more_nodes_than_it_has": lambda: _raw_tree(node_count=10**9),
    "tree_with_a_negative_count": lambda: _raw_tree(node_count=-1),
    "tree_with_no_nodes": lambda: _raw_tree(node_count=0, nodes=np.zeros(0, NODE_DTYPE), values=np.zeros((0, 1, 2))),
    "tree_with_more_values_than_nodes": lambda: _raw_tree(values=np.full((9, 1, 2), 0.5)),
    "tree_whose_values_overlap": lambda: _raw_tree(values=np.full((1, 2, 1), 1.0)),
    "coefficients_of_200_megabytes": lambda: in_model(_reals(200 * 2**17)),
    "zlib_of_300_megabytes": lambda: zlib.compress(_large(), 1),
    "gzip_of_300_megabytes": lambda: gzip.compress(_large(), 1),
    "bz2_of_300_megabytes": lambda: bz2.compress(_large(), 1),
    "xz_of_300_megabytes": lambda: lzma.compress(_large(), preset=0),
    "zlib_within_the_limit": lambda: zlib.compress(_zeros(200 * 2**20), 1),
}


def _in_logistic(value: Any, **members: bytes) -> bytes:
    schema, honest = as_skops(fitted("logistic"))
    schema["content"]["content"]["coef_"] = value
    return packed(schema, {**honest, **{f"{number}.npy": content for number, content in members.items()}})


def _with_schema(schema: str, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    return packed(schema, {}, compression)


def _shared_arrays() -> bytes:
    """One member of 8 MB stands for of ten thousand calibrators."""
    schema, members = as_skops(fitted("sigmoid"))
    file = io.BytesIO()
    np.save(file, np.zeros((1_000_000,)))
    content = schema["content"]["content"]
    first = content["calibrated_classifiers_"]["content"][0]
    first["content"]["content"]["calibrators"] = node(
        "ListNode",
        "builtins",
        "list",
        content=[node("NdArrayNode", "numpy", "ndarray", type="numpy", file="77.npy")] * 100,
    )
    content["calibrated_classifiers_"]["content"] = [first] * 100
    return packed(schema, {**members, "77.npy": file.getvalue()}, zipfile.ZIP_DEFLATED)


def _many_entries() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number_ in range(60_000):
            archive.writestr(f"{number_}.npy", b"")
    return file.getvalue()


def _lying_directory() -> bytes:
    data = bytearray(_many_entries())
    struct.pack_into("<HH", data, len(data) - 14, 1, 1)
    return bytes(data)


def _npy(header: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def _array(header: str, content: bytes = b"") -> bytes:
    value = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="77.npy")
    return _in_logistic(value, **{"77": _npy(header.encode(), content)})


def _bomb(claimed: int | None = None) -> bytes:
    data = packed("{}", {"1.npy": bytes(300 * 2**20)}, zipfile.ZIP_DEFLATED)
    return data if claimed is None else data.replace(struct.pack("<I", 300 * 2**20), struct.pack("<I", claimed))


COSTLY_SKOPS: dict[str, Callable[[], bytes]] = {
    "skops_schema_of_lists": lambda: _with_schema('{"protocol": 2, "a": [' + ",".join(["[]"] * 8_000_000) + "]}"),
    "skops_schema_of_dicts": lambda: _with_schema('{"protocol": 2, "a": [' + ",".join(["{}"] * 8_000_000) + "]}"),
    "skops_schema_of_numbers": lambda: _with_schema('{"protocol": 2, "a": [' + ",".join(["1.5"] * 8_000_000) + "]}"),
    "skops_schema_of_a_long_number": lambda: _with_schema('{"protocol": ' + "9" * 10_000_000 + "}"),
    "skops_schema_that_is_deep": lambda: _with_schema("[" * 2_000_000 + "]" * 2_000_000),
    "skops_schema_too_large": lambda: _with_schema('{"protocol": 2, "a": "' + "a" * (65 * 2**20) + '"}'),
    "skops_schema_of_wide_letters": lambda: _with_schema('{"protocol": 2, "a": "\U0001f600' + "a" * 60_000_000 + '"}'),
    "skops_text_of_a_long_number": lambda: _in_logistic({**json_node(1), "content": "9" * 1_000_000}),
    "skops_text_that_is_deep": lambda: _in_logistic({**json_node(1), "content": "[" * 500_000 + "]" * 500_000}),
    "skops_arrays_used_often": _shared_arrays,
    "skops_entries_by_the_thousand": _many_entries,
    "skops_directory_that_lies": _lying_directory,
    "skops_something_before_the_zip": lambda: b"MZ" * 500 + skops.io.dumps(fitted("logistic")),
    "skops_bomb_of_300_megabytes": _bomb,
    "skops_bomb_that_says_100": lambda: _bomb(100),
    "skops_header_that_is_deep": lambda: _array("(" * 4_000 + ")" * 4_000),
    "skops_header_that_multiplies": lambda: _array("{'descr': '<f8', 'fortran_order': False, 'shape': (9**9**9,)}"),
    "skops_header_of_objects": lambda: _array("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
    "skops_header_of_records": lambda: _array(
        "{'descr': [('a', '|O'), ('b', '<f8', (2, 2))], 'fortran_order': False, 'shape': (1,)}", bytes(40)
    ),
    "skops_header_of_a_huge_shape": lambda: _array(
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**62}, 0)}}"
    ),
    "skops_header_of_a_negative_shape": lambda: _array("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
    "skops_header_too_long": lambda: _array("{" + " " * 60_000 + "}"),
}
