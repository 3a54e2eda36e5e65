"""The layers of an fp32 TFLite file that may stay float when the others become int8."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgebench.exporters.inspect import stored_types
from edgebench.exporters.mixed_graph import LayerGraph, Operator

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")


def read_graph(base: Path) -> LayerGraph:
    """Return the main graph of a float file."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAsModel(base.read_bytes(), 0)
    body, constants = model.Subgraphs(0), stored_types(model)
    kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    operators = []
    for place in range(body.OperatorsLength()):
        operator = body.Operators(place)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "CUSTOM")
        read = [index for i in range(operator.InputsLength()) if (index := int(operator.Inputs(i))) >= 0]
        given = [int(operator.Outputs(i)) for i in range(operator.OutputsLength())]
        operators.append(
            Operator(
                kind=kind,
                inputs=tuple(_name(body, index) for index in read if index not in constants),
                outputs=tuple(_name(body, index) for index in given),
                multiplications=_multiplications(kind, body, read, given, constants),
            )
        )
    return LayerGraph(tuple(operators))


def _multiplications(
    kind: str, body: Any, read: list[int], given: list[int], constants: dict[int, int]
) -> int:
    """Return how often one sample is multiplied by a weight: each weight once at each place."""
    weights = [index for index in read if index in constants and len(_shape(body, index)) > 1]
    if kind not in _WEIGHTED or not weights:
        return 0
    placed = read[-1] if kind == "TRANSPOSE_CONV" else given[0]
    *places, _ = _shape(body, placed) or (1, 1)
    return math.prod(_shape(body, weights[0])) * max(1, math.prod(places))


def _name(body: Any, index: int) -> str:
    return str(body.Tensors(index).Name().decode())


def _shape(body: Any, index: int) -> tuple[int, ...]:
    tensor = body.Tensors(index)
    return tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
