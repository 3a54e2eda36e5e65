"""Accuracy metrics as functions of how often each sample counts, so that thousands of resamples are quick.

A metric is prepared once for a model's outputs and then asked with weights float64[B, N], one row for
each resample, how often each of the N samples counts in it; it gives float64[B]. Ones give the metric
itself. What a resample leaves undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.accuracy import best_class
from edgebench.benchmark.dependence import BoolArray, FloatArray, IntArray

Array = NDArray[np.generic]
Resampled = Callable[[FloatArray], FloatArray]
"""float64[B, N], how often each sample counts → float64[B], the metric of each row."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, how it is prepared from outputs and labels, and whether more of it is better.

    of_numbers: whether the labels are numbers and not classes; None where either will do.
    """

    name: str
    prepare: Callable[[Array, Array], Resampled]
    more_is_better: bool = True
    of_numbers: bool | None = False


def user_metric(name: str, function: Callable[[Array, Array], float], *, more_is_better: bool) -> Metric:
    """Return the user's `function(outputs, labels) -> float` as a metric; it is called for each resample."""

    def prepare(outputs: Array, labels: Array) -> Resampled:
        places = np.arange(len(labels))

        def resampled(weights: FloatArray) -> FloatArray:
            rows = (np.repeat(places, row.astype(np.int64)) for row in weights)
            return np.array([float(function(outputs[row], labels[row])) for row in rows])

        return resampled

    return Metric(name, prepare, more_is_better, of_numbers=None)


# --- regression: outputs and labels float[N] or float[N, …] --------------------------------------


def rmse(outputs: Array, labels: Array) -> Resampled:
    """Prepare the root of the mean squared error over all values of all samples."""
    squares = _per_sample((outputs.astype(np.float64) - labels.astype(np.float64)) ** 2)
    return lambda weights: np.sqrt(_mean(weights, squares))


def mae(outputs: Array, labels: Array) -> Resampled:
    """Prepare the mean absolute error over all values of all samples."""
    errors = _per_sample(np.abs(outputs.astype(np.float64) - labels.astype(np.float64)))
    return lambda weights: _mean(weights, errors)


def _per_sample(values: FloatArray) -> FloatArray:
    means: FloatArray = values.reshape(len(values), -1).mean(axis=1)
    return means


def _mean(weights: FloatArray, values: FloatArray) -> FloatArray:
    means: FloatArray = weights @ values / weights.sum(axis=1)
    return means


# --- classification: outputs float32[N, C], any scale; labels int64[N] ---------------------------


def f1_macro(outputs: Array, labels: Array) -> Resampled:
    """Prepare the mean over the classes of 2·tp/(2·tp + fp + fn); classes that nobody names are left out."""
    classes = np.arange(outputs.shape[1])
    found = (best_class(outputs.astype(np.float32))[:, None] == classes).astype(np.float64)
    true = (labels[:, None] == classes).astype(np.float64)

    def resampled(weights: FloatArray) -> FloatArray:
        return _class_mean(2 * (weights @ (found * true)), weights @ (found + true))

    return resampled


def roc_auc(outputs: Array, labels: Array) -> Resampled:
    """Prepare the area under the ROC curve: of the second class where there are two, else one against rest.

    outputs of two classes may be float[N], the score of the second. Ties count half.
    """
    ranked = [_Ranking.of(score, true) for score, true in _one_against_rest(outputs, labels)]
    return lambda weights: _nan_mean([ranking.area(weights) for ranking in ranked])


def average_precision(outputs: Array, labels: Array) -> Resampled:
    """Prepare the mean over the classes of the average precision, one against rest, as in `roc_auc`.

    Precision summed over the steps of recall, without interpolation.
    """
    ranked = [_Ranking.of(score, true) for score, true in _one_against_rest(outputs, labels)]
    return lambda weights: _nan_mean([ranking.precision(weights) for ranking in ranked])


METRICS = {
    metric.name: metric
    for metric in (
        Metric("f1", f1_macro),
        Metric("auc", roc_auc),
        Metric("map", average_precision),
        Metric("rmse", rmse, more_is_better=False, of_numbers=True),
        Metric("mae", mae, more_is_better=False, of_numbers=True),
    )
}


def _one_against_rest(outputs: Array, labels: Array) -> list[tuple[FloatArray, BoolArray]]:
    """Return for each class asked about its scores (softmax) and who belongs to it."""
    scores = outputs.astype(np.float64)
    if scores.ndim == 1:
        return [(scores, labels == 1)]
    relative = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = relative / relative.sum(axis=1, keepdims=True)
    asked = [1] if shares.shape[1] == 2 else range(shares.shape[1])  # noqa: PLR2004 - two classes
    return [(shares[:, index], labels == index) for index in asked]


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Samples by falling score. ends: the last place of each score, so that ties stay together."""

    order: IntArray
    true: FloatArray
    ends: IntArray

    @classmethod
    def of(cls, score: FloatArray, true: BoolArray) -> _Ranking:
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, [True]))
        return cls(order, true[order].astype(np.float64), ends)

    def _counts(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return right and wrong ones down to each score, float64[B, scores] both."""
        sorted_weights = weights[:, self.order]
        right = np.cumsum(sorted_weights * self.true, axis=1)[:, self.ends]
        return right, np.cumsum(sorted_weights, axis=1)[:, self.ends] - right

    def area(self, weights: FloatArray) -> FloatArray:
        right, wrong = self._counts(weights)
        middle = right - _steps(right) / 2
        return _quotient((middle * _steps(wrong)).sum(axis=1), right[:, -1] * wrong[:, -1])

    def precision(self, weights: FloatArray) -> FloatArray:
        right, wrong = self._counts(weights)
        precision = right / np.maximum(right + wrong, 1e-300)
        return _quotient((precision * _steps(right)).sum(axis=1), right[:, -1])


def _steps(cumulated: FloatArray) -> FloatArray:
    return np.diff(cumulated, axis=1, prepend=0.0)


def _quotient(above: FloatArray, below: FloatArray) -> FloatArray:
    quotient: FloatArray = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return quotient


def _class_mean(above: FloatArray, below: FloatArray) -> FloatArray:
    return _nan_mean(list(_quotient(above, below).T))


def _nan_mean(columns: list[FloatArray]) -> FloatArray:
    values = np.stack(columns)
    known = ~np.isnan(values)
    return _quotient(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))
