"""The laws behind the intervals against scipy and closed forms."""

from __future__ import annotations

import math

import pytest

from edgebench.benchmark import distributions as laws


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (1, 1), (2, 30), (190, 11), (9_900, 101), (0.5, 4000)])
@pytest.mark.parametrize("x", [1e-9, 0.01, 0.3, 0.5, 0.95, 0.99])
def test_incomplete_beta_is_scipys(a: float, b: float, x: float) -> None:
    """The continued fraction agrees with scipy to nine digits, in the middle and in both tails."""
    special = pytest.importorskip("scipy.special")
    assert laws.incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-300)


def test_incomplete_beta_at_its_ends() -> None:
    """It is 0 at 0 and 1 at 1."""
    assert laws.incomplete_beta(2, 3, 0.0) == 0
    assert laws.incomplete_beta(2, 3, 1.0) == 1


@pytest.mark.parametrize("freedom", [1, 2, 4, 29, 1000, 99_999])
@pytest.mark.parametrize("confidence", [0.5, 0.6, 0.95, 0.975, 0.999])
def test_student_quantile_is_scipys(freedom: int, confidence: float) -> None:
    """Student's quantiles agree with scipy's."""
    stats = pytest.importorskip("scipy.stats")
    assert laws.student_quantile(confidence, freedom) == pytest.approx(
        stats.t.ppf(confidence, freedom), rel=1e-7, abs=1e-9
    )


def test_student_quantile_with_closed_forms() -> None:
    """One degree of freedom is Cauchy's law, and very many are the normal one."""
    assert laws.student_quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475))
    assert laws.student_quantile(0.975, 10**9) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(
    ("ratio", "first", "second"), [(0.2, 4, 30), (2.69, 4, 30), (3.0, 1, 7.5), (9, 19, 400)]
)
def test_f_tail_is_scipys(ratio: float, first: float, second: float) -> None:
    """Fisher's tail agrees with scipy's, with broken degrees of freedom too; nothing exceeds 0 less often."""
    stats = pytest.importorskip("scipy.stats")
    assert laws.f_tail(ratio, first, second) == pytest.approx(stats.f.sf(ratio, first, second), rel=1e-9)
    assert laws.f_tail(0.0, first, second) == 1
