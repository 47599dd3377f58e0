"""Builds trees from nodes whose children and features are checked to be in range.

scikit-learn's C code does not check them: a child or a feature out of range reads other memory, and a cycle never ends.
Its own __setstate__ checks only types and shapes.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.models.safe_loading.allowed import RefusedError

_LEAF = -1
_SUM_TOLERANCE = 1e-3


@functools.cache
def record_dtypes() -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The two structured dtypes of models: the nodes of a forest's tree, and of a boosted tree."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.tree._tree import NODE_DTYPE

    return np.dtype(NODE_DTYPE), np.dtype(PREDICTOR_RECORD_DTYPE)


def forest_tree(nodes: npt.NDArray[Any], values: npt.NDArray[np.float64], depth: int, features: int) -> Any:
    """A `sklearn.tree._tree.Tree` of checked nodes. Raises RefusedError.

    Args:
        nodes: (n,) of the first of `record_dtypes`, not shared with the file.
        values: (n, 1, classes) shares of the classes, C-contiguous.
        depth: The depth in the file, which scoring does not use.
        features: Number of values in a row.
    """
    count, classes = len(nodes), values.shape[2]
    _require(count >= 1 and values.shape == (count, 1, classes), "node count differs from its values")
    _require(0 <= depth < count, "depth is none that it can have")
    left, right = nodes["left_child"], nodes["right_child"]
    leaf = (left == _LEAF) & (right == _LEAF)
    _check_nodes(leaf, left, right, nodes["feature"], nodes["threshold"], features)
    _require(bool(((values >= 0.0) & (values <= 1.0 + _SUM_TOLERANCE)).all()), "values are no shares")
    _require(bool((np.abs(values.sum(axis=2) - 1.0) <= _SUM_TOLERANCE).all()), "values are no shares of one")
    from sklearn.tree._tree import Tree

    tree = Tree(features, np.array([classes], dtype=np.intp), 1)
    tree.__setstate__({"max_depth": depth, "node_count": count, "nodes": nodes, "values": values})
    return tree


def boosted_tree(nodes: npt.NDArray[Any], features: int) -> Any:
    """A `TreePredictor` of checked nodes: (n,) of the second of `record_dtypes`. Raises RefusedError."""
    _require(len(nodes) >= 1, "nodes are missing")
    # Bitsets are used for categorical splits only, and vectors have no categories.
    _require(not nodes["is_categorical"].any(), "splits go by category")
    _require(bool((nodes["is_leaf"] <= 1).all()), "leaves are no leaves")
    _require(bool(np.isfinite(nodes["value"]).all()), "values are not finite")
    leaf = nodes["is_leaf"] == 1
    _check_nodes(leaf, nodes["left"], nodes["right"], nodes["feature_idx"], nodes["num_threshold"], features)
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    return TreePredictor(nodes, np.zeros((0, 8), np.uint32), np.zeros((0, 8), np.uint32))


def _check_nodes(
    leaf: npt.NDArray[np.bool_],
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    feature: npt.NDArray[Any],
    threshold: npt.NDArray[np.float64],
    features: int,
) -> None:
    index = np.arange(len(leaf))
    inner = ~leaf
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    parents = np.tile(index[inner], 2)
    # A child has a higher number than its parent, so that every path ends.
    _require(bool(((children > parents) & (children < len(leaf))).all()), "children are out of range")
    # Each node except the root has one parent.
    _require(len(children) == len(leaf) - 1, "nodes are no tree")
    _require(len(np.unique(children)) == len(children), "nodes are no tree")
    _require(bool((leaf | ((feature >= 0) & (feature < features))).all()), "features are out of range")
    _require(not np.isnan(threshold[inner]).any(), "thresholds are no numbers")


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RefusedError(f"holds a damaged tree: its {reason}")
