"""A Q/DQ file without what nobody reads: for a small model it is an eighth of the file."""

from __future__ import annotations

from onnx import ModelProto, numpy_helper

_PAIR = ("QuantizeLinear", "DequantizeLinear")


def slim(model: ModelProto) -> ModelProto:
    """Return the graph that computes the same with fewer bytes.

    Constants that are there twice; shapes that the runtime infers again; names of Q/DQ nodes, and long
    names of what they give. All other tensors and nodes, and the constants, keep their names. Zero points
    stay, also those that say zero: without one of the weights ONNX Runtime does not make one integer
    operator of a Gemm and its Q/DQ nodes (the digits' file took 86 µs a call instead of 35).
    """
    slimmed = ModelProto()
    slimmed.CopyFrom(model)
    del slimmed.graph.value_info[:]
    for node in slimmed.graph.node:
        if node.op_type in _PAIR:
            node.name = ""
    _rename(slimmed, _shared(slimmed))
    _drop_unread(slimmed)
    _rename(slimmed, _shorter(slimmed))
    return slimmed


def _shared(model: ModelProto) -> dict[str, str]:
    """Return, for every constant, the first one that is equal to it."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    kept = {}
    for tensor in model.graph.initializer:
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        kept[tensor.name] = first.setdefault(key, tensor.name)
    return kept


def _drop_unread(model: ModelProto) -> None:
    read = {name for node in model.graph.node for name in node.input}
    read |= {entry.name for entry in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _shorter(model: ModelProto) -> dict[str, str]:
    """Return short names for what Q/DQ nodes give."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    fixed = {entry.name for entry in (*model.graph.input, *model.graph.output)}
    pairs = [node for node in model.graph.node if node.op_type in _PAIR]
    between = dict.fromkeys(name for node in pairs for name in node.output)
    free = (name for index in range(2 * len(taken) + 1) if (name := f"q{index}") not in taken)
    return {name: next(free) for name in between if name not in fixed}


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)
