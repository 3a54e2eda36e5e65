"""Watch the tensors of a TFLite graph: the interpreter keeps them, and a sample of each is looked at."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.calibration.attention_masks import tflite_masks, tflite_steps
from edgebench.calibration.channels import Channels, Choose, all_channels, no_channels
from edgebench.calibration.picking import stride
from edgebench.calibration.tflite_graph import TfliteGraph

_MASKED = -1e4
"""Scores lie above this, and what a mask adds to some of them below, or at it."""

_HIDDEN = 32.0
"""e⁻³² is zero to 8 bits, and to the sum of a Softmax."""

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class TfliteTap:
    """An interpreter that keeps its tensors. names, sizes: of those that are watched. values: of all of them.

    exact: the extremes of the tensors of which not all values are taken are among those taken. masks: the
    indices of those that may hold −∞ for attention to leave out; _HIDDEN below the scores does so too.
    channels: of the tensors that are watched by channel too.
    """

    interpreter: Any
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    indices: tuple[int, ...]
    values: int
    exact: bool
    masks: frozenset[int] = frozenset()
    channels: Mapping[str, Channels] = field(default_factory=dict)

    def run(self, sample: list[Array]) -> NDArray[np.float32]:
        """Return a sample of every tensor's values for one input sample, float32[sum(sizes)].

        Behind it what `ChannelHistograms` takes of the tensors that are watched by channel.
        """
        invoke(self.interpreter, sample)
        parts: list[NDArray[np.float32]] = []
        taken, lowest, highest = list(parts), list(parts), list(parts)
        for name, index in zip(self.names, self.indices, strict=True):
            flat = self.interpreter.tensor(index)().reshape(-1)
            if index in self.masks:
                flat = np.maximum(flat, flat[flat > _MASKED].min(initial=0.0) - _HIDDEN)
            parts.append(sampled(flat, exact=self.exact))
            if name in self.channels:
                own = self.channels[name]
                rows = own.rows(flat)
                taken.append(rows[:, :: own.step].reshape(-1))
                lowest.append(rows.min(axis=1))
                highest.append(rows.max(axis=1))
        return np.concatenate([*parts, *taken, *lowest, *highest])


def open_tap(model: Path, *, exact: bool = False, choose: Choose = no_channels) -> TfliteTap:
    """Return the file, opened so that its inputs and computed float tensors can be watched."""
    interpreter = keeping_tensors(model)
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    indices = [index for index in _computed(model) if details[index]["dtype"] is np.float32]
    lengths = [int(np.prod(details[index]["shape"], dtype=np.int64)) for index in indices]
    names = tuple(details[index]["name"] for index in indices)
    graph = TfliteGraph(model.read_bytes())
    shapes = {index: tuple(map(int, details[index]["shape"])) for index in indices}
    constants = [tensor for tensor in range(len(graph)) if graph.is_constant(tensor)]
    known = all_channels(tflite_steps(graph), shapes, constants)
    found = {details[index]["name"]: own for index, own in known.items()}
    return TfliteTap(
        interpreter=interpreter,
        names=names,
        sizes=tuple(sampled_size(length, exact=exact) for length in lengths),
        indices=tuple(indices),
        values=sum(lengths),
        exact=exact,
        masks=frozenset(tflite_masks(graph)),
        channels=choose({name: own for name, own in found.items() if names.count(name) == 1}),
    )


def sampled(flat: NDArray[np.float32], *, exact: bool) -> NDArray[np.float32]:
    """Return evenly chosen values of a tensor, with its extremes where they have to be exact."""
    step = stride(flat.size)
    return np.append(flat[::step], (flat.min(), flat.max())) if exact and step > 1 else flat[::step]


def sampled_size(length: int, *, exact: bool) -> int:
    """Return how many values `sampled` takes of `length`."""
    step = stride(length)
    return math.ceil(length / step) + (2 if exact and step > 1 else 0)


def keeping_tensors(model: Path) -> Any:
    """Return an interpreter that keeps all tensors' values after a call, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings(action="ignore"):  # it warns that keeping tensors takes memory
        interpreter = Interpreter(
            model_path=str(model), num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    if any(-1 in detail["shape_signature"][1:] for detail in interpreter.get_tensor_details()):
        interpreter.invoke()  # shapes that the graph itself computes are known afterwards
    return interpreter


def invoke(interpreter: Any, sample: Sequence[Array]) -> None:
    """Run an interpreter on one sample, an array [1, ...] per input in the file's order."""
    for detail, array in zip(interpreter.get_input_details(), sample, strict=True):
        interpreter.set_tensor(detail["index"], array.astype(detail["dtype"]))
    interpreter.invoke()


def _computed(model: Path) -> list[int]:
    """Return the tensors that are inputs of the graph or results of its operators, in its order.

    Results that nothing reads are left out: LiteRT may not give them any memory.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = schema.Model.GetRootAsModel(model.read_bytes(), 0).Subgraphs(0)
    inputs = [int(index) for index in graph.InputsAsNumpy()]
    operators = [graph.Operators(place) for place in range(graph.OperatorsLength())]
    read = {int(index) for operator in operators for index in operator.InputsAsNumpy()}
    read |= {int(index) for index in graph.OutputsAsNumpy()}
    results = [int(index) for operator in operators for index in operator.OutputsAsNumpy()]
    return list(dict.fromkeys([*inputs, *(index for index in results if index in read)]))
