"""Looks at a measurement while it goes on: by which plan, which were made, and why it ended.

What is looked at are whole rounds of sessions, one of every artifact. The plan is fixed beforehand: the
first look at FIRST sessions, each further one at half as many again at most, MOST looks in all; each takes
bounds so sure that all together err no more often than one gate may (`sequential.look_confidence`). A look
that comes earlier than planned, because the time is out, is one of them: what lies nearer to the look
before resembles it more, and errs less often beside it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgebench.benchmark.sequential import GROWTH, look_confidence

FIRST = 5
"""Three sessions do not show that sessions differ moderately; five do well enough."""

MOST = 12
"""From 5 sessions that is up to 366. Each look at 99.27 % makes 95 % together."""


class Stop(enum.StrEnum):
    """Why no session followed; GOES_ON while it is not over."""

    GOES_ON = "goes on"
    DECIDED = "decided"
    NARROW = "narrow"
    STUCK = "stuck"
    TIME = "time"
    LOOKS = "looks"

    @property
    def words(self) -> str:
        """Return the reason in words."""
        return _WORDS[self]


_WORDS = {
    Stop.GOES_ON: "the measurement was not over",
    Stop.DECIDED: "every gate is decided",
    Stop.NARROW: "what is open is known as narrowly as was asked",
    Stop.STUCK: "what is open no further session settles",
    Stop.TIME: "the time was out",
    Stop.LOOKS: "the plan of looks was used up",
}


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of one measurement. made: at how many sessions of each artifact each was.

    waiting: the gates that more sessions might have settled at the last look, stuck: the other open ones.
    first, most, growth: the plan. within: half the width, as a share of the value, at which the interval of
    what is open is narrow enough; None where that ends nothing. settings: what was asked of each session, so
    that only the same goes on. machine: the hash of the device, its runtimes and the agent; likewise.
    """

    made: tuple[int, ...] = ()
    stop: Stop = Stop.GOES_ON
    waiting: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    first: int = FIRST
    most: int = MOST
    growth: float = GROWTH
    within: float | None = None
    settings: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    def surer(self, confidence: float) -> float:
        """Return the confidence of each look's bounds with which all together hold at `confidence`."""
        return look_confidence(self.most, self.growth, confidence)

    @property
    def due(self) -> int:
        """Return at how many sessions of each artifact the next look is."""
        return next_look(self.made, self.first, self.growth)


def next_look(made: Sequence[int], first: int, growth: float = GROWTH) -> int:
    """Return at how many sessions the look after those in `made` is: never more than `growth` times as many.

    Rounded down, since looks that lie further apart than planned are less alike and err more often.
    """
    return max(made[-1] + 1, math.floor(made[-1] * growth)) if made else first
