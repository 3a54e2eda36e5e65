"""A verdict on evidence that was looked at while it was taken: each look surer, all together as stated."""

from __future__ import annotations

from dataclasses import replace

import latency_laws as laws
import numpy as np
import pytest
from evidence_builders import DEVICE, MS, Run, answers, digits
from test_judge import INT8, one, only, pair, verdict
from until_decided import decided

from edgebench.benchmark.criteria import Criteria, criteria_sha256
from edgebench.benchmark.evidence import LatencySamples, Validity
from edgebench.benchmark.looks import Looks, Stop
from edgebench.reports.deciding import is_narrow, outlook
from edgebench.reports.gates import RELATIVE
from edgebench.reports.verdict import Answer, Interval, Settler

LOOKED = Looks(made=(5, 7), stop=Stop.TIME)


def calls(sessions: int = 5, n: int = 1000) -> LatencySamples:
    """Return independent calls around 10 ms."""
    values = np.rint(10 * MS * np.random.default_rng(1).lognormal(0, 0.05, n)).astype(np.int64)
    return LatencySamples(values, np.repeat(np.arange(sessions), n // sessions), values[:0])


def looked(run: Run, **changes: object) -> Run:
    """Return the same run as one that was looked at."""
    return replace(run, evidence=replace(run.evidence, looks=LOOKED, **changes))  # type: ignore[arg-type]


def test_a_pass_of_one_look_may_be_open_where_there_were_several() -> None:
    """A bound that the p50 keeps at 95 % and not at 99.27 % passes a fixed measurement alone."""
    run = one(calls())
    ends = [only(run, f"p50 <= 1s @{100 * sure}%").interval.upper for sure in (0.95, LOOKED.surer(0.95))]
    assert ends[0] is not None
    assert ends[1] is not None
    words = f"p50 <= {1000 * (ends[0] + ends[1]) / 2}ms"
    assert only(run, words).answer is Answer.PASS
    found = only(looked(run), words)
    assert found.answer is Answer.INCONCLUSIVE
    assert (found.confidence, found.settled_by) == (0.95, Settler.SESSIONS)
    assert found.interval.upper == pytest.approx(ends[1] * 1000, rel=1e-9)


def test_answers_and_sizes_are_looked_at_once() -> None:
    """The drop on the same samples and the size of a file are as sure as without looks."""
    run = pair(1000, 20)
    for words in ("drop <= 3pp", "size <= 10MB"):
        assert only(looked(run), words).interval == only(run, words).interval


def test_before_five_sessions_nothing_is_decided() -> None:
    """Four sessions do not show how sessions differ: the gate is open, however far its bound is."""
    found = only(looked(one(calls(4))), "p50 <= 1s")
    assert (found.answer, found.needed) == (Answer.INCONCLUSIVE, "at least 5 sessions")
    assert only(looked(one(calls(5))), "p50 <= 1s").answer is Answer.PASS


def test_many_dependent_calls_are_needed_before_a_look_decides() -> None:
    """Calls in two waves do not show how they depend on each other, however far the bound is."""
    wave = np.repeat([10 * MS, 11 * MS], 500) + np.arange(1000)
    timed = LatencySamples(wave.astype(np.int64), np.repeat(np.arange(5), 200), wave[:0])
    assert only(looked(one(timed)), "p50 <= 1s").answer is Answer.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changes", "words", "settler"),
    [
        ({"validity": Validity.INVALID}, "p50 <= 10.001ms", Settler.OTHER),
        ({"failure": "it crashed"}, "p50 <= 10ms", Settler.OTHER),
        ({"device": replace(DEVICE, emulated=True)}, "p50 <= 10ms", Settler.OTHER),
        ({}, "top1 >= 97%", Settler.SAMPLES),
        ({}, "memory <= 1kB", Settler.SESSIONS),
    ],
)
def test_what_more_of_would_settle_an_open_gate(
    changes: dict[str, object], words: str, settler: Settler
) -> None:
    """Sessions for what is timed, samples for what is answered, something else where neither helps."""
    found = only(looked(one(calls(), answers(100, [1, 2]), **changes)), words)
    assert found.answer is Answer.INCONCLUSIVE
    assert found.settled_by is settler


def test_the_outlook_tells_what_waits_from_what_is_stuck() -> None:
    """A p50 at its bound waits for sessions; a top-1 at its bound is stuck; what passes is neither."""
    run = looked(one(calls(), answers(100, [1, 2])))
    p50 = float(np.median(calls().latency_ns)) / MS
    found = outlook(verdict(run, f"p50 <= {p50}ms", "top1 >= 97%", "size <= 10MB"))
    assert len(found.waiting) == len(found.stuck) == 1
    assert found.waiting[0].startswith(f"p50 <= {p50}ms of {INT8.id} (needed: ")
    assert found.stuck[0].startswith(f"top1 >= 97% of {INT8.id} (needed: about ")


def test_a_gate_for_another_device_is_stuck() -> None:
    """No session on this device settles it."""
    found = outlook(verdict(looked(one(calls())), "size <= 10MB", "p50 <= 1s at tag:lab"))
    assert found.waiting == ()
    assert found.stuck == ("p50 <= 1s at tag:lab (needed: a measurement on a device that it names)",)


def test_what_waits_may_be_known_narrowly_enough() -> None:
    """A p50 at its bound, known to within a few per mille, is narrow for 1 % and not for 0.01 %."""
    run, p50 = looked(one(calls())), float(np.median(calls().latency_ns)) / MS
    found = verdict(run, f"p50 <= {p50}ms", "size <= 10MB")
    assert outlook(found, 0.01).narrow
    assert not outlook(found, 0.0001).narrow
    assert not outlook(found).narrow
    assert not outlook(verdict(run, "size <= 10MB"), 0.01).narrow


def test_a_figure_without_both_ends_is_not_narrow() -> None:
    """A p99 that too few calls bound, and a change of nothing against the baseline, are told apart."""
    result = only(looked(one(calls())), "p50 <= 10ms")
    unbounded = replace(result, interval=Interval(9.9, None))
    assert not is_narrow(unbounded, 0.5)
    change = replace(result, unit=RELATIVE, value=0.1, interval=Interval(-0.9, 1.1))
    assert is_narrow(change, 0.011)
    assert not is_narrow(change, 0.009)


def test_a_stop_for_other_criteria_is_said() -> None:
    """The same gates: how it ended. Others: the same looks, and that the stop was not made for them."""
    words = ("p99 <= 50ms", "size <= 10MB")
    declared = Criteria(tuple(sorted(words)), criteria_sha256(words), "2026-01-02T03:00:00+00:00")
    run = looked(digits(wrong=10).run(), criteria=declared)
    same, other = verdict(run, *words), verdict(run, "p99 <= 60ms")
    assert "looks at 5, 7 sessions, of at most 12, each at 99.27 %" in same.notes[0]
    assert not any("other criteria" in note for note in same.notes)
    assert any("stopped for other criteria than these" in note for note in other.notes)
    assert verdict(run, *words) == same


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_the_wired_rule_errs_as_stated(q: float) -> None:
    """The bound at the truth, four looks at up to fifteen sessions: wrong in at most 5 % on each side."""
    rng, n = np.random.default_rng(3), 120
    truth = laws.INDEPENDENT.quantile(q)
    said = [decided(laws.INDEPENDENT, q, truth, 15, 120, rng)[0] for _ in range(n)]
    noise = 2.33 * np.sqrt(0.05 * 0.95 / n)
    assert said.count(Answer.PASS) / n <= 0.05 + noise
    assert said.count(Answer.FAIL) / n <= 0.05 + noise


def test_the_wired_rule_decides_early() -> None:
    """A p99 a tenth away from its bound is decided rightly, at the first looks."""
    rng, law = np.random.default_rng(4), laws.INDEPENDENT
    truth = law.quantile(0.99)
    for limit, answer in ((1.1 * truth, Answer.PASS), (truth / 1.1, Answer.FAIL)):
        said, taken = decided(law, 0.99, limit, 33, 200, rng)
        assert (said, taken <= 10 * 200) == (answer, True)
