"""What counts as right, and how two artifacts are compared on the same samples."""

from __future__ import annotations

import numpy as np

from edgebench.benchmark import accuracy
from edgebench.benchmark.accuracy import NO_CLASS, PairedCounts

LABELS = np.array([0, 1, 2, 1], np.int64)
LOGITS = np.array([[3, 2, 1], [0, 5, 9], [1, 1, 1], [0, 2, 2]], np.float32)


def test_ties_go_to_the_lower_class() -> None:
    """Equal logits: class 0 wins over 2, class 1 over 2; top-2 counts in the same order."""
    assert accuracy.best_class(LOGITS).tolist() == [0, 2, 0, 1]
    assert accuracy.correct(LOGITS, LABELS).tolist() == [True, False, False, True]
    assert accuracy.correct(LOGITS, LABELS, 2).tolist() == [True, True, False, True]


def test_top1_is_top_k_with_one() -> None:
    """Top-1 of four samples with two right is one half; top-3 of three classes is all of them."""
    assert accuracy.top1(LOGITS, LABELS) == 0.5
    assert accuracy.topk(LOGITS, LABELS, 2) == 0.75
    assert accuracy.topk(LOGITS, LABELS, 3) == 1.0


def test_the_best_class_and_top1_agree() -> None:
    """On random logits with many ties, top-1 by rank is top-1 by argmax."""
    rng = np.random.default_rng(1)
    logits = rng.integers(0, 4, (500, 6)).astype(np.float32)
    labels = rng.integers(0, 6, 500)
    assert (accuracy.correct(logits, labels) == (logits.argmax(1) == labels)).all()


def test_a_nan_is_wrong_even_where_the_label_is_best() -> None:
    """A row with a NaN or +Inf counts as wrong for every k; −Inf is only a very low logit."""
    logits = np.array([[9, np.nan, 0], [np.inf, 0, 0], [9, -np.inf, 0]], np.float32)
    labels = np.zeros(3, np.int64)
    assert accuracy.unusable(logits).tolist() == [True, True, False]
    assert accuracy.best_class(logits).tolist() == [NO_CLASS, NO_CLASS, 0]
    assert accuracy.correct(logits, labels).tolist() == [False, False, True]
    assert accuracy.correct(logits, labels, 5).tolist() == [False, False, True]


def test_per_class_counts_classes_without_samples() -> None:
    """A class that the data lacks has no samples and no right answers, and still a place."""
    right, total = accuracy.per_class(LOGITS, np.array([0, 1, 0, 1], np.int64))
    assert right.tolist() == [2, 1, 0]
    assert total.tolist() == [2, 2, 0]


def test_pairs_and_churn() -> None:
    """The drop is the difference of the two discordant counts; churn counts every changed answer."""
    other = np.array([[0, 2, 1], [0, 9, 5], [1, 1, 1], [0, 2, 2]], np.float32)
    counts = accuracy.paired_counts(LOGITS, other, LABELS)
    assert counts == PairedCounts(baseline_only=1, candidate_only=1, both=1, neither=1)
    assert counts.n == 4
    assert accuracy.churn(LOGITS, other) == 0.5
