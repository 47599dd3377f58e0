"""Makes graphs as a version has them: of a linear scikit-learn model, and of graphs that other tools exported.

The linear ones compute in float64 and are exact; skl2onnx takes probabilities for decisions when it converts a
calibrated pipeline. No function here needs the onnx package.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from beam_pcc.cases import schemas
from beam_pcc.models import folding, onnx_format
from beam_pcc.models.safe_loading import onnx_files
from beam_pcc.models.safe_loading.allowed import RefusedError

OPSET, ML_OPSET, IR_VERSION = 18, 3, 8
"""Of the graphs that are made; each supported ONNX Runtime has them."""
INPUT, OUTPUT = "vectors", "probabilities"

Array = npt.NDArray[Any]
_TYPES = {"float64": onnx_format.DOUBLE, "float32": onnx_format.FLOAT, "int64": onnx_format.INT64}
_TINY = 1e-30  # keeps the shares of a row of zeros equal, as scikit-learn does
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")


class _Graph:
    """A graph in the making. Each method adds a node and returns the name of its output."""

    def __init__(self) -> None:
        self.model = onnx_format.new_model()
        self.model.ir_version = IR_VERSION
        self.model.producer_name = "beam_pcc"
        self.model.opset_import.add(domain="", version=OPSET)
        self.graph = self.model.graph
        self.graph.name = "classifier"

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        name = f"c{len(self.graph.initializer)}"
        raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
        self.graph.initializer.add(name=name, dims=array.shape, data_type=_TYPES[array.dtype.name], raw_data=raw)
        return name

    def node(self, operator: str, *inputs: str, **attributes: int) -> str:
        output = f"n{len(self.graph.node)}"
        one = self.graph.node.add(op_type=operator, input=inputs, output=[output])
        for name, value in attributes.items():
            one.attribute.add(name=name, i=value, type=2)
        return output

    def complement(self, probability: str) -> str:
        """(n, 2) of P of the second class, (n, 1)."""
        return self.node("Concat", self.node("Sub", self.constant([[1.0]]), probability), probability, axis=1)


def of_linear(model: Any) -> bytes:
    """The graph of a linear scikit-learn model. Raises `folding.NotLinearError` for any other."""
    folded = folding.fold(model)
    graph = _Graph()
    graph.graph.input.add(name=INPUT)
    onnx_format.set_dimensions(graph.graph.input[0], onnx_format.FLOAT, None, folded.n_features_in_)
    doubles = graph.node("Cast", INPUT, to=onnx_format.DOUBLE)
    product = graph.node("MatMul", doubles, graph.constant(folded.weights))
    decisions = graph.node("Add", product, graph.constant(folded.intercept))
    probabilities = _link(graph, folded.link, decisions)
    graph.graph.node.add(op_type="Identity", input=[probabilities], output=[OUTPUT])
    graph.graph.output.add(name=OUTPUT)
    onnx_format.set_dimensions(graph.graph.output[0], onnx_format.DOUBLE, None, len(folded.classes_))
    data: bytes = graph.model.SerializeToString(deterministic=True)
    return data


def _link(graph: _Graph, link: Any, decisions: str) -> str:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.svm import LinearSVC

    is_binary = len(link.classes_) == 2
    if isinstance(link, LogisticRegression):
        if is_binary and getattr(link, "multi_class", "auto") != "multinomial":
            return graph.complement(graph.node("Sigmoid", decisions))
        is_softmax = getattr(link, "multi_class", "auto") in ("auto", "deprecated") and link.solver != "liblinear"
        if not is_binary and is_softmax:
            return graph.node("Softmax", decisions, axis=1)
    if isinstance(link, CalibratedClassifierCV):
        member = link.calibrated_classifiers_[0]
        inner = member.estimator
        is_plain = isinstance(inner, LogisticRegression | SGDClassifier | LinearSVC)
        if is_plain and len(inner.classes_) == len(link.classes_):
            return _calibrated(graph, member, decisions, is_binary=is_binary)
    raise folding.NotLinearError(f"a {type(link).__name__} of this kind is left to skl2onnx")


def _calibrated(graph: _Graph, member: Any, decisions: str, *, is_binary: bool) -> str:
    if member.method == "temperature":
        beta = float(member.calibrators[0].beta_)
        if is_binary:  # softmax of -d and d
            return graph.complement(graph.node("Sigmoid", graph.node("Mul", decisions, graph.constant([2.0 * beta]))))
        return graph.node("Softmax", graph.node("Mul", decisions, graph.constant([beta])), axis=1)
    if member.method == "sigmoid":
        slopes = np.array([[float(one.a_) for one in member.calibrators]])
        offsets = np.array([[float(one.b_) for one in member.calibrators]])
        shares = graph.node("Sub", graph.node("Mul", decisions, graph.constant(-slopes)), graph.constant(offsets))
        shares = graph.node("Sigmoid", shares)
    else:
        columns = [
            _isotonic(graph, graph.node("Gather", decisions, graph.constant(np.array([place])), axis=1), one)
            for place, one in enumerate(member.calibrators)
        ]
        shares = graph.node("Concat", *columns, axis=1)
    if is_binary:
        return graph.complement(shares)
    shares = graph.node("Add", shares, graph.constant([[_TINY]]))
    total = graph.node("ReduceSum", shares, graph.constant(np.array([1])), keepdims=1)
    return graph.node("Div", shares, total)


def _isotonic(graph: _Graph, decisions: str, calibrator: Any) -> str:
    """(n, 1): linear between the calibrator's points."""
    if calibrator.out_of_bounds != "clip":
        raise folding.NotLinearError("an isotonic calibration that does not clip is left to skl2onnx")
    x, y = (np.asarray(points, dtype=np.float64) for points in (calibrator.X_thresholds_, calibrator.y_thresholds_))
    if calibrator.X_thresholds_.dtype == np.float32:  # scikit-learn rounds decisions to the type of the points
        decisions = graph.node("Cast", graph.node("Cast", decisions, to=onnx_format.FLOAT), to=onnx_format.DOUBLE)
    clipped = graph.node("Min", graph.node("Max", decisions, graph.constant([x[0]])), graph.constant([x[-1]]))
    if len(x) == 1:
        x, y = np.append(x, x[0] + 1.0), np.append(y, y[0])
    # How many of the inner points are not above a decision is the number of its piece.
    reached = graph.node("GreaterOrEqual", clipped, graph.constant(x[None, 1:-1]))
    reached = graph.node("Cast", reached, to=onnx_format.INT64)
    piece = graph.node("ReduceSum", reached, graph.constant(np.array([1])), keepdims=1)
    tables = (x[:-1], y[:-1], np.diff(y) / np.diff(x))
    start, value, slope = (graph.node("Gather", graph.constant(table), piece, axis=0) for table in tables)
    return graph.node("Add", value, graph.node("Mul", slope, graph.node("Sub", clipped, start)))


