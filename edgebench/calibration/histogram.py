"""What is kept of the values that many tensors took: exact extremes, and histograms that never lose count.

Every histogram has the same number of bins over ±2^e, and e is the smallest that holds all values so
far. When a larger value comes, neighbouring bins are added up; since bins begin at multiples of their
width and widths are powers of two, the counts are those that the final range would have given from the
start. So the result is the same, bit for bit, for any order and any split of the samples, and memory is
tensors × bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096
_LEAST_EXPONENT = -60
"""Values below 2^-60 are zero to any 8-bit grid; a range of no values has this exponent."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """The values of one tensor over all samples.

    lowest, highest: exact over what was watched. edges: float64[bins + 1]. counts: int64[bins], without
    exact zeros. zeros: how many values were exactly zero. mean_lowest, mean_highest: moving averages of
    each sample's extremes, in the samples' order. total: values watched.
    """

    lowest: float
    highest: float
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    zeros: int
    mean_lowest: float
    mean_highest: float

    @property
    def total(self) -> int:
        """How many values were watched."""
        return int(self.counts.sum()) + self.zeros

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin, float64[bins]."""
        return (self.edges[:-1] + self.edges[1:]) / 2


class Histograms:
    """Streaming statistics of a fixed set of tensors.

    sizes: how many values each tensor contributes per sample, in the order in which `add` gets them.
    """

    def __init__(self, sizes: Sequence[int], *, bins: int = BINS, momentum: float = 0.99) -> None:
        """Start with nothing watched; momentum: of the moving averages of the extremes."""
        if bins % 4:
            raise ValueError(f"{bins} bins: a multiple of 4 is needed, so that neighbours pair up")
        if not sizes or min(sizes) < 1:
            raise ValueError("every tensor contributes at least one value")
        count = len(sizes)
        self._bins, self._momentum = bins, momentum
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._owner = np.repeat(np.arange(count), sizes)
        self._offset = (self._owner * bins + bins // 2).astype(np.int32)
        self._exponent = np.full(count, _LEAST_EXPONENT, np.int64)
        self._counts = np.zeros((count, bins), np.int64)
        self._zeros = np.zeros(count, np.int64)
        self._lowest = np.full(count, np.inf)
        self._highest = np.full(count, -np.inf)
        self._mean: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, values: NDArray[np.float32]) -> int | None:
        """Watch one sample's values, float32[sum(sizes)]; return a tensor that held NaN or infinity.

        A sample with such a value is not counted; None where all are finite.
        """
        low = np.minimum.reduceat(values, self._starts).astype(np.float64)
        high = np.maximum.reduceat(values, self._starts).astype(np.float64)
        wrong = ~(np.isfinite(low) & np.isfinite(high))
        if wrong.any():
            return int(np.flatnonzero(wrong)[0])
        self._widen(np.maximum(np.abs(low), np.abs(high)))
        self._count(values)
        self._lowest, self._highest = np.minimum(self._lowest, low), np.maximum(self._highest, high)
        self._average(low, high)
        return None

    def distributions(self) -> list[Distribution]:
        """Return what was watched so far, one tensor after the other."""
        half = self._bins // 2
        steps = np.arange(-half, half + 1, dtype=np.float64)
        means = self._mean or (self._lowest, self._highest)
        return [
            Distribution(
                lowest=float(self._lowest[i]),
                highest=float(self._highest[i]),
                edges=steps * (2.0 ** self._exponent[i] / half),
                counts=self._counts[i],
                zeros=int(self._zeros[i]),
                mean_lowest=float(means[0][i]),
                mean_highest=float(means[1][i]),
            )
            for i in range(len(self._exponent))
        ]

    def _widen(self, largest: NDArray[np.float64]) -> None:
        """Make each range hold values up to `largest`, adding neighbouring bins up."""
        needed = np.maximum(np.frexp(largest)[1].astype(np.int64), _LEAST_EXPONENT)
        for i in np.flatnonzero(needed > self._exponent):
            for _ in range(min(int(needed[i] - self._exponent[i]), self._bins.bit_length())):
                self._counts[i] = _folded(self._counts[i])
            self._exponent[i] = needed[i]

    def _count(self, values: NDArray[np.float32]) -> None:
        widths = (self._bins // 2) / 2.0**self._exponent
        places = np.floor(values * widths.astype(np.float32)[self._owner]).astype(np.int32)
        places += self._offset
        found = np.bincount(places, minlength=self._counts.size)
        self._counts += found.reshape(self._counts.shape)
        zero = np.add.reduceat((values == 0).astype(np.int64), self._starts)
        self._zeros += zero
        self._counts[:, self._bins // 2] -= zero

    def _average(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        if self._mean is None:
            self._mean = (low, high)
            return
        keep, take = self._momentum, 1 - self._momentum
        self._mean = (keep * self._mean[0] + take * low, keep * self._mean[1] + take * high)


def _folded(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts over twice the range: pairs added up, around the same middle."""
    quarter = len(counts) // 4
    folded = np.zeros_like(counts)
    folded[quarter : 3 * quarter] = counts.reshape(-1, 2).sum(axis=1)
    return folded
