"""Known effects planted into evidence: slowdowns, growth, lost answers, and their opposites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgebench.benchmark.metrics import METRICS
from edgebench.benchmark.workloads.records import Cache, Energy
from edgebench.reports.cases import Case
from edgebench.reports.planted_answers import as_baseline, drawn, erring, otherwise, righted, wrong
from edgebench.reports.quantities import QUANTILES, Quantity, Question
from edgebench.reports.timing_estimates import SESSION_FIELDS
from edgebench.reports.units import Dimension
from edgebench.reports.workload_estimates import covered_share

FACTORS = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0)
"""By how much a time or a size is multiplied, or divided where it is made better."""

POINTS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Of how many of 100 answers another one is made."""

Plant = Callable[[Case, float], Case]


@dataclass(frozen=True, slots=True)
class Injection:
    """How a quantity is made worse or better by a known amount.

    steps: the amounts, growing. worse, better: from a case and an amount to the case with the effect.
    words: what the amount is of, made worse and made better. by: what the amount counts.
    """

    steps: tuple[float, ...]
    worse: Plant
    better: Plant
    words: tuple[str, str]
    by: str = " pp"

    def told(self, amount: float, *, worse: bool) -> str:
        """Return an effect in words: `3× slower`, `2 pp more wrong`."""
        return f"{amount:,g}{self.by} {self.words[not worse]}"


def _scaled(plant: Plant, words: tuple[str, str]) -> Injection:
    """Return an injection that multiplies, and divides."""
    return Injection(FACTORS, plant, lambda case, factor: plant(case, 1 / factor), words, "×")


def _time(case: Case, factor: float) -> Case:
    """Return the case with every call longer by a factor."""
    if case.key not in case.samples:
        return case
    samples = case.samples[case.key]
    times = np.maximum(np.rint(samples.latency_ns * factor), 1).astype(np.int64)
    return replace(case, samples={**case.samples, case.key: replace(samples, latency_ns=times)})


def _per_session(field: str) -> Plant:
    def plant(case: Case, factor: float) -> Case:
        sessions = [
            replace(session, **{field: round(value * factor)})
            if (value := getattr(session, field)) is not None
            else session
            for session in case.measurement.sessions
        ]
        return case.measured(replace(case.measurement, sessions=tuple(sessions)))

    return plant


def _size(case: Case, factor: float) -> Case:
    """Return the case with a larger file; one whose size is not known keeps that."""
    artifact = case.measurement.artifact
    size = max(1, round(artifact.size_bytes * factor)) if artifact.size_bytes else 0
    return case.measured(replace(case.measurement, artifact=replace(artifact, size_bytes=size)))


# --- what was measured beyond single calls ---------------------------------------------------------


def _soak(case: Case, factor: float) -> Case:
    """Return the case with every call under sustained load longer by a factor."""
    if case.key not in case.samples:
        return case
    samples = case.samples[case.key]
    soaks = tuple(
        replace(soak, latency_ns=np.maximum(np.rint(soak.latency_ns * factor), 1).astype(np.int64))
        for soak in samples.soaks
    )
    return replace(case, samples={**case.samples, case.key: replace(samples, soaks=soaks)})


def _throughput(case: Case, factor: float) -> Case:
    """Return the case with runs that took longer by a factor for as many samples."""
    workloads = case.measurement.workloads
    runs = tuple(
        replace(run, elapsed_ns=max(1, round(run.elapsed_ns * factor))) for run in workloads.throughput
    )
    return case.measured(replace(case.measurement, workloads=replace(workloads, throughput=runs)))


def _loads(cache: Cache) -> Plant:
    def plant(case: Case, factor: float) -> Case:
        workloads = case.measurement.workloads
        loads = tuple(
            replace(run, process=replace(run.process, load_ns=max(1, round(run.process.load_ns * factor))))
            if run.cache is cache
            else run
            for run in workloads.loads
        )
        return case.measured(replace(case.measurement, workloads=replace(workloads, loads=loads)))

    return plant


