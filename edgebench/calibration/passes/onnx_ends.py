"""What stays float at the ends of an ONNX graph, where int8 loses much and float costs little.

What the first layer loses every other one passes on, and it reads few channels; the last one's answer is
the model's. A mean over an image has little noise left, until it is rounded to int8 again: on MLPerf
Tiny's ResNet-8 that rounding made most of the noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edgebench.calibration.passes.ends import cost_little
from edgebench.calibration.passes.layers import layers
from edgebench.calibration.passes.order import reads

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_ARRANGING = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast")
"""Operators after which the values are still the input's."""

_PRODUCTS = ("Gemm", "MatMul")

_LAST = (*_ARRANGING, "AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax", "LogSoftmax", "Sigmoid")
"""Operators that stay float with a last layer, before or behind it."""


def float_ends(model: ModelProto) -> list[str]:
    """Return the names of the nodes at the ends that stay float.

    A layer stays float with at most 2 % of the weights and 5 % of the work.
    """
    found = layers(model)
    places = _places(model)
    weights = [layer.outputs * layer.windows.columns for layer in found]
    work = [size * places.get(layer.given, 1) for size, layer in zip(weights, found, strict=True)]
    little = cost_little(weights, work)
    cheap = {layer.given for layer, costs_little in zip(found, little, strict=True) if costs_little}
    return list(dict.fromkeys([*_head(model, cheap), *_tail(model, cheap)]))


def unrounded_answers(model: ModelProto) -> ModelProto:
    """Return a Q/DQ graph in which products that give an output are not rounded to int8 again.

    ONNX Runtime's integer products write float where no QuantizeLinear follows, in the same time. Before
    a softmax it brings less than half a decibel, and no decision.
    """
    whole = type(model)()
    whole.CopyFrom(model)
    for output in model.graph.output:
        pair = _last_pair(whole, output.name)
        if pair is not None:
            product, quantize, dequantize = pair
            whole.graph.node.remove(quantize)
            whole.graph.node.remove(dequantize)
            product.output[0] = dequantize.output[0]
    return whole


def _last_pair(model: ModelProto, output: str) -> tuple[NodeProto, NodeProto, NodeProto] | None:
    """Return the product that gives an output, and the Q/DQ pair between."""
    makers = {name: node for node in model.graph.node for name in node.output}
    readers = Counter(name for node in model.graph.node for name in reads(node))
    readers.update(entry.name for entry in model.graph.output)
    node = makers.get(output)
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in makers:
        return None
    quantize = makers[node.input[0]]
    product = makers.get(quantize.input[0])
    alone = all(readers[name] == 1 for name in (output, node.input[0], quantize.input[0]))
    return (product, quantize, node) if alone and product and product.op_type in _PRODUCTS else None


def _head(model: ModelProto, cheap: set[str]) -> Iterator[str]:
    """Yield the cheap layers that read the inputs, each behind what arranges the input for it."""
    ways: dict[str, tuple[str, ...]] = {entry.name: () for entry in model.graph.input}
    for node in model.graph.node:
        way = ways.get(node.input[0]) if node.input else None
        if way is None:
            continue
        if node.output[0] in cheap:
            yield from (*way, node.name)
        elif node.op_type in _ARRANGING:
            ways[node.output[0]] = (*way, node.name)


def _tail(model: ModelProto, cheap: set[str]) -> Iterator[str]:
    """Yield what gives the outputs, back to what the last layer reads, or to a last one that is not cheap."""
    makers = {name: node for node in model.graph.node for name in node.output}
    for output in model.graph.output:
        name, passed = output.name, False
        arranging: list[str] = []  # stays float only where something that loses does
        while name in makers:
            node = makers[name]
            if node.op_type in _ARRANGING:
                arranging.append(node.name)
            elif node.op_type in _LAST or (name in cheap and not passed):
                passed |= name in cheap
                yield from (*arranging, node.name)
                arranging = []
            else:
                break
            name = node.input[0]


def _places(model: ModelProto) -> dict[str, int]:
    """Return how often a convolution's window is laid on one sample, by its output, where shapes tell."""
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model)
    entries = (*inferred.graph.value_info, *inferred.graph.output)
    shapes = {e.name: [d.dim_value for d in e.type.tensor_type.shape.dim] for e in entries}
    return {
        layer.given: max(1, int(np.prod(shapes.get(layer.given, [])[2:], dtype=np.int64)))
        for layer in layers(model)
        if layer.is_conv
    }
