"""Ratios and differences of percentiles between two artifacts hold by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from series import autoregressive, by_session

from edgebench.benchmark.comparison import compare_latencies
from edgebench.errors import MeasurementError

SESSION = by_session(5, 200)


def pair(rng: np.random.Generator, memory: float, levels: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two series of one law: correlated calls, sessions with levels of that spread, shared by half."""
    shared = rng.normal(size=(5, 1))
    series = [
        0.05 * autoregressive(rng, 5, 200, memory) + levels * (shared + rng.normal(size=(5, 1))) / 2**0.5
        for _ in range(2)
    ]
    return np.exp(series[0]).ravel(), np.exp(series[1]).ravel()


@pytest.mark.parametrize(
    ("memory", "levels"), [(0.0, 0.0), (0.8, 0.0), (0.0, 0.03)], ids=["alone", "alike", "levels"]
)
def test_intervals_hold_where_nothing_differs(memory: float, levels: float) -> None:
    """Two series of one law have the ratio 1 within the 95 % interval in at least 90 % of 200 comparisons."""
    rng, held = np.random.default_rng(1), 0
    for seed in range(200):
        first, second = pair(rng, memory, levels)
        found = compare_latencies(first, SESSION, second, SESSION, 0.5, 0.95, seed, resamples=500)
        ends = found.ratio_interval
        held += (ends.lower or 0) <= 1 <= (ends.upper or 0)
        assert ((found.difference_interval.lower or 0) > 0) == ((ends.lower or 0) > 1)
    assert held / 200 >= 0.95 - 2.33 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_a_planted_slowdown_is_found_and_measured(q: float) -> None:
    """A candidate 5 % slower is found so, and the interval of the ratio holds 1.05."""
    rng, found, held = np.random.default_rng(2), 0, 0
    for seed in range(50):
        first, second = pair(rng, 0.3, 0.0)
        ends = compare_latencies(first, SESSION, 1.05 * second, SESSION, q, 0.95, seed).ratio_interval
        found += (ends.lower or 0) > 1
        held += (ends.lower or 0) <= 1.05 <= (ends.upper or 0)
    assert found >= 48
    assert held >= 43


def test_the_unit_turns_up_in_the_difference_alone() -> None:
    """In nanoseconds the difference is a million times the one in milliseconds, and the ratio is the same."""
    first, second = pair(np.random.default_rng(3), 0.0, 0.0)
    ms = compare_latencies(first, SESSION, second, SESSION, 0.9, 0.95, 1)
    ns = compare_latencies(first * 1e6, SESSION, second * 1e6, SESSION, 0.9, 0.95, 1)
    assert ns.ratio == pytest.approx(ms.ratio)
    assert ns.ratio_interval.upper == pytest.approx(ms.ratio_interval.upper)
    assert ns.difference == pytest.approx(1e6 * ms.difference)
    assert ns.difference_interval.lower == pytest.approx(1e6 * (ms.difference_interval.lower or 0))


def test_the_same_seed_gives_the_same_intervals() -> None:
    """A report drawn again is the same."""
    first, second = pair(np.random.default_rng(4), 0.0, 0.0)
    once, again, other = (
        compare_latencies(first, SESSION, second, SESSION, 0.5, 0.95, seed) for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


def test_sessions_shared_by_both_cancel() -> None:
    """Levels that both artifacts have in a session widen neither ratio nor difference much."""
    rng = np.random.default_rng(5)
    levels = np.repeat([1.0, 1.2, 0.9, 1.1, 0.8], 200)
    first, second = (levels * np.exp(0.02 * rng.normal(size=1000)) for _ in range(2))
    together = compare_latencies(first, SESSION, second, SESSION, 0.5, 0.95, 0).ratio_interval
    mixed = second.reshape(5, 200)[[3, 0, 4, 1, 2]].ravel()
    apart = compare_latencies(first, SESSION, mixed, SESSION, 0.5, 0.95, 0).ratio_interval
    assert together.upper is not None
    assert together.lower is not None
    assert apart.upper is not None
    assert apart.lower is not None
    assert together.upper - together.lower < (apart.upper - apart.lower) / 2


def test_unlike_sessions_are_refused() -> None:
    """Five sessions cannot be paired with four, and nothing with nothing."""
    calls = np.ones(1000)
    with pytest.raises(MeasurementError, match="5 sessions cannot be held against 4"):
        compare_latencies(calls, SESSION, calls[:800], SESSION[:800], 0.5, 0.95, 0)
    with pytest.raises(MeasurementError):
        compare_latencies(calls[:0], SESSION[:0], calls[:0], SESSION[:0], 0.5, 0.95, 0)


def test_long_series_are_compared_by_levels_near_the_percentile() -> None:
    """Of 200,000 calls a side only counts are resampled, and the interval is as narrow as they allow."""
    rng, session = np.random.default_rng(6), by_session(5, 40_000)
    first, second = np.exp(0.1 * rng.normal(size=(2, 200_000)))
    ends = compare_latencies(first, session, second, session, 0.99, 0.95, 0).ratio_interval
    assert 0.99 < (ends.lower or 0) < 1.002
    assert 0.998 < (ends.upper or 0) < 1.01
