"""From what a tensor's values were to the range that its integers cover: five observers, one interface.

Each takes a Distribution and the number of bits and returns a Range that contains zero, since zero has
to be exact (padding, ReLU).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.histogram import Distribution
from edgebench.calibration.methods import Method

PERCENTILE = 99.999
_MSE_ENDS = 64
_MSE_FINALISTS = 12
_NEARBY = 1 + np.array((0.0, 0.2, 0.4, 0.6, -0.2, -0.4, -0.6)) / _MSE_ENDS
"""Multiples of the best of these ends that are tried too."""
_ENTROPY_ENDS = 7
"""Ends that are tried on each side, from a tenth of the extreme to all of it."""

_SMOOTHING = 1e-3
"""Of a count, put into every bin, so that the divergence is finite where clipping fills an empty one."""


@dataclass(frozen=True, slots=True)
class Range:
    """The real values that the lowest and the highest integer stand for; lowest <= 0 <= highest."""

    lowest: float
    highest: float


def observe(values: Distribution, method: Method, *, bits: int = 8) -> Range:
    """Return the range for a tensor's values. bits: of the integers, 2 or more."""
    return _with_zero(_OBSERVERS[method](values, bits))


def _with_zero(found: Range) -> Range:
    return Range(min(found.lowest, 0.0), max(found.highest, 0.0))


def _min_max(values: Distribution, bits: int) -> Range:
    del bits
    return Range(values.lowest, values.highest)


def _moving_average(values: Distribution, bits: int) -> Range:
    del bits
    return Range(values.mean_lowest, values.mean_highest)


