"""ONNX files for tests, sound and hostile, written without the onnx package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from beam_pcc.models import onnx_format, onnx_graphs
from tests.models.test_artifact import THREE, TWO, fit
from tests.models.test_folding import calibrated

MODEL = fit(calibrated("sigmoid"), TWO)
SOUND = onnx_graphs.of_linear(MODEL)
SOUND_OF_THREE = onnx_graphs.of_linear(fit(calibrated("sigmoid"), THREE))


def changed(change: Callable[[Any], object], data: bytes = SOUND) -> bytes:
    """The file after a change of its message."""
    model = onnx_format.parse(data)
    change(model)
    return bytes(model.SerializeToString())


def tree(**attributes: list[Any]) -> bytes:
    """A tree of one split of feature 3: P(PC) is 0.9 above 0, else 0.2. `attributes` replace its own."""
    values: dict[str, list[Any]] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [3, 0, 0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_modes": [b"BRANCH_LEQ", b"LEAF", b"LEAF"],
        "nodes_values": [0.0, 0.0, 0.0],
        "class_treeids": [0, 0, 0, 0],
        "class_nodeids": [1, 1, 2, 2],
        "class_ids": [0, 1, 0, 1],
        "class_weights": [0.8, 0.2, 0.1, 0.9],
        "classlabels_strings": [b"NOT_PC", b"PC"],
        **attributes,
    }
    model = onnx_format.new_model()
    model.ir_version = 8
    model.opset_import.add(domain="ai.onnx.ml", version=1)
    node = model.graph.node.add(
        op_type="TreeEnsembleClassifier", domain="ai.onnx.ml", input=["x"], output=["label", "probabilities"]
    )
    node.attribute.add(name="post_transform", s=b"NONE", type=3)
    for name, numbers in values.items():
        if numbers and isinstance(numbers[0], bytes):
            node.attribute.add(name=name, strings=numbers, type=8)
        elif numbers and isinstance(numbers[0], float):
            node.attribute.add(name=name, floats=numbers, type=6)
        else:
            node.attribute.add(name=name, ints=numbers, type=7)
    model.graph.name = "tree"
    _value(model.graph.input, "x", onnx_format.FLOAT, None, 584)
    _value(model.graph.output, "label", onnx_format.STRING, None)
    _value(model.graph.output, "probabilities", onnx_format.FLOAT, None, 2)
    return bytes(model.SerializeToString())


def with_zipmap(data: bytes) -> bytes:
    """The same with a map for each row as its output, as skl2onnx exports it by default."""

    def change(model: Any) -> None:
        node = model.graph.node.add(op_type="ZipMap", domain="ai.onnx.ml", input=["probabilities"], output=["maps"])
        node.attribute.add(name="classlabels_strings", strings=[b"NOT_PC", b"PC"], type=8)
        del model.graph.output[-1:]
        model.graph.output.add(name="maps").type.sequence_type = b""

    return changed(change, data)


def _value(values: Any, name: str, elem_type: int, *shape: int | None) -> None:
    onnx_format.set_dimensions(values.add(name=name), elem_type, *shape)


def _nan(model: Any) -> None:
    model.graph.initializer[1].raw_data = np.full(1, np.nan).tobytes()


def _loop(model: Any) -> None:
    model.graph.node[0].op_type = "Loop"


def _subgraph(model: Any) -> None:
    model.graph.node[0].attribute.add(name="body", g=b"", type=5)


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx_format.EXTERNAL
    tensor.external_data.append(b"\n\x08location\x12\x0b/etc/passwd")


def _external_attribute(model: Any) -> None:
    one = model.graph.node[0].attribute.add(name="value", type=4)
    one.t.data_type, one.t.data_location = onnx_format.FLOAT, onnx_format.EXTERNAL


def _domain(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"


def _imported_domain(model: Any) -> None:
    model.opset_import.add(domain="my.ops", version=1)


def _opset(version: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.opset_import[0].version = version

    return change


def _two_opsets(model: Any) -> None:
    model.opset_import.add(domain="ai.onnx", version=17)


def _ir(model: Any) -> None:
    model.ir_version = 99


def _width(model: Any) -> None:
    onnx_format.set_dimensions(model.graph.input[0], onnx_format.FLOAT, None, 583)


def _rows(model: Any) -> None:
    onnx_format.set_dimensions(model.graph.input[0], onnx_format.FLOAT, 1, 584)


def _doubles(model: Any) -> None:
    onnx_format.set_dimensions(model.graph.input[0], onnx_format.DOUBLE, None, 584)


def second_output(model: Any) -> None:
    _value(model.graph.output, "n1", onnx_format.DOUBLE, None, 1)


def _second_input(model: Any) -> None:
    _value(model.graph.input, "more", onnx_format.FLOAT, None, 584)


def no_output(model: Any) -> None:
    del model.graph.output[:]


def _map(model: Any) -> None:
    model.graph.output[0].type.map_type = b""
    model.graph.output[0].type.ClearField("tensor_type")


def _unknown_value(model: Any) -> None:
    model.graph.node[1].input[0] = "nowhere"


def _cycle(model: Any) -> None:
    model.graph.node[1].input[0] = "n2"


def _nodes(model: Any) -> None:
    for number in range(2_001):
        model.graph.node.add(op_type="Abs", input=["vectors"], output=[f"a{number}"])


def _texts(model: Any) -> None:
    model.graph.initializer.add(name="t", dims=[1], data_type=onnx_format.STRING, string_data=[b"x"])


def _odd_shape(model: Any) -> None:
    model.graph.initializer[0].dims[0] = -584


def _too_few_numbers(model: Any) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-8]


def _no_probabilities(model: Any) -> None:
    model.graph.node[-1].op_type = "Neg"


def _half_a_number(model: Any) -> None:
    model.graph.initializer[0].raw_data += b"\x00"


def _huge_tensor(model: Any) -> None:
    model.graph.initializer.add(name="huge", dims=[2**31, 2**31, 2**31], data_type=onnx_format.FLOAT)


def _huge_attribute(model: Any) -> None:
    one = model.graph.node.add(op_type="Constant", output=["huge"]).attribute.add(name="value", type=4)
    one.t.data_type = onnx_format.FLOAT
    one.t.dims.append(2**40)


def _sparse(model: Any) -> None:
    model.graph.node.add(op_type="Constant", output=["sparse"]).attribute.add(name="sparse_value", type=11)


def _output(elem_type: int, *shape: int | None) -> Callable[[Any], None]:
    return lambda model: onnx_format.set_dimensions(model.graph.output[0], elem_type, *shape)


def _without_shape(model: Any) -> Any:
    """The last node, after which a shape is only known when it runs."""
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model.graph.node[-1]


def _transposed(model: Any) -> None:
    _without_shape(model).op_type = "Transpose"


def _constant_input(model: Any) -> None:
    model.graph.initializer.add(name="vectors", dims=[1, 584], data_type=onnx_format.FLOAT, raw_data=bytes(4 * 584))


def _constant_output(model: Any) -> None:
    halves = np.full(2, 0.5).tobytes()
    model.graph.initializer.add(name="halves", dims=[1, 2], data_type=onnx_format.DOUBLE, raw_data=halves)
    _without_shape(model).input[0] = "halves"


def _integers(model: Any, *values: int) -> str:
    data = np.array(values, "<i8").tobytes()
    model.graph.initializer.add(name="integers", dims=[len(values)], data_type=onnx_format.INT64, raw_data=data)
    return "integers"


def _reshaped(model: Any) -> None:
    last = _without_shape(model)
    last.input.append(_integers(model, 2**40, -1))
    last.op_type = "Reshape"


def _gathered(model: Any) -> None:
    last = _without_shape(model)
    last.input.append(_integers(model, 0, 10**9))
    last.op_type = "Gather"
    last.attribute.add(name="axis", i=1, type=2)


def _mixed(model: Any) -> None:
    """Half of each row's probabilities are the mean of all rows'."""
    graph = model.graph
    source = graph.node[-1].input[0]
    del graph.node[-1]
    graph.initializer.add(name="two", dims=[], data_type=onnx_format.DOUBLE, raw_data=np.array(2.0).tobytes())
    node = graph.node.add(op_type="ReduceMean", input=[source, _integers(model, 0)], output=["mean"])
    node.attribute.add(name="keepdims", i=1, type=2)
    if model.opset_import[0].version < 18:  # axes were an attribute
        del node.input[-1]
        node.attribute.add(name="axes", ints=[0], type=7)
    graph.node.add(op_type="Add", input=[source, "mean"], output=["sum"])
    graph.node.add(op_type="Div", input=["sum", "two"], output=["probabilities"])


def doubled(model: Any) -> None:
    """A row becomes 2**30 as wide."""
    graph, value = model.graph, "vectors"
    for number in range(30):
        node = graph.node.add(op_type="Concat", input=[value, value], output=[f"wide{number}"])
        node.attribute.add(name="axis", i=1, type=2)
        value = f"wide{number}"
    graph.node.add(op_type="ReduceMax", input=[value], output=["largest"])
    graph.node.add(op_type="Cast", input=["largest"], output=["double"]).attribute.add(name="to", i=11, type=2)
    _replace_last(graph, "double")


def _replace_last(graph: Any, added: str) -> None:
    """The last node of the sound graph, to which a value is added."""
    (place,) = (place for place, node in enumerate(graph.node) if "probabilities" in node.output)
    source = graph.node[place].input[0]
    del graph.node[place]
    graph.node.add(op_type="Add", input=[source, added], output=["probabilities"])


def blown_up(model: Any) -> None:
    """Each row becomes a table of a million rows."""
    graph = model.graph
    graph.initializer.add(name="wide", dims=[1, 1_000_000], data_type=onnx_format.FLOAT, raw_data=bytes(4_000_000))
    graph.initializer.add(name="one", dims=[584, 1], data_type=onnx_format.FLOAT, raw_data=bytes(4 * 584))
    last = graph.node[-1]
    for place, (operator, *inputs) in enumerate(
        [("MatMul", "vectors", "one"), ("MatMul", "b0", "wide"), ("ReduceSum", "b1"), ("Cast", "b2")]
    ):
        node = graph.node.add(op_type=operator, input=inputs, output=[f"b{place}"])
    node.attribute.add(name="to", i=onnx_format.DOUBLE, type=2)
    graph.node.add(op_type="Add", input=[last.input[0], "b3"], output=["sum"])
    del graph.node[-6:-5]
    graph.node.add(op_type="Identity", input=["sum"], output=["probabilities"])


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is damaged, or is no ONNX model"),
    "text": (b"not a model, but text", "is damaged, or is no ONNX model"),
    "pickle": (b"\x80\x04\x95\x1c\x00\x00\x00", "is damaged, or is no ONNX model"),
    "truncated": (SOUND[:-100], "is damaged, or is no ONNX model"),
    "nested": (b"\x3a" * 5_000, "is damaged, or is no ONNX model"),
    "external data": (changed(_external), "has its numbers in another file"),
    "external data of an attribute": (changed(_external_attribute), "has its numbers in another file"),
    "domain": (changed(_domain), "needs operators of the domain 'com.microsoft'"),
    "imported domain": (changed(_imported_domain), "needs operators of the domain 'my.ops'"),
    "loop": (changed(_loop), "needs the operator 'Loop' of ai.onnx, which is not allowed"),
    "graph within": (changed(_subgraph), "has a graph within Cast"),
    "new opset": (changed(_opset(22)), "has the opset 22 of ai.onnx, not one of 9 to 21"),
    "old opset": (changed(_opset(8)), "has the opset 8 of ai.onnx, not one of 9 to 21"),
    "two opsets": (changed(_two_opsets), "has the opset 17 of ai.onnx"),
    "IR version": (changed(_ir), "has the IR version 99, not 3 to 10"),
    "width": (changed(_width), "has an input of the shape (n, 583), not (n, 584)"),
    "one row": (changed(_rows), "has an input of the shape (1, 584), not (n, 584)"),
    "doubles": (changed(_doubles), "has an input that is no tensor of float32"),
    "second output": (changed(second_output), "has 1 inputs and 2 outputs"),
    "second input": (changed(_second_input), "has 2 inputs and 1 outputs"),
    "no output": (changed(no_output), "has 1 inputs and 0 outputs"),
    "map": (changed(_map), "has an output that is no tensor"),
    "three classes": (SOUND_OF_THREE, "has an output of the shape (n, 3), not (n, 2)"),
    "unknown value": (changed(_unknown_value), "cannot be loaded by ONNX Runtime"),
    "cycle": (changed(_cycle), "cannot be loaded by ONNX Runtime"),
    "too many nodes": (changed(_nodes), "has more than 2,000 nodes"),
    "texts": (changed(_texts), "has a tensor of the type 8, not of numbers"),
    "odd shape": (changed(_odd_shape), "has a tensor of an odd shape"),
    "too few numbers": (changed(_too_few_numbers), "has a tensor whose shape does not fit its numbers"),
    "half a number": (changed(_half_a_number), "has a tensor whose shape does not fit its numbers"),
    "huge unused tensor": (changed(_huge_tensor), "has a tensor whose shape does not fit its numbers"),
    "huge tensor of an attribute": (changed(_huge_attribute), "has a tensor whose shape does not fit its numbers"),
    "sparse attribute": (changed(_sparse), "cannot be loaded by ONNX Runtime"),
    "float16": (changed(_output(onnx_format.FLOAT16, None, 2)), "has an output that is no tensor of floats"),
    "integers": (changed(_output(onnx_format.INT64, None, 2)), "has an output that is no tensor of floats"),
    "one column": (changed(_output(onnx_format.DOUBLE, None)), "has an output of the shape (n), not (n, 2)"),
    "columns of rows": (changed(_output(onnx_format.DOUBLE, 2, None)), "has an output of the shape (2, n), not (n, 2)"),
    "negative dimension": (changed(_output(onnx_format.DOUBLE, None, -2)), "has an output of the shape (n, -2)"),
    "transposed without a word": (changed(_transposed), "the model gives probabilities of another shape"),
    "constant input": (changed(_constant_input), "has 0 inputs and 1 outputs"),
    "one answer for all rows": (changed(_constant_output), "the model gives probabilities of another shape"),
    "impossible reshape": (changed(_reshaped), "cannot score vectors of 584 values"),
    "place beyond the row": (changed(_gathered), "cannot score vectors of 584 values"),
    "rows see each other": (changed(_mixed), "scores a row otherwise beside other rows"),
    "NaN": (changed(_nan), "gives no probabilities"),
    "no probabilities": (changed(_no_probabilities), "gives no probabilities"),
    "label output": (tree(), "has 1 inputs and 2 outputs"),
}
_TREES: dict[str, tuple[dict[str, list[Any]], str]] = {
    "feature beyond the vector": ({"nodes_featureids": [584, 0, 0]}, "with features beyond the 584 of a vector"),
    "negative feature": ({"nodes_featureids": [-1, 0, 0]}, "with features beyond the 584 of a vector"),
    "child beyond the tree": ({"nodes_truenodeids": [7, 0, 0]}, "whose nodes are no tree"),
    "child twice": ({"nodes_truenodeids": [2, 0, 0]}, "whose nodes are no tree"),
    "cycle of nodes": (
        {
            "nodes_modes": [b"BRANCH_LEQ", b"BRANCH_LEQ", b"LEAF"],
            "nodes_truenodeids": [1, 1, 0],
            "nodes_falsenodeids": [2, 2, 0],
        },
        "whose nodes are no tree",
    ),
    "leaf beyond the tree": ({"class_nodeids": [1, 1, 9, 9]}, "whose leaves are not among its nodes"),
    "node twice": ({"nodes_nodeids": [0, 1, 1]}, "whose leaves are not among its nodes"),
    "too few nodes": ({"nodes_modes": [b"BRANCH_LEQ", b"LEAF"]}, "whose nodes do not fit each other"),
    "no nodes": ({"nodes_nodeids": []}, "whose nodes do not fit each other"),
    "too few values": ({"nodes_values": [0.0]}, "whose nodes do not fit each other"),
    "too few weights": ({"class_weights": [0.8]}, "whose leaves do not fit each other"),
    "class beyond the labels": ({"class_ids": [0, 1, 0, 7]}, "whose leaves are of other classes"),
    "cycle beside the tree": (
        {
            "nodes_treeids": [0, 0, 0, 0],
            "nodes_nodeids": [0, 1, 2, 3],
            "nodes_featureids": [3, 0, 0, 0],
            "nodes_modes": [b"BRANCH_LEQ", b"LEAF", b"LEAF", b"BRANCH_LEQ"],
            "nodes_truenodeids": [1, 0, 0, 3],
            "nodes_falsenodeids": [2, 0, 0, 3],
            "nodes_values": [0.0, 0.0, 0.0, 0.0],
        },
        "whose nodes are no tree",
    ),
}
HOSTILE |= {
    name: (onnx_graphs.of_file(tree(**attributes)).data, f"TreeEnsembleClassifier {reason}")
    for name, (attributes, reason) in _TREES.items()
}
