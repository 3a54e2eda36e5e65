"""Global pooling in integers whose means have a scale of their own.

LiteRT's int8 AVERAGE_POOL_2D gives its means in the scale of what it reads, most of which they never
reach: on MLPerf Tiny's ResNet-8 they were left 43 of 256 steps, four fifths of all noise. MEAN computes
the same and rescales.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np


def mean_pools(content: bytes, *, floats: Collection[str] = ()) -> bytes:
    """Return the float file with each AVERAGE_POOL_2D over a whole image as MEAN; without any, as it is.

    floats: tensors that are given in float, by name; there the scale is none.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    found = [operator for operator in graph.operators if _is_global(model, graph, operator)]
    pools = [pool for pool in found if graph.tensors[pool.outputs[0]].name.decode() not in floats]
    if not pools or any(buffer.offset > 1 for buffer in model.buffers):
        return content
    axes = _axes(model, graph)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MEAN
    code.version = 2  # the first with int8
    model.operatorCodes.append(code)
    for pool in pools:
        pool.opcodeIndex, pool.inputs = len(model.operatorCodes) - 1, [pool.inputs[0], axes]
        pool.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
        pool.builtinOptions = schema.ReducerOptionsT()
        pool.builtinOptions.keepDims = True
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _is_global(model: Any, graph: Any, operator: Any) -> bool:
    """Whether an operator takes the mean of a whole image, and nothing after it."""
    from ai_edge_litert import schema_py_generated as schema

    code, kinds = model.operatorCodes[operator.opcodeIndex], schema.BuiltinOperator
    if max(code.builtinCode, code.deprecatedBuiltinCode) != kinds.AVERAGE_POOL_2D:
        return False
    options = operator.builtinOptions
    _, *sides, _ = graph.tensors[operator.inputs[0]].shape
    _, *places, _ = graph.tensors[operator.outputs[0]].shape
    whole = [options.filterHeight, options.filterWidth] == list(sides) and list(places) == [1, 1]
    plain = options.fusedActivationFunction == schema.ActivationFunctionType.NONE
    return whole and plain and options.padding == schema.Padding.VALID


def _axes(model: Any, graph: Any) -> int:
    """Add the constant of the axes of height and width; return its tensor."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, tensor = schema.BufferT(), schema.TensorT()
    buffer.data = np.array([1, 2], np.int32).view(np.uint8)
    tensor.name, tensor.shape, tensor.type = "edgebench_height_and_width", [2], schema.TensorType.INT32
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
