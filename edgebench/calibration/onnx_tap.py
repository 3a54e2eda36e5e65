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

VALUES = 2048
"""Values of each tensor that are watched per sample; smaller tensors are watched whole."""
_PREFIX = "edgebench_tap_"
_IMAGE = 4
"""Axes of a batch of images: batch, channels, height, width."""
_SMALL = 1024
"""Values of a constant that shape inference may want to look into."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A graph with one more output. names: of the tensors; sizes: how many values each gives per sample."""

    model: ModelProto
    output: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]


def watched(model: ModelProto, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, tuple[int, ...] | None]:
    """Return the float tensors to watch, in the graph's order: real inputs and results of nodes.

    shapes: of the inputs for one sample. Each name has the shape of its tensor; None where the inputs'
    shapes do not tell. The input of an activation that the runtime fuses into the node before it is left
    out: it has the range of what the activation gives, and watching it would undo the fusion.
    """
    fused, found = set(fused_activations(model)), _float_shapes(model, shapes)
    inputs = [entry.name for entry in model.graph.input]
    results = [name for node in model.graph.node for name in node.output if name]
    names = dict.fromkeys([*inputs, *results])
    return {name: found[name] for name in names if name in found and name not in fused}


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


def insert(model: ModelProto, shapes: Mapping[str, Sequence[int]], *, exact: bool = False) -> Tap:
    """Return the graph with a sample of each tensor's values as its only output.

    shapes: of the tensors to watch, for one sample. exact: let the lowest and the highest value be among
    those taken, which costs two passes over every tensor.
    """
    tapped = ModelProto()
    tapped.CopyFrom(model)
    nodes, constants, parts, sizes = [], [], [], []
    constants.append(numpy_helper.from_array(np.array([-1], np.int64), f"{_PREFIX}flat"))
    for index, (name, shape) in enumerate(shapes.items()):
        every = 1 if exact else _places_between(shape)
        taken, length = name, math.prod(shape)
        if every > 1:
            taken, length = f"{_PREFIX}places_{index}", math.prod(_thinned(shape, every))
            settings = {"kernel_shape": [1, 1], "strides": [every, every]}
            nodes.append(helper.make_node("AveragePool", [name], [taken], **settings))
        step = stride(length)
        flat, part = f"{_PREFIX}flat_{index}", f"{_PREFIX}part_{index}"
        nodes.append(helper.make_node("Reshape", [taken, f"{_PREFIX}flat"], [flat if step > 1 else part]))
        if step > 1:
            bounds = ((0, "start"), (length, "end"), (0, "axis"), (step, "step"))
            ids = [f"{_PREFIX}{what}_{index}" for _, what in bounds]
            constants += [
                numpy_helper.from_array(np.array([value], np.int64), i)
                for (value, _), i in zip(bounds, ids, strict=True)
            ]
            nodes.append(helper.make_node("Slice", [flat, *ids], [part]))
        parts.append(part)
        sizes.append(math.ceil(length / step))
        if exact and step > 1:
            ends = [f"{_PREFIX}lowest_{index}", f"{_PREFIX}highest_{index}"]
            nodes.append(helper.make_node("ReduceMin", [flat], ends[:1], keepdims=1))
            nodes.append(helper.make_node("ReduceMax", [flat], ends[1:], keepdims=1))
            parts += ends
            sizes[-1] += len(ends)
    nodes.append(helper.make_node("Concat", parts, [f"{_PREFIX}values"], axis=0))
    tapped.graph.node.extend(nodes)
    tapped.graph.initializer.extend(constants)
    del tapped.graph.output[:]
    tapped.graph.output.append(
        helper.make_tensor_value_info(f"{_PREFIX}values", TensorProto.FLOAT, [sum(sizes)])
    )
    return Tap(tapped, f"{_PREFIX}values", tuple(shapes), tuple(sizes))


def _places_between(shape: Sequence[int]) -> int:
    """Return the step between the places of a large image that are looked at; 1 for all of them.

    An average over one place is the place itself, NaN too, and ONNX Runtime takes it in the blocked
    layout of its convolutions: only what is left is put in order. Twice the values that are watched stay.
    """
    if len(shape) != _IMAGE or shape[0] != 1:
        return 1
    return max(1, min(math.isqrt(math.prod(shape) // (2 * VALUES)), *shape[2:]))


def _thinned(shape: Sequence[int], every: int) -> tuple[int, ...]:
    return (*shape[:2], *(math.ceil(side / every) for side in shape[2:]))


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


def _float_shapes(
    model: ModelProto, shapes: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each float tensor, as far as the inputs' shapes tell."""
    from onnx import shape_inference

    fixed = _without_weights(model)
    for entry in fixed.graph.input:
        for dimension, size in zip(entry.type.tensor_type.shape.dim, shapes[entry.name], strict=True):
            dimension.dim_value = size
    for entry in fixed.graph.output:
        entry.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(fixed)
    found: dict[str, tuple[int, ...] | None] = {}
    for entry in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = entry.type.tensor_type
        if kind.elem_type == TensorProto.FLOAT:
            known = kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim)
            found[entry.name] = tuple(d.dim_value for d in kind.shape.dim) if known else None
    return found


def _without_weights(model: ModelProto) -> ModelProto:
    """Return the graph with the large weights' types and shapes but not their values."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _SMALL:
            light.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        else:
            light.graph.initializer.append(tensor)
    return light
