"""Round weights so that the layers' answers change least: each error is made up for by later weights.

Frantar et al.: GPTQ, 2022, with the scale of each output channel searched for the same loss, a few
sweeps of coordinate descent after it, and the mean of what remains taken into the bias (Nagel et al.:
Data-free quantization, 2019, with measured means).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto

from edgebench.calibration.passes.layers import (
    FloatArray,
    Layer,
    layers,
    read_constant,
    read_matrix,
    write_constant,
    write_matrix,
)
from edgebench.calibration.passes.sums import Moments

_SHRINKS = (1.0, 0.95, 0.9, 0.84, 0.77, 0.7)
_DAMPING = 0.01
_SWEEPS = 3
_BLOCK = 64
"""Columns whose corrections reach those beyond them in one product."""


def round_weights(model: ModelProto, found: Mapping[str, Moments], *, bits: int) -> ModelProto:
    """Return the graph with every weight of the measured layers on the grid of its channel.

    Each channel's largest weight lies on the grid's end, so that a quantizer that takes the scale
    from the extremes, symmetric and per channel, finds exactly these integers. bits: 8 for a grid of
    ±127, 7 for ±64 as onnxruntime's reduced range has it.
    """
    rounded = ModelProto()
    rounded.CopyFrom(model)
    top = top_of(bits)
    for layer in layers(rounded):
        if layer.given in found:
            _round_layer(rounded, layer, found[layer.given], top)
    return rounded


def top_of(bits: int) -> int:
    """Return the largest integer that stands for a weight."""
    return 127 if bits == 8 else 2 ** (bits - 1)  # noqa: PLR2004 - a byte


def _round_layer(model: ModelProto, layer: Layer, entry: Moments, top: int) -> None:
    rows = read_matrix(model, layer)
    after, shift = round_matrix(rows, entry, top, biased=layer.bias is not None)
    if layer.bias:
        write_constant(model, layer.bias, read_constant(model, layer.bias) - shift)
    write_matrix(model, layer, after)


def round_matrix(
    rows: FloatArray, entry: Moments, top: int, *, biased: bool
) -> tuple[FloatArray, FloatArray]:
    """Return a layer's rows on grids of ±top steps, and by how much that raises its outputs' means.

    rows: [outputs, columns], those of one group after those of the other. biased: the layer has a bias
    that takes the means back, so that only what varies about them counts as lost.
    """
    per_group = len(rows) // len(entry.mean)
    losses = entry.covariance if biased else entry.second
    groups = (rows[start : start + per_group] for start in range(0, len(rows), per_group))
    after = np.concatenate([round_rows(part, loss, top) for part, loss in zip(groups, losses, strict=True)])
    shift: FloatArray = ((after - rows) * np.repeat(entry.mean, per_group, axis=0)).sum(axis=1)
    return after, shift


def round_rows(rows: FloatArray, loss: FloatArray, top: int) -> FloatArray:
    """Return rows on grids of ±top steps, so that Σ (row' − row)ᵀ loss (row' − row) is small.

    rows: [outputs, columns]. loss: [columns, columns], symmetric, of the inputs' second moments. One that
    no inputs can have is all float32's errors, of inputs that never vary: then rounding is to the nearest.
    """
    try:
        return _rounded_rows(rows, loss, top)
    except np.linalg.LinAlgError:
        return _rounded_rows(rows, np.zeros_like(loss), top)


def _rounded_rows(rows: FloatArray, loss: FloatArray, top: int) -> FloatArray:
    extremes = np.where(rows.any(axis=1), np.abs(rows).max(axis=1), 1.0)
    damped = loss + np.eye(len(loss)) * max(_DAMPING * float(np.trace(loss)) / len(loss), 1e-12)
    shrinks = np.repeat(_SHRINKS, len(rows))
    tried = _Grid(np.tile(rows, (len(_SHRINKS), 1)), np.tile(extremes, len(_SHRINKS)) * shrinks / top, top)
    losses = tried.losses(_greedy(tried, damped), damped).reshape(len(_SHRINKS), len(rows))
    grid = _Grid(rows, extremes * np.array(_SHRINKS)[losses.argmin(axis=0)] / top, top)
    chosen = _descend(grid, damped, _greedy(grid, damped)) * grid.scales
    return np.ascontiguousarray(chosen.T)


class _Grid:
    """Rows of weights and the scale of each; the largest of a row is pinned to the grid's end.

    Lies column by column, float64[columns, outputs], as the columns are gone through one by one.
    """

    def __init__(self, rows: FloatArray, scales: FloatArray, top: int) -> None:
        self.columns, self.scales = np.ascontiguousarray(rows.T), scales
        self._top = top
        self._pinned = np.abs(self.columns).argmax(axis=0)
        self._pinned[~self.columns.any(axis=0)] = -1

    def nearest(self, column: int, wanted: FloatArray) -> FloatArray:
        """Return the integers nearest to the wanted values of a column, [outputs]."""
        found = np.clip(np.rint(wanted / self.scales), -self._top, self._top)
        end = np.where(self.columns[column] < 0, -self._top, self._top)
        return np.where(self._pinned == column, end, found)

    def losses(self, stored: FloatArray, loss: FloatArray) -> FloatArray:
        """Return what each row of integers loses, [outputs]."""
        left = stored * self.scales - self.columns
        found: FloatArray = ((loss @ left) * left).sum(axis=0)
        return found


def _greedy(grid: _Grid, loss: FloatArray) -> FloatArray:
    """Return integers [columns, outputs]: rounded one column after the other, correcting those to come.

    The most used come first. What a block of columns asks of those behind it is one product.
    """
    order = np.argsort(-np.diag(loss), kind="stable")
    lower = np.linalg.cholesky(np.linalg.inv(loss[np.ix_(order, order)]))
    left, stored = grid.columns[order], np.zeros_like(grid.columns)
    for start in range(0, len(order), _BLOCK):
        end = min(start + _BLOCK, len(order))
        errors = np.empty((end - start, len(grid.scales)))
        for place in range(start, end):
            integers = grid.nearest(int(order[place]), left[place])
            stored[order[place]] = integers
            error = (left[place] - integers * grid.scales) / lower[place, place]
            errors[place - start] = error
            left[place:end] -= lower[place:end, place, None] * error
        left[end:] -= lower[end:, start:end] @ errors
    return stored


def _descend(grid: _Grid, loss: FloatArray, stored: FloatArray) -> FloatArray:
    """Return integers [columns, outputs]: each column in turn set to its best, the others given."""
    slope = loss @ (stored * grid.scales - grid.columns)
    starts = range(0, len(loss), _BLOCK)
    for start in [*starts] * _SWEEPS:
        block = slice(start, start + _BLOCK)
        before = stored[block].copy()
        inside = loss[block, block]
        for place, column in enumerate(range(len(loss))[block]):
            wanted = stored[column] * grid.scales - slope[column] / loss[column, column]
            step = grid.nearest(column, wanted) - stored[column]
            stored[column] += step
            slope[block] += inside[:, place, None] * (step * grid.scales)
        moved = (stored[block] - before) * grid.scales
        slope[:start] += loss[:start, block] @ moved
        slope[start + _BLOCK :] += loss[start + _BLOCK :, block] @ moved
    return stored
