"""What onnxruntime's tools lose of a graph, kept from them while they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onnx import GraphProto, ModelProto, TensorProto

from edgebench.calibration.passes.order import in_order, inner_graphs, reads

_COPY = "_inside"


def set_aside(model: ModelProto) -> tuple[ModelProto, Callable[[ModelProto], ModelProto]]:
    """Return the graph without what would be lost, and what puts it back into what was made of the graph.

    Set aside are outputs that no node gives, but that are inputs or constants, and constants that inner
    graphs read, the branches of an If or the body of a Loop. What else those read they read from an
    Identity: of a ReLU that becomes the clipping of a Q/DQ pair they would see the input.
    """
    plain = ModelProto()
    plain.CopyFrom(model)
    made = {name for node in model.graph.node for name in node.output}
    outputs = [(place, entry) for place, entry in enumerate(model.graph.output) if entry.name not in made]
    given = {entry.name for _, entry in outputs}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in given | _inner_reads(model)]
    _rename_readers(plain, {tensor.name: tensor for tensor in constants if tensor.name in given})
    kept = [entry for entry in model.graph.output if entry.name not in given]
    del plain.graph.output[:]
    plain.graph.output.extend(kept)
    _identify(plain, made | {entry.name for entry in model.graph.input})

    def put_back(result: ModelProto) -> ModelProto:
        whole = ModelProto()
        whole.CopyFrom(result)
        for place, entry in outputs:
            whole.graph.output.insert(place, entry)
        there = {tensor.name for tensor in result.graph.initializer}
        whole.graph.initializer.extend(tensor for tensor in constants if tensor.name not in there)
        return whole

    return in_order(plain), put_back


def _inner_reads(model: ModelProto) -> set[str]:
    graphs = (graph for node in model.graph.node for graph in inner_graphs(node))
    return {name for graph in graphs for node in graph.node for name in reads(node)}


def _identify(model: ModelProto, known: set[str]) -> None:
    """Let inner graphs read what the graph computes or takes from Identity nodes of the graph."""
    names = sorted(_inner_reads(model) & known)
    for name in names:
        identity = model.graph.node.add()
        identity.op_type, identity.name = "Identity", f"{name}{_COPY}"
        identity.input.append(name)
        identity.output.append(f"{name}{_COPY}")
    for node in model.graph.node:
        for graph in inner_graphs(node):
            _rename(graph, names)


def _rename(graph: GraphProto, names: Sequence[str]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in names:
                node.input[place] = name + _COPY
        for inner in inner_graphs(node):
            _rename(inner, names)


def _rename_readers(model: ModelProto, given: dict[str, TensorProto]) -> None:
    """Let the nodes read copies of the constants that the graph gives."""
    for tensor in given.values():
        copy = model.graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = tensor.name + _COPY
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in given:
                node.input[place] = name + _COPY
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in given]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
