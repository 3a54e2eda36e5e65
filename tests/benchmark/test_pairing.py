"""Artifacts timed in turn: what their moments have in common cancels, and the intervals hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reports.evidence_builders import DEVICE, artifact, sessions, timing

from edgebench.artifact import Format, Precision
from edgebench.benchmark.comparison import compare_latencies
from edgebench.benchmark.evidence import LatencySamples, Measurement
from edgebench.benchmark.pairing import compare_in_turn, groups_of, timed_in_turn
from edgebench.errors import MeasurementError

SESSIONS, BLOCKS, CALLS = 5, 10, 20
SESSION = np.repeat(np.arange(SESSIONS), BLOCKS * CALLS)
BLOCK = np.tile(np.repeat(np.arange(BLOCKS), CALLS), SESSIONS)


def in_turn(rng: np.random.Generator, ratio: float = 1.0) -> tuple[LatencySamples, LatencySamples]:
    """Return two artifacts' calls on a machine whose blocks are up to twice as slow, by chance, for both.

    Each process has a level of its own, too, of 0.5 %.
    """
    moment = np.repeat(rng.uniform(1, 2, (SESSIONS, BLOCKS)), CALLS, axis=1).ravel()

    def one(level: float) -> LatencySamples:
        process = np.exp(0.005 * rng.normal(size=SESSIONS))[SESSION]
        calls = 1e6 * level * moment * process * np.exp(0.03 * rng.normal(size=SESSION.size))
        return LatencySamples(calls.astype(np.int64), SESSION, np.zeros(0, np.int64), block=BLOCK)

    return one(1.0), one(ratio)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_intervals_hold_under_moments_in_common(q: float) -> None:
    """Of 300 A/A comparisons under load that moves all, at most 5 % exclude the ratio 1 (and its error)."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        ends = compare_in_turn(*in_turn(rng), q, 0.95).ratio_interval
        wrong += not (ends.lower or 0) <= 1 <= (ends.upper or 0)
    assert wrong / 300 <= 0.05 + 2.33 * np.sqrt(0.05 * 0.95 / 300)


def test_a_planted_slowdown_is_found_through_common_noise() -> None:
    """5 % more are found in each of 50 comparisons in which calls apart from each other show it in few."""
    rng, together, apart = np.random.default_rng(2), 0, 0
    for seed in range(50):
        first, second = in_turn(rng, 1.05)
        other, _ = in_turn(rng, 1.0)
        together += (compare_in_turn(first, second, 0.5, 0.95).ratio_interval.lower or 0) > 1
        unpaired = compare_latencies(
            other.latency_ns, SESSION, second.latency_ns, SESSION, 0.5, 0.95, seed, resamples=300
        )
        apart += (unpaired.ratio_interval.lower or 0) > 1
    assert together == 50
    assert apart < 25


def test_the_ratio_is_that_of_the_law() -> None:
    """Over many sessions the ratio is the planted one, and the difference that share of the median."""
    found = [compare_in_turn(*in_turn(np.random.default_rng(seed), 1.05), 0.5, 0.95) for seed in range(40)]
    assert np.mean([one.ratio for one in found]) == pytest.approx(1.05, abs=0.002)
    assert np.mean([one.difference for one in found]) == pytest.approx(0.05 * 1.5e6, rel=0.1)


def test_groups_hold_enough_calls_for_the_percentile() -> None:
    """For the median ten calls a group suffice, for p95 a hundred, for p99 all of a session."""
    first, second = in_turn(np.random.default_rng(3))
    counts = {q: len(groups_of(first, second, 0, q)) for q in (0.5, 0.95, 0.99)}
    assert counts == {0.5: 10, 0.95: 2, 0.99: 1}
    assert [len(own) for _, own in groups_of(first, second, 0, 0.95)] == [100, 100]


def test_blocks_of_one_alone_are_left_out() -> None:
    """A block that was cut from one of the two has no counterpart and is not looked at."""
    first, second = in_turn(np.random.default_rng(4))
    kept = first.block >= 4
    cut = LatencySamples(first.latency_ns[kept], SESSION[kept], first.warmup_ns, block=first.block[kept])
    assert sum(len(own) for _, own in groups_of(cut, second, 0, 0.5)) == 6 * CALLS
    none = replace(cut, block=cut.block + 100)
    with pytest.raises(MeasurementError, match="session 0 has no block that both"):
        compare_in_turn(none, second, 0.5, 0.95)


def test_one_session_has_a_ratio_and_no_interval() -> None:
    """What one process of each shows is not claimed of the next."""
    first, second = in_turn(np.random.default_rng(5), 1.05)
    one = [
        LatencySamples(
            s.latency_ns[SESSION == 0], SESSION[SESSION == 0], s.warmup_ns, block=s.block[SESSION == 0]
        )
        for s in (first, second)
    ]
    found = compare_in_turn(one[0], one[1], 0.5, 0.95)
    assert found.ratio == pytest.approx(1.05, abs=0.03)
    assert (found.ratio_interval.lower, found.ratio_interval.upper) == (None, None)


def test_sessions_of_one_moment_are_in_turn() -> None:
    """Measurements are in turn where each session names the other; not those of two moments."""
    made = [artifact(name, Precision.FP32, Format.ONNX, 9) for name in "ab"]
    first, second = (
        Measurement(one, DEVICE, sessions(3, 9, "s", timing(), blocks=10, beside=(made[1 - i].id,)))
        for i, one in enumerate(made)
    )
    assert timed_in_turn(first, second)
    later = tuple(replace(session, started_utc="2027") for session in second.sessions)
    assert not timed_in_turn(first, replace(second, sessions=later))
    assert not timed_in_turn(first, replace(second, sessions=second.sessions[:2]))
    alone = tuple(replace(session, beside=()) for session in second.sessions)
    assert not timed_in_turn(first, replace(second, sessions=alone))
