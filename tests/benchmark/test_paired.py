"""Paired comparisons: exact where they are, and holding by simulation where not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgebench.benchmark import statistics as st
from edgebench.benchmark.metric_draws import LEAST
from edgebench.benchmark.metrics import METRICS, user_metric
from edgebench.benchmark.paired import mcnemar, metric_loss
from edgebench.benchmark.statistics import drop_bounds


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 7), (7, 1), (0, 5), (12, 30), (59, 6)])
def test_mcnemar_is_the_exact_sign_test(b: int, c: int) -> None:
    """The p-value is the two-sided binomial test on the pairs that differ."""
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "churn", "drop"), [(200, 0.02, 0.01), (500, 0.01, 0.005), (1000, 0.1, 0.02)])
def test_the_bounds_of_a_drop_err_on_neither_side(n: int, churn: float, drop: float) -> None:
    """With the drop at the bound, 5,000 comparisons pass wrongly in 5 % at most, and fail likewise."""
    shares = [(churn + drop) / 2, (churn - drop) / 2, 1 - churn]
    counts = np.random.default_rng(1).multinomial(n, shares, size=5000)
    keys, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    passed = failed = 0
    for (b, c), count in zip(keys.tolist(), times.tolist(), strict=True):
        found = drop_bounds(b, c, n, 0.95)
        passed += count * ((found.upper or 0) < drop)
        failed += count * ((found.lower or 0) > drop)
    noise = 2.33 * np.sqrt(0.05 * 0.95 / 5000)
    assert passed / 5000 <= 0.05 + noise
    assert failed / 5000 <= 0.05 + noise


def error_rates(n: int, drop: float, differ: float, confidence: float) -> tuple[float, float]:
    """Return how often a gate passes and fails whose bound is the drop, summed over all counts of pairs."""
    lost, won = (differ + drop) / 2, (differ - drop) / 2
    passed = failed = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b if won else 1):
            ways = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(n - b - c + 1)
            rest = (n - b - c) * math.log(1 - differ)
            chance = math.exp(ways + b * math.log(lost) + (c * math.log(won) if won else 0.0) + rest)
            if chance > 1e-7:
                found = drop_bounds(b, c, n, confidence)
                passed += chance * ((found.upper or 0) <= drop)
                failed += chance * ((found.lower or 0) > drop)
    return passed, failed


@pytest.mark.parametrize(
    ("n", "drop", "differ", "confidence"),
    [
        (36, 0.02, 0.02, 0.8),
        (154, 0.01, 0.01, 0.8),
        (83, 0.02, 0.02, 0.9),
        (120, 0.02, 0.04, 0.9),
        (134, 0.02, 0.02, 0.95),
        (310, 0.01, 0.0125, 0.95),
        (310, 0.02, 0.04, 0.95),
        (126, 0.05, 0.06, 0.99),
    ],
)
def test_the_bounds_of_a_drop_hold_exactly(n: int, drop: float, differ: float, confidence: float) -> None:
    """With few pairs that differ, gains among them or none, neither end errs more often than stated."""
    assert max(error_rates(n, drop, differ, confidence)) <= 1 - confidence


def test_a_gain_is_claimed_as_rarely_as_a_loss() -> None:
    """The bounds of two models turned round are mirrored, and lie outside Tango's plain ones."""
    ours, turned = drop_bounds(9, 3, 400, 0.95), drop_bounds(3, 9, 400, 0.95)
    tangos = st.paired_difference_bounds(9, 3, 400, 0.95)
    assert None not in (ours.lower, ours.upper, turned.lower, turned.upper, tangos.lower, tangos.upper)
    assert (ours.lower, ours.upper) == (-turned.upper, -turned.lower)  # type: ignore[operator]
    assert tangos.lower - 1 / 400 < ours.lower < tangos.lower  # type: ignore[operator]
    assert tangos.upper < ours.upper < tangos.upper + 1 / 400  # type: ignore[operator]


def test_the_bounds_of_a_drop_at_the_border() -> None:
    """Without pairs there are none; with none that differs they are near the exact ones, 1 − 0.2^(1/80)."""
    assert drop_bounds(0, 0, 0, 0.95) == st.Bounds(None, None)
    assert drop_bounds(0, 0, 80, 0.8).upper == pytest.approx(1 - 0.2 ** (1 / 80), rel=0.02)
    assert drop_bounds(50, 0, 50, 0.5).upper == 1.0
    assert drop_bounds(0, 50, 50, 0.95).lower == -1.0


