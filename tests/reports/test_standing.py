"""A FAIL among many gates, and calls that depend on each other, in the verdict."""

from __future__ import annotations

import numpy as np
from evidence_builders import MS
from test_judge import one, only, verdict

from edgebench.benchmark.evidence import LatencySamples
from edgebench.reports.verdict import Answer, Decision

PASSING = ("p90 <= 1s", "p95 <= 1s", "p99 <= 1s", "p50 <= 2s")


def independent(n: int = 4000) -> LatencySamples:
    """Return calls around 10 ms in four sessions."""
    calls = np.rint(10 * MS * np.random.default_rng(1).lognormal(0, 0.05, n)).astype(np.int64)
    return LatencySamples(calls, np.repeat(np.arange(4), n // 4), calls[:0])


def lower_ms(confidence: float) -> float:
    """Return the p50's lower bound at a confidence."""
    lower = only(one(independent()), f"p50 <= 1s @{confidence * 100}%").interval.lower
    assert lower is not None
    return 1000 * lower


def test_a_fail_at_its_own_confidence_stands_alone() -> None:
    """One gate, missed by its bound at 95 % and not at 98 %, is NO-GO."""
    limit = (lower_ms(0.95) + lower_ms(0.98)) / 2
    found = verdict(one(independent()), f"p50 <= {limit}ms")
    assert found.decision is Decision.NO_GO


def on_the_bound() -> list[str]:
    """Return three gates whose estimate is their bound, so that they stay open."""
    calls = independent().latency_ns
    return [f"p{percent} <= {np.quantile(calls, percent / 100) / MS}ms" for percent in (90, 95, 99)]


def test_among_four_open_gates_such_a_fail_may_be_chance() -> None:
    """With three open gates beside it the same gate is open, and says what would settle it."""
    limit = (lower_ms(0.95) + lower_ms(0.98)) / 2
    found = verdict(one(independent()), f"p50 <= {limit}ms", *on_the_bound())
    assert found.decision is Decision.INCONCLUSIVE
    result = found.artifacts[0].gates[0]
    assert result.answer is Answer.INCONCLUSIVE
    assert "of 4 gates that do not pass one may fail so by chance" in result.reason
    assert result.needed is not None
    assert "calls in all" in result.needed


def test_gates_that_pass_take_nothing_from_a_fail() -> None:
    """The same gate with four that pass, and with sizes that miss, which are facts, is NO-GO by itself."""
    limit = (lower_ms(0.95) + lower_ms(0.98)) / 2
    found = verdict(one(independent()), f"p50 <= {limit}ms", *PASSING, "size <= 1kB", "size <= 2kB")
    assert found.artifacts[0].gates[0].answer is Answer.FAIL


def test_a_clear_fail_stands_among_open_gates() -> None:
    """A bound missed at 99.9 % is NO-GO with three open gates beside it."""
    found = verdict(one(independent()), f"p50 <= {lower_ms(0.999) - 0.001}ms", *on_the_bound())
    assert found.decision is Decision.NO_GO


def test_dependent_calls_are_counted_as_what_they_are_worth() -> None:
    """Calls that come in slow and fast runs widen the interval, and the reason says what they are worth."""
    calls = independent().latency_ns.copy()
    level = np.repeat(np.random.default_rng(2).normal(0, 0.05, 200), 20)
    waves = LatencySamples((calls * np.exp(level)).astype(np.int64), independent().session, calls[:0])
    mixed = LatencySamples(np.random.default_rng(3).permutation(waves.latency_ns), waves.session, calls[:0])
    wide, narrow = (only(one(timed), "p50 <= 1s") for timed in (waves, mixed))
    assert "independent ones" in wide.reason
    assert "independent ones" not in narrow.reason
    assert wide.interval.upper is not None
    assert narrow.interval.upper is not None
    assert wide.interval.upper - wide.value > 2 * (narrow.interval.upper - narrow.value)  # type: ignore[operator]
