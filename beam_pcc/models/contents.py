"""A last look through a model that was built: only data and allowed objects, and only sound trees.

Attributes come from the file, and an attribute hides the method of its name: none may be a class or a function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from beam_pcc.models import allowed, trees
from beam_pcc.models.allowed import RefusedError

_VALUES = (str, int, float, bool, bytes, type(None))
# IsotonicRegression makes itself an interp1d, of its own two arrays; a file cannot name one.
_OPAQUE = allowed.LOSSES | allowed.RANDOM | {("scipy.interpolate._interpolate", "interp1d")}
_FITTED_BY_TREES = frozenset({"tree_", "estimators_", "_predictors"})


def check_kind(model: object) -> None:
    """Raise RefusedError unless `model` is one of `allowed.CLASSIFIERS`."""
    kind = type(model)
    if (kind.__module__, kind.__qualname__) not in allowed.CLASSIFIERS:
        raise RefusedError(
            f"holds a {kind.__qualname__}, which is no allowed classifier",
            "save a LogisticRegression, a Pipeline or another kind in docs/security.md",
        )


def check(model: Any) -> None:
    """Raise RefusedError if anything that `model` holds is neither data nor an allowed object in order."""
    check_kind(model)
    features = getattr(model, "n_features_in_", None)
    waiting, seen = [model], {}
    while waiting:
        item = waiting.pop()
        if _is_value(item) or id(item) in seen:
            continue
        seen[id(item)] = item  # kept alive, so that no other object gets its id
        kind = type(item)
        name = allowed.canonical(kind.__module__, kind.__qualname__)
        if kind is dict:
            waiting.extend(item.values())
        elif kind in (list, tuple):
            waiting.extend(item)
        elif kind is np.ndarray:
            if item.dtype.hasobject and not all(map(_is_value, item.flat)):
                raise RefusedError("holds an array of objects other than text and numbers")
        elif name == allowed.TREE:
            trees.check_tree(item, _count(features))
        elif name in allowed.OBJECTS:
            _check_attributes(item, features)
            waiting.extend(vars(item).values())
        elif name not in _OPAQUE:
            raise RefusedError(f"holds an object of {'.'.join(name)}, which is not an allowed model type")


def _is_value(item: object) -> bool:
    return type(item) in _VALUES or isinstance(item, np.generic)


def _check_attributes(item: Any, features: object) -> None:
    kind, attributes = type(item).__qualname__, vars(item)
    if any(type(attribute) is not str or attribute.startswith("__") for attribute in attributes):
        raise RefusedError(f"holds a {kind} with an odd attribute")
    # An estimator without n_features_in_ takes rows of any width, and its trees would read past their ends.
    if _FITTED_BY_TREES & attributes.keys() and attributes.get("n_features_in_") != _count(features):
        raise RefusedError(f"holds a {kind} for another number of features than the model's own")
    if attributes.get("_preprocessor") is not None:
        raise RefusedError(f"holds a {kind} that was trained on categories, which vectors do not have")
    if kind == "TreePredictor":
        trees.check_boosted_tree(item, _count(features))


def _count(features: object) -> int:
    if isinstance(features, (int, np.integer)) and features > 0:
        return int(features)
    raise RefusedError("does not say how many features it was trained on (n_features_in_)")
