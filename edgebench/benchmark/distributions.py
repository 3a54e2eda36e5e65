"""The few probability laws that the intervals need beside the normal one; numpy and scipy are not asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from statistics import NormalDist

_BISECTIONS = 64
_TERMS = 100_000
_TINY = 1e-300
NORMAL_FROM = 100_000
"""Degrees of freedom from which Student's law is the normal one to five digits."""


def bisect(below: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Return the ends of the narrowest interval in which `below` turns from true to false."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if below(middle):
            low = middle
        else:
            high = middle
    return low, high


def normal_quantile(confidence: float) -> float:
    """Return the value that a standard normal variable stays under with `confidence`."""
    return NormalDist().inv_cdf(confidence)


def normal_below(value: float) -> float:
    """Return the probability that a standard normal variable stays under `value`."""
    return NormalDist().cdf(value)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for a, b > 0 and x in 0–1.

    P(Binomial(n, p) ≥ k) is I_p(k, n − k + 1). The continued fraction of DLMF 8.17.22, evaluated as
    Lentz does.
    """
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front / a * _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < 1e-14:  # noqa: PLR2004 - a few units in the last place
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


@functools.lru_cache(maxsize=4096)
def student_quantile(confidence: float, freedom: int) -> float:
    """Return the value that Student's t with `freedom` degrees of freedom stays under, confidence ≥ 0.5."""
    if freedom >= NORMAL_FROM:
        return normal_quantile(confidence)

    def below(t: float) -> bool:
        return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2 > 1 - confidence

    high = 1.0
    while below(high):
        high *= 2
    return bisect(below, 0.0, high)[1]


def f_tail(ratio: float, first: float, second: float) -> float:
    """Return how often an F variable with (first, second) degrees of freedom exceeds `ratio`."""
    if ratio <= 0:
        return 1.0
    return incomplete_beta(second / 2, first / 2, second / (second + first * ratio))
