"""The metrics against scikit-learn, plain and resampled."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.benchmark.metrics import METRICS, user_metric

N, CLASSES = 300, 4


def answers(seed: int = 1, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that know the label a little, with ties, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, N)
    logits = rng.normal(size=(N, classes)) + 1.5 * (labels[:, None] == np.arange(classes))
    return np.round(logits, 1).astype(np.float32), labels


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    shares = np.exp(logits.astype(np.float64))
    return shares / shares.sum(axis=1, keepdims=True)


def theirs(name: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """Return scikit-learn's figure."""
    metrics = pytest.importorskip("sklearn.metrics")
    if name == "f1":
        return float(metrics.f1_score(labels, logits.argmax(axis=1), average="macro"))
    if name == "auc":
        return float(metrics.roc_auc_score(labels, probabilities(logits), multi_class="ovr"))
    one_hot = (labels[:, None] == np.arange(logits.shape[1])).astype(int)
    return float(metrics.average_precision_score(one_hot, probabilities(logits), average="macro"))


@pytest.mark.parametrize("name", ["f1", "auc", "map"])
def test_class_metrics_are_scikit_learns(name: str) -> None:
    """F1, AUC and average precision over four classes with ties are scikit-learn's to nine digits."""
    logits, labels = answers()
    ours = METRICS[name].prepare(logits, labels)(np.ones((1, N)))[0]
    assert ours == pytest.approx(theirs(name, logits, labels), abs=1e-9)


@pytest.mark.parametrize("name", ["f1", "auc", "map"])
def test_weights_are_repetitions(name: str) -> None:
    """A sample that counts twice is the same as one that is there twice, and one that counts not is gone."""
    logits, labels = answers(2)
    counts = np.random.default_rng(3).multinomial(N, np.full(N, 1 / N), size=2)
    ours = METRICS[name].prepare(logits, labels)(counts.astype(float))
    for row, value in zip(counts, ours, strict=True):
        chosen = np.repeat(np.arange(N), row)
        assert value == pytest.approx(theirs(name, logits[chosen], labels[chosen]), abs=1e-9)


def test_two_classes_are_asked_about_the_second() -> None:
    """With two classes AUC is that of the second, whether two scores are given or one."""
    metrics = pytest.importorskip("sklearn.metrics")
    logits, labels = answers(4, classes=2)
    score = logits[:, 1].astype(np.float64) - logits[:, 0]
    expected = metrics.roc_auc_score(labels, score)
    ones = np.ones((1, N))
    assert METRICS["auc"].prepare(score, labels)(ones)[0] == pytest.approx(expected)
    assert METRICS["auc"].prepare(logits, labels)(ones)[0] == pytest.approx(expected, abs=1e-6)


def test_regression_errors_are_over_all_values() -> None:
    """RMSE and MAE of outputs with several values a sample."""
    rng = np.random.default_rng(5)
    outputs, labels = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    ones = np.ones((1, 50))
    assert METRICS["rmse"].prepare(outputs, labels)(ones)[0] == pytest.approx(
        np.sqrt(np.mean((outputs - labels) ** 2))
    )
    assert METRICS["mae"].prepare(outputs, labels)(ones)[0] == pytest.approx(
        np.mean(np.abs(outputs - labels))
    )


def test_a_class_without_samples_is_left_out() -> None:
    """A class that a resample lacks does not count; without any there is no figure."""
    logits, labels = answers(6)
    without = (labels != 3).astype(float)[None, :]
    rest = METRICS["map"].prepare(logits, labels)(without)[0]
    assert 0 < rest < 1
    assert np.isnan(METRICS["auc"].prepare(logits[:, 1], np.ones(N))(np.ones((1, N)))[0])


def test_a_users_metric_is_called_for_each_resample() -> None:
    """A function of outputs and labels gives what the one made for weights gives."""
    rng = np.random.default_rng(7)
    outputs, labels = rng.normal(size=40), rng.normal(size=40)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=5).astype(float)
    own = user_metric("own", lambda o, y: float(np.sqrt(np.mean((o - y) ** 2))), more_is_better=False)
    assert own.prepare(outputs, labels)(counts) == pytest.approx(
        METRICS["rmse"].prepare(outputs, labels)(counts)
    )
