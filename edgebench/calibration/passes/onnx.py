"""What is done to an fp32 ONNX graph before it is quantized, so that int8 keeps its accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edgebench.calibration.attention import attends
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.equalize import equalize
from edgebench.calibration.passes.layers import Layer, layers
from edgebench.calibration.passes.moments import moments
from edgebench.calibration.passes.onnx_ends import float_ends
from edgebench.calibration.passes.ranges import measured_ranges
from edgebench.calibration.passes.rounding import round_weights
from edgebench.calibration.passes.smooth import Balanced, balance
from edgebench.calibration.passes.sums import SAMPLES, in_parts
from edgebench.calibration.recipe import ALL_PASSES, Pass

if TYPE_CHECKING:
    Array = NDArray[np.generic]

_BIAS = 2
"""Place of the bias among a layer's inputs."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A graph made ready. ranges: in place of those of the table; floats: nodes to be left as they are.

    unrounded: the graph as it was before its weights were rounded; it computes what the given one did.
    scaled: tensors whose channels were made alike; they do not hold what they did in the given graph.
    """

    model: ModelProto
    unrounded: ModelProto
    ranges: dict[str, Range]
    floats: list[str]
    scaled: tuple[str, ...] = ()


def adapt(
    model: ModelProto,
    samples: Iterable[list[Array]],
    *,
    bits: int,
    method: Method,
    passes: Collection[Pass] = ALL_PASSES,
) -> Adapted:
    """Return the graph, shapes inferred and batch normalization folded, made ready to be quantized.

    samples: can be gone through more than once; arrays [1, ...] in the order of the graph's inputs.
    bits: of a weight, 7 or 8. method: how ranges are found. passes: what is done.
    """
    model = flat_biases(model)
    floats = float_ends(model) if Pass.FLOAT_ENDS in passes else []
    moved: list[str] = []
    if Pass.EQUALIZE in passes:
        model, moved = equalize(model, samples, bits=bits, floats=floats)
    balanced = Balanced(model, {})
    if Pass.BALANCE in passes and attends(model):
        balanced = balance(model, _quantized(model, floats), samples, bits=bits)
    rounded = _quantized(balanced.model, floats) if Pass.ROUND in passes else []
    return Adapted(
        model=adapt_weights(balanced.model, rounded, samples, bits=bits),
        unrounded=balanced.model,
        ranges={**measured_ranges(model, moved, samples, method), **balanced.ranges},
        floats=floats,
        scaled=(*moved, *balanced.scaled),
    )


def _quantized(model: ModelProto, floats: Sequence[str]) -> list[Layer]:
    return [layer for layer in layers(model) if layer.node.name not in floats]


def adapt_weights(
    model: ModelProto, chosen: Sequence[Layer], samples: Iterable[Sequence[Array]], *, bits: int
) -> ModelProto:
    """Return the graph with the weights of some of its layers rounded by what they multiply.

    samples: can be gone through more than once; arrays [1, ...] in the order of the graph's inputs, of
    which the first SAMPLES are used. bits: of a weight, 7 or 8.
    """
    adapted = model
    for part in in_parts(chosen):
        adapted = round_weights(adapted, moments(model, part, islice(samples, SAMPLES)), bits=bits)
    return adapted


def flat_biases(model: ModelProto) -> ModelProto:
    """Return the graph with biases [1, n] of Gemm nodes as [n], which onnxruntime's quantizer needs."""
    flat = ModelProto()
    flat.CopyFrom(model)
    read = Counter(name for node in flat.graph.node for name in node.input)
    gemms = [node for node in flat.graph.node if node.op_type == "Gemm" and len(node.input) > _BIAS]
    biases = {node.input[_BIAS] for node in gemms}
    for tensor in flat.graph.initializer:
        if tensor.name in biases and read[tensor.name] == 1 and list(tensor.dims[:-1]) == [1]:
            del tensor.dims[0]
    return flat
