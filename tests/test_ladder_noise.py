"""Signal and error of a tensor where not all values are numbers."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.ladder.noise import EXACT_DB, Noise


def test_the_same_infinity_on_both_sides_is_no_error() -> None:
    """A mask of −∞ in the fp32 and in the quantized graph leaves the figure to the other values."""
    noise, plain = Noise(), Noise()
    noise.add(np.array([3.0, -np.inf, 4.0]), np.array([3.0, -np.inf, 4.5]))
    plain.add(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
    assert noise.sqnr_db == plain.sqnr_db == pytest.approx(20.0)


def test_nan_is_an_error_as_large_as_the_signal() -> None:
    """What becomes NaN where fp32 had a number counts against the tensor."""
    noise = Noise()
    noise.add(np.array([3.0, 4.0]), np.array([3.0, np.nan]))
    assert noise.sqnr_db < 0.1
    assert noise.sqnr_db < EXACT_DB


def test_infinities_alone_are_exact() -> None:
    """A tensor of which nothing but the same infinity is left has no error."""
    noise = Noise()
    noise.add(np.array([-np.inf]), np.array([-np.inf]))
    assert noise.sqnr_db == EXACT_DB
