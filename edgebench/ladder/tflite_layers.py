"""An fp32 TFLite file and its int8 file, tensor by tensor: the quantizer keeps the tensors' names.

TFLite graphs hold their activations fused into the operators, so that a name means one value in both.
A layer cannot be run by itself there; how much noise it adds to that of its inputs is told instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.artifact import Quantization
from edgebench.calibration.attention_masks import tflite_steps
from edgebench.calibration.channels import all_channels
from edgebench.calibration.tflite_graph import Operator, TfliteGraph
from edgebench.exporters.real_values import stored_values
from edgebench.exporters.tflite_file import tensor_specs
from edgebench.ladder.answers import plain_interpreter
from edgebench.ladder.noise import Noise
from edgebench.ladder.record import Anatomy, Layer
from edgebench.ladder.scaled import scaled_notes
from edgebench.ladder.worst import Widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.exporters.samples import Array

_PLAIN = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


@dataclass(frozen=True, slots=True)
class _Graph:
    """An interpreter that keeps its tensors, and the file itself."""

    interpreter: Any
    tensors: dict[int, dict[str, Any]]
    file: TfliteGraph

    def run(self, samples: Sequence[Array], index: int) -> None:
        """Compute one sample."""
        specs = tensor_specs(self.interpreter)[0]
        for detail, spec, array in zip(self.interpreter.get_input_details(), specs, samples, strict=True):
            self.interpreter.set_tensor(detail["index"], stored_values(array[index : index + 1], spec))
        self.interpreter.invoke()

    def value(self, index: int) -> NDArray[np.generic]:
        """Return a tensor's real values."""
        stored = self.interpreter.get_tensor(index)
        scale, zero_point = self.tensors[index]["quantization"]
        if stored.dtype.kind in "iu" and scale:
            return Quantization(float(scale), int(zero_point)).real(stored)
        return np.asarray(stored)

    def made(self) -> dict[str, int]:
        """Return the names of the operators' results and where they lie, where a name is used once."""
        indices = [index for operator in self.file.operators for index in operator.outputs]
        names = [self.tensors[index]["name"] for index in indices]
        return {name: index for name, index in zip(names, indices, strict=True) if names.count(name) == 1}

    def widths(self, tensors: Iterable[int]) -> Widths[int]:
        """Return what keeps the extremes of the channels of some tensors."""
        shapes = {index: tuple(map(int, self.tensors[index]["shape"])) for index in tensors}
        constants = [index for index in range(len(self.file)) if self.file.is_constant(index)]
        return Widths(all_channels(tflite_steps(self.file), shapes, constants))


def tflite_anatomy(fp32: Path | None, quantized: Path, samples: Sequence[Array]) -> Anatomy:
    """Return what the quantized file shows; its layers too where there is an fp32 file.

    samples: [n, ...] for each input, real values. Raises ModelError where a file cannot be read or run.
    """
    graph = _open(quantized)
    layers, notes = _layers(_open(fp32), graph, samples) if fp32 else ((), ())
    return Anatomy(layers=layers, input_range=_input_range(graph), notes=notes)


def _layers(
    fp32: _Graph, quantized: _Graph, samples: Sequence[Array]
) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    wanted, got = fp32.made(), quantized.made()
    pairs = {
        index: got[name]
        for name, index in wanted.items()
        if name in got
        and math.prod(fp32.tensors[index]["shape"]) == math.prod(quantized.tensors[got[name]]["shape"])
        and np.dtype(fp32.tensors[index]["dtype"]).kind == "f"
    }
    if not pairs:
        return (), ("no tensor has one name in the fp32 and the quantized file: no layers are compared",)
    noises, widths = {index: Noise() for index in pairs}, fp32.widths(pairs)
    for sample in range(len(samples[0])):
        fp32.run(samples, sample)
        quantized.run(samples, sample)
        for index, other in pairs.items():
            wanted_value = fp32.value(index)
            noises[index].add(wanted_value, quantized.value(other))
            widths.add(index, wanted_value)
    layers = {
        index: _layer(fp32, operator, index, noises)
        for operator in fp32.file.operators
        for index in operator.outputs
        if index in noises
    }
    return tuple(layers.values()), (*scaled_notes(got), *widths.notes(layers))


def _layer(graph: _Graph, operator: Operator, index: int, noises: dict[int, Noise]) -> Layer:
    before = max((noises[i].ratio for i in operator.inputs if i in noises), default=0.0)
    noise, name = noises[index], str(graph.tensors[index]["name"])
    return Layer(
        tensor=name,
        operator=operator.kind,
        node=f"{operator.kind} {graph.file.operators.index(operator)}",
        accumulated_db=noise.sqnr_db,
        alone_db=None,
        max_abs_error=noise.largest,
        added=max(0.0, noise.ratio - before),
    )


def _input_range(graph: _Graph) -> tuple[str, float, float] | None:
    """Return the first input's name and the range of its own or its QUANTIZE's integers, where it has one."""
    detail = graph.interpreter.get_input_details()[0]
    index = int(detail["index"])
    reader = next((o for o in graph.file.operators if o.kind == "QUANTIZE" and index in o.inputs), None)
    held = graph.tensors[index if reader is None else reader.outputs[0]]
    scale, zero_point = held["quantization"]
    kind = np.dtype(held["dtype"])
    if kind.kind not in "iu" or not scale:
        return None
    limits = np.iinfo(kind)
    low, high = (float(scale) * (end - int(zero_point)) for end in (limits.min, limits.max))
    return str(detail["name"]), low, high


def _open(path: Path) -> _Graph:
    interpreter = plain_interpreter(path, kernels=_PLAIN, keep=True)
    details = {int(detail["index"]): detail for detail in interpreter.get_tensor_details()}
    return _Graph(interpreter, details, TfliteGraph(path.read_bytes()))
