"""Trees whose nodes point only into themselves and into the features.

scikit-learn walks a tree's nodes in C without looking: a child or a feature out of range reads foreign memory, a
cycle never ends. Its own __setstate__ compares types and shapes, and no more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pcc.models.allowed import RefusedError

_LEAF = -1


def record_dtypes() -> list[np.dtype[Any]]:
    """The two structured dtypes that models hold: the nodes of a forest's tree, and of a boosted tree."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.tree._tree import NODE_DTYPE

    return [NODE_DTYPE, PREDICTOR_RECORD_DTYPE]


def check_tree(tree: Any, features: int) -> None:
    """Check a `sklearn.tree._tree.Tree` that scores rows of `features` values. Raises RefusedError."""
    # __setstate__ copied `capacity` nodes, but takes `node_count` as the file says, and all views go by that.
    _require(tree.capacity >= 1 and tree.node_count == tree.capacity, "node count differs from its nodes")
    _require(tree.n_features == features, f"feature count is {tree.n_features}, where the model's is {features}")
    _require(tree.n_outputs == 1, "outputs are more than one")
    left, right = tree.children_left, tree.children_right
    leaf = (left == _LEAF) & (right == _LEAF)
    _check_nodes(leaf, left, right, tree.feature, features)


def check_boosted_tree(predictor: Any, features: int) -> None:
    """Check a HistGradientBoosting `TreePredictor` that scores rows of `features` values. Raises RefusedError."""
    nodes = vars(predictor).get("nodes")
    dtype = record_dtypes()[1]
    _require(type(nodes) is np.ndarray and nodes.dtype == dtype and nodes.ndim == 1, "nodes are no nodes")
    _require(nodes.size >= 1, "nodes are missing")
    # Bitsets are read for categorical splits alone, and vectors have no categories.
    _require(not nodes["is_categorical"].any(), "splits go by category")
    _check_nodes(nodes["is_leaf"] != 0, nodes["left"], nodes["right"], nodes["feature_idx"], features)


def _check_nodes(
    leaf: npt.NDArray[np.bool_],
    left: npt.NDArray[Any],
    right: npt.NDArray[Any],
    feature: npt.NDArray[Any],
    features: int,
) -> None:
    index = np.arange(len(leaf))
    for child in (left.astype(np.int64), right.astype(np.int64)):
        # Training numbers a child after its parent, so that every path ends.
        _require(bool((leaf | ((child > index) & (child < len(leaf)))).all()), "children are out of range")
    _require(bool((leaf | ((feature >= 0) & (feature < features))).all()), "features are out of range")


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RefusedError(f"holds a damaged tree: its {reason}")
