"""Intervals that hold: order statistics for percentiles, Clopper-Pearson and Tango for shares.

Everything here is exact or has a named reference, and needs numpy alone. `confidence` is always the
confidence of the whole statement: of both ends together in an `…_interval`, of each end by itself in
`…_bounds`. Why these and no others: docs/decisions/0005-statistics.md.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.distributions import bisect, normal_quantile

_ROUNDING = 1e-10
"""The most that a sum of binomial probabilities is off, measured up to n = 100,000."""

_WHOLE = 100_000
_DEVIATIONS = 12.0

FloatArray = NDArray[np.float64]
Samples = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the true value lies, in the samples' unit; None where the sample supports no bound."""

    lower: float | None
    upper: float | None


def side_confidence(confidence: float) -> float:
    """Return what each end of a two-sided interval must hold: 0.95 → 0.975."""
    return (1 + confidence) / 2


def quantile(samples: Samples, q: float) -> float:
    """Return the sample's quantile as numpy computes it (linear, type 7 of Hyndman and Fan)."""
    return float(np.quantile(samples, q))


def quantile_interval(samples: Samples, q: float, confidence: float) -> Bounds:
    """Return the interval of the population's quantile `q`, 0–1, from order statistics.

    samples: [n], independent draws of one distribution, of any shape (ties allowed). Both ends hold
    together with at least `confidence`. An end is None where no order statistic can bound it.
    Follows David and Nagaraja, Order Statistics, 3rd ed., section 7.1.
    """
    return quantile_bounds_one_sided(samples, q, side_confidence(confidence))


def quantile_bounds_one_sided(samples: Samples, q: float, confidence: float) -> Bounds:
    """Return a lower and an upper bound of the quantile `q`, each by itself at `confidence`."""
    lower, upper = quantile_ranks(len(samples), q, confidence)
    ordered = np.sort(samples)
    return Bounds(
        None if lower is None else float(ordered[lower - 1]),
        None if upper is None else float(ordered[upper - 1]),
    )


def quantile_ranks(n: int, q: float, confidence: float) -> tuple[int | None, int | None]:
    """Return the ranks, 1 to n, of the order statistics that bound the quantile `q` on each side.

    The upper rank j is the smallest with P(Binomial(n, q) ≤ j − 1) ≥ confidence, the lower rank i
    the largest with P(Binomial(n, q) ≥ i) ≥ confidence; None where there is none.
    """
    if n == 0:
        return None, None
    first, cumulated = _binomial_around(n, q)
    upper = first + int(np.searchsorted(cumulated, confidence - _ROUNDING)) + 1
    lower = first + int(np.searchsorted(cumulated, 1 - confidence + _ROUNDING, side="right"))
    return (min(lower, n) or None), (upper if upper <= n else None)


def _binomial_around(n: int, share: float) -> tuple[int, FloatArray]:
    """Return P(Binomial(n, share) ≤ k) for k = first, first + 1, …, and first.

    All k up to a hundred thousand; beyond, those within 12 standard deviations of the mean: outside lies
    less than 1e-30, and rounding is much more.
    """
    if n <= _WHOLE or share in (0.0, 1.0):
        return 0, binomial_below(n, share)
    reach = math.ceil(_DEVIATIONS * math.sqrt(n * share * (1 - share))) + 1
    first, last = max(0, int(n * share) - reach), min(n, int(n * share) + reach)
    k = np.arange(first, last)
    steps = np.log((n - k) / (k + 1)) + math.log(share) - math.log1p(-share)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    cumulated = np.cumsum(np.exp(logs - logs.max()))
    normalised: FloatArray = cumulated / cumulated[-1]
    return first, normalised


def quantile_supported(n: int, q: float, confidence: float) -> bool:
    """Return whether n samples bound the quantile `q` on both sides, each side at `confidence`."""
    return None not in quantile_ranks(n, q, confidence)


def needed_calls(q: float, confidence: float) -> int:
    """Return how many samples bound the quantile `q` on both sides, each at `confidence`.

    The larger of log(1 − confidence)/log(q) and log(1 − confidence)/log(1 − q): 299 calls for p99
    at 0.95, 5 for the median.
    """
    return math.ceil(math.log(1 - confidence) / math.log(max(q, 1 - q)) - 1e-9)