def regression(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, a model with heavy-tailed errors, and one that is noisier."""
    labels = rng.normal(size=n)
    first = labels + 0.3 * rng.standard_t(5, size=n)
    return first, first + 0.15 * rng.normal(size=n), labels


def test_the_bounds_of_a_loss_hold() -> None:
    """Over 300 comparisons of 300 samples each bound of the RMSE's rise fails in about 5 %."""
    truth = np.sqrt(0.09 * 5 / 3 + 0.0225) - np.sqrt(0.09 * 5 / 3)
    rng, over, under = np.random.default_rng(2), 0, 0
    for seed in range(300):
        bounds = metric_loss(METRICS["rmse"], *regression(rng, 300), 0.95, seed, resamples=500).bounds
        over += (bounds.upper or 0) < truth
        under += (bounds.lower or 0) > truth
    noise = 2.33 * np.sqrt(0.05 * 0.95 / 300)
    assert over / 300 <= 0.05 + noise
    assert under / 300 <= 0.05 + noise


def ranked(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of two models, the second noisier, and labels of two classes."""
    labels = rng.integers(0, 2, n)
    first = rng.normal(size=(n, 2)) + 2 * (labels[:, None] == np.arange(2))
    return first, first + 0.5 * rng.normal(size=(n, 2)), labels


def test_the_bounds_of_a_metric_hold_with_the_fewest_samples() -> None:
    """With as few samples as have bounds, an AUC's loss passes in about 5 % where its truth is the bound."""
    first, second, labels = ranked(np.random.default_rng(1), 400_000)
    lost = _auc(first, labels) - _auc(second, labels)
    rng, passed = np.random.default_rng(3), 0
    for seed in range(800):
        bounds = metric_loss(METRICS["auc"], *ranked(rng, LEAST), 0.95, seed, resamples=400).bounds
        passed += bounds.upper is not None and bounds.upper <= lost
    assert passed / 800 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 800)


def test_fewer_samples_have_no_bounds() -> None:
    """Below the least number there is a loss and no bound, however alike the samples are."""
    few = metric_loss(METRICS["rmse"], *regression(np.random.default_rng(5), LEAST - 1), 0.95, 0)
    assert few.bounds == st.Bounds(None, None)
    assert few.loss > 0


def classes(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of two models that agree mostly, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    first = rng.normal(size=(n, 4)) + 2 * (labels[:, None] == np.arange(4))
    return first.astype(np.float32), (first + 0.4 * rng.normal(size=(n, 4))).astype(np.float32), labels


def test_less_of_a_good_metric_is_a_loss_and_more_of_a_bad_one() -> None:
    """A worse model has a positive loss by F1 as by RMSE, and turned round a negative one."""
    first, second, labels = classes(3)
    there = metric_loss(METRICS["f1"], first, second, labels, 0.95, 0)
    back = metric_loss(METRICS["f1"], second, first, labels, 0.95, 0)
    assert there.loss == pytest.approx(there.baseline - there.candidate)
    assert there.loss == pytest.approx(-back.loss)
    noisy = metric_loss(METRICS["rmse"], *regression(np.random.default_rng(4), 500), 0.95, 0)
    assert noisy.loss > 0
    assert noisy.bounds.lower is not None
    assert noisy.bounds.upper is not None
    assert noisy.bounds.lower < noisy.loss < noisy.bounds.upper


def test_pairing_narrows_the_bounds() -> None:
    """The same two models on other samples each would need bounds several times as wide."""
    first, second, labels = classes(5)
    paired = metric_loss(METRICS["auc"], first, second, labels, 0.95, 0).bounds
    mixed = np.random.default_rng(6).permutation(len(labels))
    own = user_metric(
        "f", lambda o, y: _auc(o[:, :4], y[:, 0]) - _auc(o[:, 4:], y[:, 1]), more_is_better=True
    )
    both = np.concatenate([first, second[mixed]], axis=1)
    unpaired = metric_loss(
        own, both, 0 * both, np.stack([labels, labels[mixed]], axis=1), 0.95, 0, resamples=300
    ).bounds
    assert paired.upper is not None
    assert paired.lower is not None
    assert unpaired.upper is not None
    assert unpaired.lower is not None
    assert paired.upper - paired.lower < 0.6 * (unpaired.upper - unpaired.lower)


def _auc(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(METRICS["auc"].prepare(logits, labels)(np.ones((1, len(labels))))[0])


def test_the_same_seed_gives_the_same_bounds() -> None:
    """A verdict drawn again from the same evidence is the same."""
    case = classes(7)
    assert metric_loss(METRICS["f1"], *case, 0.95, 3) == metric_loss(METRICS["f1"], *case, 0.95, 3)
    assert metric_loss(METRICS["f1"], *case, 0.95, 3) != metric_loss(METRICS["f1"], *case, 0.95, 4)


def test_models_that_never_differ_have_no_bounds() -> None:
    """Where both answer alike on all samples no resample differs, which does not make the loss certain."""
    first, _, labels = classes(8)
    found = metric_loss(METRICS["f1"], first, first, labels, 0.95, 0)
    assert found.loss == 0
    assert found.bounds == st.Bounds(None, None)
