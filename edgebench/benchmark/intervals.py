"""Intervals of latency percentiles that hold when calls depend on each other and sessions differ.

Gates take `latency_bounds`, which errs on the safe side; figures in reports `latency_interval`, whose
coverage is nominal.
"""

from __future__ import annotations

import math

import numpy as np

from edgebench.benchmark.dependence import IntArray, Samples, Worth, worth
from edgebench.benchmark.ranked import Ranked
from edgebench.benchmark.statistics import Bounds, FloatArray, binomial_below, quantile_ranks, side_confidence


def latency_bounds(samples: Samples, session: IntArray, q: float, confidence: float) -> Bounds:
    """Return a lower and an upper bound of the quantile `q`, 0–1, each by itself at `confidence`.

    samples: [n], in the order they were taken, any unit. session: int64[n]. The order statistics are
    those of as many independent calls as these are worth (Woodruff, JASA 47, 1952, 635–646, with the
    effective size of Korn and Graubard 1998), so that for independent calls the bounds are exact. An end
    is None where no order statistic can bound it.
    """
    return bounds_at_worth(samples, worth(samples, session, q), q, confidence)


def bounds_at_worth(samples: Samples, value: Worth, q: float, confidence: float) -> Bounds:
    """Return the bounds of `latency_bounds` where it is known what the samples are worth."""
    return bounds_of_ranked(Ranked(samples), value, q, confidence)


def bounds_of_ranked(ranked: Ranked, value: Worth, q: float, confidence: float) -> Bounds:
    """Return the bounds of `bounds_at_worth` of samples that are ranked by size."""
    n, effective = len(ranked), value.at(confidence)
    if n == 0:
        return Bounds(None, None)
    lower, upper = quantile_ranks(effective, q, confidence)
    low = None if lower is None else (lower - 1) * n // effective
    high = None if upper is None else -(-upper * n // effective) - 1
    return Bounds(None if low is None else ranked[low], None if high is None else ranked[high])


def latency_interval(samples: Samples, session: IntArray, q: float, confidence: float) -> Bounds:
    """Return the interval of the quantile `q`, both ends together at `confidence`, for reporting.

    As `latency_bounds`, but interpolated between the two order statistics that hold too much and too
    little (Nyblom, Statistics & Probability Letters 14, 1992, 129–131), so that the coverage is not
    above what it says by discreteness alone. An end is None where no order statistic can bound it.
    """
    if len(samples) == 0:
        return Bounds(None, None)
    side = side_confidence(confidence)
    effective = worth(samples, session, q).at(side)
    ordered = np.sort(samples).astype(np.float64)
    upper = _interpolated(ordered, q, effective, side)
    lower = _interpolated(-ordered[::-1], 1 - q, effective, side)
    return Bounds(None if lower is None else -lower, upper)


def _interpolated(ordered: FloatArray, q: float, effective: int, confidence: float) -> float | None:
    """Return the upper bound between two order statistics; None where there is none."""
    n = effective
    _, rank = quantile_ranks(n, q, confidence)
    if rank is None:
        return None
    above = _at(ordered, rank / n)
    if rank == 1:
        return above
    cumulated = binomial_below(n, q)
    little, much = float(cumulated[rank - 2]), float(cumulated[rank - 1])
    r = rank - 1
    odds = r * (1 - q) * (much - confidence) / ((n - r) * q * (confidence - little))
    weight = 1 / (1 + max(0.0, odds))
    return (1 - weight) * _at(ordered, r / n) + weight * above


def _at(ordered: FloatArray, share: float) -> float:
    place = math.ceil(share * len(ordered) - 1e-9) - 1
    return float(ordered[min(len(ordered) - 1, max(0, place))])
