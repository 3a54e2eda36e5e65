"""Each interval against exact sums, published tables, and simulation with fixed seeds."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from edgebench.benchmark import statistics as st


def exact_cumulated(n: int, q: Fraction, k: int) -> Fraction:
    """Return P(Binomial(n, q) ≤ k) without rounding."""
    return sum((comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k + 1)), Fraction(0))


@pytest.mark.parametrize("n", [5, 20, 59, 298, 299, 600])
@pytest.mark.parametrize("q", [Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)])
def test_ranks_are_those_of_exact_binomial_sums(n: int, q: Fraction) -> None:
    """The chosen ranks hold the confidence by exact arithmetic, and the next tighter ones do not."""
    confidence = Fraction(19, 20)
    lower, upper = st.quantile_ranks(n, float(q), 0.95)
    if upper is None:
        assert exact_cumulated(n, q, n - 1) < confidence
    else:
        assert exact_cumulated(n, q, upper - 1) >= confidence
        assert exact_cumulated(n, q, upper - 2) < confidence
    if lower is None:
        assert exact_cumulated(n, q, 0) > 1 - confidence
    else:
        assert exact_cumulated(n, q, lower - 1) <= 1 - confidence
        assert exact_cumulated(n, q, lower) > 1 - confidence


def test_the_published_ranks_for_a_median_of_ten_and_twenty() -> None:
    """The two-sided 95 % interval of a median: ranks 2 and 9 of ten, 6 and 15 of twenty (Conover, A3)."""
    assert st.quantile_ranks(10, 0.5, 0.975) == (2, 9)
    assert st.quantile_ranks(20, 0.5, 0.975) == (6, 15)


@pytest.mark.parametrize(
    ("q", "confidence", "calls"), [(0.99, 0.95, 299), (0.95, 0.95, 59), (0.9, 0.95, 29), (0.5, 0.95, 5)]
)
def test_the_least_number_of_calls(q: float, confidence: float, calls: int) -> None:
    """Wilks's numbers: 299 calls bound a p99 at 95 %, 59 a p95, 29 a p90, and one less does not."""
    assert st.needed_calls(q, confidence) == calls
    assert st.quantile_supported(calls, q, confidence)
    assert not st.quantile_supported(calls - 1, q, confidence)


def test_no_samples_no_bounds() -> None:
    """Nothing measured bounds nothing."""
    assert st.quantile_ranks(0, 0.5, 0.95) == (None, None)
    assert st.clopper_pearson(0, 0, 0.95) == st.Bounds(None, None)
    assert st.paired_difference_bounds(0, 0, 0, 0.95) == st.Bounds(None, None)


def test_a_percentile_without_support_has_no_upper_end() -> None:
    """The largest of 200 calls is not given as a bound of p99; the lower end is known."""
    found = st.quantile_bounds_one_sided(np.arange(1, 201), 0.99, 0.95)
    assert found.upper is None
    assert found.lower == 195


@pytest.mark.parametrize("n", [60, 299, 400, 2000, 100_000])
def test_the_estimate_lies_between_its_bounds(n: int) -> None:
    """A quantile is never outside of its own interval."""
    samples = np.random.default_rng(n).lognormal(size=n)
    for q in (0.5, 0.9, 0.95, 0.99):
        found = st.quantile_bounds_one_sided(samples, q, 0.95)
        value = st.quantile(samples, q)
        assert found.lower is None or found.lower <= value
        assert found.upper is None or found.upper >= value


@pytest.mark.parametrize(("n", "q"), [(600, 0.99), (100, 0.5), (200, 0.9)])
def test_quantile_bounds_cover(n: int, q: float) -> None:
    """In 4,000 samples of a skewed law each bound holds in at least 95 %, both in at least 90 %."""
    rng = np.random.default_rng(20)
    true = -np.log(1 - q)
    lower, upper = st.quantile_ranks(n, q, 0.95)
    assert lower is not None
    assert upper is not None
    ordered = np.sort(rng.exponential(size=(4000, n)), axis=1)
    noise = 3 * np.sqrt(0.95 * 0.05 / 4000)
    assert (ordered[:, upper - 1] >= true).mean() >= 0.95 - noise
    assert (ordered[:, lower - 1] <= true).mean() >= 0.95 - noise


def test_ties_do_not_break_coverage() -> None:
    """A coarse clock makes ties; the bounds of the median still hold."""
    rng = np.random.default_rng(3)
    lower, upper = st.quantile_ranks(50, 0.5, 0.95)
    assert lower is not None
    assert upper is not None
    ordered = np.sort(rng.integers(0, 5, size=(4000, 50)), axis=1)
    assert (ordered[:, upper - 1] >= 2).mean() >= 0.94
    assert (ordered[:, lower - 1] <= 2).mean() >= 0.94


