"""Latency intervals: exact where calls are independent, holding where they are not."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from series import autoregressive, by_session

from edgebench.benchmark import statistics as st
from edgebench.benchmark.dependence import worth
from edgebench.benchmark.intervals import latency_bounds, latency_interval


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_independent_calls_get_the_exact_order_statistics(q: float) -> None:
    """Where no dependence is found, the bounds are those of independent draws."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(20):
        samples, session = rng.lognormal(size=600), by_session(1, 600)
        if worth(samples, session, q).calls == 600:
            found += 1
            assert latency_bounds(samples, session, q, 0.95) == st.quantile_bounds_one_sided(samples, q, 0.95)
    assert found >= 3


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_bounds_of_correlated_calls_hold(q: float) -> None:
    """At lag-one correlation 0.8 a bound fails in 5 % of 400 series; one for independent calls far more."""
    rng, session, truth = np.random.default_rng(1), by_session(5, 600), NormalDist().inv_cdf(q)
    series = [autoregressive(rng, 5, 600, 0.8).ravel() for _ in range(400)]
    ours = [latency_bounds(one, session, q, 0.95) for one in series]
    naive = [st.quantile_bounds_one_sided(one, q, 0.95) for one in series]

    def wrong(bounds: list[st.Bounds]) -> tuple[float, float]:
        return (
            float(np.mean([b.upper is not None and b.upper < truth for b in bounds])),
            float(np.mean([b.lower is not None and b.lower > truth for b in bounds])),
        )

    noise = 2.33 * np.sqrt(0.05 * 0.95 / 400)
    assert max(wrong(ours)) <= 0.05 + noise
    assert max(wrong(naive)) > 0.09


def test_bounds_hold_for_processes_not_yet_seen() -> None:
    """Where each process has a level of its own, the median's bounds are about all processes, not these."""
    rng, session = np.random.default_rng(2), by_session(6, 200)
    wrong = 0
    for _ in range(300):
        series = np.repeat(rng.normal(size=6), 200) + rng.normal(size=1200)
        found = latency_bounds(series, session, 0.5, 0.95)
        wrong += found.upper is not None and found.upper < 0
    assert wrong / 300 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 300)


def test_a_sample_without_support_has_no_bound() -> None:
    """200 calls do not bound a p99 from above, and nothing measured bounds nothing."""
    few = latency_bounds(np.arange(200.0), by_session(1, 200), 0.99, 0.95)
    assert few.upper is None
    assert latency_bounds(np.empty(0), np.empty(0, np.int64), 0.5, 0.95) == st.Bounds(None, None)
    assert latency_interval(np.empty(0), np.empty(0, np.int64), 0.5, 0.95) == st.Bounds(None, None)
    assert latency_interval(np.arange(3.0), by_session(1, 3), 0.99, 0.95).upper is None


def test_the_interpolated_median_is_hettmansperger_and_sheathers() -> None:
    """For a median their formula (Statistics & Probability Letters 4, 1986) is the same in other words.

    It goes (n − r)I/(r + (n − 2r)I) of the way between two order statistics, where I is how far the
    coverage wanted lies between theirs.
    """
    samples = np.array([0, 9, 1, 8, 2, 7, 3, 6, 4, 5]) ** 2.0
    assert worth(samples, by_session(1, 10), 0.5).calls == 10
    little, much, r = 1 - 56 / 1024, 1 - 11 / 1024, 8
    share = (0.975 - little) / (much - little)
    weight = (10 - r) * share / (r + (10 - 2 * r) * share)
    found = latency_interval(samples, by_session(1, 10), 0.5, 0.95)
    assert found.upper == pytest.approx((1 - weight) * 7**2 + weight * 8**2)


@pytest.mark.parametrize(("n", "q"), [(600, 0.5), (400, 0.9), (900, 0.99)])
def test_the_interpolated_interval_covers_as_often_as_it_says(n: int, q: float) -> None:
    """Over 1,000 independent samples the interval holds in 93–97 % ± noise, inside of what gates take."""
    rng, session, truth = np.random.default_rng(4), by_session(1, n), -np.log(1 - q)
    held = 0
    for _ in range(1000):
        samples = rng.exponential(size=n)
        ends, safe = latency_interval(samples, session, q, 0.95), latency_bounds(samples, session, q, 0.975)
        lower, upper = ends.lower or 0, np.inf if ends.upper is None else ends.upper
        held += lower <= truth <= upper
        assert (safe.lower or 0) <= lower + 1e-12
        assert upper <= (np.inf if safe.upper is None else safe.upper) + 1e-12
    noise = 2.33 * np.sqrt(0.05 * 0.95 / 1000)
    assert 0.93 - noise <= held / 1000 <= 0.97 + noise


def test_time_goes_by_the_order_of_the_calls() -> None:
    """The same numbers in random order give a narrower interval: the order is what carries dependence."""
    rng = np.random.default_rng(6)
    series, session = autoregressive(rng, 2, 1000, 0.9).ravel(), by_session(2, 1000)
    kept = latency_bounds(series, session, 0.5, 0.95)
    mixed = latency_bounds(rng.permutation(series), session, 0.5, 0.95)
    assert kept.upper is not None
    assert kept.lower is not None
    assert mixed.upper is not None
    assert mixed.lower is not None
    assert kept.upper - kept.lower > 2 * (mixed.upper - mixed.lower)
