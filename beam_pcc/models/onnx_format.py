"""The part of the ONNX file format that a classifier needs, as protocol buffers; the onnx package is not needed.

Fields that are not here are dropped when a file is read: no file keeps functions, sparse tensors or training graphs.
Numbers and names of the fields are those of onnx.proto (ONNX, IR version 10).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FLOAT, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE = 1, 6, 7, 8, 9, 10, 11
"""TensorProto.DataType."""
EXTERNAL = 1
"""TensorProto.DataLocation."""

_PACKAGE = "beam_pcc.onnx"
_FILE = "beam_pcc/onnx.proto"
# Each field is name, number, type; * for a repeated one. A message is named in capitals.
_MESSAGES = {
    "Model": (
        "ir_version 1 int64, producer_name 2 string, producer_version 3 string, graph 7 Graph, opset_import 8 *Opset"
    ),
    "Opset": "domain 1 string, version 2 int64",
    "Graph": "node 1 *Node, name 2 string, initializer 5 *Tensor, input 11 *Value, output 12 *Value",
    "Node": (
        "input 1 *string, output 2 *string, name 3 string, op_type 4 string, attribute 5 *Attribute, domain 7 string"
    ),
    "Attribute": (
        "name 1 string, f 2 float, i 3 int64, s 4 bytes, t 5 Tensor, g 6 bytes, floats 7 *float, ints 8 *int64, "
        "strings 9 *bytes, tensors 10 *Tensor, graphs 11 *bytes, type 20 int32, ref_attr_name 21 string"
    ),
    "Tensor": (
        "dims 1 *int64, data_type 2 int32, float_data 4 *float, int32_data 5 *int32, string_data 6 *bytes, "
        "int64_data 7 *int64, name 8 string, raw_data 9 bytes, double_data 10 *double, uint64_data 11 *uint64, "
        "external_data 13 *bytes, data_location 14 int32"
    ),
    "Value": "name 1 string, type 2 Type",
    "Type": "tensor_type 1 TensorType, sequence_type 4 bytes, map_type 5 bytes",
    "TensorType": "elem_type 1 int32, shape 2 Shape",
    "Shape": "dim 1 *Dimension",
    "Dimension": "dim_value 1 int64, dim_param 2 string",
}
_PACKED = {("Tensor", name) for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")}


@functools.cache
def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in _MESSAGES.items():
        descriptor = file.message_type.add(name=message)
        for field in fields.split(", "):
            name, number, kind = field.split()
            is_repeated, kind = kind.startswith("*"), kind.lstrip("*")
            label = kinds.LABEL_REPEATED if is_repeated else kinds.LABEL_OPTIONAL
            one = descriptor.field.add(name=name, number=int(number), label=label)
            if kind in _MESSAGES:
                one.type, one.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                one.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if (message, name) in _PACKED:
                one.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


def parse(data: bytes) -> Any:
    """The `Model` message in a file, without the fields that are not here.

    Raises:
        google.protobuf.message.DecodeError: It is no protocol buffer, or is nested too deeply.
    """
    model = _messages()["Model"]()
    model.ParseFromString(data)
    model.DiscardUnknownFields()
    return model


def new_model() -> Any:
    """An empty `Model` message."""
    return _messages()["Model"]()


class Dimensions(NamedTuple):
    """Of a tensor: its element type, and its shape if known; the length of a free dimension is None."""

    elem_type: int
    shape: tuple[int | None, ...] | None


def dimensions(value: Any) -> Dimensions | None:
    """Of an input or output; None if it is no tensor, but a sequence or a map."""
    others = value.type.HasField("sequence_type") or value.type.HasField("map_type")  # only one is valid
    if others or not value.type.HasField("tensor_type"):
        return None
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Dimensions(tensor.elem_type, None)
    # A length of 0 comes of converters that mean a free one.
    return Dimensions(tensor.elem_type, tuple(one.dim_value or None for one in tensor.shape.dim))


def set_dimensions(value: Any, elem_type: int, *shape: int | None) -> None:
    """Make an input or output a tensor; a dimension of None is the number of rows."""
    value.type.Clear()
    tensor = value.type.tensor_type
    tensor.elem_type = elem_type
    tensor.shape.SetInParent()
    for length in shape:
        one = tensor.shape.dim.add()
        if length is None:
            one.dim_param = "rows"
        else:
            one.dim_value = length
