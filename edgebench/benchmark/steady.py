"""Where a session's calls become steady: change points of level and tail, and what they leave.

Follows Barrett et al., Virtual Machine Warmup Blows Hot and Cold (OOPSLA 2017): the series is cut into
segments by its optimal partition (which PELT finds, Killick, Fearnhead and Eckley, JASA 107, 2012), and
it is steady from where all later segments are alike. Ranks stand for the latencies, so that no outlier
makes a segment, and the calls' dependence is taken into the variance.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from edgebench.benchmark.dependence import FloatArray, IntArray, Samples
from edgebench.benchmark.distributions import normal_quantile, student_quantile
from edgebench.benchmark.evidence import State

MARGIN = 0.02
"""Levels this near to each other, as a share, are one level: nobody would cut a warm-up for less."""

TAIL_MARGIN = 0.1
"""The same for the 90th percentile, which a segment of few calls knows less well."""

LEAST = 200
"""Fewer calls do not tell a change from chance."""

LEFT = 0.25
"""The least share of the calls that has to be steady; Barrett et al. ask for 500 of 2,000."""

_BLOCKS = 40
_SHORTEST = 20
_QUIET = 0.65
_QUIET_STEP = normal_quantile((1 + _QUIET) / 2) * math.sqrt(2)
_TAIL = 0.9
_PENALTY = 5.0
_TREND = 0.996

_SETTLING = 4
"""A decay has no last change: as many blocks as were warm-up go with them, so many at most."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Calls start to stop (exclusive) of one level. median, tail: their 50th and 90th percentile."""

    start: int
    stop: int
    median: float
    tail: float


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What was found. start: the first steady call; the number of calls where none is."""

    state: State
    start: int
    segments: tuple[Segment, ...]


def steady_state(samples: Samples) -> Steadiness:
    """Return from which call on one session's latencies are steady, or that they never are.

    samples: [n], one session's calls in order, the first one with them. As many calls as the warm-up had
    go with it, a tenth of the session at most: what is left of a decay is within the noise of a call, and
    not within that of a percentile. They are NEVER steady where less than a quarter would be left, or
    where what is left still drifts; TOO_FEW are not judged.
    """
    n = len(samples)
    if n < LEAST:
        return Steadiness(State.TOO_FEW, n, ())
    edges = np.linspace(0, n, min(_BLOCKS, max(10, n // _SHORTEST)) + 1).astype(np.int64)
    signals = _signals(samples, edges)
    cuts = _segmentation(signals)
    segments = tuple(_segment(samples, int(edges[a]), int(edges[b])) for a, b in itertools.pairwise(cuts))
    first = len(segments) - 1
    while first and _alike(segments[first - 1], segments[-1]):
        first -= 1
    block = cuts[first]
    latest = int(np.searchsorted(edges, (1 - LEFT) * n, "right")) - 1
    if block <= latest:
        block = min(block + min(block, _SETTLING), latest)
        start = int(edges[block])
        if not _drifts(samples[start:], signals[0, block:]):
            return Steadiness(State.STEADY, start, segments)
    return Steadiness(State.NEVER, n, segments)


def _signals(samples: Samples, edges: IntArray) -> FloatArray:
    """Return each block's mean rank among the last calls, and its share above their tail, float64[2, blocks].

    Against the last calls, not all: what is asked is from where on the calls are like those.
    """
    last = np.sort(samples[-math.ceil(LEFT * len(samples)) :])
    rank = (np.searchsorted(last, samples, "left") + np.searchsorted(last, samples, "right")) / 2
    high = samples > np.quantile(last, _TAIL)
    sums = np.add.reduceat(np.stack([rank / len(last), high.astype(np.float64)]), edges[:-1], axis=1)
    signals: FloatArray = sums / np.diff(edges)
    return signals


def _segmentation(signals: FloatArray) -> list[int]:
    """Return the blocks where segments begin, and the number of blocks at the end."""
    spread = _step_spread(signals)
    cuts = _partition(signals / spread)
    for _ in range(3):
        wider = np.maximum(spread, _long_run_spread(_without_levels(signals, cuts)))
        if np.allclose(wider, spread):
            break
        spread = wider
        cuts = _partition(signals / spread)
    return cuts


def _step_spread(signals: FloatArray) -> FloatArray:
    """Return each signal's standard deviation from steps between neighbours, which a few levels spare.

    The largest of single blocks, of pairs, and of the later half: neighbours that depend on each other
    hide some of it, and calls far from the last ones have none.
    """
    even = signals[:, signals.shape[1] % 2 :]
    pairs = (even[:, ::2] + even[:, 1::2]) / math.sqrt(2)
    found = [
        np.quantile(np.abs(np.diff(part, axis=1)), _QUIET, axis=1) / _QUIET_STEP
        for part in (signals, pairs, signals[:, signals.shape[1] // 2 :])
    ]
    spread: FloatArray = np.maximum(np.max(found, axis=0), 1e-9)[:, None]
    return spread


def _long_run_spread(rest: FloatArray) -> FloatArray:
    variance = (rest**2).mean(axis=1, keepdims=True)
    lagged = (rest[:, 1:] * rest[:, :-1]).mean(axis=1, keepdims=True)
    memory = np.clip(lagged / np.maximum(variance, 1e-18), 0.0, 0.9)
    found: FloatArray = np.sqrt(variance * (1 + memory) / (1 - memory))
    return found


def _without_levels(signals: FloatArray, cuts: list[int]) -> FloatArray:
    rest = signals.copy()
    for a, b in itertools.pairwise(cuts):
        rest[:, a:b] -= rest[:, a:b].mean(axis=1, keepdims=True)
    return rest


def _partition(signals: FloatArray) -> list[int]:
    """Return the optimal partition under squared error and a penalty for each segment."""
    blocks = signals.shape[1]
    penalty = _PENALTY * np.log(blocks)
    sums = np.concatenate([np.zeros((len(signals), 1)), np.cumsum(signals, axis=1)], axis=1)
    squares = np.concatenate([[0.0], np.cumsum((signals**2).sum(axis=0))])
    best, last = np.zeros(blocks + 1), np.zeros(blocks + 1, np.int64)
    best[0] = -penalty
    for stop in range(1, blocks + 1):
        length = stop - np.arange(stop)
        total = sums[:, stop : stop + 1] - sums[:, :stop]
        inside = squares[stop] - squares[:stop] - (total**2).sum(axis=0) / length
        cost = best[:stop] + inside + penalty
        last[stop] = np.argmin(cost)
        best[stop] = cost[last[stop]]
    cuts = [blocks]
    while cuts[-1]:
        cuts.append(int(last[cuts[-1]]))
    return cuts[::-1]


def _segment(samples: Samples, start: int, stop: int) -> Segment:
    median, tail = np.quantile(samples[start:stop], [0.5, _TAIL])
    return Segment(start, stop, float(median), float(tail))


def _alike(first: Segment, second: Segment) -> bool:
    return (
        abs(first.median - second.median) <= MARGIN * second.median
        and abs(first.tail - second.tail) <= TAIL_MARGIN * second.tail
    )


def _drifts(samples: Samples, ranks: FloatArray) -> bool:
    """Return whether a straight line through the blocks' ranks is steep beyond chance, and matters."""
    third = len(samples) // 3
    early, late = np.median(samples[:third]), np.median(samples[-third:])
    if abs(late - early) <= MARGIN * early:
        return False
    time = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    slope = float(time @ ranks / (time @ time))
    rest = ranks - ranks.mean() - slope * time
    noise = float(_long_run_spread(rest[None, :])[0, 0]) / np.sqrt(time @ time)
    return bool(abs(slope) > student_quantile(_TREND, len(ranks) - 2) * noise)