def clopper_pearson(successes: int, n: int, confidence: float) -> Bounds:
    """Return bounds of a share, 0–1, each by itself at `confidence`; exact, never short of it.

    For a two-sided interval pass `side_confidence(confidence)`. Follows Clopper and Pearson 1934.
    """
    if n == 0:
        return Bounds(None, None)
    alpha = 1 - confidence

    def below_lower(share: float) -> bool:
        return 1 - float(binomial_below(n, share)[successes - 1]) < alpha

    def below_upper(share: float) -> bool:
        return float(binomial_below(n, share)[successes]) > alpha

    lower = 0.0 if successes == 0 else bisect(below_lower, 0.0, successes / n)[0]
    upper = 1.0 if successes == n else bisect(below_upper, successes / n, 1.0)[1]
    return Bounds(lower, upper)


def paired_difference_interval(b: float, c: float, n: float, confidence: float) -> Bounds:
    """Return the interval of (b − c)/n, the difference of two paired shares; both ends together.

    b: pairs where only the first succeeded. c: pairs where only the second did. n: all pairs.
    The score interval of Tango, Statistics in Medicine 17 (1998), 891–908.
    """
    return paired_difference_bounds(b, c, n, side_confidence(confidence))


def paired_difference_bounds(b: float, c: float, n: float, confidence: float) -> Bounds:
    """Return a lower and an upper bound of (b − c)/n, each by itself at `confidence` (Tango 1998)."""
    if n == 0:
        return Bounds(None, None)
    return Bounds(-_tango_upper(c, b, n, confidence), _tango_upper(b, c, n, confidence))


def _tango_upper(b: float, c: float, n: float, confidence: float) -> float:
    """Return the largest difference that Tango's score test does not reject."""
    squared = normal_quantile(confidence) ** 2

    def kept(difference: float) -> bool:
        return _tango_keeps(difference, b, c, n, squared)

    return 1.0 if kept(1.0) else bisect(kept, (b - c) / n, 1.0)[0]


def _tango_keeps(difference: float, b: float, c: float, n: float, squared: float) -> bool:
    """Return whether Tango's score test keeps a difference that lies above (b − c)/n, or any that does not.

    squared: the square of the normal quantile.
    """
    beyond = n * difference - b + c
    half = 2 * n
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 4 * half * constant))
    share = (root - linear) / (2 * half)
    variance = n * max(0.0, 2 * share + difference * (1 - difference))
    return beyond <= 0 or beyond**2 <= squared * variance


def drop_bounds(b: float, c: float, n: float, confidence: float) -> Bounds:
    """Return bounds of the drop (b − c)/n for gates, each by itself at `confidence`.

    Tango's, with what counts of pairs that differ lack of a normal variable put right: half a pair, since
    they are whole, and their skewness (Cornish and Fisher 1937). Plain ones err in 10 % of the cases where
    they say 5 %, and in 49 % where they say 20 %; these in 5.1 and 20.
    """
    if n == 0:
        return Bounds(None, None)
    return Bounds(-_largest_drop(c, b, n, confidence), _largest_drop(b, c, n, confidence))


def _largest_drop(b: float, c: float, n: float, confidence: float) -> float:
    """Return the largest drop that the corrected test does not reject."""
    squared = normal_quantile(confidence) ** 2

    def kept(drop: float) -> bool:
        differ = max(b + c, n * abs(drop))
        skewness = n * drop / differ if differ else 0.0  # times the root of the pairs that differ
        more = 0.5 + (1 - squared) / 6 * skewness
        return _tango_keeps(drop, b + max(0.0, more), c, n, squared)

    return 1.0 if kept(1.0) else bisect(kept, (b - c) / n, 1.0)[0]


@functools.lru_cache(maxsize=8)
def _log_choose(n: int) -> FloatArray:
    """Return log(n choose k) for k = 0…n as float64[n + 1]."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    chosen: FloatArray = logs[n] - logs - logs[::-1]
    return chosen


def binomial_below(n: int, share: float) -> FloatArray:
    """Return P(Binomial(n, share) ≤ k) for k = 0…n as float64[n + 1]."""
    if share in (0.0, 1.0):
        steps = np.arange(n + 1) >= n * share
        return steps.astype(np.float64)
    k = np.arange(n + 1)
    logs = _log_choose(n) + k * math.log(share) + (n - k) * math.log1p(-share)
    cumulated = np.cumsum(np.exp(logs))
    normalised: FloatArray = cumulated / cumulated[-1]
    return normalised
