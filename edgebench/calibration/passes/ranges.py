"""The ranges of summands: what a ReLU after the sum throws away needs no integers.

relu(y + x) is relu(max(y, −x) + x), so where y is read by that sum alone, its range is that of max(y, −x).
On residual networks a third of y's range is below it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range, observe

if TYPE_CHECKING:
    Array = NDArray[np.generic]

_COUNTS = "edgebench_counts_"


def summand_ranges(model: ModelProto, samples: Iterable[list[Array]], method: Method) -> dict[str, Range]:
    """Return the range that counts of each convolution's result that only a sum before a ReLU reads.

    samples: lists of arrays [1, ...] in the order of the graph's inputs. Empty where there is no such
    sum.
    """
    tapped = ModelProto()
    tapped.CopyFrom(model)
    found = _summands(model)
    for name, other in found.items():
        tapped.graph.node.append(helper.make_node("Neg", [other], [f"{_COUNTS}{name}_below"]))
        clipped = [name, f"{_COUNTS}{name}_below"]
        tapped.graph.node.append(helper.make_node("Max", clipped, [f"{_COUNTS}{name}"]))
    if not found:
        return {}
    ranges = measured_ranges(tapped, [f"{_COUNTS}{name}" for name in found], samples, method)
    return {name: ranges[f"{_COUNTS}{name}"] for name in found}


def measured_ranges(
    model: ModelProto, names: Sequence[str], samples: Iterable[list[Array]], method: Method
) -> dict[str, Range]:
    """Return the ranges of some of a graph's float tensors over the samples."""
    import onnx

    from edgebench.calibration.watch import watch_onnx

    if not names:
        return {}
    with tempfile.TemporaryDirectory(prefix="edgebench-ranges-") as folder:
        path = Path(folder) / "watched.onnx"
        onnx.save(model, path)
        values = watch_onnx(path, samples, exact=method.exact)
    return {name: observe(values[name], method) for name in names}


def _summands(model: ModelProto) -> dict[str, str]:
    """Return each convolution's result that only a sum before a ReLU reads, and the other summand."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    readers: dict[str, list[str]] = {entry.name: ["output"] for entry in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "Add" or readers.get(node.output[0]) != ["Relu"]:
            continue
        first, second = node.input
        for name, other in ((first, second), (second, first)):
            # One of two: each one's range counts given that the other is as it is.
            if makers.get(name) == "Conv" and readers[name] == ["Add"] and other not in found:
                found[name] = other
    return found
