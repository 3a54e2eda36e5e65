"""MLPerf Inference's rules for what a scenario's run must hold, and what it then says.

From the rules of inference (inference_rules.adoc, sections Scenarios and Early Stopping Criterion) and
LoadGen's mlperf.conf: a run lasts 600 s; single-stream is judged by the 90th percentile of one sample a
query, multi-stream by the 99th of eight, both by the early-stopping estimate at 99 % confidence; offline
takes 24,576 samples or more and is judged by its rate; the server's queries arrive by a Poisson process, and
so few may be late that at 99 % confidence no more than one in a hundred would be.

The queries here are issued by edgebench, not by LoadGen: a run that is VALID keeps the rules' counts and
times, and is no MLPerf result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark.distributions import normal_quantile
from edgebench.benchmark.statistics import binomial_below
from edgebench.benchmark.workloads.records import Scenario, ScenarioRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

DURATION_S = 600.0
CONFIDENCE = 0.99
OFFLINE_SAMPLES = 24_576
_EXACT = 100_000
"""Queries up to which the binomial is summed; beyond, its normal approximation is good to a few queries."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a scenario asks. percentile: of the latency that judges it, 0–1; None for a rate."""

    percentile: float | None
    samples_per_query: int
    least_queries: int


RULES = {
    Scenario.SINGLE_STREAM: Rule(0.90, 1, 64),
    Scenario.MULTI_STREAM: Rule(0.99, 8, 662),
    Scenario.OFFLINE: Rule(None, 1, 1),
    Scenario.SERVER: Rule(0.99, 1, 459),
}
"""least_queries: with fewer, early stopping has no estimate, and no rate of the server is sure to hold."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run says by the rules.

    invalid: why the counts or times are not MLPerf's; empty for a valid run. scaled_invalid: why they are
    not even those of the rules scaled to the duration that was asked for. estimate_ns: the early-stopping
    estimate of the rule's percentile, None where the queries do not support it. late: queries over the
    bound. held: whether the server's bound was held; None where the queries do not decide it, and in other
    scenarios.
    """

    invalid: tuple[str, ...]
    scaled_invalid: tuple[str, ...]
    estimate_ns: float | None = None
    late: int | None = None
    held: bool | None = None


def outcome(run: ScenarioRun, latency_ns: NDArray[np.int64]) -> Outcome:
    """Return what a run says. latency_ns: int64[queries], in any order."""
    rule, n = RULES[run.scenario], len(latency_ns)
    estimate = None if rule.percentile is None else early_stopping(latency_ns, rule.percentile)
    late = None if run.bound_ns is None else int((latency_ns > run.bound_ns).sum())
    held = None
    if late is not None and rule.percentile is not None:
        held = _held(run, n, late, rule.percentile)
    return Outcome(
        invalid=_missing(run, n, DURATION_S),
        scaled_invalid=_missing(run, n, min(run.asked_s, DURATION_S)),
        estimate_ns=estimate,
        late=late,
        held=held,
    )


def _held(run: ScenarioRun, n: int, late: int, percentile: float) -> bool | None:
    if run.ended_by != "time" or late > n * (1 - percentile):
        return False
    return True if late <= tolerated(n, percentile) else None


def early_stopping(latency_ns: NDArray[np.int64], percentile: float) -> float | None:
    """Return LoadGen's early-stopping estimate of a percentile, None where there are too few queries.

    The query at rank n − t + 1, with t the most for which P(Binomial(n, 1 − p) ≤ t) < 1 %; at least 1. It is
    one rank above the bound of order statistics at 99 %.
    """
    n, t = len(latency_ns), tolerated(len(latency_ns), percentile)
    return float(np.partition(latency_ns, n - t)[n - t]) if t >= 1 else None


def tolerated(n: int, percentile: float) -> int:
    """Return how many of n queries may be late for the percentile to hold at 99 %; −1 for not even none."""
    share = 1 - percentile
    if n == 0:
        return -1
    if n > _EXACT:
        spread = normal_quantile(CONFIDENCE) * math.sqrt(n * share * percentile)
        return math.floor(n * share - spread - 1)
    return int(np.searchsorted(binomial_below(n, share), 1 - CONFIDENCE)) - 1


def offline_samples(duration_s: float) -> int:
    """Return how many samples an offline run takes at least: MLPerf's, scaled to a shorter duration."""
    return max(1, math.ceil(OFFLINE_SAMPLES * min(1.0, duration_s / DURATION_S)))


def _missing(run: ScenarioRun, n: int, duration_s: float) -> tuple[str, ...]:
    rule, elapsed_s = RULES[run.scenario], run.elapsed_ns / 1e9
    reasons = []
    if run.ended_by != "time":
        reasons.append(f"broken off after {elapsed_s:.1f} s, queries came faster than answers")
    elif elapsed_s < duration_s * (1 - 1e-3):
        reasons.append(f"{elapsed_s:.1f} s of {duration_s:g} s")
    if n < rule.least_queries:
        reasons.append(f"{n} of {rule.least_queries} queries")
    wanted = offline_samples(duration_s)
    if run.scenario is Scenario.OFFLINE and n * run.samples_per_query < wanted:
        reasons.append(f"{n * run.samples_per_query:,} of {wanted:,} samples")
    return tuple(reasons)
