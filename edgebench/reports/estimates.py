"""Each quantity of one measured artifact: its value, its interval, and what would narrow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebench.artifact import Artifact, Precision
from edgebench.benchmark import accuracy, statistics
from edgebench.benchmark.dependence import worth
from edgebench.benchmark.evidence import (
    Answers,
    Evidence,
    LatencySamples,
    Measurement,
    Summary,
    session_differences,
)
from edgebench.benchmark.intervals import bounds_at_worth
from edgebench.benchmark.paired import drop_bounds
from edgebench.reports.gates import QUANTILES, Quantity
from edgebench.reports.units import Dimension, stored_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Key = tuple[str, str]
"""An artifact's id and its device's URI."""

_FROM_TIMINGS = frozenset({*QUANTILES, Quantity.LOAD, Quantity.FIRST, Quantity.MEMORY})
_FROM_FILE = frozenset({Quantity.SIZE, Quantity.SHRINK})
_TOP5 = 5

_INDEPENDENT = 0.8
"""Calls worth this share of themselves are called independent: so much is estimation's own noise."""


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


@dataclass(frozen=True, slots=True)
class Subject:
    """One measurement with everything that its quantities are computed from.

    baseline: what the drop is taken against; None for the baseline itself and where there is none.
    baseline_answers: None where the baseline has none. reference: the fp32 file of the same format;
    None for that file itself and where there is none.
    """

    measurement: Measurement
    samples: LatencySamples | None
    answers: Answers | None
    baseline: Measurement | None
    baseline_answers: Answers | None
    reference: Artifact | None
    is_baseline: bool
    is_reference: bool

    @property
    def key(self) -> Key:
        """Return the artifact's id and the device's URI."""
        return self.measurement.artifact.id, self.measurement.device.uri

    @property
    def unusable_rows(self) -> int:
        """Return how many answers hold a NaN or +Inf."""
        return 0 if self.answers is None else int(accuracy.unusable(self.answers.logits).sum())


def subjects(
    evidence: Evidence, samples: Mapping[Key, LatencySamples], answers: Mapping[Key, Answers]
) -> tuple[Subject, ...]:
    """Return the run's measurements, each with its samples, answers, baseline and reference."""
    artifacts = tuple({m.artifact.id: m.artifact for m in evidence.measurements}.values())
    found = []
    for measurement in evidence.measurements:
        artifact = measurement.artifact
        key = (artifact.id, measurement.device.uri)
        is_baseline = artifact.id == evidence.baseline
        baseline = None if is_baseline else _baseline(evidence, measurement.device.uri)
        reference = _reference(artifact, artifacts, evidence.baseline)
        found.append(
            Subject(
                measurement=measurement,
                samples=samples.get(key),
                answers=answers.get(key),
                baseline=baseline,
                baseline_answers=answers.get((baseline.artifact.id, baseline.device.uri))
                if baseline
                else None,
                reference=None if reference is artifact else reference,
                is_baseline=is_baseline,
                is_reference=reference is artifact,
            )
        )
    return tuple(found)


def applies(quantity: Quantity, subject: Subject) -> bool:
    """Return whether the quantity exists: nothing is held against itself."""
    if quantity in (Quantity.DROP, Quantity.CHURN):
        return not subject.is_baseline
    return quantity is not Quantity.SHRINK or not subject.is_reference


def from_timings(quantity: Quantity) -> bool:
    """Return whether the quantity was measured while the artifact ran, so that its machine matters."""
    return quantity in _FROM_TIMINGS


def from_file(quantity: Quantity) -> bool:
    """Return whether the quantity is a fact about files, whatever was measured."""
    return quantity in _FROM_FILE


def from_answers(quantity: Quantity) -> bool:
    """Return whether the quantity is computed from what the artifact answered."""
    return not (from_timings(quantity) or from_file(quantity))


def estimate(subject: Subject, quantity: Quantity, confidence: float) -> Estimate:
    """Return the quantity with bounds, each by itself at `confidence`; pure.

    For a two-sided 95 % interval pass 0.975.
    """
    if from_file(quantity):
        return _file_fact(subject, quantity)
    if subject.measurement.failure is not None:
        return _problem(f"it could not be measured: {subject.measurement.failure}")
    if quantity in QUANTILES:
        return _latency(subject, QUANTILES[quantity], confidence)
    if quantity in SESSION_FIELDS:
        return _per_session(subject, SESSION_FIELDS[quantity], confidence)
    return _answered(subject, quantity, confidence)


