"""A Q/DQ file without what nobody reads: for a small model it is an eighth of the file."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, defs, helper, numpy_helper

from edgebench.calibration.passes.channels import SCALED
from edgebench.calibration.passes.order import inner_graphs

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_WINDOWED = ("Conv", "MaxPool", "AveragePool")
_PLAIN = {"strides": 1, "dilations": 1, "pads": 0}
"""What the standard takes of a window along every axis where nothing is said; its schemas do not tell."""

_PREPARED = ("onnx.infer", "onnx.quant.pre_process")
"""Marks that onnxruntime's preparation leaves for its quantizer."""


def slim(model: ModelProto, *, scaled: Collection[str] = ()) -> ModelProto:
    """Return the graph that computes the same with fewer bytes.

    Left out are constants that are there twice, shapes that the runtime infers again, attributes that say
    what holds without them, operator sets of which nothing is used, names of Q/DQ nodes, and long names of
    what they give and of the constants that only they read. All other tensors and nodes keep their names.
    Zero points stay, also those that say zero: without one of the weights ONNX Runtime does not make one
    integer operator of a Gemm and its Q/DQ nodes (the digits' file took 86 µs a call instead of 35).
    scaled: tensors whose names are to say that they do not hold what those of these names hold in the
    float file.
    """
    slimmed = ModelProto()
    slimmed.CopyFrom(model)
    del slimmed.graph.value_info[:]
    for node in slimmed.graph.node:
        if node.op_type in _PAIR:
            node.name = ""
        node.ClearField("doc_string")
    _drop_defaults(slimmed)
    _drop_marks(slimmed)
    _rename(slimmed, {name: name + SCALED for name in scaled})
    _share(slimmed)
    _drop_unread(slimmed)
    _rename(slimmed, _shorter(slimmed))
    return slimmed


def _drop_defaults(model: ModelProto) -> None:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in model.graph.node:
        told = [entry for entry in node.attribute if not _is_default(node, entry, versions)]
        del node.attribute[:]
        node.attribute.extend(told)


def _is_default(node: NodeProto, entry: AttributeProto, versions: dict[str, int]) -> bool:
    if node.op_type in _WINDOWED and entry.name in _PLAIN:
        return set(entry.ints) == {_PLAIN[entry.name]}
    if not defs.has(node.op_type, node.domain):  # of ONNX Runtime's own operators
        return False
    schema = defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
    known = schema.attributes.get(entry.name)
    if known is None or known.default_value.type == AttributeProto.UNDEFINED:
        return False
    values = map(helper.get_attribute_value, (known.default_value, entry))
    return bool(next(values) == next(values))


def _drop_marks(model: ModelProto) -> None:
    """Leave out operator sets that no node is of, and what the quantizer's preparation noted."""
    used = {node.domain for node in _all_nodes(model.graph)} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain == "ai.onnx"]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    notes = [entry for entry in model.metadata_props if entry.key not in _PREPARED]
    del model.metadata_props[:]
    model.metadata_props.extend(notes)


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from _all_nodes(inner)


def _share(model: ModelProto) -> None:
    """Let every node read the first of equal constants."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    kept = {}
    for tensor in model.graph.initializer:
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        kept[tensor.name] = first.setdefault(key, tensor.name)
    for node in model.graph.node:
        node.input[:] = [kept.get(name, name) for name in node.input]


def _drop_unread(model: ModelProto) -> None:
    read = {name for node in model.graph.node for name in node.input}
    read |= {entry.name for entry in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _shorter(model: ModelProto) -> dict[str, str]:
    """Return short names for what Q/DQ nodes give, and for the constants that they alone read."""
    pairs = [node for node in model.graph.node if node.op_type in _PAIR]
    others = [node for node in model.graph.node if node.op_type not in _PAIR]
    inner = {name for node in others for graph in inner_graphs(node) for name in _names(graph)}
    fixed = {entry.name for entry in (*model.graph.input, *model.graph.output)} | inner
    elsewhere = fixed | {name for node in others for name in node.input}
    constants = [tensor.name for tensor in model.graph.initializer if tensor.name not in elsewhere]
    given = [name for node in pairs for name in node.output if name not in fixed]
    taken = {*_names(model.graph), *inner}
    free = (name for index in itertools.count() if (name := f"q{index}") not in taken)
    return dict(zip(dict.fromkeys([*given, *constants]), free, strict=False))


def _names(graph: GraphProto) -> Iterator[str]:
    """Yield every name that the nodes of a graph read or give."""
    for node in graph.node:
        yield from (*node.input, *node.output)
        for inner in inner_graphs(node):
            yield from _names(inner)


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