def test_tango_reproduces_the_published_interval() -> None:
    """Bentur et al. 2009, as in Fagerland, Lydersen and Laake 2014: −0.517 to −0.026."""
    found = st.paired_difference_interval(1, 7, 21, 0.95)
    assert found.lower == pytest.approx(-0.517, abs=5e-4)
    assert found.upper == pytest.approx(-0.026, abs=5e-4)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 540), (3, 1, 200), (0, 7, 100), (50, 50, 100)])
def test_tango_solves_its_own_score_equation(b: int, c: int, n: int) -> None:
    """At each end the score statistic, its nuisance found by brute force, is the normal quantile."""
    z = 1.6448536269514722
    found = st.paired_difference_bounds(b, c, n, 0.95)
    for end, sign in ((found.lower, 1), (found.upper, -1)):
        assert end is not None
        grid = np.linspace(max(1e-12, -end), (1 - end) / 2, 2_000_001)[1:-1]
        rest = n - b - c
        likelihood = b * np.log(grid + end) + c * np.log(grid) + rest * np.log(1 - 2 * grid - end)
        share = grid[np.argmax(likelihood)]
        score = (b - c - n * end) / np.sqrt(n * (2 * share + end * (1 - end)))
        assert score == pytest.approx(sign * z, abs=2e-3)


def test_tango_mirrors() -> None:
    """Swapping the two models turns the interval round."""
    there, back = st.paired_difference_interval(9, 2, 80, 0.9), st.paired_difference_interval(2, 9, 80, 0.9)
    assert there.lower == pytest.approx(-(back.upper or 0))
    assert there.upper == pytest.approx(-(back.lower or 0))


@pytest.mark.parametrize(("b", "c"), [(50, 0), (0, 50)])
def test_tango_at_the_border(b: int, c: int) -> None:
    """Every pair differing in one direction gives an interval that ends at 1 or −1."""
    found = st.paired_difference_bounds(b, c, 50, 0.95)
    assert (found.upper if b else -(found.lower or 0)) == pytest.approx(1.0)


def test_tango_with_no_disagreement_has_a_closed_form() -> None:
    """Where nobody differs (b = c = 0) the bounds are ± z²/(n + z²)."""
    z2 = 1.6448536269514722**2
    found = st.paired_difference_bounds(0, 0, 360, 0.95)
    assert found.upper == pytest.approx(z2 / (360 + z2))
    assert found.lower == pytest.approx(-z2 / (360 + z2))


@pytest.mark.parametrize(("p_b", "p_c", "n"), [(0.03, 0.01, 360), (0.02, 0.0, 1000), (0.01, 0.01, 7500)])
def test_tango_bounds_cover(p_b: float, p_c: float, n: int) -> None:
    """In 2,000 simulated comparisons the upper bound of the drop holds about as often as it says."""
    rng = np.random.default_rng(7)
    counts = rng.multinomial(n, [p_b, p_c, 1 - p_b - p_c], size=2000)
    held = [st.paired_difference_bounds(b, c, n, 0.95).upper >= p_b - p_c for b, c, _ in counts.tolist()]  # type: ignore[operator]
    assert np.mean(held) >= 0.935


def test_clopper_pearson_reproduces_published_values() -> None:
    """The classic examples: 0 of 20 has the upper end 0.1684 (95 %), 81 of 263 is 0.2527 to 0.3676."""
    assert st.clopper_pearson(0, 20, 0.975).upper == pytest.approx(0.16843, abs=1e-5)
    found = st.clopper_pearson(81, 263, 0.975)
    assert (found.lower, found.upper) == (pytest.approx(0.2527, abs=5e-5), pytest.approx(0.3676, abs=5e-5))


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 7), (7, 7), (349, 360), (6873, 7500)])
def test_clopper_pearson_is_the_beta_quantile(k: int, n: int) -> None:
    """The ends agree with the beta distribution's quantiles to nine digits."""
    stats = pytest.importorskip("scipy.stats")
    found = st.clopper_pearson(k, n, 0.95)
    assert found.lower == pytest.approx(stats.beta.ppf(0.05, k, n - k + 1) if k else 0.0, abs=1e-9)
    assert found.upper == pytest.approx(stats.beta.ppf(0.95, k + 1, n - k) if k < n else 1.0, abs=1e-9)
