"""What dependent calls are worth, against variances known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from series import autoregressive, by_session

from edgebench.benchmark.dependence import session_parts, worth


def test_independent_calls_are_worth_themselves() -> None:
    """Independent calls keep nearly all of their number, and are never worth more than they are."""
    rng = np.random.default_rng(1)
    found = [worth(rng.lognormal(size=2000), by_session(5, 400), q) for _ in range(50) for q in (0.5, 0.99)]
    calls = [one.calls for one in found]
    assert max(calls) <= 2000
    assert np.median(calls) > 1850
    assert np.mean([one.sessions_differ for one in found]) < 0.15


@pytest.mark.parametrize("memory", [0.5, 0.9])
def test_the_median_of_an_autoregressive_series(memory: float) -> None:
    """The signs of an AR(1) have autocorrelation 2/π·arcsin(ρᵏ), which gives the effective size."""
    lags = np.arange(1, 400)
    effect = 1 + 2 * np.sum(2 / np.pi * np.arcsin(memory**lags))
    rng = np.random.default_rng(2)
    found = [
        worth(autoregressive(rng, 4, 5000, memory).ravel(), by_session(4, 5000), 0.5).calls for _ in range(12)
    ]
    assert np.median(found) == pytest.approx(20_000 / effect, rel=0.15)


def test_long_series_are_judged_the_same_when_averaged_in_runs() -> None:
    """A series longer than what is transformed at once gives the same effective share."""
    rng = np.random.default_rng(3)
    long = autoregressive(rng, 1, 300_000, 0.9).ravel()
    share = worth(long, by_session(1, 300_000), 0.5).calls / 300_000
    short = worth(long[:60_000], by_session(1, 60_000), 0.5).calls / 60_000
    assert share == pytest.approx(short, rel=0.2)


def test_sessions_that_differ_become_the_units() -> None:
    """Processes with levels of their own leave as many degrees of freedom as there are of them, less one."""
    rng = np.random.default_rng(4)
    levels = np.repeat([1.0, 1.02, 0.97, 1.04, 1.0], 400)
    found = worth(levels * np.exp(0.01 * rng.normal(size=2000)), by_session(5, 400), 0.9)
    assert found.sessions_differ
    assert found.freedom == 4
    assert found.calls < 50


def test_a_difference_of_levels_counts_for_the_tail_too() -> None:
    """Sessions whose medians differ are units for the p99, though few calls lie beyond it."""
    rng = np.random.default_rng(5)
    levels = np.repeat([1.0, 1.05, 0.97, 1.04, 1.0], 200)
    assert worth(levels * np.exp(0.05 * rng.normal(size=1000)), by_session(5, 200), 0.99).sessions_differ


def test_less_is_counted_on_the_less_is_known_of_the_effect() -> None:
    """With few degrees of freedom an interval counts on fewer calls; at one half it needs no margin."""
    rng = np.random.default_rng(6)
    found = worth(autoregressive(rng, 3, 300, 0.95).ravel(), by_session(3, 300), 0.5)
    assert found.at(0.975) < found.at(0.9) < found.calls
    assert found.at(0.5) == int(found.calls)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_samples(n: int) -> None:
    """Up to two calls are worth no more than they are, without a complaint."""
    assert worth(np.arange(float(n)), np.zeros(n, np.int64), 0.5).calls <= n


def test_equal_samples() -> None:
    """A clock so coarse that all calls are equal leaves nothing to correlate."""
    assert worth(np.full(100, 7), by_session(2, 50), 0.5).calls == 100


def test_sessions_of_any_length_are_told_apart() -> None:
    """Each run of one session is a part, whatever its length."""
    assert session_parts(np.array([0, 0, 3, 1, 1, 1])) == [slice(0, 2), slice(2, 3), slice(3, 6)]
