"""Steadiness is found where it is, and only there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from series import autoregressive

from edgebench.benchmark.evidence import State
from edgebench.benchmark.steady import LEFT, steady_state

FloatArray = np.ndarray
N = 2000


def noise(rng: np.random.Generator, n: int = N) -> FloatArray:
    """Return steady latencies around 1 with a spread of 10 %."""
    return np.exp(0.1 * rng.normal(size=n))


SHAPES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "step": lambda t: np.where(t < 0.1, 1.3, 1.0),
    "small step": lambda t: np.where(t < 0.1, 1.08, 1.0),
    "decay": lambda t: 1 + np.exp(-t / 0.05),
    "slowdown": lambda t: np.where(t < 0.6, 1.0, 1.3),
}


@pytest.mark.parametrize(
    ("shape", "earliest", "latest"),
    [("step", 0.2, 0.25), ("small step", 0.2, 0.25), ("decay", 0.2, 0.45), ("slowdown", 0.7, 0.75)],
)
def test_a_change_ends_the_warm_up(shape: str, earliest: float, latest: float) -> None:
    """In 95 of 100 sessions the steady part begins a tenth after the last change, or a little later."""
    rng, t = np.random.default_rng(1), np.arange(N) / N
    found = [steady_state(noise(rng) * SHAPES[shape](t)) for _ in range(100)]
    right = [f.state is State.STEADY and earliest <= f.start / N <= latest for f in found]
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize(
    "level",
    [lambda t: 1 + 0.5 * t, lambda t: 1 + 0.3 * (np.floor(5 * t) % 2), lambda t: np.where(t < 0.8, 1, 1.3)],
    ids=["drift", "two levels in turn", "a change near the end"],
)
def test_what_never_rests_is_never_steady(level: Callable[[FloatArray], FloatArray]) -> None:
    """A drift, levels in turn, and a change near the end leave no steady part worth the name."""
    rng, t = np.random.default_rng(2), np.arange(N) / N
    found = Counter(steady_state(noise(rng) * level(t)).state for _ in range(100))
    assert found[State.NEVER] >= 90


@pytest.mark.parametrize("n", [300, 1000, 3000])
def test_independent_calls_are_steady_from_the_first_on(n: int) -> None:
    """At most 3 % of 300 sessions of independent calls lose a call or are called never steady."""
    rng = np.random.default_rng(3)
    heavy = [noise(rng, n) * np.where(rng.random(n) < 0.03, 1 + rng.pareto(1.5, n), 1) for _ in range(300)]
    for series in ([noise(rng, n) for _ in range(300)], heavy):
        found = [steady_state(one) for one in series]
        assert np.mean([f.state is State.NEVER for f in found]) <= 0.03
        assert np.mean([f.start > 0 for f in found]) <= 0.04


def test_two_modes_that_alternate_quickly_are_steady() -> None:
    """A latency with a fast and a slow mode, chosen anew for each call, is steady."""
    rng = np.random.default_rng(4)
    found = [steady_state(noise(rng) * np.where(rng.random(N) < 0.3, 1.5, 1)) for _ in range(400)]
    assert np.mean([f.start > 0 for f in found]) <= 0.03


def test_correlation_is_no_change() -> None:
    """Of sessions with lag-one correlation 0.9 at most 8 % are called never steady."""
    rng = np.random.default_rng(5)
    series = np.exp(0.1 * autoregressive(rng, 150, 3000, 0.9))
    assert np.mean([steady_state(one).state is State.NEVER for one in series]) <= 0.08


def test_a_tail_that_dies_out_is_warm_up() -> None:
    """Where only the slow calls become rarer, the calls before are cut, and a tenth more."""
    rng, t = np.random.default_rng(6), np.arange(N) / N
    calls = noise(rng) * np.where((t < 0.3) & (rng.random(N) < 0.3), 2, 1)
    assert steady_state(calls).start / N == pytest.approx(0.4, abs=0.03)


def test_the_unit_does_not_matter() -> None:
    """Nanoseconds as integers and milliseconds give the same first steady call and the same segments."""
    rng, t = np.random.default_rng(7), np.arange(N) / N
    ms = noise(rng) * SHAPES["step"](t)
    ours, theirs = steady_state((ms * 1e6).astype(np.int64)), steady_state(ms)
    assert ours.start == theirs.start
    assert [s.start for s in ours.segments] == [s.start for s in theirs.segments]


def test_segments_say_what_was_cut() -> None:
    """The segments follow each other over all calls, with the level of each."""
    rng, t = np.random.default_rng(8), np.arange(N) / N
    found = steady_state(noise(rng) * SHAPES["step"](t))
    assert found.segments[0].start == 0
    assert found.segments[-1].stop == N
    assert [a.stop for a in found.segments[:-1]] == [b.start for b in found.segments[1:]]
    assert found.segments[0].median == pytest.approx(1.3, rel=0.05)
    assert found.segments[0].tail > found.segments[0].median


def test_few_calls_are_not_judged() -> None:
    """With fewer calls than show a change from chance, and with none, there is no answer."""
    for n in (0, 1, 199):
        assert steady_state(np.ones(n)).state is State.TOO_FEW
    assert steady_state(np.ones(200)).start == 0


def test_what_is_left_is_a_quarter_at_least() -> None:
    """A steady session keeps at least the share that it must."""
    rng, t = np.random.default_rng(9), np.arange(N) / N
    for change in np.linspace(0, 1, 21):
        found = steady_state(noise(rng) * np.where(t < change, 1.4, 1))
        assert found.state is State.NEVER or (N - found.start) / N >= LEFT
