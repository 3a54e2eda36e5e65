"""Weights and biases of layers as onnxruntime's quantizer takes them: each with one axis of channels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgebench.calibration.passes.layers import attribute
from edgebench.calibration.passes.order import reads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WEIGHT, _BIAS = 1, 2
"""Places among a layer's inputs."""
_MATRIX = 2


def fit_constants(model: ModelProto) -> ModelProto:
    """Return the graph that computes the same with constants that can be quantized per channel.

    A weight whose channels lie on one axis for one of its readers and on another for the next, or that a
    Gather looks up, is there once for each. A Gemm's bias is multiplied by its beta; one that is spread
    over the outputs, of shape [1, n], [1] or [], is [n], and one of several rows is an Add of its own. Every
    layer reads a bias of its own: what is done to a layer's channels is done to its bias.
    """
    fitted = ModelProto()
    fitted.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in fitted.graph.initializer}
    added: dict[str, TensorProto] = {}
    first: dict[str, int | None] = {}
    for node in list(fitted.graph.node):
        axis = _axis(node, constants)
        for place, name in enumerate(node.input):
            own = axis if place == _WEIGHT else None
            if name in constants and first.setdefault(name, own) != own:
                values = numpy_helper.to_array(constants[name])
                node.input[place] = _copy(added, values, f"{name}_axis_{own}")
        if node.op_type == "Gemm" and axis is not None:
            _fit_bias(node, constants, axis, added)
            _split_rows(fitted, node, {**constants, **added})
    fitted.graph.initializer.extend(added.values())
    _part_biases(fitted)
    _drop_unread(fitted)
    return fitted


def _axis(node: NodeProto, constants: Mapping[str, TensorProto]) -> int | None:
    """Return the axis of the channels of a layer's constant weight; None of what is no such layer."""
    if (
        node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul")
        or node.input[_WEIGHT] not in constants
    ):
        return None
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 0 if node.op_type == "Conv" else 1


def _fit_bias(
    node: NodeProto, constants: Mapping[str, TensorProto], axis: int, added: dict[str, TensorProto]
) -> None:
    """Let a Gemm read its bias multiplied by beta, and as [outputs] where it is the same for every row."""
    bias = constants.get(node.input[_BIAS]) if len(node.input) > _BIAS else None
    if bias is None:
        return
    weight = {**constants, **added}[node.input[_WEIGHT]]
    beta, outputs = attribute(node, "beta", 1.0), weight.dims[axis]
    values = numpy_helper.to_array(bias) * np.float32(str(beta))
    spread = list(bias.dims) != [outputs] and int(np.prod(bias.dims[:-1])) == 1
    if spread:
        values = np.broadcast_to(values.reshape(-1), outputs)
    if spread or beta != 1.0:
        node.input[_BIAS] = _copy(added, values, f"{bias.name}_{beta:g}_{outputs}")
        kept = [entry for entry in node.attribute if entry.name != "beta"]
        del node.attribute[:]
        node.attribute.extend(kept)


def _split_rows(model: ModelProto, node: NodeProto, constants: Mapping[str, TensorProto]) -> None:
    """Add a bias of several rows behind its Gemm: no scale per output stands for it."""
    bias = constants.get(node.input[_BIAS]) if len(node.input) > _BIAS else None
    if bias is None or len(bias.dims) != _MATRIX:
        return
    name, product = node.output[0], f"{node.output[0]}_product"
    del node.input[_BIAS]
    node.output[0] = product
    place = list(model.graph.node).index(node)
    model.graph.node.insert(
        place + 1, helper.make_node("Add", [product, bias.name], [name], name=f"{name}_rows")
    )


def _part_biases(model: ModelProto) -> None:
    """Let each layer whose bias something else reads as well read a copy."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in reads(node))
    readers.update(entry.name for entry in model.graph.output)
    copies: dict[str, TensorProto] = {}
    for node in model.graph.node:
        bias = node.input[_BIAS] if len(node.input) > _BIAS else ""
        if bias in constants and readers[bias] > 1 and _axis(node, constants) is not None:
            readers[bias] -= 1  # the last reader keeps it
            node.input[_BIAS] = _copy(
                copies, numpy_helper.to_array(constants[bias]), f"{bias}_of_{node.output[0]}"
            )
    model.graph.initializer.extend(copies.values())


def _copy(added: dict[str, TensorProto], values: NDArray[np.generic], name: str) -> str:
    if name not in added:
        added[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
    return name


def _drop_unread(model: ModelProto) -> None:
    """Take out the constants that others stand for now."""
    read = {name for node in model.graph.node for name in reads(node)}
    read |= {entry.name for entry in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
