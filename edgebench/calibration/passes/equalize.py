"""Channels between the layers of an ONNX graph scaled so that one range serves them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto

from edgebench.calibration.attention import steps
from edgebench.calibration.passes.channels import Channels
from edgebench.calibration.passes.layers import (
    FloatArray,
    Layer,
    layers,
    read_constant,
    read_matrix,
    write_constant,
    write_matrix,
)
from edgebench.calibration.passes.moments import tapped_session
from edgebench.calibration.passes.pairs import Pair, Weights, equalize_pair, find_pairs
from edgebench.calibration.passes.rounding import top_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_PASSING = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Dropout")
"""Operators that give a multiple of what they give where their input is multiplied by a positive number."""


def equalize(
    model: ModelProto, samples: Iterable[Sequence[Array]], *, bits: int, floats: Sequence[str] = ()
) -> tuple[ModelProto, list[str]]:
    """Return a graph that computes the same with channels alike in size, and the tensors that changed.

    samples: arrays [1, ...] in the order of the graph's real inputs. bits: of a weight, 7 or 8. floats:
    nodes that stay float; what only they read needs no equal channels.
    """
    found = [pair for pair in pairs(model) if any(layer.node.name not in floats for layer in pair.after)]
    if not found:
        return model, []
    seen = channels(model, {pair.between[-1]: 1 if pair.before.is_conv else -1 for pair in found}, samples)
    equal = ModelProto()
    equal.CopyFrom(model)
    weights = Weights(partial(read_matrix, equal), partial(write_matrix, equal), partial(_scale_bias, equal))
    top = top_of(bits)
    moved = [pair for pair in found if equalize_pair(pair, weights, seen[pair.between[-1]], top)]
    return equal, [name for pair in moved for name in pair.between]


def pairs(model: ModelProto) -> list[Pair[Layer]]:
    """Return every layer between which and its readers channels can be scaled, in the graph's order."""
    known = {layer.given: layer for layer in layers(model)}
    return find_pairs(
        steps(model),
        known,
        first=[given for given, layer in known.items() if not _shares_bias(layer)],
        passing={n.output[0] for n in model.graph.node if n.op_type in _PASSING and len(n.output) == 1},
        outputs={entry.name for entry in model.graph.output},
    )


def channels(
    model: ModelProto, axes: Mapping[str, int], samples: Iterable[Sequence[Array]]
) -> dict[str, Channels]:
    """Return what the channels of a graph's tensors are over the samples. axes: which, by the tensor."""
    run = tapped_session(model, list(axes))
    found = {name: Channels() for name in axes}
    for sample in samples:
        values = run(sample)
        for name, axis in axes.items():
            found[name].add(np.moveaxis(values[name], axis, 0))
    return found


def _shares_bias(layer: Layer) -> bool:
    return layer.bias is None and len(layer.node.input) > 2  # noqa: PLR2004 - input, weight, bias


def _scale_bias(model: ModelProto, layer: Layer, factors: FloatArray) -> None:
    if layer.bias is not None:
        write_constant(model, layer.bias, read_constant(model, layer.bias) * factors)
