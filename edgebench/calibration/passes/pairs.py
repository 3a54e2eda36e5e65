"""Layers between which channels can be scaled, found in a graph of any format, and their scaling."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic

from edgebench.calibration.attention_masks import Step
from edgebench.calibration.passes.channels import (
    Channels,
    FloatArray,
    best_factors,
    by_channel,
    channel_count,
    divided,
)
from edgebench.calibration.passes.sums import LayerT, Windowed


@dataclass(frozen=True, slots=True)
class Pair(Generic[LayerT]):
    """A layer, the layers that alone read its channels, and the tensors in between, the last one read."""

    before: LayerT
    after: tuple[LayerT, ...]
    between: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Weights(Generic[LayerT]):
    """A layer's weights read and written, float64[outputs, columns], and its bias, if any, multiplied."""

    read: Callable[[LayerT], FloatArray]
    write: Callable[[LayerT, FloatArray], None]
    scale_bias: Callable[[LayerT, FloatArray], None]


def find_pairs(
    steps: Iterable[Step],
    layers: Mapping[Any, LayerT],
    *,
    first: Collection[Any],
    passing: Collection[Any],
    outputs: Collection[Any],
) -> list[Pair[LayerT]]:
    """Return every layer between which and its readers channels can be scaled, in the graph's order.

    layers: by the tensor that they give. first: those of these tensors whose channels may be multiplied.
    passing: tensors that are a multiple of what they are where that from which they are made is multiplied by
    a positive number. outputs: the graph's own, which have to stay as they are.
    """
    readers: dict[Hashable, list[Step]] = {}
    for step in steps:
        for tensor in step.taken:
            readers.setdefault(tensor, []).append(step)
    found = []
    for tensor in first:
        between = [tensor]
        while between[-1] not in outputs:
            after = readers.get(between[-1], [])
            known = [layers.get(step.given[0]) for step in after]
            fitting = [x for x in known if x is not None and _takes(x, between[-1], layers[tensor])]
            if fitting and len(fitting) == len(after):
                found.append(Pair(layers[tensor], tuple(fitting), tuple(between)))
                break
            if len(after) != 1 or after[0].given[0] not in passing:
                break
            between.append(after[0].given[0])
    return found


def equalize_pair(pair: Pair[LayerT], weights: Weights[LayerT], seen: Channels, top: int) -> bool:
    """Multiply the channels by what makes the readers' noise least; return whether that changes anything.

    top: the largest integer that stands for a weight.
    """
    matrices = [weights.read(layer) for layer in pair.after]
    cubes = [by_channel(rows, layer.windows) for rows, layer in zip(matrices, pair.after, strict=True)]
    factors = best_factors(cubes, seen, top)
    if factors is None:
        return False
    weights.write(pair.before, weights.read(pair.before) * factors[:, None])
    weights.scale_bias(pair.before, factors)
    for rows, layer in zip(matrices, pair.after, strict=True):
        weights.write(layer, divided(rows, layer.windows, factors))
    return True


def _takes(after: Windowed, tensor: Hashable, before: Windowed) -> bool:
    """Whether a layer reads another's channels one by one: both of images, or both of rows."""
    alike = bool(after.windows.kernel) == bool(before.windows.kernel)
    return after.taken == tensor and alike and channel_count(after.windows) == before.outputs
