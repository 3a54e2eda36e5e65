"""Estimates of metrics other than top-1: of one model, and of what it loses against the baseline."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

from edgebench.benchmark.evidence import AccuracyRecord, Answers, MetricRecord
from edgebench.benchmark.metric_draws import Draws, draw_bounds, draw_metric, loss_draws
from edgebench.benchmark.metrics import METRICS
from edgebench.reports.quantities import Estimate, Question, unknown

_SEED = 0
_OF = "samples"


def metric(
    question: Question, answers: Answers, record: AccuracyRecord | None, confidence: float
) -> Estimate:
    """Return the metric that the question names, or the run's own."""
    chosen = _chosen(question, record)
    draws = chosen if isinstance(chosen, str) else _draws(chosen, answers)
    if isinstance(draws, str):
        return unknown(draws, _OF, len(answers))
    return _bounded(draws, len(answers), confidence)


def metric_loss(
    question: Question,
    answers: Answers,
    baseline: Answers,
    record: AccuracyRecord | None,
    confidence: float,
) -> Estimate:
    """Return how much worse the metric is than the baseline's; relative: in % of the baseline's."""
    chosen = _chosen(question, record)
    if isinstance(chosen, str):
        return unknown(chosen, _OF, len(answers))
    own, theirs = _draws(chosen, answers), _draws(chosen, baseline)
    if isinstance(own, str) or isinstance(theirs, str):
        return unknown(own if isinstance(own, str) else str(theirs), _OF, len(answers))
    if len(own.resampled) != len(theirs.resampled):
        return unknown("the baseline's metric was resampled otherwise", _OF, len(answers))
    lost = loss_draws(theirs, own, more_is_better=chosen.more_is_better, relative=question.relative)
    return _bounded(lost, len(answers), confidence, scale=100.0 if question.relative else 1.0)


def _chosen(question: Question, record: AccuracyRecord | None) -> MetricRecord | str:
    """Return which metric is asked for, or why it is not known."""
    run = record.metric if record is not None else None
    if question.metric is None:
        return run or "the run has no metric of its own: --metric names one"
    return MetricRecord(question.metric, more_is_better=METRICS[question.metric].more_is_better)


def _draws(chosen: MetricRecord, answers: Answers) -> Draws | str:
    """Return the metric on resamples, or why it cannot be had."""
    if chosen.sha256:
        return answers.draws or f"{chosen.name} is a user's metric, known of all samples together only"
    known = METRICS[chosen.name]
    if known.of_numbers and answers.targets is None:
        return f"{chosen.name} asks for numbers as labels, and these are classes"
    if known.of_numbers is False and answers.targets is not None:
        return f"{chosen.name} asks for classes as labels, and these are numbers"
    if known.of_numbers and answers.logits.shape != answers.truth.shape:
        ours, theirs = ("×".join(map(str, one.shape[1:])) for one in (answers.logits, answers.truth))
        return f"the model answers {ours} numbers for a sample, the labels have {theirs}"
    return _drawn(answers, chosen.name)


_DRAWN: WeakKeyDictionary[Answers, dict[str, Draws]] = WeakKeyDictionary()
"""What was drawn of answers while they are held: gates of several confidences ask for the same."""


def _drawn(answers: Answers, name: str) -> Draws:
    known = _DRAWN.setdefault(answers, {})
    if name not in known:
        known[name] = draw_metric(METRICS[name], answers.logits, answers.truth, _SEED)
    return known[name]


def _bounded(draws: Draws, n: int, confidence: float, scale: float = 1.0) -> Estimate:
    if not math.isfinite(draws.value):
        return unknown("the metric is not defined on these samples", _OF, n)
    value = scale * draws.value
    if (1 - confidence) * len(draws.resampled) < 1:
        return Estimate(value, None, None, n, _OF)
    found = draw_bounds(draws, n, confidence)
    lower, upper = (None if end is None else scale * end for end in (found.lower, found.upper))
    return Estimate(value, lower, upper, n, _OF)
