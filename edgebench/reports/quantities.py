"""What gates may ask about: quantities with their units, and what an estimate of one is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgebench.reports.units import Dimension, exact


class Quantity(enum.StrEnum):
    """What a gate may ask about. PERCENTILE and SUSTAINED: of any percent, which the question holds."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    PERCENTILE = "pNN"
    SUSTAINED = "pNN[sustained]"
    THROUGHPUT = "throughput"
    SIZE = "size"
    SHRINK = "shrink"
    DROP = "drop"
    TOP1 = "top1"
    TOP5 = "top5"
    CHURN = "churn"
    METRIC = "metric"
    LOSS = "metric drop"
    LOAD = "load"
    COLD_LOAD = "load[cold]"
    WARM_LOAD = "load[warm]"
    FIRST = "first"
    MEMORY = "memory"
    STEADY_MEMORY = "memory[steady]"
    ENERGY = "energy"
    COVERAGE = "coverage"

    @property
    def dimension(self) -> Dimension:
        """Return what kind of unit the quantity has."""
        return _DIMENSIONS.get(self, Dimension.TIME)

    @property
    def more_is_better(self) -> bool:
        """Return whether a gate on this quantity is a floor, not a ceiling."""
        return self in _FLOORS

    @property
    def meaning(self) -> str:
        """Return what the quantity is, in words."""
        return _MEANINGS[self]


_FLOORS = frozenset(
    {
        Quantity.SHRINK,
        Quantity.TOP1,
        Quantity.TOP5,
        Quantity.METRIC,
        Quantity.THROUGHPUT,
        Quantity.COVERAGE,
    }
)

_DIMENSIONS = {
    Quantity.SIZE: Dimension.SIZE,
    Quantity.MEMORY: Dimension.SIZE,
    Quantity.STEADY_MEMORY: Dimension.SIZE,
    Quantity.SHRINK: Dimension.RATIO,
    Quantity.DROP: Dimension.DIFFERENCE,
    Quantity.TOP1: Dimension.SHARE,
    Quantity.TOP5: Dimension.SHARE,
    Quantity.CHURN: Dimension.SHARE,
    Quantity.COVERAGE: Dimension.SHARE,
    Quantity.METRIC: Dimension.NUMBER,
    Quantity.LOSS: Dimension.NUMBER,
    Quantity.THROUGHPUT: Dimension.RATE,
    Quantity.ENERGY: Dimension.ENERGY,
}

_MEANINGS = {
    Quantity.P50: "median latency of a call",
    Quantity.P90: "latency that 90 % of calls stay under",
    Quantity.P95: "latency that 95 % of calls stay under",
    Quantity.P99: "latency that 99 % of calls stay under",
    Quantity.PERCENTILE: "latency that NN % of calls stay under, as in p99.9",
    Quantity.SUSTAINED: "latency that NN % stay under in the worst minute of a soak, as in p95[sustained]",
    Quantity.THROUGHPUT: "samples answered in a second",
    Quantity.SIZE: "size of the model file",
    Quantity.SHRINK: "how many times smaller than the fp32 file of the same format",
    Quantity.DROP: "top-1 lost against the baseline on the same samples",
    Quantity.TOP1: "share of samples whose best class is the label",
    Quantity.TOP5: "share of samples whose label is among the five best classes",
    Quantity.CHURN: "share of samples answered otherwise than by the baseline",
    Quantity.METRIC: "metric of the run, or f1, auc, map, rmse, mae by its name",
    Quantity.LOSS: "how much worse the metric is than the baseline's on the same samples",
    Quantity.LOAD: "median time to read the model and make it ready",
    Quantity.COLD_LOAD: "median time to load the model when its file was dropped from the page cache",
    Quantity.WARM_LOAD: "median time to load the model when its file lies in the page cache",
    Quantity.FIRST: "median time of the first call",
    Quantity.MEMORY: "median over the sessions of the process's peak memory",
    Quantity.STEADY_MEMORY: "median over the sessions of the memory held once calls are steady",
    Quantity.ENERGY: "energy of a call",
    Quantity.COVERAGE: "share of the graph's nodes that the accelerator runs",
}

