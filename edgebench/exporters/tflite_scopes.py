"""Operators as ai-edge-quantizer's recipes name them: by all the tensors that one gives."""

from __future__ import annotations

import re
from collections.abc import Collection


def pattern_of(content: bytes | bytearray, given: Collection[str]) -> str:
    """Return the pattern of exactly the operators that give one of these tensors, in any of a file's graphs.

    A tensor's name with a semicolon behind it is not enough: TensorFlow's names of fused operators hold
    semicolons themselves.
    """
    from ai_edge_litert import schema_py_generated as schema

    model, scopes = schema.ModelT.InitFromPackedBuf(content, 0), []
    for graph in model.subgraphs:
        for operator in graph.operators:
            names = [graph.tensors[index].name.decode() for index in operator.outputs if index >= 0]
            if not set(given).isdisjoint(names):
                scopes.append("".join(f"{name};" for name in names if name))
    return f"^(?:{'|'.join(map(re.escape, dict.fromkeys(scopes)))})$"
