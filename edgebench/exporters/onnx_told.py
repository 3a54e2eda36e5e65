"""What stays float of a quantized ONNX graph without having been asked to, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

from onnx import ModelProto, TensorProto

from edgebench.calibration.passes.order import control_flow

_MUCH = 0.2
"""Share of the weights' values from which their staying float is worth a word."""


def float_notes(network: ModelProto, made: ModelProto, floats: Iterable[str]) -> tuple[str, ...]:
    """Return what to tell of a graph and what was made of it: control flow, and operators' float weights.

    floats: nodes that were chosen to stay float, of which nothing is said here.
    """
    held = control_flow(network)
    notes = [f"left in float, with all that is inside: {', '.join(held)}"] if held else []
    left, kinds = _float_weights(made, set(floats))
    total = _float_weights(network, set())[0]
    if left > _MUCH * total:
        notes.append(f"{left / total:.0%} of the weights stay float, those of {', '.join(kinds)}")
    return tuple(notes)


def _float_weights(model: ModelProto, apart: set[str]) -> tuple[int, list[str]]:
    """Return how many values the weights have that nodes read as float32, and the nodes' operators."""
    sizes = {
        tensor.name: math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    }
    read = {
        name: node.op_type
        for node in model.graph.node
        if node.name not in apart
        for name in node.input
        if name in sizes
    }
    return sum(sizes[name] for name in read), sorted(set(read.values()))