QUANTILES = {Quantity.P50: 0.5, Quantity.P90: 0.9, Quantity.P95: 0.95, Quantity.P99: 0.99}
"""The quantile of the latencies that each percentile asks about."""

OF_WORKLOADS = frozenset(
    {
        Quantity.THROUGHPUT,
        Quantity.SUSTAINED,
        Quantity.ENERGY,
        Quantity.COLD_LOAD,
        Quantity.WARM_LOAD,
    }
)
"""What is measured only where it is asked for, in runs beyond single calls, when the sessions are done."""

LOSSES = frozenset({Quantity.DROP, Quantity.LOSS})
"""What may be negative: a gain."""

COMPARED = frozenset({*LOSSES, Quantity.CHURN})
"""What is nothing without a baseline."""

RELATIVES = frozenset(
    {
        *QUANTILES,
        *LOSSES,
        Quantity.PERCENTILE,
        Quantity.SIZE,
        Quantity.LOAD,
        Quantity.FIRST,
        Quantity.MEMORY,
    }
)
"""What may be held against the baseline's: as a ratio, and a loss as a share of what the baseline has."""

GROUPED = frozenset(
    {Quantity.TOP1, Quantity.TOP5, Quantity.DROP, Quantity.CHURN, Quantity.METRIC, Quantity.LOSS}
)
"""What may be asked of some of the samples: a class, a slice."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the evaluation samples: those with one value in a column of the data, or the worst such.

    column: `class` for the labels. value: None for the value whose samples fare worst.
    """

    column: str
    value: str | None

    def __str__(self) -> str:
        if self.value is None:
            return f"worst {self.column}"
        return f"{self.column}{' ' if self.column == CLASS else '='}{self.value}"


CLASS = "class"
"""The column that the labels are."""


@dataclass(frozen=True, slots=True)
class Question:
    """A quantity, and of what. percent: of a percentile that has no name of its own, 0–100.

    metric: a metric by its name; None for the run's own. part: of which samples; None for all.
    relative: held against the same of the baseline.
    """

    quantity: Quantity
    percent: float | None = None
    metric: str | None = None
    part: Part | None = None
    relative: bool = False

    def __str__(self) -> str:
        name = str(self.quantity)
        if self.percent is not None:
            name = name.replace("NN", exact(self.percent))
        if self.metric is not None:
            name = name.replace("metric", self.metric)
        return name if self.part is None else f"{name}[{self.part}]"

    @property
    def quantile(self) -> float | None:
        """Return the quantile of the calls' latencies that is asked for, 0–1; None for anything else."""
        if self.quantity is Quantity.PERCENTILE and self.percent is not None:
            return self.percent / 100
        return QUANTILES.get(self.quantity)

    @property
    def dimension(self) -> Dimension:
        """Return what kind of unit the answer has."""
        if not self.relative:
            return self.quantity.dimension
        return Dimension.LOSS if self.quantity in LOSSES else Dimension.CHANGE


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantity in the unit it is stored in (ns, B, %, pp, ×).

    lower, upper: bounds, each at the confidence asked for; None where the sample supports none.
    n: how many `of` (calls, sessions, samples; files are facts). problem: why it cannot be judged.
    worth: how many independent ones they stand for, where those depend on each other.
    at: the value whose samples fare worst, where that is asked. known: whether enough is known of how calls
    depend on each other for a measurement that is looked at while it goes on to end on them.
    """

    value: float | None
    lower: float | None
    upper: float | None
    n: int
    of: str
    problem: str | None = None
    worth: int | None = None
    at: str | None = None
    known: bool = True


def unknown(reason: str, of: str = "", n: int = 0) -> Estimate:
    """Return the estimate of a quantity that cannot be known, with the reason."""
    return Estimate(None, None, None, n, of, problem=reason)