def session_estimates(subject: Subject, quantity: Quantity, confidence: float) -> dict[int, Estimate]:
    """Return a percentile's estimate of each session by itself; empty for other quantities."""
    if quantity not in QUANTILES or subject.samples is None:
        return {}
    samples, q = subject.samples, QUANTILES[quantity]
    return {
        int(index): _of_calls(samples.latency_ns[chosen], samples.session[chosen], q, confidence)
        for index in np.unique(samples.session)
        for chosen in [samples.session == index]
    }


def _problem(reason: str, of: str = "", n: int = 0) -> Estimate:
    return Estimate(None, None, None, n, of, problem=reason)


def _baseline(evidence: Evidence, device: str) -> Measurement | None:
    named = [m for m in evidence.measurements if m.artifact.id == evidence.baseline]
    return next((m for m in named if m.device.uri == device), named[0] if named else None)


def _reference(artifact: Artifact, artifacts: Sequence[Artifact], baseline: str | None) -> Artifact | None:
    """Return the fp32 file of the same format: of the same name, the run's baseline, or the only one."""
    full = [a for a in artifacts if a.format is artifact.format and a.precision is Precision.FP32]
    own = [a for a in full if a.name == artifact.name] or [a for a in full if a.id == baseline] or full
    return own[0] if len(own) == 1 else next((a for a in own if a is artifact), None)


def _file_fact(subject: Subject, quantity: Quantity) -> Estimate:
    size = float(subject.measurement.artifact.size_bytes)
    if not size:
        return _problem("its size is not known: its log was imported without the file", "file")
    if quantity is Quantity.SIZE:
        return Estimate(size, size, size, 1, "file")
    if subject.reference is None or not subject.reference.size_bytes:
        form = subject.measurement.artifact.format
        return _problem(f"there is no one fp32 {form} file to compare its size with", "file")
    shrink = subject.reference.size_bytes / size
    return Estimate(shrink, shrink, shrink, 1, "file")


def _timing_problem(subject: Subject) -> str | None:
    """Return why the sessions' timings do not belong together, or None."""
    sessions = subject.measurement.sessions
    for session in sessions[1:]:
        if unlike := session_differences(sessions[0], session):
            return f"its sessions cannot be pooled, they differ in {'; '.join(unlike)}"
    return None


def _latency(subject: Subject, q: float, confidence: float) -> Estimate:
    summaries = [s.summary for s in subject.measurement.sessions if s.summary is not None]
    if summaries:
        return _problem(_summary_problem(summaries), "calls")
    if subject.samples is None or len(subject.samples.latency_ns) == 0:
        return _problem("no latency was measured", "calls")
    if problem := _timing_problem(subject):
        return _problem(problem, "calls", len(subject.samples.latency_ns))
    return _of_calls(subject.samples.latency_ns, subject.samples.session, q, confidence)


def _summary_problem(summaries: Sequence[Summary]) -> str:
    """Return why a percentile cannot be had from what a tool printed in place of its timings."""
    calls = sum(summary.calls for summary in summaries)
    mean = sum(summary.mean_ns * summary.calls for summary in summaries) / max(calls, 1)
    return (
        f"{summaries[0].tool} kept a summary of {calls:,} calls (mean {stored_text(mean, Dimension.TIME)}) "
        "and not the single timings: no percentile can be judged from it"
    )


def _of_calls(
    latency_ns: NDArray[np.int64], session: NDArray[np.int64], q: float, confidence: float
) -> Estimate:
    value = worth(latency_ns, session, q)
    found = bounds_at_worth(latency_ns, value, q, confidence)
    n = len(latency_ns)
    independent = None if value.calls >= _INDEPENDENT * n else int(value.calls)
    centre = statistics.quantile(latency_ns, q)
    return Estimate(centre, found.lower, found.upper, n, "calls", worth=independent)


