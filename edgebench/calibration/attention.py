"""What of an ONNX transformer is worth integers: the products with constant weights, and little else.

Softmax, normalization, activations and sums of a transformer lose much of the answer as integers and take
little of the time; a product of two activations loses some and is small beside those with weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgebench.calibration.attention_masks import Step, softmaxes

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


def attends(model: ModelProto) -> bool:
    """Whether the graph is a transformer in part: a LayerNormalization, or a Softmax that is multiplied."""
    return any(node.op_type == "LayerNormalization" for node in model.graph.node) or bool(
        softmaxes(steps(model))
    )


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


def steps(model: ModelProto) -> list[Step]:
    """Return the operators of an ONNX graph."""
    return [Step(node.op_type, node.input, node.output) for node in model.graph.node]


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