class Ready(NamedTuple):
    """A graph as a version has it, and the classes that it names in the order of its output, None if it names none."""

    data: bytes
    classes: tuple[str, ...] | None


def of_file(data: bytes, features: int = schemas.VECTOR_DIM) -> Ready:
    """Reduce an exported graph to its vectors and probabilities: labels, zipmaps and what only they need are removed.

    Raises:
        RefusedError: The probabilities cannot be told from other outputs, or it has several inputs.
    """
    model = onnx_files.parse(data)
    graph = model.graph
    classes = _classes(graph)
    output = _probabilities(graph)
    nodes = _needed(graph, output.name)
    used = {name for node in nodes for name in node.input}
    initializers = [one for one in graph.initializer if one.name in used]
    inputs = [one for one in graph.input if one.name in used and one.name not in {i.name for i in initializers}]
    if len(inputs) != 1:
        names = ", ".join(one.name[:40] for one in inputs[:5])
        raise RefusedError(f"has {len(inputs)} inputs ({names}), not one of vectors", "export it with one input")
    shape = onnx_format.dimensions(inputs[0])
    if shape is not None and shape.elem_type == onnx_format.FLOAT and shape.shape in (None, (None, None)):
        onnx_format.set_dimensions(inputs[0], onnx_format.FLOAT, None, features)
    reduced = onnx_format.new_model()
    reduced.ir_version = min(model.ir_version, onnx_files.IR_VERSIONS[-1])  # later ones add nothing that is allowed
    reduced.producer_name, reduced.producer_version = model.producer_name[:100], model.producer_version[:100]
    for domain, version in {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}.items():
        if domain in ("", *{node.domain for node in nodes}):
            reduced.opset_import.add(domain=domain, version=version)
    reduced.graph.name = "classifier"
    reduced.graph.node.extend(nodes)
    reduced.graph.initializer.extend(initializers)
    reduced.graph.input.extend(inputs)
    reduced.graph.output.append(output)
    return Ready(reduced.SerializeToString(deterministic=True), classes)


def _probabilities(graph: Any) -> Any:
    """The output of the probabilities, made a tensor if it was a zipmap."""
    producers = {name: node for node in graph.node for name in node.output}
    floats = []
    for value in graph.output:
        node = producers.get(value.name)
        if node is not None and node.op_type == "ZipMap":
            value.name = node.input[0]
            onnx_format.set_dimensions(value, onnx_format.FLOAT, None, _zipmap_width(node))
        shape = onnx_format.dimensions(value)
        is_float = shape is not None and shape.elem_type in (onnx_format.FLOAT, onnx_format.DOUBLE)
        if is_float and (shape is None or shape.shape is None or len(shape.shape) == 2):
            floats.append(value)
    named = [value for value in floats if value.name.lower() in ("probabilities", "output_probability", "probs")]
    choice = floats if len(floats) == 1 else named
    if len(choice) != 1:
        names = ", ".join(value.name[:40] for value in graph.output[:5])
        raise RefusedError(
            f"has the outputs {names}, of which {'none is' if not floats else 'more than one may be'} (n, classes) "
            "probabilities",
            f"export it with one such output, named {OUTPUT}",
        )
    return choice[0]


def _zipmap_width(node: Any) -> int:
    return sum(len(one.strings) + len(one.ints) for one in node.attribute if one.name in _LABELS)


def _classes(graph: Any) -> tuple[str, ...] | None:
    """The texts that a zipmap or a classifier names, or a label is looked up in."""
    for node in reversed(graph.node):
        for one in node.attribute:
            if one.name == "classlabels_strings" and len(one.strings) > 1:
                return tuple(label.decode("utf-8", "replace") for label in one.strings)
    texts = [one for one in graph.initializer if one.data_type == onnx_format.STRING and len(one.string_data) > 1]
    return tuple(label.decode("utf-8", "replace") for label in texts[0].string_data) if len(texts) == 1 else None


def _needed(graph: Any, output: str) -> list[Any]:
    """The nodes that the output is computed of, in their order."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    return nodes[::-1]
