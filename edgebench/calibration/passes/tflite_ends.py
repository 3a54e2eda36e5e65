"""What stays float at the ends of a TFLite graph, where int8 loses much and float costs little.

The first layer's losses every other one passes on, and it reads few channels. Behind the last
convolution, LiteRT's int8 AVERAGE_POOL_2D gives its means in the scale of what it reads, most of which
they never reach, and its SOFTMAX steps of 1/256: on MLPerf Tiny's ResNet-8 the pooling alone made four
fifths of the noise.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgebench.calibration.passes.ends import cost_little
from edgebench.calibration.passes.tflite_layers import layers
from edgebench.calibration.tflite_graph import Operator, TfliteGraph

_ARRANGING = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")
"""Operators after which the values are still the same."""

_FIRST = (*_ARRANGING, "PAD")
_LAST = (*_ARRANGING, "AVERAGE_POOL_2D", "MEAN", "SOFTMAX", "LOGISTIC")
"""Operators that stay float with a layer before or behind them."""


def float_ends(graph: TfliteGraph) -> list[str]:
    """Return the tensors whose operators stay float, by name: no layer of many weights or much work."""
    found = layers(graph)
    little = cost_little(
        [layer.weights for layer in found], [layer.weights * layer.places for layer in found]
    )
    cheap = {layer.given for layer, is_little in zip(found, little, strict=True) if is_little}
    return list(dict.fromkeys([*_head(graph, cheap), *_tail(graph, cheap)]))


def _head(graph: TfliteGraph, cheap: set[str]) -> Iterator[str]:
    """Yield the cheap layers that read the inputs, each behind what arranges the input for it."""
    ways: dict[int, tuple[str, ...]] = dict.fromkeys(graph.inputs, ())
    for operator in graph.operators:
        if not operator.inputs or operator.inputs[0] not in ways:
            continue
        (given, *_), way = operator.outputs, ways[operator.inputs[0]]
        if graph.name(given) in cheap:
            yield from (*way, graph.name(given))
        elif operator.kind in _FIRST:
            ways[given] = (*way, graph.name(given))


def _tail(graph: TfliteGraph, cheap: set[str]) -> Iterator[str]:
    """Yield what gives the outputs, back to the layer before the last, or to a last one that is not cheap."""
    makers = {tensor: operator for operator in graph.operators for tensor in operator.outputs}
    for output in graph.outputs:
        tensor, passed = output, False
        while tensor in makers:
            name, operator = graph.name(tensor), makers[tensor]
            if name in cheap and not passed:
                passed = True
            elif operator.kind not in _LAST:
                break
            yield name
            tensor = operator.inputs[0]
        if not passed and tensor in makers:
            yield from _pool(graph, makers, makers[tensor])


def _pool(graph: TfliteGraph, makers: dict[int, Operator], last: Operator) -> Iterator[str]:
    """Yield the pooling that a last layer reads which is not cheap."""
    tensor = last.inputs[0]
    while tensor in makers and makers[tensor].kind in _LAST:
        if makers[tensor].kind == "AVERAGE_POOL_2D":
            yield graph.name(tensor)
        tensor = makers[tensor].inputs[0]
