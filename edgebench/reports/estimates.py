"""Each quantity of one measured artifact: its value, its interval, and what would narrow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from edgebench.benchmark.looks import FIRST
from edgebench.benchmark.series import series_of
from edgebench.benchmark.workloads.records import Cache
from edgebench.reports.answer_estimates import answered
from edgebench.reports.quantities import (
    COMPARED,
    LOSSES,
    OF_WORKLOADS,
    QUANTILES,
    Estimate,
    Quantity,
    Question,
    unknown,
)
from edgebench.reports.relative_estimates import relative
from edgebench.reports.subjects import Subject
from edgebench.reports.sustained import sustained
from edgebench.reports.timing_estimates import SESSION_FIELDS, latency, of_calls, per_session
from edgebench.reports.units import Dimension
from edgebench.reports.workload_estimates import coverage, energy, loading, throughput

_FROM_SESSIONS = frozenset({*QUANTILES, *SESSION_FIELDS, Quantity.PERCENTILE})
_FROM_TIMINGS = frozenset({*_FROM_SESSIONS, *OF_WORKLOADS, Quantity.COVERAGE})
_FROM_FILE = frozenset({Quantity.SIZE, Quantity.SHRINK})


def applies(question: Question, subject: Subject) -> bool:
    """Return whether the question makes sense of the subject: nothing is held against itself."""
    if question.relative or question.quantity in COMPARED:
        return not subject.is_baseline
    return question.quantity is not Quantity.SHRINK or not subject.is_reference


def from_timings(quantity: Quantity) -> bool:
    """Return whether the quantity was measured while the artifact ran, so that its machine matters."""
    return quantity in _FROM_TIMINGS


def from_clock(quantity: Quantity) -> bool:
    """Return whether the quantity is a time, or a rate, which others on the machine make worse."""
    return quantity in _FROM_TIMINGS and quantity.dimension in (Dimension.TIME, Dimension.RATE)


def from_file(quantity: Quantity) -> bool:
    """Return whether the quantity is a fact about files, whatever was measured."""
    return quantity in _FROM_FILE


def from_answers(quantity: Quantity) -> bool:
    """Return whether the quantity is computed from what the artifact answered."""
    return not (from_timings(quantity) or from_file(quantity))


def from_sessions(quantity: Quantity) -> bool:
    """Return whether each further session tells more of the quantity."""
    return quantity in _FROM_SESSIONS


def at_look(subject: Subject, quantity: Quantity, confidence: float) -> float:
    """Return the confidence that bounds take so that they hold at `confidence` over all looks there may be.

    Only what sessions measure is looked at more than once.
    """
    looks = subject.looks
    return confidence if looks is None or not from_sessions(quantity) else looks.surer(confidence)


def estimate(subject: Subject, question: Question, confidence: float) -> Estimate:
    """Return the answer with bounds, each by itself at `confidence`; pure.

    For a two-sided 95 % interval pass 0.975. Where the measurement was looked at while it went on, the
    bounds of what was timed hold at `confidence` over all looks together, and before the first look there
    are none.
    """
    found = _estimated(subject, question, at_look(subject, question.quantity, confidence))
    return replace(found, lower=None, upper=None) if too_early(subject, question.quantity) else found


def too_early(subject: Subject, quantity: Quantity) -> bool:
    """Return whether sessions are fewer than looks begin with, so that it is not known how they differ."""
    watched = subject.looks is not None and from_sessions(quantity)
    return watched and len(subject.measurement.sessions) < FIRST


def _estimated(subject: Subject, question: Question, confidence: float) -> Estimate:
    quantity = question.quantity
    if question.relative and quantity not in LOSSES and (from_file(quantity) or _failed(subject) is None):
        return relative(subject, question, confidence)
    if from_file(quantity):
        return _file_fact(subject, quantity)
    if problem := _failed(subject):
        return unknown(problem)
    if from_answers(quantity):
        return answered(subject, question, confidence)
    return _timed(subject, question, confidence)


def _failed(subject: Subject) -> str | None:
    failure = subject.measurement.failure
    return None if failure is None else f"it could not be measured: {failure}"


def _timed(subject: Subject, question: Question, confidence: float) -> Estimate:
    if question.quantile is not None:
        return latency(subject, question.quantile, confidence)
    if question.quantity in SESSION_FIELDS:
        return per_session(subject, SESSION_FIELDS[question.quantity], confidence)
    if question.quantity is Quantity.SUSTAINED:
        return sustained(subject, (question.percent or 0.0) / 100, confidence)
    if question.quantity is Quantity.COVERAGE:
        return coverage(subject)
    return _OF_RUNS[question.quantity](subject, confidence)


_OF_RUNS: Mapping[Quantity, Callable[[Subject, float], Estimate]] = {
    Quantity.THROUGHPUT: throughput,
    Quantity.ENERGY: energy,
    Quantity.COLD_LOAD: partial(loading, Cache.COLD),
    Quantity.WARM_LOAD: partial(loading, Cache.WARM),
}
"""What runs beyond single calls are the evidence of, by itself."""


def session_estimates(subject: Subject, question: Question, confidence: float) -> dict[int, Estimate]:
    """Return a percentile's estimate of each session by itself; empty for other questions."""
    q = None if question.relative else question.quantile
    if q is None or subject.samples is None:
        return {}
    return {
        index: of_calls(alone, q, confidence) for index, alone in series_of(subject.samples).sessions.items()
    }


def _file_fact(subject: Subject, quantity: Quantity) -> Estimate:
    size = float(subject.measurement.artifact.size_bytes)
    if not size:
        return unknown("its size is not known: its log was imported without the file", "file")
    if quantity is Quantity.SIZE:
        return Estimate(size, size, size, 1, "file")
    if subject.reference is None or not subject.reference.size_bytes:
        form = subject.measurement.artifact.format
        return unknown(f"there is no one fp32 {form} file to compare its size with", "file")
    shrink = subject.reference.size_bytes / size
    return Estimate(shrink, shrink, shrink, 1, "file")
