"""What a Q/DQ file says of itself: pairs that do not fit, what its input can hold, how wide weights are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgebench.ladder.record import Mismatch

_SEVEN_BITS = 64
"""The largest magnitude of a 7-bit weight."""


def input_names(network: ModelProto) -> list[str]:
    """Return the names of a graph's inputs."""
    return [entry.name for entry in network.graph.input]


def readers_of(network: ModelProto) -> dict[str, list[NodeProto]]:
    """Return the nodes that read each tensor of a graph."""
    found: dict[str, list[NodeProto]] = {}
    for node in network.graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _constants(network: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in network.graph.initializer}


def mismatches(network: ModelProto) -> tuple[Mismatch, ...]:
    """Return the pairs whose two scales or zero points differ."""
    constants, readers, found = _constants(network), readers_of(network), []
    for node in network.graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        for after in readers.get(node.output[0], ()):
            if after.op_type != "DequantizeLinear":
                continue
            pairs = [
                (constants.get(a), constants.get(b))
                for a, b in zip(node.input[1:], after.input[1:], strict=False)
            ]
            values = [(numpy_helper.to_array(a), numpy_helper.to_array(b)) for a, b in pairs if a and b]
            if values and any(not np.array_equal(a, b) for a, b in values):
                scales = [float(array.ravel()[0]) for array in values[0]]
                found.append(Mismatch(node.input[0], scales[0], scales[1]))
    return tuple(found)


def input_range(network: ModelProto) -> tuple[str, float, float] | None:
    """Return the first input's name and the range of the QuantizeLinear that reads it, where one does."""
    constants, readers = _constants(network), readers_of(network)
    todo = [(name, name) for name in input_names(network)[:1]]
    while todo:
        first, name = todo.pop()
        for node in readers.get(name, ()):
            if node.op_type == "QuantizeLinear" and node.input[1] in constants:
                return (first, *_range(node, constants))
            if node.op_type in ("Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Cast"):
                todo.append((first, node.output[0]))
    return None


def _range(node: NodeProto, constants: Mapping[str, TensorProto]) -> tuple[float, float]:
    scale = float(numpy_helper.to_array(constants[node.input[1]]).ravel()[0])
    zero, limits = 0.0, np.iinfo(np.uint8)
    if len(node.input) > 2 and node.input[2] in constants:  # noqa: PLR2004 - the optional zero point
        point = numpy_helper.to_array(constants[node.input[2]])
        zero, limits = float(point.ravel()[0]), np.iinfo(point.dtype)
    return scale * (limits.min - zero), scale * (limits.max - zero)


def has_wide_weights(network: ModelProto) -> bool:
    """Whether 8×8-bit products can overflow 16 bits: 8-bit activations beside int8 weights over 7 bits."""
    constants = _constants(network)
    narrow = any(
        constants[node.input[2]].data_type in (TensorProto.UINT8, TensorProto.INT8)
        for node in network.graph.node
        if node.op_type == "QuantizeLinear" and len(node.input) > 2 and node.input[2] in constants  # noqa: PLR2004 - likewise
    )
    return narrow and any(
        int(np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0)) > _SEVEN_BITS
        for tensor in constants.values()
        if tensor.data_type == TensorProto.INT8
    )
