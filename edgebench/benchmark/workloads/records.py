"""What was measured beyond the latency of single calls, as facts and counts.

Every run is one fresh process. Its single timings lie in the Parquet file that `raw` names, relative to
the run's folder; percentiles, rates and windows are computed from them, never stored.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from edgebench.benchmark.timing import Timing
from edgebench.devices.readings import Readings


class Scenario(enum.StrEnum):
    """How queries arrive, after the four scenarios of MLPerf Inference."""

    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    OFFLINE = "offline"
    SERVER = "server"


class Cache(enum.StrEnum):
    """What was done to the model file's pages in the system's page cache before it was loaded."""

    COLD = "cold"
    WARM = "warm"


@dataclass(frozen=True, slots=True)
class Energy:
    """What a counter of energy says of a run. source: which counter, and what it covers, in words.

    joules: over `elapsed_ns`, for everything that the counter covers, idle power included.
    """

    joules: float
    elapsed_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class Process:
    """The fresh process of one run. Sizes in bytes, None where the system does not tell.

    load_ns, first_ns: making the model ready, and the first call. peak_rss_bytes: the most resident memory
    that it ever had, steady_rss_bytes: what it had after its last call. wait_share, steal_share: of its
    time, 0–1, that it stood ready without a core, and that the hypervisor gave to others. before, after,
    collected, cpu_s: as a session's; None in records from before they were read.
    """

    started_utc: str
    load_ns: int
    first_ns: int
    peak_rss_bytes: int | None
    steady_rss_bytes: int | None
    wait_share: float | None
    steal_share: float | None
    timing: Timing
    coverage: str = ""
    before: Readings | None = None
    after: Readings | None = None
    collected: bool = False
    cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class ThroughputRun:
    """Calls in a row at one batch size and number of threads, both in `process.timing`.

    calls, samples: how many went through in `elapsed_ns`, nanoseconds from the first call's start to the
    last one's end; what copies the inputs between calls is inside. raw: one row per call.
    """

    process: Process
    index: int
    calls: int
    samples: int
    elapsed_ns: int
    raw: str
    energy: Energy | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate that was tried in the search for the highest that holds. over: queries beyond the bound."""

    qps: float
    queries: int
    over: int


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """Queries as one scenario issues them. raw: one row per query, its latency in nanoseconds.

    samples_per_query: 1, or 8 in multi-stream. asked_s: how long queries were to be issued; elapsed_ns:
    how long it took. bound_ns, qps: of the server scenario, the latency bound and the mean rate of the
    Poisson arrivals, whose seed is `seed`. trials: the rates tried before, none where the rate was given.
    ended_by: `time`, or `backlog` where the server could not keep up and the run was broken off.
    """

    process: Process
    scenario: Scenario
    index: int
    queries: int
    samples_per_query: int
    asked_s: float
    elapsed_ns: int
    raw: str
    seed: int = 0
    bound_ns: int | None = None
    qps: float | None = None
    trials: tuple[Trial, ...] = ()
    ended_by: str = "time"


@dataclass(frozen=True, slots=True)
class LoadRun:
    """One loading of the model and its first call: `process.load_ns` and `process.first_ns`.

    cache: what was done before. resident_share: of the model file's pages, 0–1, that lay in the page cache
    right before loading, as mincore(2) tells; None where it does not. The pages of the runtime's libraries
    are never dropped: they are in use by the loading process itself.
    """

    process: Process
    cache: Cache
    index: int
    resident_share: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """What the kernel told between two calls. at_ns: since the first call's start.

    calls, busy_ns: how many there had been until then, and how long they took together. waited_ns: how long
    the calling thread had stood ready without a core. clock_khz: of its first core. Both None where the
    system does not tell.
    """

    at_ns: int
    calls: int
    busy_ns: int
    waited_ns: int | None
    clock_khz: int | None


@dataclass(frozen=True, slots=True)
class SoakRun:
    """Calls in a row for minutes. window_s: the width of the windows in which they are looked at.

    calls: all of them. elapsed_ns: of the calls. raw: one row per call, its start since the first call's, and
    its latency; of very many calls as many as memory allows, evenly spaced.
    looks: before the first call, at the end of each window, and after the last call.
    """

    process: Process
    calls: int
    asked_s: float
    window_s: float
    elapsed_ns: int
    raw: str
    energy: Energy | None = None
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """What a runtime's own profiler says of each operator. raw: one row per operator and call.

    calls: profiled calls. plain_ns, profiled_ns: medians of one call without and with the profiler on, in
    the same process and in turns: what the profiler itself costs. resolution_ns: of the profiler's times.
    """

    process: Process
    tool: str
    calls: int
    operators: int
    plain_ns: int
    profiled_ns: int
    resolution_ns: int
    raw: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Something that was asked for and could not be measured here. what: as it was asked for."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Workloads:
    """Everything that was measured of one artifact beyond the latency of single calls."""

    throughput: tuple[ThroughputRun, ...] = ()
    scenarios: tuple[ScenarioRun, ...] = ()
    loads: tuple[LoadRun, ...] = ()
    soaks: tuple[SoakRun, ...] = ()
    profiles: tuple[ProfileRun, ...] = ()
    unavailable: tuple[Unavailable, ...] = ()

    def below(self, folder: str) -> Workloads:
        """Return the same, its raw files in `folder`, below the run's own."""
        return replace(
            self,
            throughput=tuple(replace(run, raw=f"{folder}/{run.raw}") for run in self.throughput),
            scenarios=tuple(replace(run, raw=f"{folder}/{run.raw}") for run in self.scenarios),
            soaks=tuple(replace(run, raw=f"{folder}/{run.raw}") for run in self.soaks),
            profiles=tuple(replace(run, raw=f"{folder}/{run.raw}") for run in self.profiles),
        )
