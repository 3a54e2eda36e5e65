"""Channels between the layers of an ONNX graph scaled so that one range serves them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto

from edgebench.calibration.passes.channels import Channels, best_factors, by_channel, channel_count, divided
from edgebench.calibration.passes.layers import (
    Layer,
    layers,
    read_constant,
    read_matrix,
    write_constant,
    write_matrix,
)
from edgebench.calibration.passes.moments import tapped_session
from edgebench.calibration.passes.rounding import top_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_PASSING = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Dropout")
"""Operators that give a multiple of what they give where their input is multiplied by a positive number."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer, the layers that alone read its channels, and the tensors in between, the last one read."""

    before: Layer
    after: tuple[Layer, ...]
    between: tuple[str, ...]


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
    top = top_of(bits)
    moved = [pair for pair in found if _equalize(equal, pair, seen[pair.between[-1]], top)]
    return equal, [name for pair in moved for name in pair.between]


def pairs(model: ModelProto) -> list[Pair]:
    """Return every layer between which and its readers channels can be scaled, in the graph's order."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    known = {layer.given: layer for layer in layers(model)}
    outputs = {entry.name for entry in model.graph.output}
    return [pair for layer in known.values() if (pair := _pair(layer, known, readers, outputs)) is not None]


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


def _pair(
    layer: Layer, known: dict[str, Layer], readers: dict[str, list[NodeProto]], outputs: set[str]
) -> Pair | None:
    """Return the layer with its readers; None where something else sees its channels."""
    if layer.bias is None and len(layer.node.input) > 2:  # noqa: PLR2004 - input, weight, bias
        return None
    between = [layer.given]
    while between[-1] not in outputs:
        after = readers.get(between[-1], [])
        found = [known.get(node.output[0]) for node in after]
        fitting = [x for x in found if x is not None and _takes(x, between[-1], layer)]
        if fitting and len(fitting) == len(after):
            return Pair(layer, tuple(fitting), tuple(between))
        if len(after) != 1 or after[0].op_type not in _PASSING or len(after[0].output) != 1:
            return None
        between.append(after[0].output[0])
    return None


def _takes(after: Layer, name: str, before: Layer) -> bool:
    """Whether a layer reads another's channels one by one."""
    return (
        after.taken == name
        and after.is_conv == before.is_conv
        and channel_count(after.windows) == before.outputs
    )


def _equalize(model: ModelProto, pair: Pair, seen: Channels, top: int) -> bool:
    """Multiply the channels by what makes the readers' noise least; return whether that changes anything."""
    matrices = [read_matrix(model, layer) for layer in pair.after]
    cubes = [by_channel(rows, layer.windows) for rows, layer in zip(matrices, pair.after, strict=True)]
    factors = best_factors(cubes, seen, top)
    if factors is None:
        return False
    write_matrix(model, pair.before, read_matrix(model, pair.before) * factors[:, None])
    if pair.before.bias is not None:
        write_constant(model, pair.before.bias, read_constant(model, pair.before.bias) * factors)
    for rows, layer in zip(matrices, pair.after, strict=True):
        write_matrix(model, layer, divided(rows, layer.windows, factors))
    return True
