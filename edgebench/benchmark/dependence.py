"""How many independent calls a series of latencies is worth.

Calls in a row resemble each other, and calls of one process more than those of two. What counts for a
percentile is the row of marks "this call lies at or under it": the variance of their mean, over what it
would be if they were independent, is the design effect, and calls over design effect the effective size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.distributions import NORMAL_FROM, f_tail, normal_quantile, student_quantile
from edgebench.benchmark.ranked import Ranked

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Samples = NDArray[np.int64] | NDArray[np.float64]

_LONGEST = 1 << 16
"""Longer series are averaged in runs before their autocovariance is taken: it costs memory otherwise."""

_NOTABLE, _LEAST_FREEDOM = 1.25, 6
"""An effect beyond the noise of its estimate is known, in a tail, by half a degree of freedom
for each cluster there, and by this many at least."""

_EXPECTED = 5
"""Fewer calls beyond the percentile in a session do not show whether sessions differ (Cochran's rule)."""

_DIFFER, _DIFFER_AT_MEDIAN = 0.1, 0.01
"""Sessions count as different where equal ones would look so different this rarely: at the percentile asked
about, where a difference missed makes errors, and at the median, which stands in for tails of few calls."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What dependent calls are worth: `calls` independent ones, known with `freedom` degrees of freedom.

    sessions_differ: the sessions are the units then, and freedom is one less than their number.
    stretches: how many runs there are as long as calls are alike.
    """

    calls: float
    freedom: int
    sessions_differ: bool = False
    stretches: float = math.inf

    def at(self, confidence: float) -> int:
        """Return how many independent calls an interval at `confidence` may count on.

        Fewer than `calls` where a design effect was found, which is itself an estimate: the effective
        size times (z/t)², as Korn and Graubard do (Survey Methodology 24, 1998, 193–201).
        """
        z = normal_quantile(confidence)
        if z < 1e-6:  # noqa: PLR2004 - at one half the bound is the estimate itself
            return max(1, int(self.calls))
        return max(1, int(self.calls * (z / student_quantile(confidence, self.freedom)) ** 2))


def worth(samples: Samples, session: IntArray, q: float) -> Worth:
    """Return what the samples are worth for an interval of their quantile `q`, 0–1.

    samples: [n], in the order they were taken. session: int64[n], which one each belongs to. The design
    effect is 1 at least, so that nothing is worth more than it has calls. Within sessions the marks'
    autocovariances are summed up to Geyer's initial monotone sequence (Statistical Science 7, 1992,
    473–483), for quantiles as in Vehtari et al. (Bayesian Analysis 16, 2021, 667–718). Where the
    sessions' shares of marks, at `q` or at the median, differ by more than that explains (F test), or
    the marks are alike through half a session, the sessions are the units.
    """
    ranked, parts = Ranked(samples), session_parts(session)
    return worth_of(lambda at: effect(samples, ranked, parts, at), len(samples), len(parts), q)


def worth_of(effect_at: Callable[[float], Effect], n: int, sessions: int, q: float) -> Worth:
    """Return `worth` of n samples of so many sessions, whose design effect at a quantile is known."""
    if n <= 1:
        return Worth(float(n), 1)
    at_q = effect_at(q)
    differ = at_q.unlikely < _DIFFER
    if not differ and q != 0.5:  # noqa: PLR2004 - the median has answered for itself
        differ = effect_at(0.5).unlikely < _DIFFER_AT_MEDIAN
    if differ:
        return Worth(n / max(at_q.within, at_q.between), sessions - 1, sessions_differ=True)
    freedom = NORMAL_FROM if at_q.within == 1 else max(1, int(at_q.freedom))
    return Worth(n / at_q.within, freedom, stretches=at_q.stretches)


def session_parts(session: IntArray) -> list[slice]:
    """Return where each session's run of samples lies, in order."""
    edges = [0, *(np.flatnonzero(session[1:] != session[:-1]) + 1).tolist(), len(session)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


@dataclass(frozen=True, slots=True)
class Effect:
    """A design effect from within sessions and from between them.

    unlikely: how rarely sessions that do not differ would look so different.
    """

    within: float
    between: float
    freedom: float
    unlikely: float
    stretches: float = math.inf


def effect(samples: Samples, ranked: Ranked, parts: list[slice], q: float) -> Effect:
    """Return the design effect of the marks "at or under the quantile `q`", within sessions and between them.

    ranked: the samples by size. parts: where each session's run of them lies.
    """
    rank = min(len(samples), max(1, math.ceil(q * len(samples))))
    marks: BoolArray = samples <= ranked[rank - 1]
    return _effect(marks, parts)


def _effect(marks: BoolArray, parts: list[slice]) -> Effect:
    n = len(marks)
    share = float(np.count_nonzero(marks)) / n
    variance = share * (1 - share)
    if variance == 0:
        return Effect(1.0, 1.0, n, unlikely=1.0)
    within, lags = _long_run([marks[part] for part in parts], share)
    within = max(1.0, within / variance)
    freedom = stretches = n / (2 * lags + 1)
    if within > _NOTABLE:
        freedom = min(freedom, max(_LEAST_FREEDOM, n * min(share, 1 - share) / within / 2))
    if len(parts) == 1:
        return Effect(within, within, freedom, 1.0, stretches)
    sizes = [part.stop - part.start for part in parts]
    beyond = [np.count_nonzero(marks[part]) - size * share for part, size in zip(parts, sizes, strict=True)]
    squares = sum(float(one) ** 2 / size for one, size in zip(beyond, sizes, strict=True))
    between = squares / (len(parts) - 1) / variance
    if 2 * lags * len(parts) >= n:
        return Effect(within, between, freedom, unlikely=0.0)
    if n * min(share, 1 - share) < _EXPECTED * len(parts):
        return Effect(within, between, freedom, 1.0, stretches)
    unlikely = f_tail(between / within, len(parts) - 1, freedom)
    return Effect(within, between, freedom, unlikely, stretches)


def _long_run(marks: list[BoolArray], share: float) -> tuple[float, int]:
    """Return the long-run variance of marks around their common share, and up to which lag it was summed."""
    step = -(-max(map(len, marks)) // _LONGEST)
    series = [_run_means(one, step) - share for one in marks]
    covariance = _autocovariance(series)
    pairs = covariance[: len(covariance) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if len(ends) else pairs
    if len(kept) == 0:
        return step * float(covariance[0]), step
    total = 2 * float(np.minimum.accumulate(kept).sum()) - float(covariance[0])
    return step * total, step * 2 * len(kept)


def _run_means(marks: BoolArray, step: int) -> FloatArray:
    """Return the share of marks in each run of `step`; what is left over at the end is left out."""
    if step == 1:
        return marks.astype(np.float64)
    whole = marks[: len(marks) // step * step].view(np.uint8)
    shares: FloatArray = whole.reshape(-1, step).sum(axis=1, dtype=np.int64) / step
    return shares


def _autocovariance(series: list[FloatArray]) -> FloatArray:
    """Return the autocovariance at each lag, float64[longest], of all series together, over all calls."""
    longest = max(map(len, series))
    size = 1 << (2 * longest - 1).bit_length()
    power = sum(np.abs(np.fft.rfft(one, size)) ** 2 for one in series)
    covariance: FloatArray = np.fft.irfft(power, size)[:longest] / sum(map(len, series))
    return covariance
