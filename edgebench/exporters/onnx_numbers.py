"""Names that tf2onnx numbers as it goes, another way each time, numbered in the order of the graph."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from onnx import GraphProto, ModelProto

from edgebench.calibration.passes.order import inner_graphs

_NUMBERED = re.compile(r"(.*__)\d+(:\d+)?")


def renumbered(network: ModelProto) -> ModelProto:
    """Return the graph whose numbered tensors and nodes, as `Transpose__30:0`, count from 0.

    Inputs and outputs keep their names. Two conversions of one model then give one file, and a
    calibration table knows the tensors again.
    """
    kept = {entry.name for entry in (*network.graph.input, *network.graph.output)}
    new: dict[str, str] = {}
    numbers = itertools.count()
    for name in _names(network.graph):
        found = _NUMBERED.fullmatch(name)
        if found and name not in kept and name not in new:
            given = (f"{found[1]}{number}{found[2] or ''}" for number in numbers)
            new[name] = next(fresh for fresh in given if fresh not in kept)
    counted = ModelProto()
    counted.CopyFrom(network)
    _rename(counted.graph, new)
    return counted


def _names(graph: GraphProto) -> Iterator[str]:
    """Yield the names of a graph's nodes and tensors in the order of computing, inner graphs' too."""
    for node in graph.node:
        yield from (*node.input, node.name, *node.output)
        for inner in inner_graphs(node):
            yield from (entry.name for entry in (*inner.input, *inner.output))
            yield from _names(inner)
    yield from (tensor.name for tensor in graph.initializer)


def _rename(graph: GraphProto, new: dict[str, str]) -> None:
    for entry in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        entry.name = new.get(entry.name, entry.name)
    for node in graph.node:
        node.name = new.get(node.name, node.name)
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
        for inner in inner_graphs(node):
            _rename(inner, new)
