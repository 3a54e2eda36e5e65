"""Estimates of how an artifact answered: shares of right answers, and what it loses against the baseline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgebench.benchmark import accuracy, statistics
from edgebench.benchmark.evidence import Answers
from edgebench.benchmark.paired import drop_bounds
from edgebench.reports.quantities import Estimate, Quantity, unknown
from edgebench.reports.subjects import Subject

_TOP5 = 5


def answered(subject: Subject, quantity: Quantity, confidence: float) -> Estimate:
    """Return a share of the answers, in %, or a difference of two, in pp."""
    if subject.answers is None or len(subject.answers.labels) == 0:
        return unknown("no evaluation data was given", "samples")
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
        return unknown(f"top-5 says nothing about {answers.logits.shape[1]} classes", "samples")
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
        return unknown(problem or "", "samples", len(answers.labels))
    counts = accuracy.paired_counts(subject.baseline_answers.logits, answers.logits, answers.labels)
    b, c, n = counts.baseline_only, counts.candidate_only, counts.n
    found = drop_bounds(b, c, n, confidence)
    lower, upper = (None if end is None else 100 * end for end in (found.lower, found.upper))
    return Estimate(100 * (b - c) / n, lower, upper, n, "samples")


def _churn(subject: Subject, answers: Answers, confidence: float) -> Estimate:
    problem = _pairing_problem(subject, answers)
    if problem is not None or subject.baseline_answers is None:
        return unknown(problem or "", "samples", len(answers.labels))
    changed = accuracy.churn(subject.baseline_answers.logits, answers.logits)
    return _share(round(changed * len(answers.labels)), len(answers.labels), confidence)


_ANSWERED: dict[Quantity, Callable[[Subject, Answers, float], Estimate]] = {
    Quantity.TOP1: _top1,
    Quantity.TOP5: _top5,
    Quantity.DROP: _drop,
    Quantity.CHURN: _churn,
}