def _quantile(values: NDArray[np.int64], q: float, confidence: float, of: str) -> Estimate:
    found = statistics.quantile_bounds_one_sided(values, q, confidence)
    return Estimate(statistics.quantile(values, q), found.lower, found.upper, len(values), of)


SESSION_FIELDS: dict[Quantity, str] = {
    Quantity.LOAD: "load_ns",
    Quantity.FIRST: "first_ns",
    Quantity.MEMORY: "peak_rss_bytes",
}
"""The field of a session that holds each quantity which a session has once."""


def _per_session(subject: Subject, field: str, confidence: float) -> Estimate:
    values = [getattr(session, field) for session in subject.measurement.sessions]
    if not values:
        return _problem("no session was run", "sessions")
    if None in values:
        return _problem("the log that was imported does not tell it", "sessions")
    if problem := _timing_problem(subject):
        return _problem(problem, "sessions", len(values))
    return _quantile(np.asarray(values, np.int64), 0.5, confidence, "sessions")


def _answered(subject: Subject, quantity: Quantity, confidence: float) -> Estimate:
    if subject.answers is None or len(subject.answers.labels) == 0:
        return _problem("no evaluation data was given", "samples")
    return _ANSWERED[quantity](subject, subject.answers, confidence)


def _share(right: int, n: int, confidence: float) -> Estimate:
    found = statistics.clopper_pearson(right, n, confidence)
    lower, upper = (None if end is None else 100 * end for end in (found.lower, found.upper))
    return Estimate(100 * right / n, lower, upper, n, "samples")


def _top1(_subject: Subject, answers: Answers, confidence: float) -> Estimate:
    right = int(accuracy.correct(answers.logits, answers.labels).sum())
    return _share(right, len(answers.labels), confidence)


def _top5(_subject: Subject, answers: Answers, confidence: float) -> Estimate:
    if answers.logits.shape[1] <= _TOP5:
        return _problem(f"top-5 says nothing about {answers.logits.shape[1]} classes", "samples")
    right = int(accuracy.correct(answers.logits, answers.labels, _TOP5).sum())
    return _share(right, len(answers.labels), confidence)


def _pairing_problem(subject: Subject, answers: Answers) -> str | None:
    """Return why the answers cannot be held against the baseline's sample by sample, or None."""
    if subject.baseline is None:
        return "the run has no baseline to compare with"
    name = subject.baseline.artifact.id
    if subject.baseline_answers is None:
        why = subject.baseline.failure or "it answered no evaluation data"
        return f"the baseline {name} has no answers: {why}"
    own, other = subject.measurement.accuracy, subject.baseline.accuracy
    if own is not None and other is not None and own.fingerprint != other.fingerprint:
        return f"the baseline {name} answered other data ({other.data}, not {own.data})"
    if not np.array_equal(answers.labels, subject.baseline_answers.labels):
        return f"the baseline {name} answered other samples"
    return None


def _drop(subject: Subject, answers: Answers, confidence: float) -> Estimate:
    problem = _pairing_problem(subject, answers)
    if problem is not None or subject.baseline_answers is None:
        return _problem(problem or "", "samples", len(answers.labels))
    counts = accuracy.paired_counts(subject.baseline_answers.logits, answers.logits, answers.labels)
    b, c, n = counts.baseline_only, counts.candidate_only, counts.n
    found = drop_bounds(b, c, n, confidence)
    lower, upper = (None if end is None else 100 * end for end in (found.lower, found.upper))
    return Estimate(100 * (b - c) / n, lower, upper, n, "samples")


def _churn(subject: Subject, answers: Answers, confidence: float) -> Estimate:
    problem = _pairing_problem(subject, answers)
    if problem is not None or subject.baseline_answers is None:
        return _problem(problem or "", "samples", len(answers.labels))
    changed = accuracy.churn(subject.baseline_answers.logits, answers.logits)
    return _share(round(changed * len(answers.labels)), len(answers.labels), confidence)


_ANSWERED: dict[Quantity, Callable[[Subject, Answers, float], Estimate]] = {
    Quantity.TOP1: _top1,
    Quantity.TOP5: _top5,
    Quantity.DROP: _drop,
    Quantity.CHURN: _churn,
}
