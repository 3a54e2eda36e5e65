"""When to take no further session: decided, not to be decided by sessions, time out, or looks used up.

Who judges stands above this room; here it is a function from evidence to what is open.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Protocol

from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.looks import FIRST, Looks, Stop
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.errors import ConfigError, MeasurementError
from edgebench.progress import Progress


@dataclass(frozen=True, slots=True)
class Outlook:
    """The gates that are open, in words: `waiting` for more sessions, or `stuck`, which none settles.

    narrow: whether all that waits is known as narrowly as was asked.
    """

    waiting: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    narrow: bool = False


class Decide(Protocol):
    """Judges evidence and returns what is open; the same for the same evidence."""

    def __call__(self, evidence: Evidence) -> Outlook:
        """Return the gates that are open."""


@dataclass(frozen=True, slots=True)
class Until:
    """Sample until it is decided. max_s: the time for it, of this call alone; sessions kept take none.

    earlier: the evidence of a call whose time was out, which is gone on with; its looks count. within: when
    what is open is narrow enough to end, as a share; `decide` says whether it is.
    """

    decide: Decide
    max_s: float
    earlier: Evidence | None = None
    within: float | None = None


class Rounds:
    """The rounds of sessions of one measurement, and its looks so far."""

    def __init__(self, until: Until, request: BenchmarkRequest, progress: Progress) -> None:
        self._until, self._progress = until, progress
        earlier = until.earlier.looks if until.earlier is not None else None
        asked = settings(request)
        if earlier is not None:
            check_same(earlier.settings, asked)
        first = max(FIRST, request.sessions)
        self.looks = replace(
            earlier or Looks(first=first, settings=asked), stop=Stop.GOES_ON, within=until.within
        )

    def begin(self, machine: str) -> None:
        """Go on only on the machine that was looked at. machine: its hash, with its runtimes and the agent.

        Raises MeasurementError where another one was, before anything takes the place of what lies there.
        """
        if self.looks.made and self.looks.machine not in ("", machine):
            raise _changed("what was looked at")
        self.looks = replace(self.looks, machine=machine)

    def indices(self, evidence: Callable[[], Evidence]) -> Iterator[int]:
        """Yield the index of each round to take, and look at the evidence when looks are due.

        Rounds that were looked at in an earlier call are not looked at again.
        """
        taken, start = 0, time.monotonic()
        while self.looks.stop is Stop.GOES_ON:
            began = time.monotonic()
            yield taken
            taken, now = taken + 1, time.monotonic()
            if self.looks.made and taken <= self.looks.made[-1]:
                if taken == self.looks.made[-1]:
                    self._check_kept(evidence())
                continue
            out = 2 * now - start - began > self._until.max_s  # the next round would end beyond it
            if out or taken >= self.looks.due:
                self._look(taken, evidence, out=out)

    def _look(self, taken: int, evidence: Callable[[], Evidence], *, out: bool) -> None:
        if taken >= FIRST:  # fewer decide nothing, so that nothing is risked
            self.looks = replace(self.looks, made=(*self.looks.made, taken))
        found = self._until.decide(evidence())
        stop = Stop.TIME if out else Stop.GOES_ON
        if len(self.looks.made) >= self.looks.most:
            stop = Stop.LOOKS
        elif found.narrow:
            stop = Stop.NARROW
        if not found.waiting:
            stop = Stop.STUCK if found.stuck else Stop.DECIDED
        self.looks = replace(self.looks, stop=stop, waiting=found.waiting, stuck=found.stuck)
        open_ = "; ".join((*found.waiting, *found.stuck)) or "nothing"
        counted = (
            f"look {len(self.looks.made)} of at most {self.looks.most}" if taken >= FIRST else "too early"
        )
        count = f"{counted}, after {taken} sessions"
        self._progress(f"{count}: open: {open_}" if stop is Stop.GOES_ON else f"{count}: {stop.words}")

    def _check_kept(self, evidence: Evidence) -> None:
        """Refuse to go on where sessions that were looked at had to be measured again."""
        earlier = self._until.earlier
        known = earlier.measurements if earlier is not None else ()
        for before, now in zip(known, evidence.measurements, strict=False):
            if before.sessions[: len(now.sessions)] != now.sessions:
                raise _changed(f"the sessions of {now.artifact.id} that were looked at")


def _changed(what: str) -> MeasurementError:
    return MeasurementError(
        f"{what} cannot be gone on with: the device, a runtime or a file has changed since",
        hint="measure anew in another folder with -o",
    )


_OF_NO_SESSION = ("artifacts", "out", "name", "data", "sessions", "skipped", "notes", "wait_s", "criteria")
"""What of a request does not bear on what one session measures, or is told below in other words."""


def settings(request: BenchmarkRequest) -> dict[str, str]:
    """Return what is asked of each session, by name: what must be the same where looks go on."""
    asked = {
        field.name: getattr(request, field.name)
        for field in fields(request)
        if field.name not in _OF_NO_SESSION
    }
    asked["sessions before the first look"] = max(FIRST, request.sessions)
    asked["data"] = request.data.fingerprint if request.data is not None else None
    asked |= {f"the file {artifact.id}": artifact.sha256 for artifact, _ in request.artifacts}
    return {name: str(value) for name, value in asked.items()}


def check_same(before: dict[str, str], now: dict[str, str]) -> None:
    """Raise ConfigError, naming the first setting that differs, where looks cannot go on."""
    for name in [*before, *(name for name in now if name not in before)]:
        was, is_ = (one.get(name, "not asked for") for one in (before, now))
        if was != is_:
            raise ConfigError(
                f"what was measured there cannot be gone on with: {name} was {was} and is {is_}",
                hint="use the same settings, or another folder with -o",
            )
