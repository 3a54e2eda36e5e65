"""Channels between the layers of a TFLite graph scaled so that one range serves them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebench.calibration.attention_masks import tflite_steps
from edgebench.calibration.passes.channels import Channels, FloatArray
from edgebench.calibration.passes.pairs import Pair, Weights, equalize_pair, find_pairs
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
    weights = Weights(partial(read_matrix, graph), partial(write_matrix, graph), partial(_scale_bias, graph))
    moved = [pair for pair in found if equalize_pair(pair, weights, seen[pair.between[-1]], top)]
    return bytes(content), [graph.name(tensor) for pair in moved for tensor in pair.between]


def pairs(graph: TfliteGraph) -> list[Pair[TfliteLayer]]:
    """Return every layer between which and its readers channels can be scaled, in the graph's order."""
    makers = {operator.outputs[0]: operator for operator in graph.operators if operator.outputs}
    known = {layer.given: layer for layer in layers(graph)}
    placed = {tensor: known[graph.name(tensor)] for tensor in makers if graph.name(tensor) in known}
    homogeneous = {tensor for tensor, maker in makers.items() if maker.activation in _HOMOGENEOUS}
    return find_pairs(
        tflite_steps(graph),
        placed,
        first=[t for t in placed if t in homogeneous and not _shares_bias(makers[t], placed[t])],
        passing={tensor for tensor in homogeneous if makers[tensor].kind in _PASSING},
        outputs=graph.outputs,
    )


def channels(model: Path, tensors: Sequence[int], samples: Iterable[Sequence[Array]]) -> dict[int, Channels]:
    """Return what the channels, the last axis, of a file's tensors are over the samples."""
    interpreter = keeping_tensors(model)
    found = {tensor: Channels() for tensor in tensors}
    for sample in samples:
        invoke(interpreter, sample)
        for tensor, entry in found.items():
            entry.add(np.moveaxis(interpreter.get_tensor(tensor), -1, 0))
    return found


def _shares_bias(operator: Operator, layer: TfliteLayer) -> bool:
    return layer.bias is None and len(operator.inputs) > 2  # noqa: PLR2004 - input, weight, bias


def _scale_bias(graph: TfliteGraph, layer: TfliteLayer, factors: FloatArray) -> None:
    if layer.bias is not None:
        graph.constant(layer.bias)[:] *= factors.astype(np.float32)
