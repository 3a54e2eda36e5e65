"""ONNX graphs of float16 or float64 as graphs of float32, which is what is calibrated and quantized."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from edgebench.calibration.passes.order import inner_graphs

_TYPED = ("to", "dtype", "output_dtype", "stash_type")
"""Attributes that name the kind of a node's result."""
_NAMES = {TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64"}


def in_float32(model: ModelProto) -> tuple[ModelProto, str | None]:
    """Return the graph in float32, and from what it was taken, in words; itself and None where it is so.

    float16 is widened wherever it stands, which changes no weight. float64 becomes float32 where all the
    weights are of it: a few such numbers among others are there for a reason.
    """
    kinds = {tensor.data_type for tensor in _constants(model.graph)}
    taken = {kind for kind in _NAMES if kind in kinds}
    if TensorProto.FLOAT in kinds:
        taken.discard(TensorProto.DOUBLE)
    if not taken:
        return model, None
    single = ModelProto()
    single.CopyFrom(model)
    _retype(single.graph, taken)
    return single, " and ".join(_NAMES[kind] for kind in _NAMES if kind in taken)


def _constants(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the constants of a graph, those of nodes and inner graphs too."""
    yield from graph.initializer
    for node in graph.node:
        yield from (entry.t for entry in node.attribute if entry.HasField("t"))
        for inner in inner_graphs(node):
            yield from _constants(inner)


def _retype(graph: GraphProto, taken: set[int]) -> None:
    for tensor in graph.initializer:
        _retype_tensor(tensor, taken)
    for entry in (*graph.input, *graph.output, *graph.value_info):
        _retype_entry(entry, taken)
    for node in graph.node:
        _retype_node(node, taken)
        for inner in inner_graphs(node):
            _retype(inner, taken)


def _retype_entry(entry: ValueInfoProto, taken: set[int]) -> None:
    if entry.type.tensor_type.elem_type in taken:
        entry.type.tensor_type.elem_type = TensorProto.FLOAT


def _retype_node(node: NodeProto, taken: set[int]) -> None:
    for entry in node.attribute:
        if entry.HasField("t"):
            _retype_tensor(entry.t, taken)
        if entry.name in _TYPED and entry.i in taken:
            entry.i = TensorProto.FLOAT


def _retype_tensor(tensor: TensorProto, taken: set[int]) -> None:
    if tensor.data_type in taken:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
