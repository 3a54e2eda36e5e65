"""How an artifact answered: shares of right answers, by class, and paired with another artifact's.

logits: float32[N, C], any scale. labels: int64[N]. A tie goes to the lower class. A row that holds a
NaN or +Inf has no best class: it is wrong, whatever its label, and `unusable` counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NO_CLASS = -1
"""Stands for the best class of a row that has none."""


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Samples by who was right: the baseline only, the candidate only, both, neither."""

    baseline_only: int
    candidate_only: int
    both: int
    neither: int

    @property
    def n(self) -> int:
        """Return the number of samples."""
        return self.baseline_only + self.candidate_only + self.both + self.neither


def best_class(logits: FloatArray) -> IntArray:
    """Return the best class of each row, int64[N]; NO_CLASS where the row is unusable."""
    best = np.argmax(np.nan_to_num(logits, nan=-np.inf, posinf=np.inf, neginf=-np.inf), axis=1)
    return np.where(unusable(logits), NO_CLASS, best).astype(np.int64)


def unusable(logits: FloatArray) -> BoolArray:
    """Return which rows hold a NaN or +Inf, bool[N]."""
    broken: BoolArray = np.any(np.isnan(logits) | np.isposinf(logits), axis=1)
    return broken


def correct(logits: FloatArray, labels: IntArray, k: int = 1) -> BoolArray:
    """Return which rows have their label among the k best classes, bool[N]."""
    if k >= logits.shape[1]:
        return ~unusable(logits)
    rows = np.arange(len(labels))
    own = logits[rows, labels][:, None]
    lower_class = np.arange(logits.shape[1])[None, :] < labels[:, None]
    ahead = ((logits > own) | ((logits == own) & lower_class)).sum(axis=1)
    found: BoolArray = (ahead < k) & ~unusable(logits)
    return found


def top1(logits: FloatArray, labels: IntArray) -> float:
    """Return the share of samples whose best class is the label, 0–1."""
    return topk(logits, labels, 1)


def topk(logits: FloatArray, labels: IntArray, k: int) -> float:
    """Return the share of samples whose label is among the k best classes, 0–1."""
    return float(correct(logits, labels, k).mean())


def per_class(logits: FloatArray, labels: IntArray) -> tuple[IntArray, IntArray]:
    """Return how many samples of each class were right, and how many there are, int64[C] both."""
    classes = logits.shape[1]
    right = np.bincount(labels[correct(logits, labels)], minlength=classes)
    return right.astype(np.int64), np.bincount(labels, minlength=classes).astype(np.int64)


def churn(baseline: FloatArray, candidate: FloatArray) -> float:
    """Return the share of samples whose best class is not the same for both, 0–1."""
    return float((best_class(baseline) != best_class(candidate)).mean())


def paired_counts(baseline: FloatArray, candidate: FloatArray, labels: IntArray) -> PairedCounts:
    """Return who was right on the same samples. The drop is (baseline_only − candidate_only)/n."""
    first, second = correct(baseline, labels), correct(candidate, labels)
    return PairedCounts(
        baseline_only=int((first & ~second).sum()),
        candidate_only=int((~first & second).sum()),
        both=int((first & second).sum()),
        neither=int((~first & ~second).sum()),
    )
