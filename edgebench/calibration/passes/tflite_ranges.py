"""The ranges of summands of a TFLite graph: what a ReLU after the sum throws away needs no integers.

As passes/ranges.py has it for ONNX: where y is read by one sum alone whose result goes through a ReLU, its
range is that of max(y, −x). On ResNet-20 that is half a decibel.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe
from edgebench.calibration.passes.tflite_layers import layers
from edgebench.calibration.tflite_graph import Operator, TfliteGraph
from edgebench.calibration.tflite_tap import invoke, keeping_tensors, sampled, sampled_size
from edgebench.calibration.watch import Watchable, watch

if TYPE_CHECKING:
    Array = NDArray[np.generic]


def summand_ranges(model: Path, samples: Iterable[list[Array]], method: Method) -> dict[str, Range]:
    """Return the range that counts of each layer's result that only a sum before a ReLU reads.

    samples: lists of arrays [1, ...] in the order of the file's inputs. Empty where there is no such sum.
    """
    graph = TfliteGraph(model.read_bytes())
    found = _summands(graph)
    if not found:
        return {}
    interpreter = keeping_tensors(model)

    def counts(sample: list[Array]) -> NDArray[np.float32]:
        invoke(interpreter, sample)
        tensors = ((interpreter.get_tensor(y), interpreter.get_tensor(x)) for y, x in found.items())
        return np.concatenate([sampled(np.maximum(y, -x).ravel(), exact=method.exact) for y, x in tensors])

    lengths = [int(np.prod(graph.shape(tensor))) for tensor in found]
    watchable = Watchable(
        names=tuple(graph.name(tensor) for tensor in found),
        sizes=tuple(sampled_size(length, exact=method.exact) for length in lengths),
        values=sum(lengths),
        run=counts,
        copies_bytes=model.stat().st_size,
    )
    return {name: observe(d, method) for name, d in watch(watchable, samples).distributions().items()}


def _summands(graph: TfliteGraph) -> dict[int, int]:
    """Return each layer's result that only a sum before a ReLU reads, and the other summand."""
    made = {layer.given for layer in layers(graph)}
    readers: dict[int, list[Operator | None]] = {tensor: [None] for tensor in graph.outputs}
    for operator in graph.operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor, []).append(operator)
    found: dict[int, int] = {}
    for operator in graph.operators:
        if operator.kind != "ADD" or operator.activation != "RELU":
            continue
        first, second = operator.inputs
        for tensor, other in ((first, second), (second, first)):
            # One of two: each one's range counts given that the other is as it is.
            alone = graph.name(tensor) in made and readers[tensor] == [operator] and other not in found
            if alone and graph.shape(tensor) == graph.shape(other) and not graph.is_constant(other):
                found[tensor] = other
    return found
