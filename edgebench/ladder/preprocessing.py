"""Other ways in which the samples may have to be prepared, and what a quantized input was calibrated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgebench.datasets import Colour, Dataset, Preprocessing, preprocess
from edgebench.ladder.record import RangeFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IMAGE_AXES = 4
_RGB = 3
_BYTE = 255.0
_STATISTICS = {
    "ImageNet's mean and deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's mean and deviation": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
"""Of RGB images in 0–1, as torchvision's and most training recipes have them."""
MOST_CLIPPED = 0.05
"""No observer leaves out more than this share of the inputs that it was calibrated on."""
LEAST_USED = 0.25
"""Samples like those calibrated on span more of the range than this."""
_FILLS = 0.7


def hypotheses(declared: Preprocessing, data: Dataset, indices: Sequence[int]) -> Mapping[str, Preprocessing]:
    """Return simple preprocessings other than the declared one, by what they are in words.

    None for inputs that are indices, such as a text's tokens.
    """
    stored = data.inputs[0]
    if stored.dtype.kind == "i" and stored.dtype.itemsize >= np.dtype(np.int32).itemsize:
        return {}
    values = np.asarray(stored[list(indices)], np.float32)
    bytes_ = float(np.abs(values).max(initial=0.0)) > 2  # noqa: PLR2004 - neither 0–1 nor −1–1
    unit = 1 / _BYTE if bytes_ else 1.0
    rgb = values.ndim == _IMAGE_AXES and values.shape[-1] == _RGB
    plain = replace(declared, scale=1.0, mean=(), std=())
    found = _swapped(declared) if rgb and declared.colour is not Colour.GRAY else {}
    found["0–255, unscaled"] = replace(plain, scale=unit * _BYTE)
    found["x/255"] = replace(plain, scale=unit)
    found["scaled to −1…1"] = replace(plain, scale=2 * unit, mean=(1.0,))
    if rgb:
        for words, (mean, std) in _STATISTICS.items():
            found[words] = replace(plain, scale=unit, mean=mean, std=std)
    means, deviations = _own(values * np.float32(unit))
    found["the data's own mean and deviation"] = replace(plain, scale=unit, mean=means, std=deviations)
    return {words: steps for words, steps in found.items() if steps != declared}


def _swapped(declared: Preprocessing) -> dict[str, Preprocessing]:
    order = Colour.RGB if declared.colour is Colour.BGR else Colour.BGR
    return {f"channels swapped to {order.upper()}": replace(declared, colour=order)}


def _own(values: NDArray[np.float32]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation over everything but the last axis; constants get the deviation 1."""
    axes = tuple(range(values.ndim - 1))
    mean, std = values.mean(axes, dtype=np.float64), values.std(axes, dtype=np.float64)
    return (
        tuple(float(value) for value in np.atleast_1d(mean)),
        tuple(float(value) if value > 0 else 1.0 for value in np.atleast_1d(std)),
    )


def fit_input(
    tensor: str,
    calibrated: tuple[float, float],
    inputs: NDArray[np.generic],
    others: Mapping[str, NDArray[np.generic]],
) -> RangeFit:
    """Return how the inputs fill the range that the quantized file's first input was calibrated on.

    inputs: the samples as the model gets them. others: the same, prepared in other ways, by words.
    """
    low, high = calibrated
    clipped, used = _fill(inputs, low, high)
    like = None
    if misfits(clipped, used):
        fills = {words: _fill(array, low, high) for words, array in others.items()}
        fitting = {w: share for w, (lost, share) in fills.items() if lost <= MOST_CLIPPED and share >= _FILLS}
        like = min(fitting, key=lambda words: abs(fitting[words] - 1), default=None)
    seen = float(np.min(inputs)), float(np.max(inputs))
    return RangeFit(tensor, calibrated, seen, clipped, used, like)


def misfits(clipped: float, used: float) -> bool:
    """Whether a range cannot have been calibrated on such inputs."""
    return clipped > MOST_CLIPPED or used < LEAST_USED


def variants(
    data: Dataset, indices: Sequence[int], found: Mapping[str, Preprocessing]
) -> Mapping[str, tuple[NDArray[np.generic], ...]]:
    """Return the samples prepared in each way."""
    return {words: preprocess(data, steps, indices) for words, steps in found.items()}


def _fill(values: NDArray[np.generic], low: float, high: float) -> tuple[float, float]:
    """Return the share of values outside of a range, give or take half a step, and how much they span."""
    real = np.asarray(values, np.float32)
    half = (high - low) / _BYTE / 2
    outside = float(((real < low - half) | (real > high + half)).mean())
    return outside, float(real.max() - real.min()) / (high - low) if high > low else 0.0
