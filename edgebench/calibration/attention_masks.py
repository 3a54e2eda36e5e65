"""Attention in a graph of any format: each Softmax of scores, and the tensors that may hold its mask."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edgebench.calibration.tflite_graph import TfliteGraph

_PRODUCTS = ("MATMUL", "BATCHMATMUL")

_MOVING = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "UNSQUEEZE", "EXPANDDIMS", "CAST", "IDENTITY")

_SELECTING = ("WHERE", "SELECT", "SELECTV2")

_MASKING = (
    *(*_MOVING, *_SELECTING, "EXPAND", "BROADCASTTO", "CONCAT", "CONCATENATION", "SLICE", "STRIDEDSLICE"),
    *("ADD", "MUL", "SUB", "MAX", "MIN", "MAXIMUM", "MINIMUM"),
)
"""Operators between a mask and the Softmax that it is for."""

_STEPS = 3
"""Operators between a Softmax and the product, at most."""

_FloatArray = NDArray[np.floating]


class Step(NamedTuple):
    """An operator by its kind, as its format calls it, and the tensors that it takes and gives."""

    kind: str
    taken: Sequence[Hashable]
    given: Sequence[Hashable]

    def is_of(self, kinds: Sequence[str]) -> bool:
        """Whether it is of a kind, MatMul as well as BATCH_MATMUL."""
        return self.kind.upper().replace("_", "") in kinds


def tflite_steps(graph: TfliteGraph) -> list[Step]:
    """Return the operators of a TFLite file's main graph."""
    return [Step(operator.kind, operator.inputs, operator.outputs) for operator in graph.operators]


def tflite_masks(graph: TfliteGraph) -> set[int]:
    """Return the tensors of a TFLite file that `masks` means."""
    return {tensor for tensor in masks(tflite_steps(graph)) if isinstance(tensor, int)}


def softmaxes(steps: Iterable[Step]) -> list[Step]:
    """Return each Softmax whose answer is multiplied, at once or moved, by another tensor."""
    steps = list(steps)
    readers: dict[Hashable, list[Step]] = {}
    for step in steps:
        for tensor in step.taken:
            readers.setdefault(tensor, []).append(step)

    def multiplied(tensor: Hashable, more: int) -> bool:
        beside = readers.get(tensor, [])
        if any(step.is_of(_PRODUCTS) for step in beside):
            return True
        onward = [step for step in beside if step.is_of((*_MOVING, *_SELECTING))]
        return more > 0 and any(multiplied(step.given[0], more - 1) for step in onward)

    return [step for step in steps if step.is_of(("SOFTMAX",)) and multiplied(step.given[0], _STEPS)]


def is_sound(values: _FloatArray, *, mask: bool) -> bool:
    """Whether constants hold numbers alone; those of a mask may be −∞ too."""
    hidden = np.isneginf(values) if mask else False
    return bool((np.isfinite(values) | hidden).all())


def masks(steps: Iterable[Step]) -> set[Hashable]:
    """Return the tensors before a Softmax of attention, constants too, that may hold −∞, or −3·10³⁸."""
    steps = list(steps)
    makers = {tensor: step for step in steps for tensor in step.given}
    found: set[Hashable] = set()
    waiting = [step.taken[0] for step in softmaxes(steps)]
    while waiting:
        tensor = waiting.pop()
        maker = makers.get(tensor)
        if tensor not in found and (maker is None or maker.is_of(_MASKING)):
            found.add(tensor)
            waiting += maker.taken if maker else ()
    return found
