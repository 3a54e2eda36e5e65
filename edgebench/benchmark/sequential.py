"""When to stop measuring: looks planned beforehand, each surer than the whole, so that all together hold.

Samples are looked at when their number has grown by a factor since the last look. Each look takes
bounds at one and the same higher confidence, chosen so that the probability that any of them errs is the
one stated: Pocock's plan (Biometrika 64, 1977, 191–199) with looks in geometric progression.
"""

from __future__ import annotations

import enum
import functools
import math
from dataclasses import dataclass

import numpy as np

from edgebench.benchmark.dependence import FloatArray, IntArray, Samples, Worth, worth
from edgebench.benchmark.distributions import bisect, normal_below
from edgebench.benchmark.intervals import bounds_at_worth
from edgebench.benchmark.statistics import Bounds, needed_calls
from edgebench.errors import ConfigError

GROWTH = 1.5
"""Each look has so many times the samples of the one before. Closer looks stop sooner and must be surer."""

LEAST = 200
"""Fewer calls do not show how they depend on each other, so that no look is taken before."""

_KNOWN = 40
"""Stretches of like calls from which the far tail that a look asks for is known. With fewer,
two modes that a session visits once or twice passed a median wrongly in 11 of 100 simulated measurements."""

_NODES = 80
_FAR = 9.0


class Step(enum.StrEnum):
    """What a look says."""

    PASS = "PASS"  # noqa: S105 - the gate's answer
    FAIL = "FAIL"
    GO_ON = "GO_ON"
    OUT_OF_BUDGET = "OUT_OF_BUDGET"


@dataclass(frozen=True, slots=True)
class LookPlan:
    """At how many samples is looked, and at which confidence each time.

    looks: increasing. confidence: that no look errs on one side of a bound. look_confidence: of each
    look's bounds.
    """

    looks: tuple[int, ...]
    confidence: float
    look_confidence: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a look says: the bounds it saw, None where it was too early, and how many samples to take next.

    used: how many looks are used up, this one with them. more: samples to the next look, 0 where there is
    none. How many would settle it in all is what `planning` says.
    """

    step: Step
    bounds: Bounds | None
    used: int
    more: int = 0


def plan_looks(first: int, last: int, confidence: float, *, growth: float = GROWTH) -> LookPlan:
    """Return the plan from `first` to `last` samples whose looks together err at most 1 − confidence.

    The error is that of one side. `last` is always looked at, and it may be less than `first`: then it is
    the only look. Raises ConfigError for a growth of 1 or less, or a plan without samples.
    """
    if growth <= 1:
        raise ConfigError(f"looks cannot grow by a factor of {growth:g}", hint="as in 1.5")
    if min(first, last) < 1:
        raise ConfigError("a plan of looks needs at least one sample")
    count = max(0, math.ceil(math.log(last / first) / math.log(growth) - 1e-9))
    looks = (*(math.ceil(first * growth**index) for index in range(count)), last)
    return LookPlan(looks, confidence, look_confidence(len(looks), growth, confidence))


def plan_latency_looks(q: float, last: int, confidence: float, *, growth: float = GROWTH) -> LookPlan:
    """Return the plan for the quantile `q` of at most `last` calls, from the least that can bound it on."""
    first = max(LEAST, needed_calls(q, confidence))
    plan = plan_looks(first, last, confidence, growth=growth)
    while len(plan.looks) > 1 and (least := needed_calls(q, plan.look_confidence)) > first:
        first = least
        plan = plan_looks(first, last, confidence, growth=growth)
    return plan


@functools.lru_cache(maxsize=256)
def look_confidence(looks: int, growth: float, confidence: float) -> float:
    """Return how sure each of `looks` looks must be, so that none errs with probability `confidence`.

    What is looked at is a sum of `looks` geometrically growing numbers of samples; its standard scores
    form a Gaussian chain of correlation 1/√growth. Follows Armitage, McPherson and Rowe (JRSS A 132,
    1969, 235–244).
    """
    memory = 1 / math.sqrt(growth)
    _, edge = bisect(lambda z: _never_above(z, looks, memory) < confidence, 0.0, _FAR)
    return normal_below(edge)


def _never_above(edge: float, looks: int, memory: float) -> float:
    """Return the probability that no score of the chain lies above `edge`."""
    nodes, weights = _gauss()
    half = (edge + _FAR) / 2
    score, weight = half * (nodes + 1) - _FAR, half * weights
    spread = math.sqrt(1 - memory * memory)
    chain = np.exp(-(((score[:, None] - memory * score[None, :]) / spread) ** 2) / 2) * weight / spread
    density = np.exp(-score * score / 2)
    for _ in range(looks - 1):
        density = chain @ density / math.sqrt(2 * math.pi)
    return float(weight @ density) / math.sqrt(2 * math.pi)


@functools.cache
def _gauss() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights


def look(bounds: Bounds, limit: float, plan: LookPlan, used: int, have: int) -> Look:
    """Return what a look at a quantity that must be at most `limit` says.

    bounds: each at the plan's look_confidence. used: looks before this one. have: samples so far. For a
    quantity that must be at least `limit`, negate both.
    """
    used += 1
    if bounds.upper is not None and bounds.upper <= limit:
        return Look(Step.PASS, bounds, used)
    if bounds.lower is not None and bounds.lower > limit:
        return Look(Step.FAIL, bounds, used)
    later = [planned for planned in plan.looks[used:] if planned > have]
    if not later:
        return Look(Step.OUT_OF_BUDGET, bounds, used)
    return Look(Step.GO_ON, bounds, used, more=later[0] - have)


def enough_known(value: Worth) -> bool:
    """Return whether enough is known of how calls depend on each other for a look to decide on them."""
    return value.sessions_differ or value.stretches >= _KNOWN


def look_at_latency(  # noqa: PLR0917 - the samples, the question, the plan
    samples: Samples, session: IntArray, q: float, limit: float, plan: LookPlan, used: int
) -> Look:
    """Return whether the quantile `q` is known to be at most `limit`, or above it, or how to go on.

    samples: [n], steady calls in order, in the limit's unit. session: int64[n]. used: looks before this
    one. Before the next planned look nothing is looked at and no look is used up. Dependence between
    calls is accounted for as in `latency_bounds`; nothing is decided while too little is known of it.
    """
    have = len(samples)
    if used >= len(plan.looks):
        return Look(Step.OUT_OF_BUDGET, None, used)
    if have < plan.looks[used]:
        return Look(Step.GO_ON, None, used, more=plan.looks[used] - have)
    value = worth(samples, session, q)
    known = enough_known(value)
    bounds = bounds_at_worth(samples, value, q, plan.look_confidence) if known else Bounds(None, None)
    return look(bounds, limit, plan, used, have)
