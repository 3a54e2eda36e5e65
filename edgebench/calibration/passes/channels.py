"""How the channels of an activation are best scaled, so that one range serves them all.

Between a layer and the layers that read it stand only operators that pass a channel's scale on (ReLU,
pooling), so a channel can be multiplied by a number before them and divided by it after them: exact in
float. Nagel et al.: Data-free quantization through weight equalization and bias correction, 2019. With
weights that have a scale per output, what is left to equalize are the activations, here by what was
measured of them; Xiao et al.: SmoothQuant, 2022, weigh them against the weights that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.passes.windows import Windows

if TYPE_CHECKING:
    Bools = NDArray[np.bool_]

FloatArray = NDArray[np.float64]

SCALED = "/scaled"
"""Ends the names of tensors whose channels are multiples of those that the float file has."""

_POWERS = (0.25, 0.5, 0.75, 1.0)

_LARGEST = 1000.0
"""A channel is made at most this many times larger or smaller than it was beside the others."""

_ACTIVATION_STEPS = 255

_WORTHWHILE = 0.6
"""Share of the noise that may be left. Nearer to 1 the estimate, which knows no means, may be wrong."""


class Channels:
    """Of one tensor over samples, float64[channels]. largest: magnitude; power: mean square."""

    def __init__(self) -> None:
        """Begin with no samples."""
        self.largest: FloatArray = np.zeros(1)
        self.power: FloatArray = np.zeros(1)
        self._count = 0

    def add(self, value: NDArray[Any]) -> None:
        """Take one sample in, [channels, ...]."""
        axes = tuple(range(1, value.ndim))
        self._count += 1
        self.largest = np.maximum(self.largest, np.abs(value).max(axis=axes))
        power = np.square(value, dtype=np.float64).mean(axis=axes)
        self.power = self.power + (power - self.power) / self._count


def channel_count(windows: Windows) -> int:
    """Return how many channels a layer reads."""
    return windows.groups * windows.columns // max(1, int(np.prod(windows.kernel)))


def by_channel(rows: FloatArray, windows: Windows) -> FloatArray:
    """Return weights [outputs, columns] as [groups, outputs of a group, channels of a group, window]."""
    groups = windows.groups
    return rows.reshape(groups, len(rows) // groups, channel_count(windows) // groups, -1)


def divided(rows: FloatArray, windows: Windows, factors: FloatArray) -> FloatArray:
    """Return weights [outputs, columns] for channels that have been multiplied by the factors."""
    cube = by_channel(rows, windows)
    return (cube / _of_groups(factors, cube)).reshape(rows.shape)


def best_factors(cubes: Sequence[FloatArray], seen: Channels, top: int) -> FloatArray | None:
    """Return what each channel is best multiplied by; None where that gains too little.

    cubes: the weights that read the channels, as `by_channel` arranges them. top: the largest integer
    that stands for a weight.
    """
    tried = _candidates(cubes, seen)
    noises = [_noise(cubes, seen, factors, top) for factors in tried]
    return None if min(noises) > _WORTHWHILE * noises[0] else tried[int(np.argmin(noises))]


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


def _bounded(factors: FloatArray, used: Bools) -> FloatArray:
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
