"""Checks an ONNX file before ONNX Runtime gets it: what is not listed here is refused.

The runtime gets the parsed and checked message written anew, not the bytes of the file, so that no other reading of the
bytes is possible. Its native code does not check all that it relies on: features of trees and numbers of coefficients
are checked here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from beam_pcc.models import onnx_format
from beam_pcc.models.safe_loading.allowed import RefusedError

MAX_BYTES = 64 * 2**20
MAX_NODES = 2_000
MAX_NAME = 500
MAX_TREE_NODES = 2_000_000
MAX_OUTPUTS = 1_000
IR_VERSIONS = range(3, 11)
OPSETS = {"": range(9, 22), "ai.onnx.ml": range(1, 5)}
"""The versions of operators that the oldest supported ONNX Runtime (1.20) knows."""

_TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
_LINEAR = frozenset({"LinearClassifier", "LinearRegressor"})
_SAME_WIDTH = frozenset({"Cast", "Identity", "Scaler", "Normalizer", "Binarizer", "Imputer", "Dropout"})
"""Operators whose output has as many columns as their first input."""
OPERATORS = {
    "ai.onnx.ml": _TREES
    | _LINEAR
    | {"ArrayFeatureExtractor", "Binarizer", "FeatureVectorizer", "Imputer", "Normalizer", "Scaler"},
    # No control flow, no random numbers, no texts, no sequences, and nothing whose output a number in the file may blow
    # up: a row of a case costs what its graph says.
    "": frozenset(
        """
        Abs Add And ArgMax ArgMin BatchNormalization Cast Ceil Celu Clip Concat Constant Div Dropout Elu Equal Erf Exp
        Flatten Floor Gather GatherElements Gelu Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish
        Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization MatMul Max
        Mean MeanVarianceNormalization Min Mish Mul Neg Not Or PRelu Pow Reciprocal ReduceL1 ReduceL2 ReduceLogSum
        ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu
        Shape Sigmoid Sign Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu TopK
        Transpose Unsqueeze Where Xor
        """.split()  # noqa: SIM905
    ),
}
_NUMBERS = {
    onnx_format.FLOAT: (4, "float_data"),
    onnx_format.INT32: (4, "int32_data"),
    onnx_format.INT64: (8, "int64_data"),
    onnx_format.BOOL: (1, "int32_data"),
    onnx_format.FLOAT16: (2, "int32_data"),
    onnx_format.DOUBLE: (8, "double_data"),
}
"""Of the allowed types of tensors: bytes of a number, and the field that has them if raw_data has not."""
_CONVERT = "bring it in with beam-pcc models import, or export it with one output: a probability for each class"


class Checked(NamedTuple):
    """A checked model: what the runtime gets, and the names of its input and output."""

    data: bytes
    input: str
    output: str
    opset: int


def check(data: bytes, *, features: int, classes: int) -> Checked:
    """Check a file. Raises only RefusedError.

    Args:
        data: The file.
        features: Columns of the input, (n, features) float32.
        classes: Columns of the output, (n, classes) floating point.
    """
    model = parse(data)
    _check_versions(model)
    graph = model.graph
    initializers = _check_initializers(graph)
    _check_nodes(graph)
    inputs = [value for value in graph.input if value.name not in initializers]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise RefusedError(
            f"has {len(inputs):,} inputs and {len(graph.output):,} outputs; a version has one of each", _CONVERT
        )
    (source,), (target,) = inputs, graph.output
    _check_shape("input", source, features, {onnx_format.FLOAT})
    _check_shape("output", target, classes, {onnx_format.FLOAT, onnx_format.DOUBLE})
    _check_widths(graph, source.name, features)
    onnx_format.set_dimensions(target, target.type.tensor_type.elem_type, None, classes)
    opset = max((one.version for one in model.opset_import if one.domain != "ai.onnx.ml"), default=0)
    return Checked(model.SerializeToString(deterministic=True), source.name, target.name, opset)


def parse(data: bytes) -> Any:
    """The `onnx_format` message of a file. Raises RefusedError."""
    if len(data) > MAX_BYTES:
        raise RefusedError(f"has {len(data):,} bytes, more than {MAX_BYTES:,}", "train a smaller model")
    try:
        model = onnx_format.parse(data)
    except DecodeError:
        raise RefusedError("is damaged, or is no ONNX model", "copy it again") from None
    if not model.HasField("graph") or not model.graph.node:
        raise RefusedError("is damaged, or is no ONNX model: it has no graph", "copy it again")
    return model


def _check_versions(model: Any) -> None:
    if model.ir_version not in IR_VERSIONS:
        raise RefusedError(
            f"has the IR version {model.ir_version}, not {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}", _CONVERT
        )
    versions: dict[str, int] = {}
    for one in model.opset_import:
        domain = _domain(one.domain)
        allowed = OPSETS[domain]
        if one.version not in allowed or versions.setdefault(domain, one.version) != one.version:
            raise RefusedError(
                f"has the opset {one.version} of {domain or 'ai.onnx'}, not one of {allowed[0]} to {allowed[-1]}",
                "export it for one of these",
            )
    if not {_domain(node.domain) for node in model.graph.node} <= versions.keys():
        raise RefusedError("is damaged: it does not say which opset it needs", "copy it again")


def _domain(name: str) -> str:
    domain = "" if name == "ai.onnx" else name
    if domain not in OPSETS:
        raise RefusedError(f"needs operators of the domain {name[:40]!r}", "use those of ai.onnx and ai.onnx.ml only")
    return domain


def _check_initializers(graph: Any) -> set[str]:
    if len(graph.initializer) > MAX_NODES:
        raise RefusedError(f"has more than {MAX_NODES:,} initializers", "train a smaller model")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    return {tensor.name for tensor in graph.initializer}


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location == onnx_format.EXTERNAL or tensor.external_data:
        raise RefusedError("has its numbers in another file", "export it as one file, without external data")
    if tensor.data_type not in _NUMBERS:
        raise RefusedError(f"has a tensor of the type {tensor.data_type}, not of numbers", _CONVERT)
    if len(tensor.dims) > 8 or any(length < 0 for length in tensor.dims):
        raise RefusedError("has a tensor of an odd shape", "export it again")
    size, numbers = _NUMBERS[tensor.data_type]
    stored = len(tensor.raw_data) / size if tensor.HasField("raw_data") else len(getattr(tensor, numbers))
    if stored != math.prod(tensor.dims):
        raise RefusedError("has a tensor whose shape does not fit its numbers", "copy it, or export it again")


def _check_nodes(graph: Any) -> None:
    if len(graph.node) > MAX_NODES:
        raise RefusedError(f"has more than {MAX_NODES:,} nodes", "train a smaller model")
    for node in graph.node:
        domain = _domain(node.domain)
        if node.op_type not in OPERATORS[domain]:
            raise RefusedError(
                f"needs the operator {node.op_type[:40]!r} of {domain or 'ai.onnx'}, which is not allowed",
                "see docs/models.md#onnx",
            )
        for one in node.attribute:
            if one.HasField("g") or one.graphs or one.HasField("ref_attr_name"):
                raise RefusedError(f"has a graph within {node.op_type}", _CONVERT)
            for tensor in (*([one.t] if one.HasField("t") else []), *one.tensors):
                _check_tensor(tensor)
    if any(len(name) > MAX_NAME for node in graph.node for name in (*node.input, *node.output)):
        raise RefusedError("has names that are too long", "export it again")


def _check_shape(what: str, value: Any, width: int, types: set[int]) -> None:
    found = onnx_format.dimensions(value)
    if found is None or found.elem_type not in types:
        raise RefusedError(f"has an {what} that is no tensor of {'float32' if what == 'input' else 'floats'}", _CONVERT)
    if found.shape is None and what == "output":
        return  # the check of the version scores rows
    if (
        found.shape is None
        or len(found.shape) != 2
        or found.shape[0] is not None
        or found.shape[1] not in (None, width)
    ):
        shape = "unknown" if found.shape is None else ", ".join("n" if one is None else f"{one}" for one in found.shape)
        raise RefusedError(f"has an {what} of the shape ({shape}), not (n, {width})", _CONVERT)
    if what == "input" and found.shape[1] is None:
        raise RefusedError(f"has an input of a free width, not (n, {width})", _CONVERT)


def _check_widths(graph: Any, source: str, features: int) -> None:
    """Trees and linear models read each row at places that the file names: these must be in the row."""
    wide = {source}
    for node in graph.node:
        if node.op_type in _SAME_WIDTH and node.input and node.input[0] in wide:
            wide.update(node.output[:1])
        if node.op_type not in _TREES | _LINEAR:
            continue
        if not node.input or node.input[0] not in wide:
            raise RefusedError(f"has a {node.op_type} of other values than the vector", "export it without these steps")
        attributes = {one.name: one for one in node.attribute}
        if len(attributes) != len(node.attribute):
            raise RefusedError(f"has a {node.op_type} with an attribute twice", "export it again")
        if node.op_type in _TREES:
            _check_trees(node.op_type, attributes, features)
        else:
            _check_linear(node.op_type, attributes, features)


def _ints(attributes: dict[str, Any], name: str) -> list[int]:
    return list(attributes[name].ints) if name in attributes else []


def _check_trees(operator: str, attributes: dict[str, Any], features: int) -> None:
    def require(holds: bool, reason: str) -> None:
        if not holds:
            raise RefusedError(f"has a {operator} {reason}", "export it again")

    of = "class" if operator == "TreeEnsembleClassifier" else "target"
    trees, ids, columns, *children = (
        _ints(attributes, f"nodes_{name}")
        for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")
    )
    modes = list(attributes["nodes_modes"].strings) if "nodes_modes" in attributes else []
    count = len(ids)
    lengths = {len(one) for one in (trees, columns, modes, *children)} | {_numbers(attributes, "nodes_values")}
    require(0 < count <= MAX_TREE_NODES and lengths == {count}, "whose nodes do not fit each other")
    require(all(0 <= column < features for column in columns), f"with features beyond the {features} of a vector")
    leaf_trees, leaf_ids, targets = (_ints(attributes, f"{of}_{name}") for name in ("treeids", "nodeids", "ids"))
    weights = _numbers(attributes, f"{of}_weights")
    require(len(leaf_trees) == len(leaf_ids) == len(targets) == weights, "whose leaves do not fit each other")
    nodes = list(zip(trees, ids, strict=True))
    places = {node: place for place, node in enumerate(nodes)}
    require(
        len(places) == count and places.keys() >= set(zip(leaf_trees, leaf_ids, strict=True)),
        "whose leaves are not among its nodes",
    )
    outputs = _labels(attributes) if of == "class" else attributes["n_targets"].i if "n_targets" in attributes else 1
    require(
        0 < outputs <= MAX_OUTPUTS and all(0 <= one < outputs for one in targets), "whose leaves are of other classes"
    )
    # Each node but the roots is the child of one, and each is reached from the root of its tree: no path is endless.
    below = [
        [] if mode == b"LEAF" else [places.get((tree, child), -1) for child in both]
        for tree, mode, *both in zip(trees, modes, *children, strict=True)
    ]
    reached = {child for both in below for child in both}
    roots = [place for place in range(count) if place not in reached]
    require(-1 not in reached and len({trees[root] for root in roots}) == len(roots), "whose nodes are no tree")
    waiting, visited = roots, 0
    while waiting and visited <= count:
        waiting, visited = [child for place in waiting for child in below[place]], visited + len(waiting)
    require(visited == count, "whose nodes are no tree")


def _numbers(attributes: dict[str, Any], name: str) -> int:
    """How many numbers a list has, which may be a tensor of doubles."""
    if name in attributes:
        return len(attributes[name].floats)
    tensor = f"{name}_as_tensor"
    return math.prod(attributes[tensor].t.dims) if tensor in attributes else 0


def _labels(attributes: dict[str, Any]) -> int:
    return sum(len(one.strings) + len(one.ints) for name, one in attributes.items() if name.startswith("classlabels"))


def _check_linear(operator: str, attributes: dict[str, Any], features: int) -> None:
    coefficients, rows = _numbers(attributes, "coefficients"), _numbers(attributes, "intercepts")
    if not rows or coefficients != rows * features:
        reason = f"has a {operator} with {coefficients:,} coefficients for {rows:,} intercepts"
        raise RefusedError(reason, "train it anew")
    if operator == "LinearRegressor":
        fits = rows == (attributes["targets"].i if "targets" in attributes else 1)
    else:
        fits = _labels(attributes) == rows or (_labels(attributes) == 2 and rows == 1)
    if not fits:
        raise RefusedError(f"has a {operator} whose classes are not those of its coefficients", "train it anew")
