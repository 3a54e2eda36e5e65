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
_COUNT_BYTES = 8
_SPARSE = 8
"""Bins for each value of a sample from which it costs less to look each bin up than to pass over all."""
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


class Extremes:
    """The lowest and the highest value of each of several rows, float64[rows], by parts of the samples."""

    def __init__(self, rows: int, folds: int = 1) -> None:
        """Start with nothing seen, which lies between ∞ and −∞."""
        self._lowest = np.full((folds, rows), np.inf)
        self._highest = np.full((folds, rows), -np.inf)

    def add(self, low: NDArray[np.floating], high: NDArray[np.floating], fold: int = 0) -> None:
        """Take one sample's extremes in, [rows] each."""
        np.minimum(self._lowest[fold], low, out=self._lowest[fold])
        np.maximum(self._highest[fold], high, out=self._highest[fold])

    def found(
        self, rows: int | slice = slice(None), *, without: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest values of rows over all samples, or all but those of one fold."""
        kept = [fold for fold in range(len(self._lowest)) if fold != without]
        return self._lowest[kept, rows].min(axis=0), self._highest[kept, rows].max(axis=0)


class Histograms:
    """Streaming statistics of a fixed set of rows, each a tensor or a channel of one.

    sizes: how many values each row contributes per sample, in the order in which `add` gets them.
    folds: the samples are dealt to so many parts in turn, each counted by itself, so that `without` can
    tell what the others gave.
    """

    def __init__(
        self, sizes: Sequence[int], *, bins: int = BINS, folds: int = 1, momentum: float = 0.99
    ) -> None:
        """Start with nothing watched; momentum: of the moving averages of the extremes."""
        if bins % 4:
            raise ValueError(f"{bins} bins: a multiple of 4 is needed, so that neighbours pair up")
        if not sizes or min(sizes) < 1:
            raise ValueError("every row contributes at least one value")
        count = len(sizes)
        self._bins, self._folds, self._momentum = bins, folds, momentum
        self._samples = 0
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._owner = np.repeat(np.arange(count), sizes)
        self._offset = self._owner * bins + bins // 2
        self._scaled = np.empty(len(self._owner), np.float32)
        self._places = np.empty(len(self._owner), np.intp)
        self._exponent = np.full(count, _LEAST_EXPONENT, np.int64)
        self._bins_per_unit = self._scale_of_values()
        self._counts = np.zeros((folds, count, bins), np.int64)
        self._zeros = np.zeros((folds, count), np.int64)
        self._extremes = Extremes(count, folds)
        self._means = np.full((1 + folds, 2, count), np.nan)

    @property
    def folds(self) -> int:
        """How many parts the samples are dealt to; 1 until each part of several has at least two."""
        return self._folds if self._samples >= 2 * self._folds else 1

    def add(self, values: NDArray[np.float32], ends: Sequence[NDArray[np.float32]] = ()) -> int | None:
        """Watch one sample's values, float32[sum(sizes)]; return a row that held NaN or infinity.

        ends: the lowest and the highest value of each row where the values are a part of them only; they
        are not counted. A sample with such a value is not counted; None where all are finite.
        """
        low = np.minimum.reduceat(values, self._starts).astype(np.float64)
        high = np.maximum.reduceat(values, self._starts).astype(np.float64)
        if ends:
            low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
        wrong = ~(np.isfinite(low) & np.isfinite(high))
        if wrong.any():
            return int(np.flatnonzero(wrong)[0])
        fold = self._samples % self._folds
        self._samples += 1
        self._widen(np.maximum(np.abs(low), np.abs(high)))
        self._count(values, fold)
        self._extremes.add(low, high, fold)
        self._average(low, high, fold)
        return None

    def distributions(self) -> list[Distribution]:
        """Return what was watched so far, one row after the other."""
        return [self.distribution(row) for row in range(len(self._exponent))]

    def distribution(self, row: int, *, without: int | None = None) -> Distribution:
        """Return what was watched of one row, or of all its samples but those of one fold."""
        kept = [fold for fold in range(self._folds) if fold != without]
        low, high = self._extremes.found(row, without=without)
        half = self._bins // 2
        steps = np.arange(-half, half + 1, dtype=np.float64)
        means = self._means[0 if without is None else 1 + without, :, row]
        return Distribution(
            lowest=float(low),
            highest=float(high),
            edges=steps * (2.0 ** self._exponent[row] / half),
            counts=self._counts[0, row] if kept == [0] else self._counts[kept, row].sum(axis=0),
            zeros=int(self._zeros[kept, row].sum()),
            mean_lowest=float(means[0]),
            mean_highest=float(means[1]),
        )

    def _widen(self, largest: NDArray[np.float64]) -> None:
        """Make each range hold values up to `largest`, adding neighbouring bins up."""
        needed = np.maximum(np.frexp(largest)[1].astype(np.int64), _LEAST_EXPONENT)
        wider = np.flatnonzero(needed > self._exponent)
        for i in wider if self._samples > 1 else ():  # before the first sample is counted there is nothing
            for _ in range(min(int(needed[i] - self._exponent[i]), self._bins.bit_length())):
                for fold in range(self._folds):
                    self._counts[fold, i] = _folded(self._counts[fold, i])
        if wider.size:
            self._exponent[wider] = needed[wider]
            self._bins_per_unit = self._scale_of_values()

    def _count(self, values: NDArray[np.float32], fold: int) -> None:
        np.floor(np.multiply(values, self._bins_per_unit, out=self._scaled), out=self._scaled)
        self._places[:] = self._scaled
        self._places += self._offset
        counts = self._counts[fold]
        if _is_sparse(len(counts), len(values), self._bins):
            np.add.at(counts.reshape(-1), self._places, 1)
        else:
            counts += np.bincount(self._places, minlength=counts.size).reshape(counts.shape)
        zero = np.add.reduceat((values == 0).astype(np.int32), self._starts)
        self._zeros[fold] += zero
        counts[:, self._bins // 2] -= zero

    def _scale_of_values(self) -> NDArray[np.float32]:
        """Return, for each value of a sample, how many bins its tensor has per unit."""
        widths = (self._bins // 2) / 2.0**self._exponent
        return widths.astype(np.float32)[self._owner]

    def _average(self, low: NDArray[np.float64], high: NDArray[np.float64], fold: int) -> None:
        rows = [row for row in range(1 + self._folds) if row != 1 + fold]
        keep, take = self._momentum, 1 - self._momentum
        seen, now = self._means[rows], np.stack([low, high])
        self._means[rows] = np.where(np.isnan(seen), now, keep * seen + take * now)


def count_bytes(rows: int, values: int, bins: int, folds: int = 1) -> int:
    """Return the bytes that counts take, those of the sample that is being added included.

    values: of all rows of a sample.
    """
    return rows * bins * _COUNT_BYTES * (folds + (0 if _is_sparse(rows, values, bins) else 1))


def _is_sparse(rows: int, values: int, bins: int) -> bool:
    return rows * bins > _SPARSE * values


def _folded(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts over twice the range: pairs added up, around the same middle."""
    quarter = len(counts) // 4
    folded = np.zeros_like(counts)
    folded[quarter : 3 * quarter] = counts.reshape(-1, 2).sum(axis=1)
    return folded
