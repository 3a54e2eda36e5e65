"""The nodes of an ONNX graph in the order in which the standard asks for them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto


def in_order(model: ModelProto) -> ModelProto:
    """Return the graph with each node behind those whose results it reads, else in the order it had.

    What the graphs within a node, the branches of an If or the body of a Loop, read of this one counts
    as read by the node; onnxruntime's own sorting does not look into them.
    """
    nodes = list(model.graph.node)
    made = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    waits = [{made[name] for name in reads(node) if name in made} for node in nodes]
    readers = defaultdict(list)
    for place, needed in enumerate(waits):
        for other in needed:
            readers[other].append(place)
    ready = [place for place, needed in enumerate(waits) if not needed]
    order: list[int] = []
    while ready:
        place = heapq.heappop(ready)
        order.append(place)
        for reader in readers[place]:
            waits[reader].discard(place)
            if not waits[reader]:
                heapq.heappush(ready, reader)
    ordered = ModelProto()
    ordered.CopyFrom(model)
    del ordered.graph.node[:]
    ordered.graph.node.extend(nodes[place] for place in order)
    return ordered


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs within a node: branches and bodies."""
    for entry in node.attribute:
        if entry.HasField("g"):
            yield entry.g
        yield from entry.graphs


def control_flow(model: ModelProto) -> list[str]:
    """Return operator and name of the nodes that hold graphs, such as `If choice`."""
    return [f"{node.op_type} {node.name}" for node in model.graph.node if next(inner_graphs(node), None)]


def reads(node: NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, also in the graphs within it: there names are not used again."""
    yield from node.input
    for graph in inner_graphs(node):
        for inner in graph.node:
            yield from reads(inner)
        yield from (entry.name for entry in graph.output)
