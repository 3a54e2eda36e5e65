"""Streaming histograms: exact counts in any order, ranges that grow, zeros apart."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.calibration.histogram import Distribution, Histograms


def stream(order: list[int], *, sizes: tuple[int, ...] = (50, 7)) -> Histograms:
    """Return histograms of ten samples of very different size, added in the given order."""
    histograms = Histograms(sizes, bins=64)
    for index in order:
        source = np.random.default_rng(index)
        scale = 10.0 ** (index - 5)
        assert histograms.add((source.normal(size=sum(sizes)) * scale).astype(np.float32)) is None
    return histograms


def test_any_order_gives_the_same_counts() -> None:
    """Ranges that grow early or late end in the same bins, bit for bit."""
    forward, backward = stream(list(range(10))), stream(list(range(10))[::-1])
    for a, b in zip(forward.distributions(), backward.distributions(), strict=True):
        np.testing.assert_array_equal(a.counts, b.counts)
        np.testing.assert_array_equal(a.edges, b.edges)
        assert (a.lowest, a.highest, a.zeros) == (b.lowest, b.highest, b.zeros)


def test_counts_are_those_of_numpy() -> None:
    """The bins hold what numpy's histogram over the same edges holds."""
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    histograms = Histograms([1000])
    histograms.add(values)
    (found,) = histograms.distributions()
    wanted, _ = np.histogram(values.astype(np.float64), found.edges)
    np.testing.assert_array_equal(found.counts, wanted)
    assert found.total == 1000
    assert (found.lowest, found.highest) == (values.min(), values.max())


def test_tensors_do_not_mix() -> None:
    """Each tensor's values are counted in its own bins, with its own range."""
    histograms = Histograms([2, 3])
    histograms.add(np.array([1, -1, 100, 200, 300], np.float32))
    first, second = histograms.distributions()
    assert (first.total, second.total) == (2, 3)
    assert first.edges[-1] == 2
    assert second.edges[-1] == 512


def test_zeros_are_counted_apart() -> None:
    """Exact zeros, of either sign, stand in no bin."""
    histograms = Histograms([4])
    histograms.add(np.array([0.0, -0.0, 1e-3, 1.0], np.float32))
    (found,) = histograms.distributions()
    assert (found.zeros, int(found.counts.sum())) == (2, 2)


def test_a_tensor_that_is_always_zero_has_an_empty_range() -> None:
    """Nothing but zeros: lowest and highest are zero and the bins are empty."""
    histograms = Histograms([3])
    histograms.add(np.zeros(3, np.float32))
    (found,) = histograms.distributions()
    assert (found.lowest, found.highest, found.zeros, int(found.counts.sum())) == (0.0, 0.0, 3, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_its_tensor(bad: float) -> None:
    """The tensor with NaN or infinity is told, and the sample is not counted."""
    histograms = Histograms([2, 2])
    assert histograms.add(np.array([1, 2, 3, bad], np.float32)) == 1
    assert [found.total for found in histograms.distributions()] == [0, 0]


def test_powers_of_two_lie_inside() -> None:
    """A value that is exactly a power of two has a bin, and so has the lowest one."""
    histograms = Histograms([3], bins=16)
    histograms.add(np.array([4.0, -4.0, 1.0], np.float32))
    (found,) = histograms.distributions()
    assert found.total == 3
    assert found.edges[-1] == 8


def test_memory_does_not_grow_with_samples() -> None:
    """After a thousand samples the counts take what they took after one."""
    histograms = Histograms([100] * 5)
    for index in range(1000):
        histograms.add(np.random.default_rng(index).normal(size=500).astype(np.float32))
    assert sum(found.counts.nbytes for found in histograms.distributions()) == 5 * 4096 * 8
    assert histograms.distributions()[0].total == 100_000


def random_samples(count: int = 21) -> list[np.ndarray]:
    """Return samples of two tensors of 50 values; every seventh is larger, so that ranges widen."""
    source = np.random.default_rng(3)
    return [
        (source.normal(size=100) * (8 if i % 7 == 6 else 1)).astype(np.float32).round(1) for i in range(count)
    ]


def same(first: Distribution, second: Distribution) -> None:
    """Require two distributions to be the same bit for bit."""
    assert (first.lowest, first.highest, first.zeros) == (second.lowest, second.highest, second.zeros)
    assert (first.mean_lowest, first.mean_highest) == (second.mean_lowest, second.mean_highest)
    np.testing.assert_array_equal(first.edges, second.edges)
    np.testing.assert_array_equal(first.counts, second.counts)


def test_folds_change_nothing_of_the_whole() -> None:
    """Samples dealt to four folds give, together, what they give in one."""
    one, four = Histograms([50, 50]), Histograms([50, 50], folds=4)
    for sample in random_samples():
        one.add(sample)
        four.add(sample)
    for first, second in zip(one.distributions(), four.distributions(), strict=True):
        same(first, second)


def test_leaving_a_fold_out_is_never_having_seen_it() -> None:
    """Without fold 1 of 3 the counts, extremes and moving averages are those of the other samples alone."""
    samples = random_samples()
    folds, others = Histograms([50, 50], folds=3), Histograms([50, 50])
    for index, sample in enumerate(samples):
        folds.add(sample)
        if index % 3 != 1:
            others.add(sample)
    for tensor in (0, 1):
        same(folds.distribution(tensor, without=1), others.distribution(tensor))


def test_folds_need_two_samples_each() -> None:
    """With too few samples for their folds there is one fold only."""
    histograms = Histograms([4], folds=4)
    for count in range(1, 9):
        histograms.add(np.ones(4, np.float32))
        assert histograms.folds == (4 if count >= 8 else 1)
