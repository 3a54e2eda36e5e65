"""What gates may ask about: quantities with their units, and what an estimate of one is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgebench.reports.units import Dimension


class Quantity(enum.StrEnum):
    """What a gate may ask about."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    SIZE = "size"
    SHRINK = "shrink"
    DROP = "drop"
    TOP1 = "top1"
    TOP5 = "top5"
    CHURN = "churn"
    LOAD = "load"
    FIRST = "first"
    MEMORY = "memory"

    @property
    def dimension(self) -> Dimension:
        """Return what kind of unit the quantity has."""
        return _DIMENSIONS.get(self, Dimension.TIME)

    @property
    def more_is_better(self) -> bool:
        """Return whether a gate on this quantity is a floor, not a ceiling."""
        return self in (Quantity.SHRINK, Quantity.TOP1, Quantity.TOP5)

    @property
    def meaning(self) -> str:
        """Return what the quantity is, in words."""
        return _MEANINGS[self]


_DIMENSIONS = {
    Quantity.SIZE: Dimension.SIZE,
    Quantity.MEMORY: Dimension.SIZE,
    Quantity.SHRINK: Dimension.RATIO,
    Quantity.DROP: Dimension.DIFFERENCE,
    Quantity.TOP1: Dimension.SHARE,
    Quantity.TOP5: Dimension.SHARE,
    Quantity.CHURN: Dimension.SHARE,
}

_MEANINGS = {
    Quantity.P50: "median latency of a call",
    Quantity.P90: "latency that 90 % of calls stay under",
    Quantity.P95: "latency that 95 % of calls stay under",
    Quantity.P99: "latency that 99 % of calls stay under",
    Quantity.SIZE: "size of the model file",
    Quantity.SHRINK: "how many times smaller than the fp32 file of the same format",
    Quantity.DROP: "top-1 lost against the baseline on the same samples",
    Quantity.TOP1: "share of samples whose best class is the label",
    Quantity.TOP5: "share of samples whose label is among the five best classes",
    Quantity.CHURN: "share of samples answered otherwise than by the baseline",
    Quantity.LOAD: "median time to read the model and make it ready",
    Quantity.FIRST: "median time of the first call",
    Quantity.MEMORY: "median over the sessions of the process's peak memory",
}

QUANTILES = {Quantity.P50: 0.5, Quantity.P90: 0.9, Quantity.P95: 0.95, Quantity.P99: 0.99}
"""The quantile of the latencies that each percentile asks about."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantity in the unit it is stored in (ns, B, %, pp, ×).

    lower, upper: bounds, each at the confidence asked for; None where the sample supports none.
    n: how many `of` (calls, sessions, samples; files are facts). problem: why it cannot be judged.
    worth: how many independent ones they stand for, where those depend on each other.
    """

    value: float | None
    lower: float | None
    upper: float | None
    n: int
    of: str
    problem: str | None = None
    worth: int | None = None


def unknown(reason: str, of: str = "", n: int = 0) -> Estimate:
    """Return the estimate of a quantity that cannot be known, with the reason."""
    return Estimate(None, None, None, n, of, problem=reason)
