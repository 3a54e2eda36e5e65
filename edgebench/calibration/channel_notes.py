"""What a tensor's channels say about it: one is so wide that it takes the others' integers, or is dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

_TIMES = 8.0
"""A channel is wide that spans more than so many times what the median channel does."""
_ONE_OF = 16
"""Of so many channels at most one is called wide: more of them are no exception."""
_COSTS = 2.0
"""A tensor's range has to be so many times what the other channels need: one bit of their eight."""
_FEWEST = 4
"""Channels that make a median."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Wide:
    """The channels of a tensor that are far wider than the others, the widest first.

    times: how many times wider than the median channel the widest is. costs: how many times what the other
    channels need the tensor's range is.
    """

    channels: tuple[int, ...]
    times: float
    costs: float

    def words(self, tensor: str) -> str:
        """Return what that is, and does, in words."""
        several = len(self.channels) > 1
        who = f"channel{'s' if several else ''} {some_channels(self.channels)} of {tensor}"
        how = f"{'are up to' if several else 'is'} {self.times:.0f} times wider than the median channel"
        return f"{who} {how}: the tensor's range is {self.costs:.1f} times what the other channels need"


def wide_channels(lowest: ArrayLike, highest: ArrayLike) -> Wide | None:
    """Return the channels that take integers from the others; None where none does.

    lowest, highest: of each channel. A range holds zero, as a tensor's does.
    """
    low, high = np.minimum(lowest, 0.0), np.maximum(highest, 0.0)
    width = high - low
    used = width[width > 0]
    if len(used) < _FEWEST:
        return None
    median = float(np.median(used))
    wide = width > _TIMES * median
    if not 0 < wide.sum() <= max(1, len(used) // _ONE_OF):
        return None
    costs = float((high.max() - low.min()) / (high[~wide].max() - low[~wide].min()))
    if costs < _COSTS:
        return None
    order = np.argsort(-width, kind="stable")[: int(wide.sum())]
    return Wide(tuple(map(int, order)), float(width.max()) / median, costs)


def dead_channels(lowest: ArrayLike, highest: ArrayLike) -> tuple[int, ...]:
    """Return the channels that had one value on all samples; none where that is so of all of them."""
    dead = np.equal(lowest, highest)
    return () if dead.all() else tuple(map(int, np.flatnonzero(dead)))


def some_channels(channels: Sequence[int]) -> str:
    """Return the first few channels in words, and how many more there are."""
    more = len(channels) - _NAMED
    return ", ".join(map(str, channels[:_NAMED])) + (f" and {more} more" if more > 0 else "")
