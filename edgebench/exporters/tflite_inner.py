"""What a TFLite file's inner graphs hold, the conditions and bodies of WHILE and IF: it stays float."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebench.calibration.tflite_graph import TfliteGraph

_HOLDERS = ("WHILE", "IF", "CALL", "CALL_ONCE")


@dataclass(frozen=True, slots=True)
class Inner:
    """holders: operators that hold graphs, such as `WHILE loop`. results, ends: names of inner tensors."""

    holders: tuple[str, ...]
    results: tuple[str, ...]
    ends: tuple[str, ...]


def inner_graphs(content: bytes | bytearray) -> Inner:
    """Return what lies in the graphs that operators of the main graph hold."""
    from ai_edge_litert import schema_py_generated as schema

    main, model = TfliteGraph(content), schema.Model.GetRootAsModel(content, 0)
    held = [operator for operator in main.operators if operator.kind in _HOLDERS]
    graphs = [model.Subgraphs(place) for place in range(1, model.SubgraphsLength())] if held else []
    return Inner(
        holders=tuple(f"{o.kind} {main.name(o.outputs[0]) if o.outputs else ''}".rstrip() for o in held),
        results=tuple(name for graph in graphs for name in _results(graph)),
        ends=tuple(
            name
            for graph in graphs
            for name in _names(
                graph, (*np.atleast_1d(graph.InputsAsNumpy()), *np.atleast_1d(graph.OutputsAsNumpy()))
            )
        ),
    )


def unread_results(content: bytes | bytearray) -> list[str]:
    """Return the float results beside others of their operator that nothing reads.

    ai-edge-quantizer leaves them float where the others become integers, which no kernel takes: of a SPLIT
    of which one part is not used.
    """
    graph = TfliteGraph(content)
    read = {tensor for operator in graph.operators for tensor in operator.inputs} | set(graph.outputs)
    results = [o.outputs for o in graph.operators if len(o.outputs) > 1 and o.kind not in _HOLDERS]
    return [
        graph.name(tensor)
        for outputs in results
        for tensor in outputs
        if tensor not in read and graph.is_float(tensor)
    ]


def _results(graph: Any) -> list[str]:
    operators = (graph.Operators(place) for place in range(graph.OperatorsLength()))
    return [
        name for operator in operators for name in _names(graph, np.atleast_1d(operator.OutputsAsNumpy()))
    ]


def _names(graph: Any, tensors: Iterable[int]) -> list[str]:
    return [graph.Tensors(int(tensor)).Name().decode() for tensor in tensors if tensor >= 0]
