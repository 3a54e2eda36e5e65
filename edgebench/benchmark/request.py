"""What a benchmark is asked for, and what can be said of it before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact, Skipped
from edgebench.benchmark.criteria import Criteria
from edgebench.benchmark.evidence import MetricRecord
from edgebench.benchmark.inputs import check_classes, grouping
from edgebench.benchmark.metric_choice import check_metric
from edgebench.benchmark.programs import Runner
from edgebench.benchmark.workloads.asked import WorkloadsAsked
from edgebench.errors import ConfigError, InputError

if TYPE_CHECKING:
    from edgebench.datasets import Dataset


@dataclass(frozen=True, slots=True)
class BenchmarkRequest:
    """What to measure. artifacts: manifests with the paths of their model files, absolute.

    sessions: fresh processes per artifact. calls: timed calls per session; fewer where `max_session_s`
    is over. The warm-up lasts `warmup_s` and `min_warmup_calls`, whichever is longer, and ends at
    `max_session_s` in any case. affinity: cores as in `0,2-3`, or `big`, `mid`, `little`; None
    leaves the process unbound. prepare: set the device up for its measurement, and back afterwards.
    power_mode: the number of a Jetson's mode for that time.
    notes: said beforehand, kept in the evidence. wait_s: how long to wait for a device that another one
    measures on; None for as long as it takes. cool_down: at which temperature each session begins at most,
    as in `60C` or `60C,15m`. metric: beside top-1; a user's file is found from `metric_base`.
    workloads: what is measured beyond single calls. criteria: what was declared beforehand, kept in the
    evidence. runner: who runs the jobs there.
    """

    artifacts: tuple[tuple[Artifact, Path], ...]
    out: Path
    name: str = "benchmark"
    device: str = "local:cpu"
    data: Dataset | None = None
    baseline: str | None = None
    sessions: int = 5
    calls: int = 200
    max_session_s: float = 60.0
    warmup_s: float = 0.25
    min_warmup_calls: int = 20
    threads: int = 1
    affinity: str | None = None
    prepare: bool = False
    power_mode: int | None = None
    cool_down: str | None = None
    seed: int = 0
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    wait_s: float | None = None
    metric: MetricRecord | None = None
    metric_base: Path | None = None
    workloads: WorkloadsAsked = field(default_factory=WorkloadsAsked)
    criteria: Criteria | None = None
    runner: Runner = Runner.AUTO


def check(request: BenchmarkRequest) -> None:
    """Raise InputError for artifacts, data or settings that do not fit."""
    if not request.artifacts:
        raise InputError("there is nothing to measure", hint="name at least one artifact")
    ids = [artifact.id for artifact, _ in request.artifacts]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError(f"two artifacts are called {twice[0]}", hint="rename one of the files")
    if min(request.sessions, request.calls, request.threads) < 1:
        raise ConfigError("sessions, calls and threads must be at least 1")
    check_metric(request.metric, request.data)
    for artifact, _ in request.artifacts:
        grouping(artifact, request.data, largest=1)
        if request.data is not None:
            check_classes(artifact, request.data)


def parse_cores(text: str | None) -> tuple[int, ...]:
    """Return the cores of a text such as `0,2-3`, none for None. Raises ConfigError."""
    if text is None:
        return ()
    cores: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            cores.update(range(int(first), int(last if dash else first) + 1))
    except ValueError as err:
        raise ConfigError(
            f"cores {text!r} is not a list of cores", hint="as in 0,2-3; big, mid or little"
        ) from err
    if not cores:
        raise ConfigError(f"cores {text!r} names no core", hint="as in 0,2-3")
    return tuple(sorted(cores))
