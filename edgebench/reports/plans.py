"""What would settle an inconclusive gate, in words a user can act on."""

from __future__ import annotations

import math
from dataclasses import replace

from edgebench.benchmark import accuracy, planning, statistics
from edgebench.benchmark.looks import FIRST
from edgebench.benchmark.metric_draws import LEAST
from edgebench.benchmark.series import series_of
from edgebench.reports.estimates import at_look, from_answers, from_file, too_early
from edgebench.reports.gates import Gate
from edgebench.reports.quantities import COMPARED, Estimate, Quantity, Question
from edgebench.reports.subjects import Subject


def for_problem(subject: Subject, question: Question) -> str:
    """Return what is needed where the quantity could not be computed at all."""
    quantity = question.quantity
    if subject.measurement.failure is not None:
        return "a run that succeeds"
    if quantity in _ASKED_FOR:
        return _ASKED_FOR[quantity]
    if from_answers(quantity):
        return _for_answers(subject, question)
    if question.relative:
        return "the baseline in the same run, on the same device, timed alike"
    if from_file(quantity):
        known = subject.measurement.artifact.size_bytes > 0
        beside, itself = "the fp32 artifact of the same format in the same run", "the model file itself"
        return beside if known else f"{itself}, with --artifact of `edgebench import`"
    imported = any(session.origin for session in subject.measurement.sessions)
    alike = "a measurement whose sessions are all timed alike"
    return "a log that holds it, call by call, or a run of `edgebench benchmark`" if imported else alike


def _for_answers(subject: Subject, question: Question) -> str:
    quantity, compared = question.quantity, subject.baseline_answers is not None
    if subject.answers is None:
        return "labelled evaluation data, with --data or data.evaluation"
    if quantity is Quantity.TOP5:
        return "a gate on top1"
    if quantity is Quantity.METRIC or (quantity is Quantity.LOSS and compared):
        return "a metric that fits the labels, with --metric or benchmark.metric"
    if question.part is not None and (compared or quantity not in COMPARED):
        return "evaluation data with such samples"
    return "a baseline that answers the same evaluation data"


_ASKED_FOR = {
    Quantity.THROUGHPUT: "a valid run that measures throughput",
    Quantity.ENERGY: "a valid run that reads a counter of energy",
    Quantity.SUSTAINED: "a valid run under sustained load",
    Quantity.COLD_LOAD: "a valid run that loads the model from a cold cache",
    Quantity.WARM_LOAD: "a valid run that loads the model from a warm cache",
    Quantity.COVERAGE: "a runtime that tells how many nodes it took",
}
"""What is measured only where it is asked for."""


def to_settle(subject: Subject, gate: Gate, found: Estimate) -> str | None:
    """Return how many calls, sessions or samples would move the interval off the bound."""
    if too_early(subject, gate.quantity):
        return f"at least {FIRST} sessions"
    gate = replace(gate, confidence=at_look(subject, gate.quantity, gate.confidence))
    if gate.question.quantile is not None and not gate.question.relative:
        return _calls(subject, gate, found)
    if from_answers(gate.quantity) and gate.quantity in _COUNTED and gate.question.part is None:
        return _samples(subject, gate, found)
    if from_answers(gate.quantity) or gate.question.quantile is not None:
        return _by_width(gate, found)
    if gate.quantity is Quantity.SUSTAINED:
        return "more calls in each window: a wider one"
    least = statistics.needed_calls(0.5, gate.confidence)
    return f"at least {least} {found.of}" if found.n < least else f"more {found.of}"


_RESAMPLED = frozenset({Quantity.METRIC, Quantity.LOSS})
"""What has its bounds from resamples."""

_COUNTED = frozenset({Quantity.TOP1, Quantity.TOP5, Quantity.DROP, Quantity.CHURN})
"""What is planned by counts of samples."""


def _by_width(gate: Gate, found: Estimate) -> str:
    """Return how many would settle it, if the interval narrows as the root of their number."""
    near = found.lower if gate.operator.is_floor else found.upper
    if found.value is None or near is None:
        return _for_resamples(gate.question, found) or f"more {found.of}"
    reach, gap = abs(near - found.value), abs(gate.stored_bound - found.value)
    return _words(planning.narrowed(found.n, reach, gap, gate.confidence), found.of)


def _for_resamples(question: Question, found: Estimate) -> str | None:
    """Return how many samples a metric has bounds from, where there are fewer, or in a group may be."""
    part = question.part
    worst = part is not None and part.value is None
    if question.quantity not in _RESAMPLED or not (worst or found.n < LEAST):
        return None
    of = "" if part is None else f" of each {part.column}" if worst else f" of {part}"
    return f"at least {LEAST} samples{of}"


def _calls(subject: Subject, gate: Gate, found: Estimate) -> str | None:
    q = gate.question.quantile
    if subject.samples is None or q is None:
        return None
    least = statistics.needed_calls(q, gate.confidence)
    if found.n < least:
        return f"at least {least:,} calls in all"
    series = series_of(subject.samples)
    planned = planning.calls_to_settle(series, q, gate.stored_bound, gate.confidence)
    words = _words(planned, "calls")
    if planned is None or planned >= planning.MOST or not series.worth(q).sessions_differ:
        return words
    have = len(series.parts)
    sessions = math.ceil(have * planned / found.n)
    return f"{words}, in about {sessions:,} sessions like these {have}, since sessions differ"


def _samples(subject: Subject, gate: Gate, found: Estimate) -> str | None:
    answers, baseline = subject.answers, subject.baseline_answers
    bound = gate.stored_bound / 100
    if gate.quantity is Quantity.DROP and not gate.question.relative and answers and baseline:
        counts = accuracy.paired_counts(baseline.logits, answers.logits, answers.labels)
        b, c, n = counts.baseline_only, counts.candidate_only, counts.n
        return _words(planning.pairs_to_settle(b, c, n, bound, gate.confidence), "samples")
    share = (found.value or 0.0) / 100
    return _words(planning.samples_for_share(share, found.n, bound, gate.confidence), "samples")


def _words(planned: int | None, of: str) -> str:
    if planned is None:
        return f"no number of {of} is likely to settle it: the estimate lies on the bound"
    if planned >= planning.MOST:
        return f"more than {planning.MOST:,} {of}: the estimate lies too near the bound"
    return f"about {_rounded_up(planned):,} {of} in all, if the estimate stays as it is"


def _rounded_up(number: int) -> int:
    """Return the number rounded up to two significant digits."""
    step = int(10 ** max(0, math.floor(math.log10(number)) - 1))
    return math.ceil(number / step) * step
