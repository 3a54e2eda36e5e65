"""Balance matrix products: a channel of large values is divided, and its weights multiplied by as much.

A transformer has a few channels, and a few tokens in them, that are many times larger than all others.
One range for all channels then leaves the others few integers. Xiao et al.: SmoothQuant, 2022, with the
strength searched for each product; the float graph computes what it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgebench.calibration.attention import attends
from edgebench.calibration.histogram import Extremes
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import (
    FloatArray,
    Layer,
    layers,
    read_constant,
    read_matrix,
    write_matrix,
)
from edgebench.calibration.passes.moments import tapped_session
from edgebench.calibration.passes.rounding import top_of
from edgebench.calibration.passes.sums import SAMPLES
from edgebench.calibration.table import GraphTable

if TYPE_CHECKING:
    Array = NDArray[np.generic]

_STRENGTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of the activations' spread over the channels that go to the weights."""

_LEFT, _LEFT_BY_MUL = 0.8, 0.5
"""What is left of a product's error, at most, for its balancing to be worth it: free, or by a Mul."""

_BYTES = 64 << 20
"""Vectors that are held to rate the strengths by."""

_MOST_ROWS, _STEPS = 1024, 255


@dataclass(frozen=True, slots=True)
class Balanced:
    """A graph that computes the same. ranges: of what its matrix products read, exact over the samples.

    scaled: tensors that no longer hold what they did.
    """

    model: ModelProto
    ranges: dict[str, Range]
    scaled: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seen:
    """What some layers read. lowest, highest: [columns], over all samples. rows: [n, columns], of some."""

    lowest: FloatArray
    highest: FloatArray
    rows: FloatArray


def balance(
    model: ModelProto, chosen: Sequence[Layer], samples: Iterable[Sequence[Array]], *, bits: int
) -> Balanced:
    """Return the graph with the inputs of some of its matrix products balanced where that pays.

    chosen: layers of the graph; convolutions among them are left alone. The factors go into the
    LayerNormalization that gives the input where no one else reads it, and into a Mul of their own
    otherwise. samples: arrays [1, ...] in the order of the graph's inputs. bits: of a weight, 7 or 8.
    """
    groups: dict[str, list[Layer]] = {}
    for layer in chosen:
        if not layer.is_conv:
            groups.setdefault(layer.taken, []).append(layer)
    balanced = ModelProto()
    balanced.CopyFrom(model)
    ranges, scaled = {}, []
    for taken, seen in _watch(model, groups, samples).items():
        matrices = [read_matrix(model, layer) for layer in groups[taken]]
        free = _norm(model, taken, len(matrices)) is not None
        factors = _factors(seen, matrices, top_of(bits), most=_LEFT if free else _LEFT_BY_MUL)
        name = taken
        if factors is not None:
            name = _apply(balanced, taken, [layer.given for layer in groups[taken]], factors)
            scaled += [taken] if name == taken else []
        ranges[name] = _range(seen, np.ones(1) if factors is None else factors)
    return Balanced(balanced, ranges, tuple(scaled))


def unclipped(model: ModelProto, table: GraphTable) -> dict[str, Range]:
    """Return, for a transformer's products, the range of all that was seen of what they read.

    Tokens such as the end of a sentence have a few values that are far from all others and that all
    other tokens look at; half a decibel is lost where they are cut off for a finer range.
    """
    read = [layer.taken for layer in layers(model) if not layer.is_conv] if attends(model) else []
    seen = {name: table.tensors[name] for name in read if name in table.tensors}
    return {name: Range(min(found.lowest, 0.0), max(found.highest, 0.0)) for name, found in seen.items()}


