"""From distributions to ranges."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.calibration.histogram import Distribution, Histograms
from edgebench.calibration.observers import Method, Range, observe


def watched(values: np.ndarray) -> Distribution:
    """Return the distribution of these values, given as ten samples."""
    histograms = Histograms([len(values) // 10])
    for part in values.astype(np.float32).reshape(10, -1):
        histograms.add(part)
    return histograms.distributions()[0]


def squared_error(values: np.ndarray, found: Range, bits: int = 8) -> float:
    """Return the mean squared error of quantizing the values with this range."""
    step = (found.highest - found.lowest) / (2**bits - 1)
    zero = np.rint(-found.lowest / step)
    stored = np.clip(np.rint(values / step) + zero, 0, 2**bits - 1)
    return float(np.square((stored - zero) * step - values).mean())


SOURCE = np.random.default_rng(0)
NORMAL = SOURCE.normal(size=20_000)
HEAVY = SOURCE.standard_t(3, size=20_000)
RELU = np.maximum(SOURCE.normal(size=20_000), 0)
SHAPES = {
    name: values.astype(np.float32).astype(np.float64)
    for name, values in {
        "normal": NORMAL,
        "heavy-tailed": HEAVY,
        "relu": RELU,
        "shifted": NORMAL * 0.1 + 5,
    }.items()
}


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", SHAPES)
def test_every_range_holds_zero_and_lies_within_the_extremes(name: str, method: Method) -> None:
    """Zero is exact in every range, and no range reaches beyond what was seen."""
    found = observe(watched(SHAPES[name]), method)
    assert found.lowest <= 0 <= found.highest
    assert found.lowest >= min(SHAPES[name].min(), 0) - 1e-6
    assert found.highest <= max(SHAPES[name].max(), 0) + 1e-6
    assert found.highest > found.lowest


def test_min_max_is_exact() -> None:
    """The extremes, to the last bit of float32."""
    assert observe(watched(HEAVY), Method.MIN_MAX) == Range(
        float(np.float32(HEAVY.min())), float(np.float32(HEAVY.max()))
    )


def test_a_percentile_cuts_its_share() -> None:
    """At most a hundred-thousandth of the values lies beyond either end."""
    values = SOURCE.normal(size=1_000_000)
    found = observe(watched(values), Method.PERCENTILE)
    width = 2 * np.abs(values).max() / 4096 * 2
    assert found.highest == pytest.approx(np.quantile(values, 0.99999), abs=width)
    assert found.lowest == pytest.approx(np.quantile(values, 0.00001), abs=width)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("bits", [4, 8])
def test_mse_is_near_the_best_that_any_clipping_gives(name: str, bits: int) -> None:
    """No range on a fine grid has an error more than 3 % below that of the one chosen."""
    values = SHAPES[name]
    chosen = squared_error(values, observe(watched(values), Method.MSE, bits=bits), bits)
    grid = np.linspace(0.05, 1.0, 120)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    best = min(squared_error(values, Range(low * a, high * a), bits) for a in grid)
    assert chosen <= 1.03 * best


def test_mse_clips_heavy_tails_and_min_max_does_not() -> None:
    """At four bits the tails are worth clipping, at eight a lone outlier is, a little."""
    values = np.concatenate([NORMAL[:-1], [80.0]])
    assert observe(watched(NORMAL), Method.MSE, bits=4).highest < 0.9 * NORMAL.max()
    assert observe(watched(values), Method.MIN_MAX).highest == 80.0
    assert observe(watched(values), Method.MSE).highest < 80.0


def test_entropy_clips_far_outliers() -> None:
    """A lone value ten times beyond the rest does not stretch the range."""
    values = np.concatenate([NORMAL[:-10], [60.0] * 10])
    assert observe(watched(values), Method.ENTROPY).highest < 30


@pytest.mark.parametrize("method", list(Method))
def test_a_constant_zero_has_an_empty_range(method: Method) -> None:
    """A tensor that was always zero gets the range from zero to zero."""
    assert observe(watched(np.zeros(100)), method) == Range(0.0, 0.0)


@pytest.mark.parametrize("method", list(Method))
def test_a_constant_has_a_range_from_zero_to_it(method: Method) -> None:
    """A tensor that is always 3 is covered from zero to about 3."""
    found = observe(watched(np.full(100, 3.0)), method)
    assert found.lowest == 0.0
    assert found.highest == pytest.approx(3.0, rel=0.02)
