"""Which values of an ONNX graph's tensors are watched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from edgebench.calibration.onnx_tap import insert
from edgebench.calibration.picking import VALUES, stride
from tests.calibration.passes.networks import model_of, session

LARGE = (1, 6, 100, 90)


def tapped(shape: tuple[int, ...], value: Any, *, exact: bool = False) -> np.ndarray:
    """Return what is watched of the input of a graph for one value of it."""
    node = helper.make_node("Identity", ["x"], ["y"])
    model: ModelProto = model_of([node], list(shape), list(shape), [])
    tap = insert(model, {"x": shape}, exact=exact)
    (values,) = session(tap.model).run(None, {"x": value})
    assert values.shape == (sum(tap.sizes),)
    found: np.ndarray = values
    return found


def test_of_a_large_image_every_channel_is_watched_at_evenly_spaced_places() -> None:
    """Every third row and column, then evenly spaced values of what is left, as they are."""
    value = np.random.default_rng(0).normal(size=LARGE).astype(np.float32)
    left = value[:, :, ::3, ::3].ravel()
    np.testing.assert_array_equal(tapped(LARGE, value), left[:: stride(left.size)])
    assert left.size > VALUES


def test_of_a_large_vector_evenly_spaced_values_are_watched() -> None:
    """What is no image is thinned out in the order of its values."""
    value = np.random.default_rng(0).normal(size=(1, 9000)).astype(np.float32)
    np.testing.assert_array_equal(tapped((1, 9000), value), value.ravel()[:: stride(9000)])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen_as_it_is(wrong: float) -> None:
    """A NaN or an infinity at a place that is looked at stays one."""
    value = np.zeros(LARGE, np.float32)
    value[0, 0, 0, 0] = wrong
    np.testing.assert_array_equal(tapped(LARGE, value)[0], np.float32(wrong))


def test_exact_extremes_are_those_of_all_values() -> None:
    """Where extremes are asked for no place is passed over."""
    value = np.zeros(LARGE, np.float32)
    value[0, 2, 1, 1], value[0, 3, 2, 1] = 7, -5
    found = tapped(LARGE, value, exact=True)
    assert (found.min(), found.max()) == (-5, 7)
