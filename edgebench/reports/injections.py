"""Known effects planted into evidence: slowdowns, growth, lost answers, and their opposites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.accuracy import best_class, correct
from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples, Measurement
from edgebench.reports.quantities import QUANTILES, Quantity
from edgebench.reports.subjects import Key
from edgebench.reports.timing_estimates import SESSION_FIELDS

FACTORS = (1.05, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10_000.0)
"""By how much a time or a size is multiplied, or divided where it is made better."""

POINTS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Of how many of 100 answers another one is made."""

_SEED = 0


@dataclass(frozen=True, slots=True)
class Case:
    """The measurement `key` of a run, with what it is held against."""

    evidence: Evidence
    samples: Mapping[Key, LatencySamples]
    answers: Mapping[Key, Answers]
    key: Key

    def measured(self, measurement: Measurement) -> Case:
        """Return the case with another measurement in the place of its own."""
        others = [measurement if key_of(m) == self.key else m for m in self.evidence.measurements]
        return replace(self, evidence=replace(self.evidence, measurements=tuple(others)))

    @property
    def baseline_answers(self) -> Answers | None:
        """Return what the baseline answered, on the same device where it did."""
        keys = [key for key in self.answers if key[0] == self.evidence.baseline]
        own = [key for key in keys if key[1] == self.key[1]] or keys
        return self.answers[own[0]] if own else None

    @property
    def measurement(self) -> Measurement:
        """Return the measurement that the case is about."""
        return next(m for m in self.evidence.measurements if key_of(m) == self.key)


def key_of(measurement: Measurement) -> Key:
    """Return the artifact's id and the device's URI."""
    return measurement.artifact.id, measurement.device.uri


Plant = Callable[[Case, float], Case]


@dataclass(frozen=True, slots=True)
class Injection:
    """How a quantity is made worse or better by a known amount.

    steps: the amounts, growing. worse, better: from a case and an amount to the case with the effect.
    words: what the amount is of, made worse and made better.
    """

    steps: tuple[float, ...]
    worse: Plant
    better: Plant
    words: tuple[str, str]

    def told(self, amount: float, *, worse: bool) -> str:
        """Return an effect in words: `3× slower`, `2 pp more wrong`."""
        size = f"{amount:g} pp" if self.steps is POINTS else f"{amount:,g}×"
        return f"{size} {self.words[not worse]}"


def _scaled(plant: Plant, words: tuple[str, str]) -> Injection:
    """Return an injection that multiplies, and divides."""
    return Injection(FACTORS, plant, lambda case, factor: plant(case, 1 / factor), words)


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


# --- answers ------------------------------------------------------------------------------------


def _wrong(case: Case, points: float) -> Case:
    """Return the case with right answers made wrong: the label becomes the last of all classes."""
    return _answered(case, points, right=True, label_score=-1)


def _righted(case: Case, points: float) -> Case:
    """Return the case with wrong answers made right."""
    return _answered(case, points, right=False, label_score=2)


def _answered(case: Case, points: float, *, right: bool, label_score: float) -> Case:
    """Return the case with other answers in `points` of 100 samples, taken from the right or the wrong."""
    answers = case.answers.get(case.key)
    if answers is None:
        return case
    chosen = _chosen(correct(answers.logits, answers.labels) == right, points)
    labels = answers.labels[chosen]
    logits = answers.logits.copy()
    logits[chosen] = _one_hot((labels + 1) % logits.shape[1], logits.shape[1])
    logits[chosen, labels] = label_score
    return replace(case, answers={**case.answers, case.key: Answers(logits, answers.labels)})


def _one_hot(classes: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.eye(count, dtype=np.float32)[classes]
    return rows


def _chosen(among: NDArray[np.bool_], points: float) -> NDArray[np.int64]:
    """Return `points` of 100 of all samples, as far as `among` has them; more points hold the fewer."""
    order = np.random.default_rng(_SEED).permutation(len(among))
    return order[among[order]][: max(1, round(len(among) * points / 100))]


def _otherwise(case: Case, points: float) -> Case:
    """Return the case with answers that were the baseline's made others."""
    return _against_baseline(case, points, same=True)


def _as_baseline(case: Case, points: float) -> Case:
    """Return the case with answers that were not the baseline's made the baseline's."""
    return _against_baseline(case, points, same=False)


def _against_baseline(case: Case, points: float, *, same: bool) -> Case:
    answers, baseline = case.answers.get(case.key), case.baseline_answers
    if answers is None or baseline is None or answers.logits.shape != baseline.logits.shape:
        return case
    theirs, classes = best_class(baseline.logits), baseline.logits.shape[1]
    chosen = _chosen((best_class(answers.logits) == theirs) == same, points)
    logits = answers.logits.copy()
    logits[chosen] = _one_hot((theirs[chosen] + same) % classes, classes)
    return replace(case, answers={**case.answers, case.key: Answers(logits, answers.labels)})


# --- which for which ------------------------------------------------------------------------------

_ANSWERS = Injection(POINTS, _wrong, _righted, ("more wrong", "more right"))
INJECTIONS: Mapping[Quantity, Injection] = {
    **dict.fromkeys(QUANTILES, _scaled(_time, ("slower", "faster"))),
    **{
        quantity: _scaled(
            _per_session(field), ("more", "less") if quantity is Quantity.MEMORY else ("longer", "shorter")
        )
        for quantity, field in SESSION_FIELDS.items()
    },
    **dict.fromkeys((Quantity.SIZE, Quantity.SHRINK), _scaled(_size, ("larger", "smaller"))),
    **dict.fromkeys((Quantity.TOP1, Quantity.TOP5, Quantity.DROP), _ANSWERS),
    Quantity.CHURN: Injection(
        POINTS, _otherwise, _as_baseline, ("more unlike the baseline", "more like the baseline")
    ),
}
"""How each quantity is made worse and better."""
