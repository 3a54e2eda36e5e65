"""What was measured, raw: the evidence that a verdict is drawn from.

The JSON form holds facts and counts; every single timing lies in `samples/*.parquet` and every
answer of the device in `outputs/*.npz`, named here by path relative to the run's folder.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Skipped
from edgebench.benchmark.criteria import Criteria
from edgebench.benchmark.looks import Looks
from edgebench.benchmark.noise_record import NoiseFloor
from edgebench.benchmark.timing import NOT_TOLD as NOT_TOLD  # noqa: PLC0414 - read from here by many
from edgebench.benchmark.timing import Span as Span  # noqa: PLC0414 - likewise
from edgebench.benchmark.timing import Timing as Timing  # noqa: PLC0414 - likewise
from edgebench.benchmark.workloads.records import Workloads
from edgebench.devices.readings import Readings as Readings  # noqa: PLC0414 - the report reads it from here

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgebench.benchmark.metric_draws import Draws

SCHEMA = 3
"""1: the first. 2: sessions say whether their calls came to rest; those before are warm-up. 3: what was
measured beyond single calls (`workloads`), resident memory after the last call, what the sensors showed
before and after each session, the metric asked for, what the inventory calls the device and its noise floor,
in which blocks of a session the calls were taken, the criteria that were declared beforehand, the looks of a
measurement that stopped when decided, and a seal on all files."""


class Validity(enum.StrEnum):
    """Whether a measurement may carry a verdict."""

    VALID = "VALID"
    DEGRADED = "DEGRADED"
    INVALID = "INVALID"


class State(enum.StrEnum):
    """Whether a session's calls came to rest; TOO_FEW do not show it."""

    STEADY = "STEADY"
    NEVER = "NEVER"
    TOO_FEW = "TOO_FEW"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a tool printed of its timings in place of the timings themselves, in nanoseconds.

    It supports no percentile: whether the calls were alike and independent cannot be seen from it.
    least, most, median, std: None where the tool does not print them.
    """

    tool: str
    calls: int
    mean_ns: float
    least_ns: float | None = None
    most_ns: float | None = None
    median_ns: float | None = None
    std_ns: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One fresh process: what it cost to start, and where its timings lie.

    load_ns: reading the model and making it ready. first_ns: the first call. Both nanoseconds.
    peak_rss_bytes: the process's peak, with the runtime. All three None where a log of another tool
    does not tell. model_rss_bytes: what loading the model
    and the first call added to resident memory; None where the system does not tell.
    steady_rss_bytes: what was resident after the last call; None where nobody looked, before schema 3.
    calls, warmup_calls: how many rows of `samples` are measured and warm-up.
    coverage: which part of the graph the provider runs, in words. ended_by: `calls` or `time`.
    wait_share, steal_share: of the session's time, 0–1, that the process stood ready without a core,
    and that the hypervisor gave to others; None where the system does not tell.
    steady: whether the calls came to rest, as `steady_state` says; those before are among the warm-up. None
    where nobody looked: before schema 2, and in logs of other tools.
    origin: the log that the session was imported from, with its SHA-256; empty where edgebench measured.
    summary: what that log says in place of single timings.
    before, after: what the sensors showed right before the process and right after it; None before schema 3
    and in logs of other tools. cpu_s: seconds of a processor that all processes of the session took.
    blocks: in how many blocks the calls were taken, in turn with those of the artifacts in `beside`, each in
    a process of its own, all alive at the same time; the orders follow from the evidence's seed and `index`.
    None where the calls were taken in a row: before schema 3, and in logs of other tools. collected: the
    process outlived its host or its link, and what it measured was fetched later.
    """

    index: int
    started_utc: str
    load_ns: int | None
    first_ns: int | None
    peak_rss_bytes: int | None
    model_rss_bytes: int | None
    calls: int
    warmup_calls: int
    samples: str
    timing: Timing
    coverage: str = ""
    ended_by: str = "calls"
    wait_share: float | None = None
    steal_share: float | None = None
    origin: str = ""
    summary: Summary | None = None
    steady: State | None = None
    steady_rss_bytes: int | None = None
    before: Readings | None = None
    after: Readings | None = None
    cpu_s: float | None = None
    blocks: int | None = None
    beside: tuple[str, ...] = ()
    collected: bool = False


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """The metric that a run was asked for. sha256: of the source of a user's function; empty for our own."""

    name: str
    sha256: str = ""
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class AccuracyRecord:
    """How the artifact answered the evaluation set.

    outputs: npz with `logits` float32[N, C] (dequantized), `labels` int64[N] or `targets` float64[N, C],
    columns of the data, and a user's metric on resamples. classes: 0 where the truth is numbers.
    data, fingerprint: the data set's spec string and SHA-256. metric: None where nobody asked for one.
    """

    data: str
    fingerprint: str
    samples: int
    classes: int
    outputs: str
    class_names: tuple[str, ...] = ()
    metric: MetricRecord | None = None


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The machine that measured. uri: as the user named it. emulated: its latencies prove nothing.

    cores, memory_bytes: 0 where it is known from a log of another tool alone. aliases, tags: what the
    inventory calls it, so that gates can name it.
    """

    uri: str
    name: str
    processor: str
    cores: int
    memory_bytes: int
    system: str
    emulated: bool = False
    extra: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One artifact on one device. `failure` says why there are no sessions, else it is None.

    disturbances: of the reasons those by which a time may be another's, so that no gate on it is answered.
    noise: the device's noise floor as it was known then, None where it was not.
    """

    artifact: Artifact
    device: DeviceFacts
    sessions: tuple[Session, ...] = ()
    accuracy: AccuracyRecord | None = None
    validity: Validity = Validity.VALID
    validity_reasons: tuple[str, ...] = ()
    failure: str | None = None
    workloads: Workloads = field(default_factory=Workloads)
    disturbances: tuple[str, ...] = ()
    noise: NoiseFloor | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything one run measured. baseline: the id of the artifact that others are held against.

    criteria: what was declared before the measurement, None where nothing was. looks: how it was looked at
    while it went on, None where the number of sessions was fixed.
    """

    name: str
    created_utc: str
    tool_version: str
    measurements: tuple[Measurement, ...]
    baseline: str | None
    skipped: tuple[Skipped, ...] = ()
    seed: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    criteria: Criteria | None = None
    looks: Looks | None = None
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Soak:
    """Calls in a row for minutes. start_ns: int64[n], since the first one's. latency_ns: int64[n]."""

    start_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]
    window_s: float


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LatencySamples:
    """The raw timings of one artifact on one device, all sessions in order.

    latency_ns: int64[n], one per call. session: int64[n], the session each belongs to.
    warmup_ns: int64[m], kept, never averaged in. soaks: its runs under sustained load. block: int64[n], the
    block of its session that each call was taken in, those of one number at the same time in all artifacts;
    None where they were taken in a row.
    """

    latency_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    warmup_ns: NDArray[np.int64]
    soaks: tuple[Soak, ...] = ()
    block: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Calls:
    """Every call of one session in order, all arrays [n].

    latency_ns: int64. warmup: bool, kept, never averaged in. block, turn: int64, the block of the session
    and the turn among all artifacts' that the call was taken in; −1 where there were none.
    """

    latency_ns: NDArray[np.int64]
    warmup: NDArray[np.bool_]
    block: NDArray[np.int64]
    turn: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Answers:
    """What an artifact answered, and what is true of the samples.

    logits: float32[N, C], a score for each class, or numbers where the truth is numbers. labels: int64[N],
    empty where the truth is numbers. targets: those, float64[N, C]. columns: str[N] each, by which the
    samples fall into groups. draws: a user's metric on resamples of the samples; None where there is none.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float64] | None = None
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    draws: Draws | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.logits)

    @property
    def truth(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return the targets, or the labels where the truth is classes."""
        return self.labels if self.targets is None else self.targets

    def chosen(self, rows: NDArray[np.bool_]) -> Answers:
        """Return the answers to some of the samples, rows bool[N]; draws, being of all, are left out."""
        return Answers(
            self.logits[rows],
            self.labels if self.targets is not None else self.labels[rows],
            None if self.targets is None else self.targets[rows],
            {name: column[rows] for name, column in self.columns.items()},
        )
