"""The vectors that a layer multiplies: the windows of an image, or the rows of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

POSITIONS = 64
"""Places of an image, or rows of a matrix, that are looked at per sample."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How a layer's input becomes the vectors [columns] that its weights multiply.

    columns: weights per output. groups: of a convolution, 1 of others. kernel: sides of a convolution's
    window, () of others. pads: zeros before and after each axis; None for as few as give
    ceil(size / stride) places, the odd one behind (SAME, as TensorFlow has it).
    """

    columns: int
    groups: int = 1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[tuple[int, int], ...] | None = ()

    @property
    def spans(self) -> tuple[int, ...]:
        """The sides of a window with the gaps that dilation leaves in it."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilations, strict=True))


def vectors(windows: Windows, value: FloatArray) -> FloatArray:
    """Return what a layer multiplies of one input, float32[groups, count, columns], evenly chosen.

    value: [channels, ...] of a convolution's image, any array with `columns` values to a row otherwise.
    A window's values are in the order channel, then place.
    """
    if not windows.kernel:
        rows = value.reshape(-1, windows.columns)
        return rows[:: _step(len(rows))][None]
    patches = _patches(windows, value)
    split = patches.reshape(windows.groups, -1, *patches.shape[1:])
    grouped = np.moveaxis(split, 2, 1)
    return np.ascontiguousarray(grouped).reshape(windows.groups, -1, windows.columns)


def _patches(windows: Windows, value: FloatArray) -> FloatArray:
    """Return evenly chosen windows of a convolution as [channels, places, kernel...], for any rank."""
    rank = len(windows.kernel)
    padded = np.pad(value, [(0, 0), *_pads(windows, value.shape[1:])])
    found = np.lib.stride_tricks.sliding_window_view(padded, windows.spans, axis=tuple(range(1, rank + 1)))
    steps = (*windows.strides, *windows.dilations)
    every: tuple[Any, ...] = (slice(None), *(slice(None, None, step) for step in steps))
    found = found[every]
    places = found.shape[1 : rank + 1]
    count = int(np.prod(places))
    chosen = np.unravel_index(np.arange(0, count, _step(count)), places)
    taken: FloatArray = found[(slice(None), *chosen)]
    return taken


def _pads(windows: Windows, sizes: Sequence[int]) -> Sequence[tuple[int, int]]:
    if windows.pads is not None:
        return windows.pads
    axes = zip(sizes, windows.spans, windows.strides, strict=True)
    totals = [max((-(-size // stride) - 1) * stride + span - size, 0) for size, span, stride in axes]
    return [(total // 2, total - total // 2) for total in totals]


def _step(count: int) -> int:
    """Return an odd step, so that rows and columns of an image are met alike."""
    return max(1, count // POSITIONS) | 1
