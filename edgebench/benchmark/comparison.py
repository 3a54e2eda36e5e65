"""How much slower or faster one artifact is than another: ratio and difference of a percentile.

A hierarchical bootstrap: blocks of calls within sessions, and sessions too where they differ. Sessions of
the two are drawn together by their index, since they were taken in turn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgebench.benchmark.dependence import FloatArray, IntArray, Samples, session_parts, worth
from edgebench.benchmark.distributions import normal_below, student_quantile
from edgebench.benchmark.statistics import Bounds, side_confidence
from edgebench.errors import MeasurementError

RESAMPLES = 2000
_LEVELS = 256
_BLOCKS = 64
_WIDE = 8.0
_LONG = 6
"""A block has so many times the calls that one independent call is worth, since its ends depend on others."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The candidate's percentile against the baseline's; intervals hold both ends together.

    difference: candidate − baseline, in the samples' unit. ratio: candidate over baseline.
    """

    ratio: float
    ratio_interval: Bounds
    difference: float
    difference_interval: Bounds


@dataclass(frozen=True, slots=True)
class _Table:
    """How many calls of each block lie at or under each level. levels: float64[L], increasing.

    at_most: float64[sessions, blocks, L]. sizes: float64[sessions, blocks].
    """

    levels: FloatArray
    at_most: FloatArray
    sizes: FloatArray


def compare_latencies(  # noqa: PLR0917 - two series, which percentile, how sure
    baseline: Samples,
    baseline_session: IntArray,
    candidate: Samples,
    candidate_session: IntArray,
    q: float,
    confidence: float,
    seed: int,
    *,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Return the ratio and difference of the quantile `q`, with intervals at `confidence`.

    Samples: [n], in order; sessions: int64[n], as many of one as of the other. Percentile intervals at
    levels widened for few units by Student's t (Hesterberg, The American Statistician 69, 2015, 371–386).
    The same seed gives the same intervals. Raises MeasurementError where the sessions do not match.
    """
    parts = [session_parts(session) for session in (baseline_session, candidate_session)]
    if len(parts[0]) != len(parts[1]) or not len(baseline):
        raise MeasurementError(f"{len(parts[0])} sessions cannot be held against {len(parts[1])}")
    values = [worth(baseline, baseline_session, q), worth(candidate, candidate_session, q)]
    differ = len(parts[0]) > 1 and any(value.sessions_differ for value in values)
    tables = [
        _table(samples, part, q, n_effective=value.calls)
        for samples, part, value in zip((baseline, candidate), parts, values, strict=True)
    ]
    rng = np.random.default_rng(seed)
    drawn = _resample(tables, q, rng, resamples, sessions_too=differ)
    units = len(parts[0]) if differ else min(table.sizes.size for table in tables)
    found = [float(np.quantile(samples, q)) for samples in (baseline, candidate)]
    level = _widened(side_confidence(confidence), units)
    return Comparison(
        ratio=found[1] / found[0],
        ratio_interval=_ends(drawn[1] / drawn[0], level),
        difference=found[1] - found[0],
        difference_interval=_ends(drawn[1] - drawn[0], level),
    )


def _widened(side: float, units: int) -> float:
    """Return the level of a percentile interval's upper end that stands for `side` with so few units."""
    stretch = math.sqrt(units / (units - 1))
    return normal_below(stretch * student_quantile(side, units - 1))


def _ends(drawn: FloatArray, level: float) -> Bounds:
    lower, upper = np.quantile(drawn, [1 - level, level])
    return Bounds(float(lower), float(upper))


def _table(samples: Samples, parts: Sequence[slice], q: float, *, n_effective: float) -> _Table:
    """Count each block's calls at or under levels around the quantile, wide enough for all resamples."""
    n = len(samples)
    effect = n / n_effective
    shortest = min(part.stop - part.start for part in parts)
    blocks = int(np.clip(shortest / max(1.0, _LONG * effect), 2, max(2, _BLOCKS // len(parts))))
    spread = _WIDE * math.sqrt(q * (1 - q) / max(1.0, n_effective))
    ordered = np.sort(samples)
    ranks = np.linspace(max(0.0, q - spread) * (n - 1), min(1.0, q + spread) * (n - 1), _LEVELS)
    levels = np.unique(ordered[np.append(np.ceil(ranks), n - 1).astype(np.int64)])
    at_most, sizes = [], []
    for part in parts:
        edges = np.linspace(part.start, part.stop, blocks + 1).astype(np.int64)
        cut = [np.sort(samples[a:b]) for a, b in itertools.pairwise(edges)]
        at_most.append([np.searchsorted(block, levels, "right") for block in cut])
        sizes.append(np.diff(edges))
    return _Table(levels.astype(np.float64), np.array(at_most, np.float64), np.array(sizes, np.float64))


def _resample(
    tables: Sequence[_Table], q: float, rng: np.random.Generator, count: int, *, sessions_too: bool
) -> list[FloatArray]:
    """Return the quantiles of `count` resamples of each table, float64[count] each.

    Blocks of all sessions alike, or sessions, the same for all tables, and blocks within each.
    """
    sessions = len(tables[0].sizes)
    chosen = rng.multinomial(sessions, np.full(sessions, 1 / sessions), size=count)
    found = []
    for table in tables:
        inside, everywhere = table.sizes.shape[1], table.sizes.size
        weights: FloatArray
        if sessions_too:
            times = rng.multinomial(inside, np.full(inside, 1 / inside), size=(count, sessions))
            weights = (times * chosen[:, :, None]).reshape(count, -1).astype(np.float64)
        else:
            weights = rng.multinomial(everywhere, np.full(everywhere, 1 / everywhere), size=count).astype(
                np.float64
            )
        under = weights @ table.at_most.reshape(-1, len(table.levels))
        wanted = q * (weights @ table.sizes.reshape(-1))
        place = (under < wanted[:, None] - 1e-9).sum(axis=1)
        found.append(table.levels[np.minimum(place, len(table.levels) - 1)])
    return found
