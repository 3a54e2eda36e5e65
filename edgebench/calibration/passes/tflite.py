"""What is done to an fp32 TFLite file before it is quantized, so that int8 keeps its accuracy."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe
from edgebench.calibration.passes.rounding import round_matrix
from edgebench.calibration.passes.sums import SAMPLES, Moments, Sums, in_parts
from edgebench.calibration.passes.tflite_equalize import equalize
from edgebench.calibration.passes.tflite_layers import TfliteLayer, layers, read_matrix, write_matrix
from edgebench.calibration.passes.windows import vectors
from edgebench.calibration.recipe import ALL_PASSES, Pass
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.calibration.tflite_tap import invoke, keeping_tensors
from edgebench.calibration.watch import watch_tflite

if TYPE_CHECKING:
    Array = NDArray[np.generic]

_TOP = 127
"""The largest integer that stands for a weight: TFLite's own is −127 to 127, whatever the processor."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """A file made ready. ranges: in place of those of the table; floats: tensors given in float, by name.

    unrounded: the file as it was before its weights were rounded; it computes what the given one did.
    scaled: tensors whose channels were made alike; they do not hold what they did in the given file.
    """

    content: bytes
    unrounded: bytes
    ranges: dict[str, Range]
    floats: list[str]
    scaled: tuple[str, ...] = ()


def adapt(
    model: Path,
    samples: Iterable[list[Array]],
    *,
    floats: Sequence[str],
    method: Method,
    passes: Collection[Pass] = ALL_PASSES,
) -> Adapted:
    """Return the file made ready to be quantized.

    samples: can be gone through more than once; arrays [1, ...] in the order of the file's inputs.
    floats: the tensors whose operators stay float. method: how ranges are found. passes: what is done.
    """
    with tempfile.TemporaryDirectory(prefix="edgebench-equal-") as folder:
        equal, moved = model, list[str]()
        if Pass.EQUALIZE in passes:
            changed, moved = equalize(model, samples, top=_TOP, floats=floats)
            equal = Path(folder) / "equal.tflite"
            equal.write_bytes(changed)
        ranges = _ranges(equal, moved, samples, method)
        content = equal.read_bytes()
        found = layers(TfliteGraph(content)) if Pass.ROUND in passes else []
        rounded = [layer for layer in found if layer.given not in floats]
        made = round_weights(equal, rounded, samples)
    return Adapted(made, content, ranges, list(floats), tuple(moved))


def round_weights(model: Path, chosen: Sequence[TfliteLayer], samples: Iterable[Sequence[Array]]) -> bytes:
    """Return the file with the weights of some of its layers rounded by what they multiply.

    Each channel's largest weight lies on the grid's end, so that a quantizer that takes the scale
    from the extremes, symmetric and per channel, finds exactly these integers. Biases take the means of
    the errors. samples: can be gone through more than once; arrays [1, ...] in the order of the file's
    inputs, of which the first SAMPLES are used.
    """
    content = bytearray(model.read_bytes())
    graph = TfliteGraph(content)
    for part in in_parts(chosen):
        found = moments(model, part, islice(samples, SAMPLES))
        for layer in part:
            _round_layer(graph, layer, found[layer.given])
    return bytes(content)


def moments(
    model: Path, watched: Sequence[TfliteLayer], samples: Iterable[Sequence[Array]]
) -> Mapping[str, Moments]:
    """Return the moments of each layer's input vectors over the samples, by the layer's output.

    samples: arrays [1, ...] in the order of the file's inputs. Memory is that of one sample's tensors and
    of the layers' second moments.
    """
    interpreter, sums = keeping_tensors(model), Sums(watched)
    for sample in samples:
        invoke(interpreter, sample)
        for layer in watched:
            value = interpreter.get_tensor(layer.taken)
            sums.add(layer.given, vectors(layer.windows, layer.image(value)))
    return sums.moments()


def _ranges(
    model: Path, names: Sequence[str], samples: Iterable[list[Array]], method: Method
) -> dict[str, Range]:
    """Return the ranges of some of a file's tensors over the samples."""
    if not names:
        return {}
    values = watch_tflite(model, samples, exact=method.exact)
    return {name: observe(values[name], method) for name in names}


def _round_layer(graph: TfliteGraph, layer: TfliteLayer, entry: Moments) -> None:
    rows = read_matrix(graph, layer)
    after, shift = round_matrix(rows, entry, _TOP, biased=layer.bias is not None)
    write_matrix(graph, layer, after)
    if layer.bias is not None:
        graph.constant(layer.bias)[:] -= shift.astype(np.float32)
