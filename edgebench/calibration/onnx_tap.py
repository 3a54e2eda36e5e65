"""Watch the tensors of an ONNX graph: a sample of each one's values is taken inside the graph.

Copying every activation out of the runtime costs many times the inference (a MobileNetV2 at 224×224 has
63 MB of them per image). Here the graph itself picks up to `VALUES` evenly spaced values of each tensor
and joins them into one output; extremes are exact where `exact` asks for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

VALUES = 4096
"""Values of each tensor that are watched per sample; smaller tensors are watched whole."""
_PREFIX = "edgebench_tap_"


@dataclass(frozen=True, slots=True)
class Tap:
    """A graph with one more output. names: of the tensors; sizes: how many values each gives per sample."""

    model: ModelProto
    output: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]


def watched(model: ModelProto) -> tuple[str, ...]:
    """Return the float tensors to watch: real inputs and results of nodes, in the graph's order.

    The input of an activation that the runtime fuses into the node before it is left out: it has the
    range of what the activation gives, and watching it would undo the fusion.
    """
    fused = set(fused_activations(model))
    kinds = _float_tensors(model)
    inputs = [entry.name for entry in model.graph.input]
    results = [name for node in model.graph.node for name in node.output if name]
    return tuple(name for name in dict.fromkeys([*inputs, *results]) if name in kinds and name not in fused)


def fused_activations(model: ModelProto) -> Mapping[str, str]:
    """Return input → output of every ReLU or Clip that alone reads the result of a fusing node."""
    readers: dict[str, int] = {}
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    outputs = {entry.name for entry in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    return {
        node.input[0]: node.output[0]
        for node in model.graph.node
        if node.op_type in ("Relu", "Clip")
        and makers.get(node.input[0]) in ("Conv", "Gemm", "ConvTranspose", "Add")
        and readers[node.input[0]] == 1
        and node.input[0] not in outputs
    }


def insert(model: ModelProto, names: Sequence[str], lengths: Mapping[str, int]) -> Tap:
    """Return the graph with a sample of each tensor's values as its only output.

    lengths: how many values each tensor has for one sample.
    """
    tapped = ModelProto()
    tapped.CopyFrom(model)
    nodes, constants, parts, sizes = [], [], [], []
    constants.append(numpy_helper.from_array(np.array([-1], np.int64), f"{_PREFIX}flat"))
    for index, name in enumerate(names):
        step = stride(lengths[name])
        flat, part = f"{_PREFIX}flat_{index}", f"{_PREFIX}part_{index}"
        nodes.append(helper.make_node("Reshape", [name, f"{_PREFIX}flat"], [flat if step > 1 else part]))
        if step > 1:
            ends = ((0, "start"), (lengths[name], "end"), (0, "axis"), (step, "step"))
            ids = [f"{_PREFIX}{what}_{index}" for _, what in ends]
            constants += [
                numpy_helper.from_array(np.array([value], np.int64), i)
                for (value, _), i in zip(ends, ids, strict=True)
            ]
            nodes.append(helper.make_node("Slice", [flat, *ids], [part]))
        parts.append(part)
        sizes.append(math.ceil(lengths[name] / step))
    nodes.append(helper.make_node("Concat", parts, [f"{_PREFIX}values"], axis=0))
    tapped.graph.node.extend(nodes)
    tapped.graph.initializer.extend(constants)
    del tapped.graph.output[:]
    tapped.graph.output.append(
        helper.make_tensor_value_info(f"{_PREFIX}values", TensorProto.FLOAT, [sum(sizes)])
    )
    return Tap(tapped, f"{_PREFIX}values", tuple(names), tuple(sizes))


def with_lengths(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """Return the graph with, as its only output, how many values each tensor has."""
    counted = ModelProto()
    counted.CopyFrom(model)
    sizes = []
    for index, name in enumerate(names):
        size, row = f"{_PREFIX}size_{index}", f"{_PREFIX}row_{index}"
        counted.graph.node.append(helper.make_node("Size", [name], [size]))
        counted.graph.node.append(helper.make_node("Reshape", [size, f"{_PREFIX}one"], [row]))
        sizes.append(row)
    counted.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), f"{_PREFIX}one"))
    counted.graph.node.append(helper.make_node("Concat", sizes, [f"{_PREFIX}sizes"], axis=0))
    del counted.graph.output[:]
    counted.graph.output.append(
        helper.make_tensor_value_info(f"{_PREFIX}sizes", TensorProto.INT64, [len(names)])
    )
    return counted


def stride(length: int) -> int:
    """Return the step that takes at most VALUES of `length` values, odd, so that it meets all channels."""
    step = math.ceil(length / VALUES)
    return step if step == 1 or step % 2 else step + 1


def _float_tensors(model: ModelProto) -> set[str]:
    from onnx import shape_inference

    inferred = shape_inference.infer_shapes(model)
    entries = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    return {e.name for e in entries if e.type.tensor_type.elem_type == TensorProto.FLOAT}