def _watch(
    model: ModelProto, groups: Mapping[str, Sequence[Layer]], samples: Iterable[Sequence[Array]]
) -> dict[str, _Seen]:
    firsts = [members[0] for members in groups.values()]
    if not firsts:
        return {}
    width = sum(layer.windows.columns for layer in firsts)
    each = max(1, min(_MOST_ROWS, _BYTES // (8 * width)) // SAMPLES)
    parts: dict[str, list[NDArray[np.float32]]] = {layer.taken: [] for layer in firsts}
    extremes = {layer.taken: Extremes(layer.windows.columns) for layer in firsts}
    run = tapped_session(model, [layer.taken for layer in firsts])
    for index, sample in enumerate(samples):
        values = run(sample)
        for layer in firsts:
            rows = values[layer.taken].reshape(-1, layer.windows.columns)
            extremes[layer.taken].add(rows.min(axis=0), rows.max(axis=0))
            if index < SAMPLES:
                parts[layer.taken].append(rows[:: max(1, len(rows) // each) | 1].copy())
    return {
        name: _Seen(*ends.found(), np.concatenate(parts[name]).astype(np.float64))
        for name, ends in extremes.items()
    }


def _factors(seen: _Seen, weights: Sequence[FloatArray], top: int, *, most: float) -> FloatArray | None:
    """Return what each channel is divided by, [columns]; None where more than `most` of the error is left."""
    large = np.maximum(-seen.lowest, seen.highest)
    heavy = np.max([np.abs(rows).max(axis=0) for rows in weights], axis=0)
    used = (large > 0) & (heavy > 0)
    if not used.any():
        return None
    tried = []
    for strength in _STRENGTHS:
        factors = np.ones_like(large)
        factors[used] = large[used] ** strength / heavy[used] ** (1 - strength)
        factors[used] /= np.exp(np.log(factors[used]).mean())
        tried.append(factors)
    wanted = [seen.rows @ rows.T for rows in weights]
    losses = [_loss(seen, weights, wanted, factors, top) for factors in (np.ones_like(large), *tried)]
    best = int(np.argmin(losses[1:]))
    return tried[best] if losses[1 + best] < most * losses[0] else None


def _loss(
    seen: _Seen, weights: Sequence[FloatArray], wanted: Sequence[FloatArray], factors: FloatArray, top: int
) -> float:
    """Return the squared error of the products of integers, summed."""
    found = _range(seen, factors)
    step = max(found.highest - found.lowest, 1e-30) / _STEPS
    rows = np.rint(seen.rows / factors / step) * step
    lost = 0.0
    for part, right in zip(weights, wanted, strict=True):
        scaled = part * factors
        steps = np.maximum(np.abs(scaled).max(axis=1, keepdims=True), 1e-30) / top
        lost += float(((rows @ (np.rint(scaled / steps) * steps).T - right) ** 2).sum())
    return lost


def _range(seen: _Seen, factors: FloatArray) -> Range:
    return Range(
        min(float((seen.lowest / factors).min()), 0.0), max(float((seen.highest / factors).max()), 0.0)
    )


def _apply(model: ModelProto, taken: str, given: Sequence[str], factors: FloatArray) -> str:
    """Divide what layers read, multiply their weights; return the name of what they read now."""
    members = [layer for layer in layers(model) if layer.given in given]
    for layer in members:
        write_matrix(model, layer, read_matrix(model, layer) * factors)
    norm = _norm(model, taken, len(members))
    if norm is None:
        return _divide(model, taken, members, factors)
    for place in range(1, len(norm.input)):
        name = f"{norm.input[place]}_of_{taken}"  # others may share the constant
        values = (read_constant(model, norm.input[place]) / factors).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
        norm.input[place] = name
    return taken


def _norm(model: ModelProto, name: str, readers: int) -> NodeProto | None:
    """Return the LayerNormalization over the last axis that gives a tensor which so many nodes alone read."""
    constants = {tensor.name for tensor in model.graph.initializer}
    read = sum(list(node.input).count(name) for node in model.graph.node)
    if read != readers or name in {entry.name for entry in model.graph.output}:
        return None
    maker = next((node for node in model.graph.node if name in node.output), None)
    if maker is None or maker.op_type != "LayerNormalization" or not set(maker.input[1:]) <= constants:
        return None
    return maker if all(read_constant(model, part).ndim == 1 for part in maker.input[1:]) else None


def _divide(model: ModelProto, taken: str, members: Sequence[Layer], factors: FloatArray) -> str:
    """Put a Mul before the layers."""
    name, by = f"{taken}_balanced", f"{taken}_factors"
    model.graph.initializer.append(numpy_helper.from_array((1 / factors).astype(np.float32), by))
    first = min(list(model.graph.node).index(layer.node) for layer in members)
    model.graph.node.insert(first, helper.make_node("Mul", [taken, by], [name], f"{name}_node"))
    known = next((entry for entry in model.graph.value_info if entry.name == taken), None)
    entry = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    if known is not None:
        entry.type.CopyFrom(known.type)
    model.graph.value_info.append(entry)
    for layer in members:
        layer.node.input[0] = name
    return name
