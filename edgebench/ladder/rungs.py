"""A rung from its answers and those of the rung above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark import accuracy
from edgebench.errors import ExportError
from edgebench.exporters.parity import compare, scoring
from edgebench.ladder.record import Rung, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Answers = Sequence[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one rung, float32[N, ...] for each output."""

    step: Step
    runtime: str
    answers: Answers


def rungs(answered: Sequence[Answered], labels: Labels | None, data: str) -> tuple[Rung, ...]:
    """Return the rungs from the top down, each compared with the one above it."""
    above = [None, *answered[:-1]]
    return tuple(_rung(own, higher, labels, data) for own, higher in zip(answered, above, strict=True))


def scores(answers: Answers) -> NDArray[np.float32] | None:
    """Return the first output that holds one score per class, float32[N, C]; None where there is none."""
    index = scoring(answers)
    return None if index is None else answers[index].reshape(len(answers[index]), -1)


def top1(answers: Answers, labels: Labels | None) -> float | None:
    """Return the share of right answers; None without labels, or where they are not of these classes."""
    table = scores(answers)
    if labels is None or table is None or int(labels.max()) >= table.shape[1]:
        return None
    return accuracy.top1(table, labels)


def mcnemar(worse: int, better: int) -> float:
    """Return P(at least `worse` of `worse + better` fair coins), the exact one-sided test's p-value."""
    n = worse + better
    ways = sum(math.comb(n, k) for k in range(worse, n + 1))
    return float(ways / 2**n)


def gain_p_value(other: Answers, declared: Answers, labels: Labels) -> float:
    """Return how probable it is that `other` looks so much better than `declared` by chance."""
    first, second = scores(other), scores(declared)
    if first is None or second is None:
        return 1.0
    counts = accuracy.paired_counts(first, second, labels)
    return mcnemar(counts.baseline_only, counts.candidate_only)


def _rung(own: Answered, above: Answered | None, labels: Labels | None, data: str) -> Rung:
    share = top1(own.answers, labels)
    if above is None:
        return Rung(own.step, own.runtime, accuracy=share)
    try:
        parity = compare(data, above.answers, own.answers)
    except ExportError as err:
        return Rung(own.step, own.runtime, accuracy=share, problem=err.message)
    before, first, second = top1(above.answers, labels), scores(above.answers), scores(own.answers)
    known = share is not None and before is not None and labels is not None
    return Rung(
        step=own.step,
        runtime=own.runtime,
        accuracy=share,
        drop=before - share if share is not None and before is not None else None,
        p_value=gain_p_value(above.answers, own.answers, labels) if known and labels is not None else None,
        agreement=parity.agreement,
        churn=accuracy.churn(first, second) if first is not None and second is not None else None,
        sqnr_db=parity.sqnr_db,
        max_abs_error=parity.max_abs_error,
    )
