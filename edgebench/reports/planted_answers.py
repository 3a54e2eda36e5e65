"""Known effects planted into answers: right ones made wrong, errors made larger, and their opposites."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.accuracy import best_class, correct
from edgebench.reports.cases import Case

_SEED = 0


def wrong(case: Case, points: float) -> Case:
    """Return the case with right answers made wrong: the label becomes the last of all classes."""
    return _answered(case, points, right=True, label_score=-1)


def righted(case: Case, points: float) -> Case:
    """Return the case with wrong answers made right."""
    return _answered(case, points, right=False, label_score=2)


def _answered(case: Case, points: float, *, right: bool, label_score: float) -> Case:
    """Return the case with other answers in `points` of 100 samples, taken from the right or the wrong."""
    answers = case.answers.get(case.key)
    if answers is None or answers.targets is not None:
        return case
    chosen = _chosen(correct(answers.logits, answers.labels) == right, points)
    labels = answers.labels[chosen]
    logits = answers.logits.copy()
    logits[chosen] = _one_hot((labels + 1) % logits.shape[1], logits.shape[1])
    logits[chosen, labels] = label_score
    return replace(case, answers={**case.answers, case.key: replace(answers, logits=logits)})


def _one_hot(classes: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.eye(count, dtype=np.float32)[classes]
    return rows


def _chosen(among: NDArray[np.bool_], points: float) -> NDArray[np.int64]:
    """Return `points` of 100 of all samples, as far as `among` has them; more points hold the fewer."""
    order = np.random.default_rng(_SEED).permutation(len(among))
    return order[among[order]][: max(1, round(len(among) * points / 100))]


def otherwise(case: Case, points: float) -> Case:
    """Return the case with answers that were the baseline's made others."""
    return _against_baseline(case, points, same=True)


def as_baseline(case: Case, points: float) -> Case:
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
    return replace(case, answers={**case.answers, case.key: replace(answers, logits=logits)})


# --- numbers --------------------------------------------------------------------------------------


def erring(case: Case, factor: float) -> Case:
    """Return the case with answers whose distance from the targets is so many times as large."""
    answers = case.answers.get(case.key)
    if answers is None or answers.targets is None or answers.targets.shape != answers.logits.shape:
        return case
    moved = answers.targets + factor * (answers.logits - answers.targets)
    return replace(
        case, answers={**case.answers, case.key: replace(answers, logits=moved.astype(np.float32))}
    )


def drawn(case: Case, percent: float) -> Case:
    """Return the case with a user's metric so many per cent larger, or smaller where negative."""
    answers = case.answers.get(case.key)
    if answers is None or answers.draws is None:
        return case
    draws, factor = answers.draws, 1 + percent / 100
    moved = replace(
        draws,
        value=draws.value * factor,
        resampled=draws.resampled * factor,
        left_out=draws.left_out * factor,
    )
    return replace(case, answers={**case.answers, case.key: replace(answers, draws=moved)})
