"""Mean and second moments of vectors that come in pieces, and what of them is gathered at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.passes.windows import Windows

if TYPE_CHECKING:
    Vectors = NDArray[np.float32]

FloatArray = NDArray[np.float64]

SAMPLES = 128
"""Samples that the weights are rounded by; more of them change little."""

_LEAST = 1e-6
"""Share of an input's power that its variance is taken to have at least: above what rounding leaves."""

_ROWS = 1024
"""Vectors that are kept until they are multiplied: one large product costs less than many small ones."""

_BYTES = 64 << 20
"""Second moments that are held at a time; layers beyond it take another pass over the samples."""

_MOST_COLUMNS = 2304
"""Weights per output beyond which rounding one by one takes too long; such layers are left as they are."""


class Windowed(Protocol):
    """A layer of any format."""

    @property
    def taken(self) -> Hashable:
        """The tensor that it reads, as the format calls it."""

    @property
    def given(self) -> str:
        """The tensor that it writes."""

    @property
    def outputs(self) -> int:
        """How many channels it gives."""

    @property
    def windows(self) -> Windows:
        """What of its input it multiplies."""


LayerT = TypeVar("LayerT", bound=Windowed)


@dataclass(slots=True)
class Moments:
    """Of the vectors that a layer multiplies. mean: [groups, columns]; second: [groups, columns, columns]."""

    count: int
    mean: FloatArray
    second: FloatArray

    @property
    def covariance(self) -> FloatArray:
        """The second moments about the mean, positive definite also where an input never changes."""
        found = self.second - self.mean[:, :, None] * self.mean[:, None, :]
        power = np.trace(self.second, axis1=1, axis2=2) / self.second.shape[1]
        least: FloatArray = _LEAST * power[:, None, None] * np.eye(self.second.shape[1])
        return found + least


class Sums:
    """The moments of several layers under way; vectors wait until enough are there to be multiplied."""

    def __init__(self, layers: Sequence[Windowed]) -> None:
        """Begin with no vectors."""
        self._sums = {layer.given: _empty(layer.windows) for layer in layers}
        self._waiting: dict[str, list[Vectors]] = {layer.given: [] for layer in layers}

    def add(self, given: str, vectors: Vectors) -> None:
        """Take float32[groups, count, columns] of the layer that gives a tensor."""
        waiting = self._waiting[given]
        waiting.append(vectors)
        if sum(part.shape[1] for part in waiting) >= _ROWS:
            _add(self._sums[given], waiting)

    def moments(self) -> Mapping[str, Moments]:
        """Return the moments by the tensor that each layer gives; nothing may be added afterwards."""
        for given, entry in self._sums.items():
            _add(entry, self._waiting[given])
            entry.mean /= max(entry.count, 1)
            entry.second /= max(entry.count, 1)
        return self._sums


def in_parts(layers: Sequence[LayerT]) -> Iterator[list[LayerT]]:
    """Yield layers together as long as their second moments fit into _BYTES."""
    part: list[LayerT] = []
    held = 0
    for layer in layers:
        size = 8 * layer.windows.groups * layer.windows.columns**2
        if layer.windows.columns > _MOST_COLUMNS:
            continue
        if part and held + size > _BYTES:
            yield part
            part, held = [], 0
        part.append(layer)
        held += size
    if part:
        yield part


def rounding_steps(layers: Sequence[Windowed]) -> list[str]:
    """Return what was done to the weights of layers, in words: some are too wide to round by samples."""
    wide = [layer.given for layer in layers if layer.windows.columns > _MOST_COLUMNS]
    nearest = f"weights rounded to the nearest, more than {_MOST_COLUMNS} an output: {', '.join(wide)}"
    return ["weights rounded by calibration samples", *([nearest] if wide else [])]


def _empty(windows: Windows) -> Moments:
    size = windows.columns
    return Moments(0, np.zeros((windows.groups, size)), np.zeros((windows.groups, size, size)))


def _add(entry: Moments, parts: list[Vectors]) -> None:
    """Take the waiting vectors into the sums, and forget them."""
    if parts:
        found = np.concatenate(parts, axis=1)
        entry.count += found.shape[1]
        entry.mean += found.sum(axis=1, dtype=np.float64)
        entry.second += found.transpose(0, 2, 1) @ found
        parts.clear()
