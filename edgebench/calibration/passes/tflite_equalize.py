"""Channels between the layers of a TFLite graph scaled so that one range serves them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebench.calibration.passes.channels import Channels, best_factors, by_channel, channel_count, divided
from edgebench.calibration.passes.tflite_layers import TfliteLayer, layers, read_matrix, write_matrix
from edgebench.calibration.tflite_graph import Operator, TfliteGraph
from edgebench.calibration.tflite_tap import invoke, keeping_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_PASSING = ("RELU", "LEAKY_RELU", "MAX_POOL_2D", "AVERAGE_POOL_2D")
"""Operators that give a multiple of what they give where their input is multiplied by a positive number."""

_HOMOGENEOUS = ("NONE", "RELU")
"""Fused activations that do too."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer, the layers that alone read its channels, and the tensors in between, the last one read."""

    before: TfliteLayer
    after: tuple[TfliteLayer, ...]
    between: tuple[int, ...]


def equalize(
    model: Path, samples: Iterable[Sequence[Array]], *, top: int, floats: Sequence[str] = ()
) -> tuple[bytes, list[str]]:
    """Return a file that computes the same with channels alike in size, and the tensors that changed.

    samples: arrays [1, ...] in the order of the file's inputs. top: the largest integer that stands for
    a weight. floats: tensors that are given in float; what only their layers read needs no equal channels.
    """
    content = bytearray(model.read_bytes())
    graph = TfliteGraph(content)
    found = [pair for pair in pairs(graph) if any(layer.given not in floats for layer in pair.after)]
    if not found:
        return bytes(content), []
    seen = channels(model, [pair.between[-1] for pair in found], samples)
    moved = [pair for pair in found if _equalize(graph, pair, seen[pair.between[-1]], top)]
    return bytes(content), [graph.name(tensor) for pair in moved for tensor in pair.between]


def pairs(graph: TfliteGraph) -> list[Pair]:
    """Return every layer between which and its readers channels can be scaled, in the graph's order."""
    readers: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for tensor in operator.inputs:
            readers.setdefault(tensor, []).append(operator)
    makers = {operator.outputs[0]: operator for operator in graph.operators if operator.outputs}
    known = {layer.given: layer for layer in layers(graph)}
    placed = {tensor: known[graph.name(tensor)] for tensor in makers if graph.name(tensor) in known}
    scalable = [tensor for tensor in placed if _is_scalable(makers[tensor], placed[tensor])]
    found = (_pair(graph, tensor, placed, readers) for tensor in scalable)
    return [pair for pair in found if pair is not None]


def channels(model: Path, tensors: Sequence[int], samples: Iterable[Sequence[Array]]) -> dict[int, Channels]:
    """Return what the channels, the last axis, of a file's tensors are over the samples."""
    interpreter = keeping_tensors(model)
    found = {tensor: Channels() for tensor in tensors}
    for sample in samples:
        invoke(interpreter, sample)
        for tensor, entry in found.items():
            entry.add(np.moveaxis(interpreter.get_tensor(tensor), -1, 0))
    return found


def _is_scalable(operator: Operator, layer: TfliteLayer) -> bool:
    """Whether a layer's channels can be multiplied: a fused ReLU at most, and no bias that others read."""
    shares_bias = layer.bias is None and len(operator.inputs) > 2  # noqa: PLR2004 - input, weight, bias
    return operator.activation in _HOMOGENEOUS and not shares_bias


def _pair(
    graph: TfliteGraph, tensor: int, placed: dict[int, TfliteLayer], readers: dict[int, list[Operator]]
) -> Pair | None:
    """Return the layer that gives a tensor with its readers; None where something else sees its channels."""
    layer, between = placed[tensor], [tensor]
    while between[-1] not in graph.outputs:
        after = readers.get(between[-1], [])
        found = [placed.get(operator.outputs[0]) for operator in after]
        fitting = [x for x in found if x is not None and _takes(x, between[-1], layer)]
        if fitting and len(fitting) == len(after):
            return Pair(layer, tuple(fitting), tuple(between))
        if len(after) != 1 or after[0].kind not in _PASSING or after[0].activation not in _HOMOGENEOUS:
            return None
        between.append(after[0].outputs[0])
    return None


def _takes(after: TfliteLayer, tensor: int, before: TfliteLayer) -> bool:
    """Whether a layer reads another's channels one by one."""
    alike = bool(after.windows.kernel) == bool(before.windows.kernel)
    return after.taken == tensor and alike and channel_count(after.windows) == before.outputs


def _equalize(graph: TfliteGraph, pair: Pair, seen: Channels, top: int) -> bool:
    """Multiply the channels by what makes the readers' noise least; return whether that changes anything."""
    matrices = [read_matrix(graph, layer) for layer in pair.after]
    cubes = [by_channel(rows, layer.windows) for rows, layer in zip(matrices, pair.after, strict=True)]
    factors = best_factors(cubes, seen, top)
    if factors is None:
        return False
    write_matrix(graph, pair.before, read_matrix(graph, pair.before) * factors[:, None])
    if pair.before.bias is not None:
        graph.constant(pair.before.bias)[:] *= factors.astype(np.float32)
    for rows, layer in zip(matrices, pair.after, strict=True):
        write_matrix(graph, layer, divided(rows, layer.windows, factors))
    return True
