"""Channels of activations made alike in size, so that one range serves them all: exact in float.

Between a layer and the layers that read it stand only operators that pass a channel's scale on (ReLU,
pooling), so a channel can be divided by a number before them and multiplied by it after them. Nagel et
al.: Data-free quantization through weight equalization and bias correction, 2019; with weights that have
a scale per channel, what is left to equalize are the activations, here by their measured extremes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto

from edgebench.calibration.passes_layers import (
    FloatArray,
    Layer,
    layers,
    read_constant,
    read_matrix,
    write_constant,
    write_matrix,
)
from edgebench.calibration.passes_moments import tapped_session
from edgebench.calibration.passes_rounding import top_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_PASSING = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Dropout")
"""Operators that give a multiple of what they give where their input is multiplied by a positive number."""

_POWERS = (0.25, 0.5, 0.75, 1.0)

_LARGEST = 1000.0
"""A channel is made at most this many times larger or smaller than it was beside the others."""

_ACTIVATION_STEPS = 255

_WORTHWHILE = 0.6
"""Share of the noise that may be left. Nearer to 1 the estimate, which knows no means, may be wrong."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer, the layers that alone read its channels, and the tensors in between, the last one read."""

    before: Layer
    after: tuple[Layer, ...]
    between: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channels:
    """Of one tensor over all samples, float64[channels]. largest: magnitude; power: mean square."""

    largest: FloatArray
    power: FloatArray


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
    seen = channels(model, [pair.between[-1] for pair in found], samples)
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
    model: ModelProto, names: Sequence[str], samples: Iterable[Sequence[Array]]
) -> dict[str, Channels]:
    """Return what the channels, axis 1, of a graph's tensors are over the samples."""
    run = tapped_session(model, names)
    found: dict[str, Channels] = {}
    for count, sample in enumerate(samples):
        for name, value in run(sample).items():
            axes = (0, *range(2, value.ndim))
            largest = np.abs(value).max(axis=axes).astype(np.float64)
            power = np.square(value, dtype=np.float64).mean(axis=axes)
            before = found.get(name, Channels(largest, power))
            mean = before.power + (power - before.power) / (count + 1)
            found[name] = Channels(np.maximum(before.largest, largest), mean)
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
    return after.taken == name and after.is_conv == before.is_conv and _channels(after) == before.outputs


def _channels(layer: Layer) -> int:
    """Return how many channels a layer reads."""
    return layer.windows.groups * layer.windows.columns // max(1, int(np.prod(layer.windows.kernel)))


def _equalize(model: ModelProto, pair: Pair, seen: Channels, top: int) -> bool:
    """Multiply the channels by what makes the readers' noise least; return whether that changes anything."""
    cubes = [_by_channel(read_matrix(model, layer), layer) for layer in pair.after]
    tried = _candidates(cubes, seen)
    noises = [_noise(cubes, seen, factors, top) for factors in tried]
    if min(noises) > _WORTHWHILE * noises[0]:
        return False
    factors = tried[int(np.argmin(noises))]
    write_matrix(model, pair.before, read_matrix(model, pair.before) * factors[:, None])
    if pair.before.bias is not None:
        write_constant(model, pair.before.bias, read_constant(model, pair.before.bias) * factors)
    for layer, cube in zip(pair.after, cubes, strict=True):
        rows = cube / _of_groups(factors, cube)
        write_matrix(model, layer, rows.reshape(layer.outputs, layer.windows.columns))
    return True


def _candidates(cubes: Sequence[FloatArray], seen: Channels) -> list[FloatArray]:
    """Return what the channels may be multiplied by: powers of what makes them equal, with 1 first.

    Equal are either the channels themselves, or the channels beside the weights that read them.
    """
    weights = np.max([np.abs(cube).max(axis=(1, 3)).reshape(-1) for cube in cubes], axis=0)
    used = (seen.largest > 0) & (weights > 0)
    smaller = np.where(used, 1 / np.where(used, seen.largest, 1.0), 1.0)
    beside = np.where(used, np.where(used, weights, 1.0) * smaller, 1.0)
    tried = [base**power for power in _POWERS for base in (smaller, beside)]
    return [np.ones(len(used)), *(_bounded(factors, used) for factors in tried)]


def _bounded(factors: FloatArray, used: NDArray[np.bool_]) -> FloatArray:
    """Return factors about 1 and not too far from it; unused channels stay as they are."""
    middle = np.exp(np.log(factors[used]).mean()) if used.any() else 1.0
    found: FloatArray = np.where(used, np.clip(factors / middle, 1 / _LARGEST, _LARGEST), 1.0)
    return found


def _noise(cubes: Sequence[FloatArray], seen: Channels, factors: FloatArray, top: int) -> float:
    """Return the power of the readers' noise: of rounded activations, and of rounded weights."""
    step = (factors * seen.largest).max(initial=0.0) / _ACTIVATION_STEPS
    power = seen.power * factors**2
    total = 0.0
    for cube in cubes:
        weights = cube / _of_groups(factors, cube)
        total += step**2 * float(np.square(weights).sum())
        steps = np.abs(weights).max(axis=(2, 3)) / top
        group = power.reshape(len(cube), -1).sum(axis=1) * cube.shape[3]
        total += float((np.square(steps) * group[:, None]).sum())
    return total


def _of_groups(factors: FloatArray, cube: FloatArray) -> FloatArray:
    """Return factors of channels as they fit weights [groups, outputs, channels, window]."""
    return factors.reshape(len(cube), 1, -1, 1)


def _by_channel(rows: FloatArray, layer: Layer) -> FloatArray:
    """Return weights as [groups, outputs of a group, channels of a group, window]."""
    groups = layer.windows.groups
    return rows.reshape(groups, layer.outputs // groups, _channels(layer) // groups, -1)
