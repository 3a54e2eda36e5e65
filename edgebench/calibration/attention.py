"""What of an ONNX transformer is worth integers: the products with constant weights, and little else.

Softmax, normalization, activations and sums of a transformer lose much of the answer as integers and take
little of the time; a product of two activations loses some and is small beside those with weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_ARRANGING = (
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Split", "Slice", "Pad"),
    *("Expand", "Cast", "Identity"),
)
"""Operators that only move values."""

_CONVOLUTIONS = ("Conv", "ConvTranspose")

_LIGHT = (
    *_ARRANGING,
    *("Add", "Mul", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Resize", "Where"),
)
"""Operators that are worth integers between two convolutions only."""

_MASKING = (*_ARRANGING, "Add", "Mul", "Sub", "Where", "Max", "Min")
"""Operators between a mask and the Softmax that it is for."""


def attends(model: ModelProto) -> bool:
    """Whether the graph is a transformer in part: a LayerNormalization, or a Softmax that is multiplied."""
    return any(node.op_type == "LayerNormalization" for node in model.graph.node) or bool(_softmaxes(model))


def float_between(model: ModelProto) -> list[str]:
    """Return the names of the nodes of a transformer that stay float; none of any other graph.

    Integers are left to products with constants, to convolutions and lookups in constant tables, and to
    what stands between convolutions.
    """
    if not attends(model):
        return []
    nodes = list(model.graph.node)
    constants = {tensor.name for tensor in model.graph.initializer}
    makers = {name: node for node in nodes for name in node.output}
    readers = _readers(nodes)
    inside = {id(node) for node in nodes if node.op_type in (*_LIGHT, *_CONVOLUTIONS)}
    found = -1
    while found != len(inside):
        found = len(inside)
        for node in nodes:
            before = any(id(makers[name]) in inside for name in node.input if name in makers)
            after = any(id(reader) in inside for name in node.output for reader in readers.get(name, []))
            if node.op_type in _LIGHT and not (before and after):
                inside.discard(id(node))
    return [node.name for node in nodes if id(node) not in inside and not _multiplies(node, constants)]


def masks(model: ModelProto) -> set[str]:
    """Return the tensors before a Softmax of attention that may hold −∞, or −3·10³⁸ in its place."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    waiting = [node.input[0] for node in _softmaxes(model)]
    while waiting:
        name = waiting.pop()
        if name not in found and name in makers and makers[name].op_type in _MASKING:
            found.add(name)
            waiting += makers[name].input
    return found


def _softmaxes(model: ModelProto) -> list[NodeProto]:
    """Return each Softmax whose answer is multiplied, at once or after a look at it, by another tensor."""
    readers = _readers(model.graph.node)

    def multiplied(name: str, steps: int) -> bool:
        beside = readers.get(name, [])
        if any(node.op_type == "MatMul" for node in beside):
            return True
        onward = [node for node in beside if node.op_type in (*_ARRANGING, "Where")]
        return steps > 0 and any(multiplied(node.output[0], steps - 1) for node in onward)

    return [n for n in model.graph.node if n.op_type == "Softmax" and multiplied(n.output[0], 3)]


def _multiplies(node: NodeProto, constants: set[str]) -> bool:
    """Whether a node multiplies by a constant, or looks up in one."""
    if node.op_type == "Gather":
        return node.input[0] in constants
    return node.op_type in ("MatMul", "Gemm") and bool(constants & set(node.input[:2]))


def _readers(nodes: Iterable[NodeProto]) -> Mapping[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers
