"""Several gates at once: which FAILs stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgebench.benchmark.multiplicity import shared, standing_fails


def with_p_value(p: float) -> Callable[[float], bool]:
    """Return a gate that fails at every confidence up to 1 − p."""
    return lambda confidence: p <= 1 - confidence


def test_holms_own_steps() -> None:
    """Of p = 0.01, 0.02 and 0.04 all three stand; of 0.01, 0.03 and 0.04 only the first."""
    gates = [with_p_value(p) for p in (0.04, 0.01, 0.02)]
    assert standing_fails(gates, [0.95] * 3) == [True, True, True]
    gates = [with_p_value(p) for p in (0.03, 0.01, 0.04)]
    assert standing_fails(gates, [0.95] * 3) == [False, True, False]


def test_one_gate_needs_no_correction() -> None:
    """A single gate fails at its own confidence, and no gates fail nothing."""
    assert standing_fails([with_p_value(0.049)], [0.95]) == [True]
    assert standing_fails([], []) == []


def test_gates_keep_their_own_confidence() -> None:
    """Of two gates the one asked at 99 % is held to 0.5 %, the one at 90 % to 5 %."""
    gates = [with_p_value(0.006), with_p_value(0.04)]
    assert standing_fails(gates, [0.99, 0.9]) == [True, True]
    assert standing_fails([with_p_value(0.006), with_p_value(0.06)], [0.99, 0.9]) == [False, False]


@pytest.mark.parametrize("gates", [2, 5, 12])
def test_a_wrong_fail_among_many_is_as_rare_as_one(gates: int) -> None:
    """Of 4,000 runs whose gates are all just kept 5 % have a FAIL that stands; uncorrected, far more."""
    p = np.random.default_rng(1).uniform(size=(4000, gates))
    wrong = [any(standing_fails([with_p_value(x) for x in row], [0.95] * gates)) for row in p.tolist()]
    assert np.mean(wrong) <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 4000)
    assert (p <= 0.05).any(axis=1).mean() > 0.09


def test_gates_that_pass_may_be_left_out() -> None:
    """Of 10,000 runs of ten gates, all just kept, those that pass left out, 5.3 % have a FAIL that stands."""
    p = np.random.default_rng(2).uniform(size=(10_000, 10))
    open_gates = [[with_p_value(x) for x in row if x < 0.95] for row in p.tolist()]
    wrong = np.mean([any(standing_fails(gates, [0.95] * len(gates))) for gates in open_gates])
    assert wrong <= 0.053 + 2.33 * np.sqrt(0.05 * 0.95 / 10_000)


def test_shared_confidence() -> None:
    """Ten statements at 99.5 % hold together at 95 %."""
    assert shared(0.95, 10) == pytest.approx(0.995)
