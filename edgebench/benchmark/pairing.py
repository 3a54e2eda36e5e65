"""Two artifacts that were timed in turn: what a moment had in common cancels, block by block.

Within a session the ratio of a percentile is taken over groups of blocks, each of both artifacts' calls at
the same time, and the session stands for their median. Sessions are processes of their own and therefore
independent: their mean has Student's interval, whatever the calls within them depend on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from edgebench.benchmark.comparison import Comparison
from edgebench.benchmark.dependence import FloatArray, IntArray
from edgebench.benchmark.distributions import student_quantile
from edgebench.benchmark.evidence import LatencySamples, Measurement
from edgebench.benchmark.statistics import Bounds, side_confidence
from edgebench.errors import MeasurementError

EXPECTED = 5
"""A group of blocks has so many calls beyond the percentile, on either side: fewer tell little of it."""

Pair = tuple[FloatArray, FloatArray]


def timed_in_turn(baseline: Measurement, candidate: Measurement) -> bool:
    """Return whether two measurements of one run shared their sessions, all alive at the same time."""
    name = baseline.artifact.id
    pairs = zip(baseline.sessions, candidate.sessions, strict=False)
    return (
        len(baseline.sessions) == len(candidate.sessions) > 0
        and all(theirs.started_utc == own.started_utc for theirs, own in pairs)
        and all(session.blocks is not None and name in session.beside for session in candidate.sessions)
    )


def compare_in_turn(
    baseline: LatencySamples, candidate: LatencySamples, q: float, confidence: float
) -> Comparison:
    """Return the ratio and difference of the quantile `q` of two artifacts that were timed in turn.

    The ratio's interval is Student's on the logarithms. One session gives no interval. Raises
    MeasurementError where the sessions have no block in common.
    """
    sessions = [groups_of(baseline, candidate, int(index), q) for index in np.unique(baseline.session)]
    side = side_confidence(confidence)
    ratios = np.array([_median(pairs, q, lambda own, theirs: math.log(own / theirs)) for pairs in sessions])
    differences = np.array([_median(pairs, q, lambda own, theirs: own - theirs) for pairs in sessions])
    return Comparison(
        ratio=math.exp(float(ratios.mean())),
        ratio_interval=_interval(ratios, side, math.exp),
        difference=float(differences.mean()),
        difference_interval=_interval(differences, side, float),
    )


def groups_of(baseline: LatencySamples, candidate: LatencySamples, session: int, q: float) -> list[Pair]:
    """Return both artifacts' calls in groups of blocks that both have, float64[n] each, nanoseconds.

    Raises MeasurementError where they have none in common.
    """
    own, theirs = (_by_block(samples, session) for samples in (candidate, baseline))
    common = sorted(own.keys() & theirs.keys())
    if not common:
        raise MeasurementError(f"session {session} has no block that both artifacts were timed in")
    fewest = min(sum(len(calls[block]) for block in common) for calls in (own, theirs))
    count = int(np.clip(fewest * min(q, 1 - q) / EXPECTED, 1, len(common)))
    groups = np.array_split(np.array(common), count)
    return [(_joined(theirs, group), _joined(own, group)) for group in groups]


def _joined(calls: Mapping[int, FloatArray], blocks: IntArray) -> FloatArray:
    joined: FloatArray = np.concatenate([calls[int(block)] for block in blocks])
    return joined


def _by_block(samples: LatencySamples, session: int) -> dict[int, FloatArray]:
    if samples.block is None:
        return {}
    chosen = samples.session == session
    block: IntArray = samples.block[chosen]
    calls: FloatArray = samples.latency_ns[chosen].astype(np.float64)
    return {int(index): calls[block == index] for index in np.unique(block)}


def _median(pairs: list[Pair], q: float, of: Callable[[float, float], float]) -> float:
    """Return the median over groups of a function of the candidate's and the baseline's quantile."""
    return float(
        np.median([of(float(np.quantile(own, q)), float(np.quantile(theirs, q))) for theirs, own in pairs])
    )


def _interval(values: FloatArray, side: float, back: Callable[[float], float]) -> Bounds:
    n = len(values)
    if n < 2:  # noqa: PLR2004 - one has no spread
        return Bounds(None, None)
    half = student_quantile(side, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    centre = float(values.mean())
    return Bounds(back(centre - half), back(centre + half))
