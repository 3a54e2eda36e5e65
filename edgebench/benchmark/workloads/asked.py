"""What is to be measured beyond the latency of single calls."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.benchmark.workloads.records import Cache, Scenario

DURATION_S = 10.0
"""How long each stream of queries lasts where nothing else is asked for."""

SERVER_BOUND_NS = 10_000_000
"""Of the server scenario, where none is given: what LoadGen's mlperf.conf has for any model."""

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class ScenarioAsked:
    """One scenario. bound_ns, qps: of the server; the highest rate is looked for where qps is None."""

    scenario: Scenario
    bound_ns: int | None = None
    qps: float | None = None

    def __str__(self) -> str:
        """Return it as it is asked for: `offline`, `server=15ms@200qps`."""
        bound = "" if self.bound_ns is None else f"={self.bound_ns / 1e6:g}ms"
        return f"{self.scenario}{bound}" + ("" if self.qps is None else f"@{self.qps:g}qps")


@dataclass(frozen=True, slots=True)
class WorkloadsAsked:
    """What to measure of every artifact beside its single calls; nothing where all is empty.

    batches, threads: throughput is measured for each pair of them. duration_s: of each throughput and each
    scenario. soak_s: of the sustained load, looked at in windows of `window_s`.
    """

    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    scenarios: tuple[ScenarioAsked, ...] = ()
    loads: tuple[Cache, ...] = ()
    soak_s: float | None = None
    window_s: float = WINDOW_S
    profile: bool = False
    duration_s: float = DURATION_S
