"""The plan of looks at a measurement that goes on, and what a restart of one may do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.looks import FIRST, MOST, Looks, Stop, next_look
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.sequential import GROWTH, look_confidence
from edgebench.benchmark.stopping import Outlook, Rounds, Until
from edgebench.deciding import Limits
from edgebench.errors import ConfigError
from edgebench.progress import silent

OPEN = Outlook(waiting=("p99 <= 1ms of m.onnx",))
BLANK = Evidence("m", "2026-01-02T03:04:05+00:00", "0.1.0", (), None)


def rounds(
    decide: Callable[[Evidence], Outlook], max_s: float = 1e9, earlier: Evidence | None = None
) -> Rounds:
    """Return the rounds of a request that nobody measures."""
    return Rounds(Until(decide, max_s, earlier), BenchmarkRequest((), Path()), silent)


def taken(found: Rounds, most: int = 1000) -> int:
    """Return how many rounds are taken until it stops."""
    indices: Iterator[int] = found.indices(lambda: replace(BLANK, looks=found.looks))
    return sum(1 for _ in zip(indices, range(most), strict=False))


def test_looks_never_lie_further_apart_than_planned() -> None:
    """Each look has at most half as many sessions again, so that it resembles the one before enough."""
    made: tuple[int, ...] = ()
    for _ in range(MOST):
        made = (*made, next_look(made, FIRST))
    assert made == (5, 7, 10, 15, 22, 33, 49, 73, 109, 163, 244, 366)
    assert all(after <= GROWTH * before for before, after in itertools.pairwise(made))
    assert next_look((1,), FIRST) == 2


def test_each_look_is_as_sure_as_all_together_need() -> None:
    """Bounds are at the confidence with which twelve looks err in 5 % together."""
    assert Looks().surer(0.95) == look_confidence(12, 1.5, 0.95) == pytest.approx(0.9927, abs=1e-4)


def test_it_ends_when_nothing_is_open() -> None:
    """Decided at the third look, it takes the ten sessions of that look and no more."""
    found = rounds(lambda evidence: OPEN if len(evidence.looks.made) < 3 else Outlook())  # type: ignore[union-attr]
    assert taken(found) == 10
    assert (found.looks.made, found.looks.stop) == ((5, 7, 10), Stop.DECIDED)


def test_what_no_session_settles_does_not_keep_it_running() -> None:
    """With accuracy alone open the first look ends it, and says what is open."""
    found = rounds(lambda _: Outlook(stuck=("drop <= 1pp of m.onnx",)))
    assert taken(found) == 5
    assert (found.looks.stop, found.looks.stuck) == (Stop.STUCK, ("drop <= 1pp of m.onnx",))


def test_what_is_known_narrowly_enough_does_not_keep_it_running() -> None:
    """At the look where all that is open is as narrow as was asked, it ends, and says what is open."""
    narrow = replace(OPEN, narrow=True)
    found = rounds(lambda evidence: narrow if len(evidence.looks.made) > 1 else OPEN)  # type: ignore[union-attr]
    assert taken(found) == 7
    assert (found.looks.stop, found.looks.waiting) == (Stop.NARROW, OPEN.waiting)


def test_the_last_look_is_the_last_however_narrow() -> None:
    """What is narrow at the twelfth look has used the plan up: there is none left to go on with."""
    narrow = replace(OPEN, narrow=True)
    found = rounds(lambda evidence: narrow if len(evidence.looks.made) == MOST else OPEN)  # type: ignore[union-attr]
    taken(found)
    assert (len(found.looks.made), found.looks.stop) == (MOST, Stop.LOOKS)


@pytest.mark.parametrize(
    ("stop", "before", "now", "goes_on"),
    [
        (Stop.TIME, None, None, True),
        (Stop.DECIDED, None, 0.01, False),
        (Stop.NARROW, 0.02, 0.02, False),
        (Stop.NARROW, 0.02, 0.05, False),
        (Stop.NARROW, 0.02, 0.01, True),
        (Stop.NARROW, 0.02, None, True),
    ],
)
def test_what_ended_narrowly_goes_on_for_less(
    stop: Stop, before: float | None, now: float | None, goes_on: bool
) -> None:
    """A narrower figure, or a decision, may be asked for later; the same is there already."""
    assert Limits(1.0, now).go_on(Looks(made=(5,), stop=stop, within=before)) is goes_on


def test_the_plan_is_used_up() -> None:
    """What is never decided ends at the twelfth look."""
    found = rounds(lambda _: OPEN)
    assert taken(found) == 366
    assert (len(found.looks.made), found.looks.stop, found.looks.waiting) == (12, Stop.LOOKS, OPEN.waiting)


def test_before_five_sessions_nothing_is_decided_and_no_look_used_up() -> None:
    """Without time for a second session it ends, says what is open, and all looks are left."""
    found = rounds(lambda _: OPEN, max_s=0.0)
    assert taken(found) == 1
    assert (found.looks.made, found.looks.stop, found.looks.waiting) == ((), Stop.TIME, OPEN.waiting)


def test_a_restart_looks_no_more_often_than_the_plan_allows() -> None:
    """After looks at 5 and 6, where the time was out, ten are left, and the next is at nine sessions."""
    asked = rounds(lambda _: OPEN).looks
    earlier = replace(BLANK, looks=replace(asked, made=(5, 6), stop=Stop.TIME))
    seen: list[int] = []

    def decide(evidence: Evidence) -> Outlook:
        assert evidence.looks is not None
        seen.append(evidence.looks.made[-1])
        return OPEN

    found = rounds(decide, earlier=earlier)
    taken(found)
    assert seen[:2] == [9, 13]
    assert len(seen) == 10
    assert len(found.looks.made) == MOST


def test_a_killed_run_sees_the_same_at_the_same_looks() -> None:
    """Looks of a run that is started over lie where they lay, whatever kept sessions there are."""
    first, again = rounds(lambda _: OPEN), rounds(lambda _: OPEN)
    taken(first, most=12)
    taken(again, most=12)
    assert first.looks.made == again.looks.made == (5, 7, 10)


def test_other_settings_cannot_go_on() -> None:
    """A measurement of 200 calls a session is not gone on with 300: the setting is named."""
    asked = rounds(lambda _: OPEN).looks
    earlier = replace(BLANK, looks=replace(asked, made=(5,), stop=Stop.TIME))
    request = BenchmarkRequest((), Path(), calls=300)
    with pytest.raises(ConfigError, match="calls was 200 and is 300"):
        Rounds(Until(lambda _: OPEN, 1.0, earlier), request, silent)
