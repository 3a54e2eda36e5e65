"""What is computed once for many calls is what is computed plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from series import autoregressive, by_session

from edgebench.benchmark import statistics as st
from edgebench.benchmark.dependence import worth
from edgebench.benchmark.evidence import LatencySamples
from edgebench.benchmark.intervals import latency_bounds
from edgebench.benchmark.ranked import Ranked
from edgebench.benchmark.series import Series, series_of

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


@pytest.mark.parametrize("kind", ["smooth", "tied", "drifting"])
def test_a_series_gives_what_the_functions_give(kind: str) -> None:
    """Quantile, worth and bounds, of smooth, tied and drifting calls, in any order of asking."""
    rng = np.random.default_rng(0)
    values = 1e6 * np.exp(0.05 * autoregressive(rng, 4, 5000, 0.5).ravel())
    values = np.round(values, -5) if kind == "tied" else values
    values = values + 10 * np.arange(len(values)) if kind == "drifting" else values
    samples, session = np.rint(values).astype(np.int64), by_session(4, 5000)
    series = Series(samples, session)
    for q in (*QUANTILES[::-1], *QUANTILES):
        assert series.quantile(q) == float(np.quantile(samples, q))
        assert series.worth(q) == worth(samples, session, q)
        assert series.bounds(q, 0.95) == latency_bounds(samples, session, q, 0.95)
    for index, alone in series.sessions.items():
        assert np.array_equal(alone.samples, samples[session == index])


def test_ranks_are_those_of_sorted_values() -> None:
    """Whatever ranks are asked for, and in whatever order, they are the sorted values; the input stays."""
    rng = np.random.default_rng(1)
    values = rng.integers(0, 1000, 20_000)
    kept, ordered = values.copy(), np.sort(values)
    ranked = Ranked(values)
    for rank in rng.integers(0, len(values), 300).tolist():
        assert ranked[rank] == ordered[rank]
    assert np.array_equal(values, kept)
    assert len(ranked) == len(values)


@pytest.mark.parametrize("n", [100_001, 400_000])
@pytest.mark.parametrize("q", [0.001, 0.5, 0.99, 0.99999])
def test_ranks_of_many_calls_are_the_exact_ones(n: int, q: float) -> None:
    """Tails summed in a window around the mean give the ranks that all terms give."""
    below = st.binomial_below(n, q)
    for confidence in (0.5, 0.95, 0.999_999):
        lower, upper = st.quantile_ranks(n, q, confidence)
        first = int(np.searchsorted(below, confidence - 1e-10)) + 1
        last = int(np.searchsorted(below, 1 - confidence + 1e-10, side="right"))
        assert (lower or 0, upper or n + 1) == (last, first)


def plain_worth(samples: NDArray[np.int64], q: float, step: int) -> float:
    """Return what one session is worth, each mark centred by itself and runs of them averaged."""
    marks = samples <= np.sort(samples)[max(1, math.ceil(q * len(samples))) - 1]
    share = marks.mean()
    means = (marks - share)[: len(marks) // step * step].reshape(-1, step).mean(axis=1)
    size = 1 << (2 * len(means) - 1).bit_length()
    covariance = np.fft.irfft(np.abs(np.fft.rfft(means, size)) ** 2, size)[: len(means)] / len(means)
    pairs = covariance[: len(covariance) // 2 * 2].reshape(-1, 2).sum(axis=1)
    kept = pairs[: np.flatnonzero(pairs <= 0)[0]]
    long_run = step * (2 * np.minimum.accumulate(kept).sum() - covariance[0])
    return float(len(samples) / max(1.0, long_run / (share * (1 - share))))


def test_counts_of_marks_give_the_autocovariance_of_the_marks() -> None:
    """200,000 correlated calls: the worth from counts in runs is that from centred marks."""
    values = autoregressive(np.random.default_rng(2), 1, 200_000, 0.6).ravel()
    samples = np.rint(1e6 * np.exp(0.05 * values)).astype(np.int64)
    for q in (0.5, 0.95):
        found = worth(samples, np.zeros(len(samples), np.int64), q)
        assert found.calls == pytest.approx(plain_worth(samples, q, step=4), rel=1e-9)


def test_a_measurement_has_one_series() -> None:
    """As long as the timings are held, what was computed of them is kept, and not longer."""
    samples = LatencySamples(np.arange(10), np.zeros(10, np.int64), np.zeros(0, np.int64))
    assert series_of(samples) is series_of(samples)
