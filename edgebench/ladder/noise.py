"""Signal and error of tensors, added up sample by sample, so that no activation is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT_DB = 200.0
"""Stands for an error that is exactly zero; float32 itself carries about 150 dB."""


@dataclass(slots=True)
class Noise:
    """What one tensor's values were, and how far off: sums of squares in float64."""

    signal: float = 0.0
    error: float = 0.0
    largest: float = 0.0

    def add(self, wanted: NDArray[np.generic], got: NDArray[np.generic]) -> None:
        """Take in one sample's values; what is not finite counts as an error as large as the signal.

        The same infinity on both sides, as masks have it, is no signal and no error.
        """
        real, found = wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        kept = ~(np.isinf(real) & (real == found))
        real, found = real[kept], found[kept]
        off = found - real
        off = np.where(np.isfinite(off), off, np.abs(real) + 1)
        self.signal += float(np.square(real).sum())
        self.error += float(np.square(off).sum())
        self.largest = max(self.largest, float(np.abs(off).max(initial=0.0)))

    @property
    def ratio(self) -> float:
        """Return error power over signal power, 0 or more; 1 + error where there is no signal."""
        return self.error / self.signal if self.signal > 0 else (1 + self.error if self.error else 0.0)

    @property
    def sqnr_db(self) -> float:
        """Return 10·log10(signal / error), at most EXACT_DB."""
        return min(EXACT_DB, -10 * math.log10(self.ratio)) if self.ratio > 0 else EXACT_DB


def worst(values: Sequence[Noise]) -> Noise:
    """Return the noisiest of one or more."""
    return max(values, key=lambda noise: noise.ratio)
