"""All that was asked for beyond single calls, artifact by artifact, in rounds like the sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgebench.artifact import Artifact
from edgebench.benchmark.measuring import Measurer
from edgebench.benchmark.workloads import steps
from edgebench.benchmark.workloads.asked import ScenarioAsked, WorkloadsAsked
from edgebench.benchmark.workloads.measuring import AGENT_LITERT, AGENT_WORKLOADS, Bench
from edgebench.benchmark.workloads.metering import find_meters
from edgebench.benchmark.workloads.records import (
    LoadRun,
    ProfileRun,
    ScenarioRun,
    SoakRun,
    ThroughputRun,
    Unavailable,
    Workloads,
)
from edgebench.errors import MeasurementError

Run = ThroughputRun | ScenarioRun | LoadRun | SoakRun | ProfileRun
Step = tuple[str, Callable[[], Run]]
Of = TypeVar("Of")


def measure_workloads(
    measurer: Measurer, artifacts: Sequence[tuple[Artifact, Path]], asked: WorkloadsAsked
) -> dict[str, Workloads]:
    """Return what was measured of each artifact, by its id; what cannot be measured says why.

    Every round goes over all artifacts in an order of its own; soaking and profiles come once, at the end.
    """
    if asked == WorkloadsAsked(duration_s=asked.duration_s, window_s=asked.window_s):
        return {}
    for program in (AGENT_WORKLOADS, AGENT_LITERT):
        measurer.host.send(program, program.name)
    meters = find_meters(measurer.host.device, measurer.watch.root)
    taken = [_Taken(Bench(measurer, asked, artifact, model, meters)) for artifact, model in artifacts]
    for index in range(measurer.request.sessions):
        for place in np.random.default_rng([measurer.request.seed, index, 1]).permutation(len(taken)):
            taken[place].take(taken[place].round(index))
    for one in taken:
        one.take(one.once())
    return {one.bench.artifact.id: one.workloads() for one in taken}


@dataclass(slots=True)
class _Taken:
    """What is known of one artifact so far."""

    bench: Bench
    runs: list[Run] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)

    def take(self, todo: Iterator[Step]) -> None:
        """Take steps; one that cannot be done is not tried in later rounds."""
        for what, step in todo:
            if what in self.unavailable:
                continue
            try:
                self.runs.append(step())
            except MeasurementError as err:
                self.unavailable[what] = err.message

    def round(self, index: int) -> Iterator[Step]:
        """Yield the steps of one round."""
        bench, asked = self.bench, self.bench.asked
        for threads in (asked.threads or (bench.measurer.request.threads,)) if self._throughput() else ():
            for batch in asked.batches or (1,):
                what = f"throughput at batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
                yield what, lambda b=batch, t=threads: steps.throughput(bench, b, t, index)  # type: ignore[misc]
        for cache in asked.loads:
            yield f"{cache} load", lambda c=cache: steps.load(bench, c, index)  # type: ignore[misc]
        for one in asked.scenarios:
            yield f"scenario {one}", lambda o=one: self._scenario(o, index)  # type: ignore[misc]

    def once(self) -> Iterator[Step]:
        """Yield the steps that are taken once."""
        asked = self.bench.asked
        if asked.profile:
            yield "profile of the operators", lambda: steps.profile(self.bench)
        if asked.soak_s is not None:
            yield "soak", lambda: steps.soak(self.bench)

    def workloads(self) -> Workloads:
        """Return what was measured."""
        metered: list[ThroughputRun | SoakRun] = [*self._of(ThroughputRun), *self._of(SoakRun)]
        if metered and all(run.energy is None for run in metered):
            why = self.bench.meters.absent or "no meter counted in the time of a run"
            self.unavailable["energy"] = f"{self.bench.measurer.facts.uri} has no meter to read: {why}"
        return Workloads(
            throughput=self._of(ThroughputRun),
            scenarios=self._of(ScenarioRun),
            loads=self._of(LoadRun),
            soaks=self._of(SoakRun),
            profiles=self._of(ProfileRun),
            unavailable=tuple(Unavailable(what, why) for what, why in self.unavailable.items()),
        )

    def _of(self, kind: type[Of]) -> tuple[Of, ...]:
        return tuple(run for run in self.runs if isinstance(run, kind))

    def _throughput(self) -> bool:
        return bool(self.bench.asked.batches or self.bench.asked.threads)

    def _scenario(self, asked: ScenarioAsked, index: int) -> ScenarioRun:
        run = steps.scenario(self.bench, asked, index, batch=self._best_batch(index))
        return replace(run, index=index)

    def _best_batch(self, index: int) -> int:
        """Return the batch with the highest throughput of this round, on as many threads as latency has."""
        threads = self.bench.measurer.request.threads
        rates = {
            run.samples / run.elapsed_ns: run.process.timing.batch or 1
            for run in self._of(ThroughputRun)
            if run.index == index and run.process.timing.threads == threads
        }
        return rates[max(rates)] if rates else 1
