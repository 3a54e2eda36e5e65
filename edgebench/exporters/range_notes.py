"""What the user has to be told of a graph's ranges: tensors, and channels, that are odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgebench.calibration.channel_notes import dead_channels, some_channels, wide_channels
from edgebench.calibration.table import ChannelStatistics, GraphTable

UNSTEADY = 0.25
"""Spread of a range from which a note is made of it."""
_NAMED = 3
_SAMPLES = 8
"""With fewer of them a channel may well have one value by chance."""


def range_notes(table: GraphTable, watched: Sequence[str], left: Sequence[str], samples: int) -> list[str]:
    """Return notes on a graph's ranges.

    watched: its tensors, each once. left: those of too many channels to be watched by channel.
    """
    notes = []
    zero = [name for name in watched if table.tensors[name].zeros == 1.0]
    if zero:
        notes.append(f"always zero on the calibration samples: {_some(zero)}")
    unsteady = [(name, spread) for name, spread in table.least_steady(len(watched)) if spread > UNSTEADY]
    if unsteady:
        named = _some([f"{name} ({spread:.0%}{_most(table, name)})" for name, spread in unsteady])
        notes.append(f"ranges move much as a quarter of the samples is left out, take more: {named}")
    if left:
        notes.append(f"too many channels for the memory, watched as wholes only: {_some(left)}")
    known = {name: found for name in watched if (found := table.tensors[name].channels) is not None}
    return [*notes, *_wide(known), *(_dead(known) if samples >= _SAMPLES else ())]


def _wide(known: Mapping[str, ChannelStatistics]) -> list[str]:
    """Return the tensors whose range some channels widen, those that lose most first."""
    found = []
    for name, own in known.items():
        ends = ([part.lowest for part in own.ranges], [part.highest for part in own.ranges])
        if (wide := wide_channels(*ends)) is not None:
            found.append((wide, name))
    found.sort(key=lambda item: -item[0].costs)
    told = [wide.words(name) for wide, name in found[:_NAMED]]
    more = len(found) - len(told)
    return [*told, *([f"and {more} more tensors have such channels"] if more else [])]


def _dead(known: Mapping[str, ChannelStatistics]) -> list[str]:
    dead = {name: dead_channels(own.lowest, own.highest) for name, own in known.items()}
    named = [
        f"{name}: {some_channels(channels)} (of {len(known[name].ranges)})"
        for name, channels in dead.items()
        if channels
    ]
    return [f"dead channels, of one value on all samples: {_some(named, '; ')}"] if named else []


def _most(table: GraphTable, name: str) -> str:
    """Return which channel of a tensor moves most, in words, where that is known."""
    own = table.tensors[name].channels
    if own is None or not own.spread:
        return ""
    moved = np.multiply(own.spread, np.subtract(own.highest, own.lowest))
    return f", most by channel {int(moved.argmax())}"


def _some(names: Sequence[str], between: str = ", ") -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _NAMED
    return between.join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
