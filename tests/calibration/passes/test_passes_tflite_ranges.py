"""The ranges of summands in TFLite graphs: narrower, and nothing that counts is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.calibration.methods import Method
from edgebench.calibration.passes.tflite_ranges import summand_ranges
from tests.calibration.tflite_networks import Network, classifier, images, run


@pytest.mark.parametrize("side", [8, 80])
def test_a_summand_needs_no_range_that_the_relu_throws_away(side: int, tmp_path: Path) -> None:
    """Clipping the summand to its range changes no sum, and its lower end is nearer to zero."""
    net = Network(1, side, side, 3)
    stem = net.conv(net.x, 8, "stem", act="RELU")
    total = net.add(net.conv(stem, 8, "second"), stem, "sum", act="RELU")
    path, given = net.save(tmp_path / "m.tflite", total), images(16, side, side, 3)
    (found,) = summand_ranges(path, given, Method.MIN_MAX).values()
    values = [run(path, sample[0], "second", "stem", "sum") for sample in given]
    for second, other, wanted in values:
        clipped = np.clip(second, found.lowest, found.highest)
        np.testing.assert_allclose(np.maximum(clipped + other, 0), wanted, atol=1e-5)
    assert found.lowest > 0.9 * min(second.min() for second, _, _ in values)


def test_only_one_of_two_summands_is_narrowed(tmp_path: Path) -> None:
    """Of a sum of two layers one keeps its whole range, which the other's counts on."""
    net = Network(1, 8, 8, 3)
    total = net.add(net.conv(net.x, 8, "first"), net.conv(net.x, 8, "second"), "sum", act="RELU")
    path = net.save(tmp_path / "m.tflite", total)
    assert set(summand_ranges(path, images(4, 8, 8, 3), Method.MSE)) == {"first"}


def test_what_another_reads_too_or_no_relu_follows_keeps_its_range(tmp_path: Path) -> None:
    """A summand that is an output, and sums without a ReLU, are let be; the samples are not even read."""
    net = Network(1, 8, 8, 3)
    first = net.conv(net.x, 8, "first", act="RELU")
    second = net.conv(first, 8, "second")
    total = net.add(second, first, "sum", act="RELU")
    plain = net.add(net.conv(total, 8, "third"), total, "plain")
    path = net.save(tmp_path / "m.tflite", plain, second)
    assert summand_ranges(path, iter([]), Method.MSE) == {}


def test_the_residual_of_the_classifier_is_found(tmp_path: Path) -> None:
    """In a residual block the convolution before the sum is narrowed, the stream beside it is not."""
    path = classifier(tmp_path / "m.tflite")
    assert set(summand_ranges(path, images(4, 8, 8, 3), Method.MSE)) == {"second"}
