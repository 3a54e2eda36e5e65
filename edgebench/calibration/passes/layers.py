"""The layers of an ONNX graph whose weights are constants: what they read, and where their weights are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgebench.calibration.passes.windows import Windows

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """A Conv, Gemm or MatMul with constant weights that no other node reads.

    taken, given: the tensors it reads and writes. weight, bias: initializers; bias is None where there
    is none. windows: of its input that it multiplies.
    """

    node: NodeProto
    taken: str
    given: str
    weight: str
    bias: str | None
    outputs: int
    windows: Windows

    @property
    def is_conv(self) -> bool:
        """Whether it slides over an image."""
        return bool(self.node.op_type == "Conv")


def layers(model: ModelProto) -> list[Layer]:
    """Return the layers in the graph's order."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = Counter(name for node in _nodes(model.graph) for name in node.input)
    found = [_layer(node, constants) for node in model.graph.node]
    return [layer for layer in found if layer is not None and readers[layer.weight] == 1]


def attribute(node: NodeProto, name: str, default: object) -> object:
    """Return the value of a node's attribute."""
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def read_matrix(model: ModelProto, layer: Layer) -> FloatArray:
    """Return the weights as float64[outputs, columns], one row per output channel."""
    values = read_constant(model, layer.weight)
    return (values.T if _transposed(layer.node) else values).reshape(layer.outputs, layer.windows.columns)


def write_matrix(model: ModelProto, layer: Layer, rows: FloatArray) -> None:
    """Replace the weights by float64[outputs, columns]."""
    tensor = _constant(model, layer.weight)
    shape = tuple(tensor.dims)
    values = rows.T.reshape(shape) if _transposed(layer.node) else rows.reshape(shape)
    write_constant(model, layer.weight, values)


def read_constant(model: ModelProto, name: str) -> FloatArray:
    """Return an initializer's values as float64."""
    values: FloatArray = np.asarray(numpy_helper.to_array(_constant(model, name)), np.float64)
    return values


def write_constant(model: ModelProto, name: str, values: FloatArray) -> None:
    """Replace an initializer's values, as float32."""
    content = np.ascontiguousarray(values.astype(np.float32))
    _constant(model, name).CopyFrom(numpy_helper.from_array(content, name))


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the graphs within it, which may read its weights."""
    for node in graph.node:
        yield node
        for entry in node.attribute:
            if entry.HasField("g"):
                yield from _nodes(entry.g)


def _constant(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _transposed(node: NodeProto) -> bool:
    """Whether the weights lie as [columns, outputs]."""
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not attribute(node, "transB", 0))


def _layer(node: NodeProto, constants: dict[str, TensorProto]) -> Layer | None:
    if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
        return None
    weight = constants[node.input[1]]
    ranks = (3, 4, 5) if node.op_type == "Conv" else (2,)
    if weight.data_type != TensorProto.FLOAT or len(weight.dims) not in ranks or not _plain(node):
        return None
    outputs = weight.dims[1] if _transposed(node) else weight.dims[0]
    has_bias = len(node.input) > 2 and node.input[2] in constants  # noqa: PLR2004 - input, weight, bias
    bias = node.input[2] if has_bias and list(constants[node.input[2]].dims) == [outputs] else None
    return Layer(
        node=node,
        taken=node.input[0],
        given=node.output[0],
        weight=node.input[1],
        bias=bias,
        outputs=outputs,
        windows=_windows(node, tuple(weight.dims), outputs),
    )


def _windows(node: NodeProto, shape: tuple[int, ...], outputs: int) -> Windows:
    columns = int(np.prod(shape)) // outputs
    if node.op_type != "Conv":
        return Windows(columns)
    rank = len(shape) - 2
    pads = _numbers(node, "pads", [0] * (2 * rank))
    return Windows(
        columns,
        groups=int(str(attribute(node, "group", 1))),
        kernel=shape[2:],
        strides=tuple(_numbers(node, "strides", [1] * rank)),
        dilations=tuple(_numbers(node, "dilations", [1] * rank)),
        pads=tuple(zip(pads[:rank], pads[rank:], strict=True)),
    )


def _numbers(node: NodeProto, name: str, default: list[int]) -> list[int]:
    found = attribute(node, name, default)
    return list(found) if isinstance(found, list) else default


def _plain(node: NodeProto) -> bool:
    """Whether the node multiplies its input as it is: no transposition, no factor, explicit padding."""
    if node.op_type == "Gemm":
        factors = (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0))
        return factors == (1.0, 1.0) and not attribute(node, "transA", 0)
    return attribute(node, "auto_pad", b"NOTSET") == b"NOTSET"
