"""Plans hold what they promise: simulated with the estimate as the truth."""

from __future__ import annotations

import numpy as np
import pytest
from series import autoregressive, by_session

from edgebench.benchmark import planning
from edgebench.benchmark import statistics as st
from edgebench.benchmark.series import Series
from edgebench.benchmark.statistics import drop_bounds

NOISE = 2.33 * np.sqrt(planning.CHANCE * (1 - planning.CHANCE) / 1000)


@pytest.mark.parametrize(
    ("n", "above", "q"), [(400, 2, 0.99), (400, 9, 0.99), (300, 140, 0.5), (500, 20, 0.95), (200, 14, 0.9)]
)
def test_planned_calls_settle_a_percentile(n: int, above: int, q: float) -> None:
    """With the number planned, 1,000 simulated measurements settle in 80 % and hardly more."""
    planned = planning.quantile_calls(n, above, q, 0.95)
    assert planned is not None
    lower, upper = st.quantile_ranks(planned, q, 0.95)
    assert lower is not None
    assert upper is not None
    under = planned - np.random.default_rng(1).binomial(planned, above / n, size=1000)
    settled = (under >= upper) if above / n < 1 - q else (under < lower)
    assert settled.mean() >= planning.CHANCE - NOISE
    assert settled.mean() <= planning.CHANCE + 0.05 + NOISE


@pytest.mark.parametrize(
    ("b", "c", "n", "bound"), [(6, 2, 300, 0.01), (9, 3, 200, 0.01), (4, 4, 400, 0.005), (30, 20, 500, 0.04)]
)
def test_planned_pairs_settle_a_drop(b: int, c: int, n: int, bound: float) -> None:
    """With the pairs planned, 1,000 simulated comparisons settle by the bounds of gates in about 80 %."""
    planned = planning.pairs_to_settle(b, c, n, bound, 0.95)
    assert planned is not None
    counts = np.random.default_rng(2).multinomial(planned, [b / n, c / n, 1 - (b + c) / n], size=1000)
    settled = 0
    for first, second, _ in counts.tolist():
        found = drop_bounds(first, second, planned, 0.95)
        ends = (found.upper or 0) < bound if (b - c) / n < bound else (found.lower or 0) > bound
        settled += ends
    assert settled / 1000 == pytest.approx(planning.CHANCE, abs=0.05)


def test_dependent_calls_need_more() -> None:
    """A plan for correlated calls asks for as many times more as the calls are worth less."""
    series = autoregressive(np.random.default_rng(3), 4, 1000, 0.8)
    session = by_session(4, 1000)
    limit = float(np.quantile(series, 0.51))
    kept = planning.calls_to_settle(Series(series.ravel(), session), 0.5, limit, 0.95)
    shuffled = np.random.default_rng(4).permutation(series.ravel())
    mixed = planning.calls_to_settle(Series(shuffled, session), 0.5, limit, 0.95)
    assert kept is not None
    assert mixed is not None
    assert kept > 3 * mixed


def test_no_number_settles_an_estimate_on_the_bound() -> None:
    """Where the estimate is the bound itself there is no plan, and where it is near there is a largest."""
    assert planning.pairs_to_settle(4, 0, 200, 0.02, 0.95) is None
    assert planning.samples_for_share(0.97, 200, 0.97, 0.95) is None
    assert planning.quantile_calls(400, 4, 0.99, 0.95) is None
    assert planning.samples_for_share(0.9700001, 200, 0.97, 0.95) == planning.MOST
    assert planning.pairs_to_settle(401, 1, 20_000, 0.020001, 0.95) == planning.MOST


def test_a_share_without_exceptions_needs_wilks_number() -> None:
    """No failure so far: 299 samples show that the share is above 99 % at 95 % confidence, if none comes."""
    assert planning.samples_for_share(1.0, 10, 0.99, 0.95) == 299
    assert planning.samples_for_share(0.0, 10, 0.01, 0.95) == 299
    assert planning.samples_for_share(1.0, 10, 1.0, 0.95) is None


def test_a_plan_asks_for_more_than_there_is() -> None:
    """What did not suffice is never called enough."""
    assert planning.pairs_to_settle(0, 0, 500, 0.02, 0.95) == 501
    assert planning.quantile_calls(5000, 10, 0.99, 0.95) == 5001
