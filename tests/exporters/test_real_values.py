"""A file of any arithmetic run on samples: batches filled up, integers scaled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgebench.artifact import Quantization, TensorSpec
from edgebench.exporters.real_values import Runnable

SAMPLES = [np.arange(20, dtype=np.float32).reshape(10, 2)]


@pytest.mark.parametrize(("batch", "calls"), [(4, [4, 4, 4]), (1, [1] * 10), (-1, [8, 2])])
def test_each_sample_is_answered_once(batch: int, calls: list[int]) -> None:
    """A fixed batch is filled up with the last sample, an open one is not; every answer comes once."""
    seen = []

    def double(values: list[np.ndarray]) -> Sequence[np.ndarray]:
        seen.append(len(values[0]))
        return [2 * values[0]]

    spec = TensorSpec("x", (batch, 2), "float32")
    (answers,) = Runnable([spec], [spec], double, largest=8).answers(SAMPLES)
    np.testing.assert_array_equal(answers, 2 * SAMPLES[0])
    assert seen == calls


def test_integers_stand_for_real_values_on_both_sides() -> None:
    """Samples are stored by the input's scale, answers are read by the output's."""
    taken = TensorSpec("x", (1, 2), "int8", Quantization(0.5, -10))
    given = TensorSpec("y", (1, 2), "int8", Quantization(2.0, 3))
    (answers,) = Runnable([taken], [given], lambda values: values, largest=1).answers(SAMPLES)
    np.testing.assert_array_equal(answers, (np.rint(SAMPLES[0] / 0.5) - 10 - 3) * 2)
