"""The ONNX graph of an encoder, built straight from its published weights; no torch is needed for that.

The whole encoder is in it: BERT, pooling, and L2 normalisation if the encoder has it. The arithmetic is that of Hugging
Face's BertModel and of sentence-transformers' Pooling and Normalize; a test compares the two. XLM-RoBERTa is the same
BERT with other position numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # belongs to this opset; old runtimes read it too
IDS, MASK, EMBEDDING = "input_ids", "attention_mask", "embedding"
_EPSILON = 1e-12  # the smallest norm to divide by (torch.nn.functional.normalize)
_PADDING_BIAS = -1e9  # added to the attention scores of padding: softmax makes them exactly zero
_WEIGHT_STEPS, _VALUE_STEPS = 63, 127  # integers are from minus to plus these, values shifted by _ZERO_POINT
_ZERO_POINT = np.array(128, dtype=np.uint8)
_SMALLEST_SCALE = 1e-9  # of what is all zeros

Weights = Mapping[str, npt.NDArray[Any]]
_SEGMENTS = "embeddings.token_type_embeddings.weight"


class GraphError(ValueError):
    """The weights are not those of an encoder of this architecture."""


def build(
    config: Mapping[str, Any],
    weights: Weights,
    *,
    name: str = "all-MiniLM-L6-v2",
    pooling: Literal["mean", "cls"] = "mean",
    is_normalised: bool = True,
    first_position: int = 0,
    is_int8: bool = False,
) -> bytes:
    """The serialised ONNX model: (n, t) int64 ids and attention mask in, (n, 384) float32 vectors out.

    A table of words in float16 stays so, which halves the file; all arithmetic is in float32.

    Args:
        config: Hugging Face's config.json of a BERT.
        weights: Its state by name, as in model.safetensors.
        name: Of the graph.
        pooling: `mean` over the tokens that are no padding, or `cls`, the first token.
        is_normalised: Whether the vectors get unit length.
        first_position: The row of the position table that the first token gets.
        is_int8: Whether the linear layers multiply integers, see `_Graph._integer_product`.

    Raises:
        GraphError: Another architecture, or weights are missing.
    """
    import onnx

    if config.get("hidden_act") != "gelu":
        raise GraphError(f"config.json has the activation {config.get('hidden_act')}, not gelu")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise GraphError("config.json has other than absolute positions")
    graph = _Graph(weights, is_int8=is_int8)
    hidden = graph.embeddings(float(config["layer_norm_eps"]), first_position)
    bias = graph.padding_bias()
    for layer in range(int(config["num_hidden_layers"])):
        hidden = graph.layer(hidden, bias, f"encoder.layer.{layer}", config)
    graph.pool(hidden, pooling, is_normalised)
    size = int(config["hidden_size"])
    onnx_graph = onnx.helper.make_graph(
        graph.nodes,
        name,
        inputs=[
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "tokens"])
            for name in (IDS, MASK)
        ],
        outputs=[onnx.helper.make_tensor_value_info(EMBEDDING, onnx.TensorProto.FLOAT, ["batch", size])],
        initializer=graph.initializers,
    )
    model = onnx.helper.make_model(
        onnx_graph,
        producer_name="beam_pcc",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Graph:
    """Collects nodes and initializers. Each method adds nodes and returns the name of their output."""

    def __init__(self, weights: Weights, *, is_int8: bool = False) -> None:
        self._weights = weights
        self._is_int8 = is_int8
        self._rounded: dict[str, tuple[str, str]] = {}  # what is multiplied several times is rounded once
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._constants: dict[str, str] = {}

    def embeddings(self, epsilon: float, first_position: int) -> str:
        words = self._words()
        length = self._op("Slice", self._op("Shape", IDS), *(self._ints(n, [n]) for n in (1, 2)))
        name = "embeddings.position_embeddings.weight"
        table = self._constant(name, self._array(name)[first_position:])
        positions = self._op("Slice", table, self._ints(0, [0]), length, self._ints(0, [0]))
        summed = self._op("Add", words, positions)
        if len(self._weights.get(_SEGMENTS, ())):
            summed = self._op("Add", summed, self._constant("token_type", self._array(_SEGMENTS)[0]))
        return self._normalised(summed, "embeddings.LayerNorm", epsilon)

    def _words(self) -> str:
        import onnx

        name = "embeddings.word_embeddings.weight"
        table = self._weights.get(name)
        if table is None or table.dtype != np.float16:
            return self._op("Gather", self._weight(name), IDS)
        return self._op("Cast", self._op("Gather", self._constant(name, table), IDS), to=onnx.TensorProto.FLOAT)

    def padding_bias(self) -> str:
        """(n, 1, 1, t): 0 for a token, very low for padding."""
        import onnx

        mask = self._op("Cast", MASK, to=onnx.TensorProto.FLOAT)
        missing = self._op("Sub", self._floats("one", 1.0), self._op("Unsqueeze", mask, self._ints("axes", [1, 2])))
        return self._op("Mul", missing, self._floats("hidden", _PADDING_BIAS))

    def layer(self, x: str, bias: str, name: str, config: Mapping[str, Any]) -> str:
        heads, size = int(config["num_attention_heads"]), int(config["hidden_size"])
        width, epsilon = size // heads, float(config["layer_norm_eps"])

        def split(part: str, order: list[int]) -> str:
            flat = self._linear(x, f"{name}.attention.self.{part}")
            shaped = self._op("Reshape", flat, self._ints("split", [0, 0, heads, width]))
            return self._op("Transpose", shaped, perm=order)

        query, key = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1])
        scores = self._op("Mul", self._op("MatMul", query, key), self._floats("scale", 1.0 / math.sqrt(width)))
        attention = self._op("Softmax", self._op("Add", scores, bias), axis=-1)
        context = self._op("Transpose", self._op("MatMul", attention, split("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        joined = self._op("Reshape", context, self._ints("join", [0, 0, size]))
        attended = self._linear(joined, f"{name}.attention.output.dense")
        x = self._normalised(self._op("Add", attended, x), f"{name}.attention.output.LayerNorm", epsilon)
        inner = self._gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._normalised(
            self._op("Add", self._linear(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm", epsilon
        )

    def pool(self, hidden: str, pooling: Literal["mean", "cls"], is_normalised: bool) -> None:
        """One vector of those of the tokens."""
        vector = self._mean(hidden) if pooling == "mean" else self._op("Gather", hidden, self._first(), axis=1)
        if is_normalised:
            norm = self._op("ReduceL2", vector, axes=[1], keepdims=1)
            vector = self._op("Div", vector, self._op("Max", norm, self._floats("epsilon", _EPSILON)))
        self.nodes.append(_node("Identity", [vector], [EMBEDDING]))

    def _mean(self, hidden: str) -> str:
        """Of the tokens without padding."""
        import onnx

        mask = self._op("Unsqueeze", self._op("Cast", MASK, to=onnx.TensorProto.FLOAT), self._ints("last", [2]))
        summed = self._op("ReduceSum", self._op("Mul", hidden, mask), self._ints("tokens", [1]), keepdims=0)
        count = self._op("ReduceSum", mask, self._ints("tokens", [1]), keepdims=0)
        return self._op("Div", summed, self._op("Max", count, self._floats("least", 1e-9)))

    def _first(self) -> str:
        return self._constant("i_first", np.array(0, dtype=np.int64))

    def _linear(self, x: str, name: str) -> str:
        if self._is_int8:
            return self._op("Add", self._integer_product(x, f"{name}.weight"), self._weight(f"{name}.bias"))
        weight = self._constant(f"{name}.weight", np.ascontiguousarray(self._array(f"{name}.weight").T))
        return self._op("Add", self._op("MatMul", x, weight), self._weight(f"{name}.bias"))

    def _integer_product(self, x: str, name: str) -> str:
        """X times a matrix of weights, in integers.

        Each token has a scale of its own, so that its vector does not depend on the rest of the batch, and so has each
        output. Weights have 7 bits: with 8, the sums of two products overflow on CPUs without VNNI, and the vectors
        would depend on the CPU.
        """
        import onnx

        weight = self._array(name)
        scales = np.maximum(np.abs(weight).max(axis=1), _SMALLEST_SCALE) / _WEIGHT_STEPS
        rounded = np.ascontiguousarray(np.rint(weight / scales[:, None]).astype(np.int8).T)
        integers, scale = self._integers(x)
        product = self._op(
            "MatMulInteger", integers, self._constant(name, rounded), self._constant("zero_point", _ZERO_POINT)
        )
        scaled = self._op("Mul", self._op("Cast", product, to=onnx.TensorProto.FLOAT), scale)
        return self._op("Mul", scaled, self._constant(f"{name}.scales", scales.astype(np.float32)))

    def _integers(self, x: str) -> tuple[str, str]:
        """The values of each token as integers of 8 bits, and (n, t, 1) what one step of them is."""
        import onnx

        if x not in self._rounded:
            largest = self._op("ReduceMax", self._op("Abs", x), axes=[-1], keepdims=1)
            scale = self._op(
                "Mul",
                self._op("Max", largest, self._floats("smallest", _SMALLEST_SCALE)),
                self._floats("step", 1.0 / _VALUE_STEPS),
            )
            steps = self._op("Round", self._op("Div", x, scale))
            shifted = self._op("Add", steps, self._floats("zero_point", float(_ZERO_POINT)))
            self._rounded[x] = self._op("Cast", shifted, to=onnx.TensorProto.UINT8), scale
        return self._rounded[x]

    def _normalised(self, x: str, name: str, epsilon: float) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def _gelu(self, x: str) -> str:
        """X / 2 * (1 + erf(x / sqrt(2))), in the order that runtimes know and fuse."""
        error = self._op("Erf", self._op("Div", x, self._floats("sqrt2", math.sqrt(2.0))))
        return self._op(
            "Mul", self._op("Mul", x, self._op("Add", error, self._floats("one", 1.0))), self._floats("half", 0.5)
        )

    def _op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        output = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(_node(op_type, list(inputs), [output], **attributes))
        return output

    def _array(self, name: str) -> npt.NDArray[np.float32]:
        if name not in self._weights:
            raise GraphError(f"the weights have no {name}")
        return np.asarray(self._weights[name], dtype=np.float32)

    def _weight(self, name: str) -> str:
        return self._constant(name, self._array(name))

    def _floats(self, name: str, value: float) -> str:
        return self._constant(f"c_{name}", np.array(value, dtype=np.float32))

    def _ints(self, name: str | int, values: list[int]) -> str:
        return self._constant(f"i_{name}", np.array(values, dtype=np.int64))

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        import onnx

        if name not in self._constants:
            self.initializers.append(onnx.numpy_helper.from_array(array, name))
            self._constants[name] = name
        return name


def _node(op_type: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    import onnx

    return onnx.helper.make_node(op_type, inputs, outputs, name=outputs[0], **attributes)
