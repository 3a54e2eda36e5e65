"""The layers of an fp32 ONNX file that may stay float when the others become int8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgebench.calibration.passes.onnx_ends import float_ends
from edgebench.exporters.mixed_graph import LayerGraph, Operator
from edgebench.exporters.onnx_prepared import prepared
from edgebench.exporters.quantizers import QuantizationJob

if TYPE_CHECKING:
    from onnx import NodeProto

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_CHANNELS = {"Conv": 1, "ConvTranspose": 1}
"""The axis of a result's channels; the last one of others."""
Shapes = Mapping[str, tuple[int, ...]]


def read_graph(job: QuantizationJob) -> LayerGraph:
    """Return the graph as it is quantized: batch normalization folded, its tensors those of a table."""
    import onnx

    network = onnx.load(prepared(job.base))
    weights = {tensor.name: tuple(tensor.dims) for tensor in network.graph.initializer}
    entries = (*network.graph.value_info, *network.graph.output, *network.graph.input)
    shapes = {e.name: tuple(d.dim_value or 1 for d in e.type.tensor_type.shape.dim) for e in entries}
    fixed = set(float_ends(network))
    return LayerGraph(
        tuple(
            Operator(
                kind=node.op_type,
                inputs=tuple(name for name in node.input if name and name not in weights),
                outputs=tuple(name for name in node.output if name),
                multiplications=_multiplications(node, weights, shapes),
                fixed=node.name in fixed,
            )
            for node in network.graph.node
            if node.op_type != "Constant"
        )
    )


def _multiplications(node: NodeProto, weights: Shapes, shapes: Shapes) -> int:
    """Return how often one sample is multiplied by a weight: each weight once at each place.

    An open dimension counts as 1. The rows of a Gemm are places too: a text's tokens, of a batch of 1.
    """
    if node.op_type not in _WEIGHTED:
        return 0
    own = [name for name in node.input[:2] if name in weights]
    if not own:
        return 0
    placed = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    shape = shapes.get(placed, (1,))
    channels = shape[_CHANNELS.get(node.op_type, -1)]
    return math.prod(weights[own[0]]) * max(1, math.prod(shape) // max(channels, 1))