def _percentile(values: Distribution, bits: int) -> Range:
    """Cut off the same share of values at both ends, so that PERCENTILE per cent stay on each."""
    del bits
    counts = values.counts.astype(np.float64)
    counts[len(counts) // 2] += values.zeros
    cumulated = np.cumsum(counts)
    cut = (1 - PERCENTILE / 100) * cumulated[-1]
    low = values.edges[int(np.searchsorted(cumulated, cut, side="right"))]
    high = values.edges[int(np.searchsorted(cumulated, cumulated[-1] - cut, side="left")) + 1]
    return Range(max(float(low), values.lowest), min(float(high), values.highest))


def _mse(values: Distribution, bits: int) -> Range:
    """Return the range of the least squared error, rounding and clipping together.

    Every pair of ends is rated by an estimate (step²/12 for a value inside, none for an exact zero, the
    squared distance for a value outside), and the best of these by the rounding of each bin. Banner et
    al.: Post training 4-bit quantization, 2019, on the histogram instead of a model of it.
    """
    lows, highs = _candidates(values, _MSE_ENDS)
    outside_low, clipped_low = _beyond(-values.centres[::-1], values.counts[::-1], -lows)
    outside_high, clipped_high = _beyond(values.centres, values.counts, highs)
    inside = values.counts.sum() - outside_low[:, None] - outside_high[None, :]
    steps = (highs[None, :] - lows[:, None]) / (2**bits - 1)
    estimate = steps**2 / 12 * inside + clipped_low[:, None] + clipped_high[None, :]
    i, j = np.unravel_index(_least(estimate.reshape(-1), _MSE_FINALISTS), estimate.shape)
    filled = values.counts > 0
    error = partial(_squared_errors, values.centres[filled], values.counts[filled], bits=bits)
    best = int(error(lows[i], highs[j]).argmin())
    low, high = lows[i][best] * _NEARBY, highs[j][best] * _NEARBY
    best = int(error(low, high).argmin())
    return Range(float(low[best]), float(high[best]))


def _entropy(values: Distribution, bits: int) -> Range:
    """Return the range whose 2^bits levels tell the values with the least loss of information.

    Kullback–Leibler divergence of the clipped values from their quantized form, each end in turn.
    Migacz: 8-bit inference with TensorRT, 2017; with a zero point, as activations have one here.
    """
    low, high = min(values.lowest, 0.0), max(values.highest, 0.0)
    if high > 0:
        high = _least_end(high, lambda end: _divergence(values, low, end, bits))
    if low < 0:
        low = _least_end(low, lambda end: _divergence(values, end, high, bits))
    return Range(low, high)


_OBSERVERS: dict[Method, Callable[[Distribution, int], Range]] = {
    Method.MIN_MAX: _min_max,
    Method.MOVING_AVERAGE: _moving_average,
    Method.PERCENTILE: _percentile,
    Method.ENTROPY: _entropy,
    Method.MSE: _mse,
}


def _candidates(values: Distribution, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends to try, on each side from a tenth of the extreme to the extreme, last."""
    shares = np.linspace(0.1, 1.0, count)
    low, high = min(values.lowest, 0.0), max(values.highest, 0.0)
    return (
        shares * low if low < 0 else np.zeros(1),
        shares * high if high > 0 else np.zeros(1),
    )


def _least_end(extreme: float, loss: Callable[[float], float]) -> float:
    """Return the end of the least loss between a tenth of `extreme` and all of it, the widest of equals.

    First on a coarse grid, then on a fine one around the best of it.
    """
    coarse = np.linspace(1.0, 0.1, _ENTROPY_ENDS)
    step = float(coarse[0] - coarse[1])
    best = min(coarse, key=lambda share: loss(extreme * float(share)))
    fine = [float(best + step * offset) for offset in (0.0, 0.5, -0.5)]
    return extreme * min((s for s in fine if s <= 1), key=lambda share: loss(extreme * share))


def _beyond(
    centres: NDArray[np.float64], counts: NDArray[np.int64], ends: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return, for each upper end, how many values lie above it and their summed squared distance."""
    weights = counts.astype(np.float64)
    sums = [np.concatenate([np.cumsum((weights * centres**power)[::-1])[::-1], [0.0]]) for power in (0, 1, 2)]
    first = np.searchsorted(centres, ends, side="right")
    number, linear, square = (column[first] for column in sums)
    return number, np.maximum(square - 2 * ends * linear + ends**2 * number, 0.0)


def _least(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the places of the least values, the least first, and of equals the first."""
    bound = np.partition(values, min(count, len(values)) - 1)[min(count, len(values)) - 1]
    places = np.flatnonzero(values <= bound)
    return places[np.argsort(values[places], kind="stable")][:count]


def _squared_errors(
    centres: NDArray[np.float64],
    counts: NDArray[np.int64],
    lows: NDArray[np.float64],
    highs: NDArray[np.float64],
    *,
    bits: int,
) -> NDArray[np.float64]:
    """Return the summed squared error of the bins' centres on each range's grid, zero being on it."""
    steps = ((highs - lows) / (2**bits - 1))[:, None]
    some = np.where(steps > 0, steps, 1.0)
    zeros = np.rint(-lows[:, None] / some)
    stored = np.clip(np.rint(centres / some) + zeros, 0, 2**bits - 1)
    lost = np.where(steps > 0, (stored - zeros) * some - centres, centres)
    errors: NDArray[np.float64] = (counts * lost**2).sum(axis=1)
    return errors


def _divergence(values: Distribution, low: float, high: float, bits: int) -> float:
    """Return KL(clipped values ‖ quantized values) over the histogram's bins, exact zeros left out.

    A level's mass is spread evenly over those of its bins that hold anything.
    """
    first = int(np.searchsorted(values.edges[1:], low, side="right"))
    last = int(np.searchsorted(values.edges[:-1], high, side="right"))
    inside = values.counts[first:last].astype(np.float64)
    if not inside.any():
        return float("inf")
    clipped = inside.copy()
    clipped[0] += values.counts[:first].sum()
    clipped[-1] += values.counts[last:].sum()
    share = np.clip((values.centres[first:last] - low) / (high - low), 0, 1)
    levels = np.minimum(np.floor(share * 2**bits), 2**bits - 1).astype(np.int64)
    filled = (inside > 0).astype(np.float64)
    mass, places = np.bincount(levels, inside), np.bincount(levels, filled)
    quantized = np.divide(mass, places, out=np.zeros_like(mass), where=places > 0)[levels] * filled
    p = (clipped + _SMOOTHING) / (clipped + _SMOOTHING).sum()
    q = (quantized + _SMOOTHING) / (quantized + _SMOOTHING).sum()
    return float((p * np.log(p / q)).sum())
