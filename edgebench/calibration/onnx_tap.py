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
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgebench.calibration.channels import Channels
from edgebench.calibration.picking import VALUES, stride

_PREFIX = "edgebench_tap_"
_IMAGE = 4
"""Axes of a batch of images: batch, channels, height, width."""
_AXES_ARE_INPUTS = 18
"""Opset from which ReduceMin and ReduceMax take their axes as an input."""
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


def insert(
    model: ModelProto,
    shapes: Mapping[str, Sequence[int]],
    *,
    exact: bool = False,
    channels: Mapping[str, Channels] | None = None,
) -> Tap:
    """Return the graph with a sample of each tensor's values as its only output.

    shapes: of the tensors to watch, for one sample. exact: let the lowest and the highest value be among
    those taken, which costs two passes over every tensor. channels: tensors of which values of each channel
    follow, then the lowest of all channels, then the highest.
    """
    tapped = ModelProto()
    tapped.CopyFrom(model)
    added = _Added()
    sizes = [
        _take(added, f"{index}", name, shape, exact=exact)
        for index, (name, shape) in enumerate(shapes.items())
    ]
    if channels:
        _take_channels(added, channels, axes_are_inputs=_opset(model) >= _AXES_ARE_INPUTS)
    added.node("Concat", added.parts, f"{_PREFIX}values", axis=0)
    tapped.graph.node.extend(added.nodes)
    tapped.graph.initializer.extend(added.constants.values())
    del tapped.graph.output[:]
    tapped.graph.output.append(helper.make_tensor_value_info(f"{_PREFIX}values", TensorProto.FLOAT, None))
    return Tap(tapped, f"{_PREFIX}values", tuple(shapes), tuple(sizes))


class _Added:
    """What is put into a graph. parts: the tensors, of one axis, that make up its output."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.parts: list[str] = []

    def node(self, kind: str, taken: Sequence[str], given: str, **settings: object) -> str:
        """Add a node and return the tensor that it gives."""
        self.nodes.append(helper.make_node(kind, taken, [given], **settings))
        return given

    def numbers(self, *values: int) -> str:
        """Return the name of a constant int64[n], which is there once."""
        name = f"{_PREFIX}of_{'_'.join(map(str, values))}"
        self.constants.setdefault(name, numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def every(self, step: int, length: int, axis: int, taken: str, given: str) -> str:
        """Add a Slice along an axis that is so long; none where it would take all."""
        if step == 1:
            return taken
        bounds = [self.numbers(value) for value in (0, length, axis, step)]
        return self.node("Slice", [taken, *bounds], given)


def _take(added: _Added, key: str, name: str, shape: Sequence[int], *, exact: bool) -> int:
    """Add what takes values of a tensor; return how many."""
    every = 1 if exact else _places_between(shape)
    length = math.prod(shape)
    if every > 1:
        length = math.prod(_thinned(shape, every))
        settings = {"kernel_shape": [1, 1], "strides": [every, every]}
        name = added.node("AveragePool", [name], f"{_PREFIX}places_{key}", **settings)
    flat = added.node("Reshape", [name, added.numbers(-1)], f"{_PREFIX}flat_{key}")
    step = stride(length)
    added.parts.append(added.every(step, length, 0, flat, f"{_PREFIX}part_{key}"))
    if not exact or step == 1:
        return math.ceil(length / step)
    for kind in ("ReduceMin", "ReduceMax"):
        added.parts.append(added.node(kind, [flat], f"{_PREFIX}{kind}_{key}", keepdims=1))
    return math.ceil(length / step) + 2


def _take_channels(added: _Added, channels: Mapping[str, Channels], *, axes_are_inputs: bool) -> None:
    """Add what takes values of every channel, and its extremes."""
    ends: dict[str, list[str]] = {"ReduceMin": [], "ReduceMax": []}
    for index, (name, own) in enumerate(channels.items()):
        key = f"channels_{index}"
        shape, places = ((own.count, -1), 1) if own.first else ((-1, own.count), 0)
        rows = added.node("Reshape", [name, added.numbers(*shape)], f"{_PREFIX}rows_{key}")
        taken = added.every(own.step, own.places, places, rows, f"{_PREFIX}places_{key}")
        if not own.first:
            taken = added.node("Transpose", [taken], f"{_PREFIX}turned_{key}", perm=[1, 0])
        added.parts.append(added.node("Reshape", [taken, added.numbers(-1)], f"{_PREFIX}part_{key}"))
        for kind, found in ends.items():
            axes = {} if axes_are_inputs else {"axes": [places]}
            more = [added.numbers(places)] if axes_are_inputs else []
            found.append(added.node(kind, [rows, *more], f"{_PREFIX}{kind}_{key}", keepdims=0, **axes))
    added.parts += [*ends["ReduceMin"], *ends["ReduceMax"]]


def _opset(model: ModelProto) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)


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
