"""The layers of an fp32 TFLite file that may stay float when the others become int8."""

from __future__ import annotations

import math

from edgebench.calibration.tflite_graph import Operator as Node
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.mixed_graph import LayerGraph, Operator
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.tflite_adapted import border_floats

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def read_graph(job: QuantizationJob) -> LayerGraph:
    """Return the main graph of a float file; its ends stay float where the border of the file does."""
    graph = TfliteGraph(job.base.read_bytes())
    fixed = set(border_floats(graph, job))
    return LayerGraph(
        tuple(
            Operator(
                kind=node.kind,
                inputs=tuple(graph.name(index) for index in node.inputs if not graph.is_constant(index)),
                outputs=tuple(graph.name(index) for index in node.outputs),
                multiplications=_multiplications(graph, node),
                fixed=graph.name(node.outputs[0]) in fixed,
            )
            for node in graph.operators
            if node.outputs
        )
    )


def _multiplications(graph: TfliteGraph, node: Node) -> int:
    """Return how often one sample is multiplied by a weight: each weight once at each place."""
    weights = [index for index in node.inputs if graph.is_constant(index) and len(graph.shape(index)) > 1]
    if node.kind not in _WEIGHTED or not weights:
        return 0
    placed = node.inputs[-1] if node.kind == "TRANSPOSE_CONV" else node.outputs[0]
    *places, _ = graph.shape(placed) or (1, 1)
    return math.prod(graph.shape(weights[0])) * max(1, math.prod(places))
