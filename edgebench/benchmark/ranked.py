"""Values by their rank, of which only those asked for are put in place."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64] | NDArray[np.float64]


_NEAR = 4
"""Bounds of a quantile lie so many roots of n away, or nearer: they are looked for among few values then."""


class Ranked:
    """Numbers by size, [n]: `ranked[k]` is the one that k others lie at or under.

    Each rank that is asked for parts the values between its known neighbours (quickselect).
    """

    def __init__(self, samples: Samples) -> None:
        self._values = samples.copy()
        self._known: list[int] = []
        self._near = math.ceil(_NEAR * math.sqrt(len(samples)))

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rank: int) -> float:
        place = bisect_left(self._known, rank)
        if place == len(self._known) or self._known[place] != rank:
            low = self._known[place - 1] + 1 if place else 0
            high = self._known[place] if place < len(self._known) else len(self)
            self._known[place:place] = self._part(low, high, rank)
        return float(self._values[rank])

    def _part(self, low: int, high: int, rank: int) -> list[int]:
        """Put the value of `rank`, and where there are many two around it, in place; return which."""
        around = [rank]
        if high - low > 8 * self._near:
            around = sorted({max(low, rank - self._near), rank, min(high - 1, rank + self._near)})
        self._values[low:high].partition([one - low for one in around])
        return around
