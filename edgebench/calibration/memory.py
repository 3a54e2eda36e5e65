"""How much memory watching a graph takes, known before it is taken, and how many bins fit a bound."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgebench.calibration.channels import CHANNEL_BINS, Channels
from edgebench.calibration.histogram import BINS, count_bytes
from edgebench.calibration.watch import Watchable
from edgebench.errors import ConfigError, InputError

LEAST_BINS = 512
"""With fewer, a range of 8 bits would be chosen among fewer than two bins a level."""
MOST_CHANNELS = 4096
"""Of a tensor that is watched by channel; more of them are a vocabulary, not features."""
_ROW_BYTES = 400
"""Of a channel's extremes, averages and places, beside its counts."""
_VALUE_BYTES = 48
"""Of numpy's intermediate arrays, for each value that is watched of a sample."""
_FLOAT_BYTES = 4
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_memory(text: str | None, name: str = "--max-calib-memory") -> int | None:
    """Return the bytes that `300MB` or `1GiB` names; None for None. Raises ConfigError, naming `name`."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?i?b)\s*", text, re.IGNORECASE)
    if found is None or found[2].upper() not in _UNITS or float(found[1]) <= 0:
        raise ConfigError(f"{name} {text!r} is not an amount of memory", hint="as in 300MB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def needed_bytes(graph: Watchable, bins: int, folds: int) -> int:
    """Return the bytes of watching a graph: histograms, and one inference that keeps every tensor.

    What a plain inference takes of its own, such as the runtime's copy of the weights, is not in it, nor
    what `channel_bytes` says.
    """
    counts = count_bytes(len(graph.sizes), sum(graph.sizes), bins, folds)
    return counts + sum(graph.sizes) * _VALUE_BYTES + graph.values * _FLOAT_BYTES + graph.copies_bytes


def bins_within(limit: int | None, graph: Watchable, folds: int, what: str) -> int:
    """Return the most bins, a power of two up to 4,096, with which watching stays within `limit` bytes.

    Raises InputError, saying what would be needed, where the fewest, 512, are too many.
    """
    bins = BINS
    while limit is not None and needed_bytes(graph, bins, folds) > limit:
        bins //= 2
        if bins < LEAST_BINS:
            least = needed_bytes(graph, LEAST_BINS, folds)
            raise InputError(
                f"{limit / 1e6:.4g} MB is too little for {what}: {len(graph.sizes)} "
                f"tensors with {LEAST_BINS} bins each and one inference take {least / 1e6:.4g} MB",
                hint=f"--max-calib-memory {-(-least // 10**6)}MB, `export.calibration_memory` in a pipeline; "
                "or a smaller input shape",
            )
    return bins


def channel_bytes(channels: Mapping[str, Channels], bins: int) -> int:
    """Return the bytes that watching tensors by channel takes beside watching them as wholes."""
    rows = sum(own.count for own in channels.values())
    values = sum(own.count * own.taken for own in channels.values())
    return count_bytes(rows, values, bins) + rows * _ROW_BYTES + values * _VALUE_BYTES


def channels_within(room: int | None, found: Mapping[str, Channels]) -> tuple[dict[str, Channels], int]:
    """Return those tensors' channels that are watched within so many bytes, and how many bins each has.

    Tensors of few channels come first; None is no bound, but for MOST_CHANNELS.
    """
    allowed = [item for item in found.items() if item[1].count <= MOST_CHANNELS]
    order = [name for name, _ in sorted(allowed, key=lambda item: item[1].count)]
    for bins in (CHANNEL_BINS, LEAST_BINS):
        if room is None or channel_bytes(dict(allowed), bins) <= room:
            return dict(allowed), bins
    kept = len(order)
    while kept and channel_bytes({name: found[name] for name in order[:kept]}, LEAST_BINS) > (room or 0):
        kept -= 1
    return {name: own for name, own in allowed if name in order[:kept]}, LEAST_BINS
