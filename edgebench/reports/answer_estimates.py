"""Estimates of how an artifact answered: shares of right answers, and what it loses against the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgebench.benchmark import accuracy, statistics
from edgebench.benchmark.evidence import AccuracyRecord, Answers
from edgebench.benchmark.statistics import drop_bounds, side_confidence
from edgebench.reports.groups import extreme, groups
from edgebench.reports.metric_estimates import metric, metric_loss
from edgebench.reports.quantities import COMPARED, Estimate, Part, Quantity, Question, unknown
from edgebench.reports.relative_estimates import NO_BASELINE
from edgebench.reports.subjects import Subject

_TOP5 = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on the answers to some samples, and what the baseline answered to the same."""

    question: Question
    own: Answers
    baseline: Answers | None
    record: AccuracyRecord | None


def answered(subject: Subject, question: Question, confidence: float) -> Estimate:
    """Return a share of the answers in %, a metric, or what is lost of it against the baseline."""
    own = subject.answers
    if own is None or len(own) == 0:
        return unknown("no evaluation data was given", "samples")
    problem = _pairing_problem(subject, own) if question.quantity in COMPARED else None
    if own.targets is not None and question.quantity not in (Quantity.METRIC, Quantity.LOSS):
        problem = "the labels are numbers, not classes"
    if problem is not None:
        return unknown(problem, "samples", len(own))
    asked = _Asked(question, own, subject.baseline_answers, subject.measurement.accuracy)
    if question.part is None:
        return _estimate(asked, confidence)
    return _of_part(asked, question.part, confidence)


def _estimate(asked: _Asked, confidence: float) -> Estimate:
    return _ANSWERED[asked.question.quantity](asked, confidence)


def _of_part(asked: _Asked, part: Part, confidence: float) -> Estimate:
    found = groups(asked.own, asked.record, part)
    if isinstance(found, str):
        return unknown(found, "samples", len(asked.own))
    parts: dict[str, Callable[[float], Estimate]] = {
        name: partial(_estimate, _of_rows(asked, rows)) for name, rows in found.items()
    }
    if part.value is not None:
        return parts[part.value](confidence)
    return extreme(parts, confidence, largest=asked.question.quantity in COMPARED or _less_is_better(asked))


def _less_is_better(asked: _Asked) -> bool:
    """Return whether the worst group is the one with the most: so of an error such as rmse."""
    from edgebench.benchmark.metrics import METRICS

    name = asked.question.metric
    if asked.question.quantity is not Quantity.METRIC:
        return False
    record = asked.record.metric if asked.record is not None else None
    return not (METRICS[name].more_is_better if name else record is None or record.more_is_better)


def _of_rows(asked: _Asked, rows: accuracy.BoolArray) -> _Asked:
    baseline = None if asked.baseline is None else asked.baseline.chosen(rows)
    return _Asked(asked.question, asked.own.chosen(rows), baseline, asked.record)


def _share(right: int, n: int, confidence: float) -> Estimate:
    found = statistics.clopper_pearson(right, n, confidence)
    lower, upper = (None if end is None else 100 * end for end in (found.lower, found.upper))
    return Estimate(100 * right / n, lower, upper, n, "samples")


def _top1(asked: _Asked, confidence: float) -> Estimate:
    right = int(accuracy.correct(asked.own.logits, asked.own.labels).sum())
    return _share(right, len(asked.own), confidence)


def _top5(asked: _Asked, confidence: float) -> Estimate:
    if asked.own.logits.shape[1] <= _TOP5:
        return unknown(f"top-5 says nothing about {asked.own.logits.shape[1]} classes", "samples")
    right = int(accuracy.correct(asked.own.logits, asked.own.labels, _TOP5).sum())
    return _share(right, len(asked.own), confidence)


def _pairing_problem(subject: Subject, answers: Answers) -> str | None:
    """Return why the answers cannot be held against the baseline's sample by sample, or None."""
    if subject.baseline is None:
        return NO_BASELINE
    name = subject.baseline.artifact.id
    if subject.baseline_answers is None:
        why = subject.baseline.failure or "it answered no evaluation data"
        return f"the baseline {name} has no answers: {why}"
    own, other = subject.measurement.accuracy, subject.baseline.accuracy
    if own is not None and other is not None and own.fingerprint != other.fingerprint:
        return f"the baseline {name} answered other data ({other.data}, not {own.data})"
    if not np.array_equal(answers.truth, subject.baseline_answers.truth):
        return f"the baseline {name} answered other samples"
    return None


def _drop(asked: _Asked, confidence: float) -> Estimate:
    if asked.baseline is None:
        return unknown(NO_BASELINE, "samples", len(asked.own))
    counts = accuracy.paired_counts(asked.baseline.logits, asked.own.logits, asked.own.labels)
    b, c, n = counts.baseline_only, counts.candidate_only, counts.n
    if asked.question.relative:
        return _relative_drop(b, c, counts.baseline_only + counts.both, n, confidence)
    found = drop_bounds(b, c, n, confidence)
    lower, upper = (None if end is None else 100 * end for end in (found.lower, found.upper))
    return Estimate(100 * (b - c) / n, lower, upper, n, "samples")


def _relative_drop(b: int, c: int, right: int, n: int, confidence: float) -> Estimate:
    """Return the drop in % of what the baseline has right, of n samples.

    Both the drop and the baseline's share are bounded, each at half the error, so that the quotient holds
    whatever joins them.
    """
    if right == 0:
        return unknown("the baseline answers nothing right", "samples", n)
    side = side_confidence(confidence)
    drop, share = drop_bounds(b, c, n, side), statistics.clopper_pearson(right, n, side)
    ends = [
        None if end is None or not low or not high else 100 * (end / low if outwards else end / high)
        for end, outwards in ((drop.lower, (drop.lower or 0) < 0), (drop.upper, (drop.upper or 0) > 0))
        for low, high in [(share.lower, share.upper)]
    ]
    return Estimate(100 * (b - c) / right, ends[0], ends[1], n, "samples")


def _churn(asked: _Asked, confidence: float) -> Estimate:
    if asked.baseline is None:
        return unknown(NO_BASELINE, "samples", len(asked.own))
    changed = accuracy.churn(asked.baseline.logits, asked.own.logits)
    return _share(round(changed * len(asked.own)), len(asked.own), confidence)


def _metric(asked: _Asked, confidence: float) -> Estimate:
    return metric(asked.question, asked.own, asked.record, confidence)


def _loss(asked: _Asked, confidence: float) -> Estimate:
    if asked.baseline is None:
        return unknown(NO_BASELINE, "samples", len(asked.own))
    return metric_loss(asked.question, asked.own, asked.baseline, asked.record, confidence)


_ANSWERED: dict[Quantity, Callable[[_Asked, float], Estimate]] = {
    Quantity.TOP1: _top1,
    Quantity.TOP5: _top5,
    Quantity.DROP: _drop,
    Quantity.CHURN: _churn,
    Quantity.METRIC: _metric,
    Quantity.LOSS: _loss,
}
