"""Float layers between int8 ones, kept from ONNX Runtime, which quantizes them when it loads the file.

Its optimizer WeightBiasQuantization takes a Conv, ConvTranspose or Gemm with float weights whose input is
dequantized and whose result is quantized at once, and rounds the weights to int8, with one scale for all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onnx import ModelProto, NodeProto, helper

_TAKEN = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""A MatMul counts too: with the addition behind it, ONNX Runtime makes a Gemm of it."""
_PASSED = ("Relu", "Clip", "Add")
"""What the optimizer, or the fusions before it, look through on the way to QuantizeLinear."""


def shield_floats(model: ModelProto, floats: Collection[str]) -> ModelProto:
    """Return the Q/DQ graph with a Sum of one value, which changes nothing, behind each such layer.

    floats: the nodes that are to stay float.
    """
    shielded = ModelProto()
    shielded.CopyFrom(model)
    graph = shielded.graph
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    ends = [
        end
        for node in graph.node
        if node.name in floats and node.op_type in _TAKEN and _is_dequantized(node.input[0], makers)
        if (end := _before_quantizing(node, readers)) is not None
    ]
    for end in ends:
        name = end.output[0]
        end.output[0] = f"{name}_float"
        graph.node.insert(
            list(graph.node).index(end) + 1,
            helper.make_node("Sum", [end.output[0]], [name], name=f"{name}_stays_float"),
        )
    return shielded


def _is_dequantized(name: str, makers: Mapping[str, NodeProto]) -> bool:
    return name in makers and makers[name].op_type == "DequantizeLinear"


def _before_quantizing(node: NodeProto, readers: Mapping[str, Sequence[NodeProto]]) -> NodeProto | None:
    """Return the last node of an unbranched way to a QuantizeLinear; None where there is none."""
    while len(after := readers.get(node.output[0], ())) == 1:
        if after[0].op_type == "QuantizeLinear":
            return node
        if after[0].op_type not in _PASSED:
            return None
        node = after[0]
    return None
