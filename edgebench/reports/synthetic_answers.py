"""Answers made from nothing: nine in ten right, or numbers near their targets, in groups as a gate asks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.evidence import AccuracyRecord, Answers, MetricRecord
from edgebench.benchmark.metric_draws import LEAST
from edgebench.benchmark.metrics import METRICS
from edgebench.reports.gates import Gate
from edgebench.reports.quantities import CLASS, GROUPED, LOSSES, Part, Quantity
from edgebench.reports.units import Dimension

_SEED = 0
_CLASSES, _WRONG = 10, 10  # every tenth answer is wrong
_LEAST_SAMPLES, _MOST_SAMPLES, _RESAMPLED = 2000, 200_000, 500
_DOUBT_A_SAMPLE = 4
"""A share that n samples never saw is below about 3/n at 95 %, ln(1/0.05)/n; this is somewhat more."""
_UNLIKE = 0.02
"""The share of samples that the baseline answers otherwise, where a metric's loss is asked for."""


def synthetic_answers(gate: Gate) -> tuple[Answers, Answers, AccuracyRecord]:
    """Return what the baseline and what the others answer, and the record of both."""
    question = gate.question
    name = question.metric or (
        "f1" if gate.operator.is_floor or question.quantity is Quantity.LOSS else "mae"
    )
    resampled = question.quantity in (Quantity.METRIC, Quantity.LOSS)
    count = _resampled_for(question.part) if resampled else _samples_for(gate)
    rng = np.random.default_rng(_SEED)
    of_numbers = resampled and METRICS[name].of_numbers
    baseline = _numbers(count, rng) if of_numbers else _answers(count, rng)
    others = _unlike(baseline, rng) if resampled else baseline
    columns, names = _groups(count, question.part)
    metric = MetricRecord(name, more_is_better=METRICS[name].more_is_better) if resampled else None
    record = AccuracyRecord("made up", "", count, 0 if of_numbers else _CLASSES, "", names, metric)
    return replace(baseline, columns=columns), replace(others, columns=columns), record


def _resampled_for(part: Part | None) -> int:
    """Return how many samples a metric is made up of, enough in each group for its bounds."""
    return _RESAMPLED if part is None else max(_RESAMPLED, _CLASSES * LEAST)


def _samples_for(gate: Gate) -> int:
    """Return how many samples the gate's bound needs, where it lies near a share's end, in each group."""
    question = gate.question
    if question.quantity not in GROUPED or question.dimension is Dimension.NUMBER:
        return _LEAST_SAMPLES
    bound = abs(gate.stored_bound) / 100
    near = min(bound, abs(1 - bound)) or 1.0
    wanted = _DOUBT_A_SAMPLE * math.log(1 / (1 - gate.confidence)) / near
    apart = _CLASSES if question.part is not None else 1
    apart *= 2 if question.relative and question.quantity in LOSSES else 1
    return int(np.clip(apart * wanted, apart * _LEAST_SAMPLES, apart * _MOST_SAMPLES))


def _groups(count: int, part: Part | None) -> tuple[dict[str, NDArray[np.str_]], tuple[str, ...]]:
    """Return the columns and the classes' names in which the samples that a gate asks about are found."""
    if part is None:
        return {}, ()
    value = part.value or "one"
    if part.column == CLASS:
        numbers = [str(index) for index in range(_CLASSES)]
        return {}, () if value in numbers or part.value is None else (value, *numbers[1:])
    half = (np.arange(count) // _CLASSES) % 2 == 0
    return {part.column: np.where(half, value, f"not {value}")}, ()


def _answers(count: int, rng: np.random.Generator) -> Answers:
    """Return answers of which nine in ten are right, and whose label is among the best five always."""
    labels = np.arange(count, dtype=np.int64) % _CLASSES
    wrong = rng.permutation(count) < count // _WRONG
    eye = np.eye(_CLASSES, dtype=np.float32)
    return Answers(eye[(labels + wrong) % _CLASSES] * 2 + eye[labels], labels)


def _numbers(count: int, rng: np.random.Generator) -> Answers:
    """Return answers a tenth of the targets' spread away from them."""
    targets = rng.normal(0, 1, (count, 1))
    return Answers(
        (targets + rng.normal(0, 0.1, targets.shape)).astype(np.float32), np.zeros(0, np.int64), targets
    )


def _unlike(answers: Answers, rng: np.random.Generator) -> Answers:
    """Return answers that are neither better nor worse and yet others: some samples swap them."""
    if answers.targets is not None:
        moved = answers.targets + (answers.logits - answers.targets)[::-1]
        return replace(answers, logits=moved.astype(np.float32))
    right = answers.logits.argmax(axis=1) == answers.labels
    many = max(1, round(_UNLIKE * len(answers) / 2))
    logits = answers.logits.copy()
    for rows in (
        rng.permutation(np.flatnonzero(right))[:many],
        rng.permutation(np.flatnonzero(~right))[:many],
    ):
        labels = answers.labels[rows]
        to = np.where(right[rows], (labels + 1) % _CLASSES, labels)
        logits[rows] = 0
        logits[rows, to] = 3
    return replace(answers, logits=logits)