def _energy(case: Case, factor: float) -> Case:
    """Return the case with every reading of energy larger by a factor."""
    workloads = case.measurement.workloads
    throughput = tuple(replace(run, energy=_times(run.energy, factor)) for run in workloads.throughput)
    soaks = tuple(replace(run, energy=_times(run.energy, factor)) for run in workloads.soaks)
    changed = replace(workloads, throughput=throughput, soaks=soaks)
    return case.measured(replace(case.measurement, workloads=changed))


def _times(energy: Energy | None, factor: float) -> Energy | None:
    return None if energy is None else replace(energy, joules=energy.joules * factor)


def _covered(case: Case, points: float) -> Case:
    """Return the case with so many points more of the nodes on the accelerator, or fewer where negative."""
    sessions = tuple(
        replace(session, coverage=f"{round(np.clip(100 * share + 100 * points, 0, 10_000))} of 10000 nodes")
        if (share := covered_share(session.timing.provider, session.coverage)) is not None
        else session
        for session in case.measurement.sessions
    )
    return case.measured(replace(case.measurement, sessions=sessions))


# --- which for which ------------------------------------------------------------------------------

_ANSWERS = Injection(POINTS, wrong, righted, ("more wrong", "more right"))
_METRIC = replace(_ANSWERS, steps=(*POINTS[:-1], 80.0))
"""Where all answers are wrong, no resample differs, and nothing can be said of a metric."""

INJECTIONS: Mapping[Quantity, Injection] = {
    **dict.fromkeys((*QUANTILES, Quantity.PERCENTILE), _scaled(_time, ("slower", "faster"))),
    **{
        quantity: _scaled(
            _per_session(field),
            ("longer", "shorter") if quantity.dimension is Dimension.TIME else ("more", "less"),
        )
        for quantity, field in SESSION_FIELDS.items()
    },
    **dict.fromkeys((Quantity.SIZE, Quantity.SHRINK), _scaled(_size, ("larger", "smaller"))),
    **dict.fromkeys((Quantity.TOP1, Quantity.TOP5, Quantity.DROP, Quantity.METRIC, Quantity.LOSS), _ANSWERS),
    Quantity.SUSTAINED: _scaled(_soak, ("slower", "faster")),
    Quantity.THROUGHPUT: _scaled(_throughput, ("slower", "faster")),
    Quantity.COLD_LOAD: _scaled(_loads(Cache.COLD), ("longer", "shorter")),
    Quantity.WARM_LOAD: _scaled(_loads(Cache.WARM), ("longer", "shorter")),
    Quantity.ENERGY: _scaled(_energy, ("more", "less")),
    Quantity.COVERAGE: Injection(
        POINTS, lambda case, points: _covered(case, -points), _covered, ("less covered", "more covered")
    ),
    Quantity.CHURN: Injection(
        POINTS, otherwise, as_baseline, ("more unlike the baseline", "more like the baseline")
    ),
}
"""How each quantity is made worse and better."""

_ERRORS = _scaled(erring, ("larger errors", "smaller errors"))


def injection_of(question: Question, case: Case) -> Injection:
    """Return how an effect on what is asked is planted: metrics are of classes, of numbers, or a user's."""
    if question.quantity not in (Quantity.METRIC, Quantity.LOSS):
        return INJECTIONS[question.quantity]
    record = case.measurement.accuracy
    own = record.metric if record is not None and question.metric is None else None
    if own is not None and own.sha256:
        return _drawn(more_is_better=own.more_is_better)
    known = METRICS.get(question.metric or (own.name if own else ""))
    return _ERRORS if known is not None and known.of_numbers else _METRIC


def _drawn(*, more_is_better: bool) -> Injection:
    sign = -1 if more_is_better else 1
    worse, better = (lambda case, amount, s=s: drawn(case, s * amount) for s in (sign, -sign))
    return Injection(_METRIC.steps, worse, better, ("worse", "better"), " %")
