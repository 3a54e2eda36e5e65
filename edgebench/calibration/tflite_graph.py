"""A TFLite file's main graph, read and written where it lies: operators, tensors, constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Constant = NDArray[Any]

_FUSED = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MUL": "MulOptions",
    "SUB": "SubOptions",
}
"""The options of the operators that may end in an activation function."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator. kind: its name in the schema, as CONV_2D. inputs, outputs: tensors; no −1 for none."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    raw: Any

    def options(self, table: str) -> Any:
        """Return the operator's options, a table of the schema such as Conv2DOptions."""
        from ai_edge_litert import schema_py_generated as schema

        found, where = getattr(schema, table)(), self.raw.BuiltinOptions()
        found.Init(where.Bytes, where.Pos)
        return found

    @property
    def activation(self) -> str:
        """The function that its result goes through, as RELU; NONE where it is the result itself."""
        from ai_edge_litert import schema_py_generated as schema

        if self.kind not in _FUSED or self.raw.BuiltinOptions() is None:
            return "NONE"
        number = self.options(_FUSED[self.kind]).FusedActivationFunction()
        return _names(schema.ActivationFunctionType)[number]


class TfliteGraph:
    """The main graph of a file. Constants can be written where the content is a bytearray."""

    def __init__(self, content: bytes | bytearray) -> None:
        """Read the graph; the content must stay as long as it is used."""
        from ai_edge_litert import schema_py_generated as schema

        self._content = np.frombuffer(content, np.uint8)
        self._model = schema.Model.GetRootAsModel(content, 0)
        self._graph = self._model.Subgraphs(0)
        self._kinds = _names(schema.BuiltinOperator)
        self._types = _names(schema.TensorType)
        self.operators = [self._operator(place) for place in range(self._graph.OperatorsLength())]
        self.inputs = [int(index) for index in self._graph.InputsAsNumpy()]
        self.outputs = [int(index) for index in self._graph.OutputsAsNumpy()]
        self._tensors = [self._graph.Tensors(index) for index in range(self._graph.TensorsLength())]
        self._readers = Counter(self._read_buffers())

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self._tensors)

    def name(self, tensor: int) -> str:
        """Return a tensor's name."""
        return str(self._tensors[tensor].Name().decode())

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape, () of a scalar."""
        found = self._tensors[tensor]
        return tuple(int(size) for size in found.ShapeAsNumpy()) if found.ShapeLength() else ()

    def is_float(self, tensor: int) -> bool:
        """Whether a tensor holds float32."""
        return self._types[self._tensors[tensor].Type()] == "FLOAT32"

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values are in the file."""
        return bool(self._data(tensor).size)

    def is_own(self, tensor: int) -> bool:
        """Whether a tensor is a constant of floats that one operator reads, once."""
        read = self._readers[self._tensors[tensor].Buffer()]
        return self.is_float(tensor) and self.is_constant(tensor) and read == 1

    def constant(self, tensor: int) -> Constant:
        """Return a constant's values where they lie, float32, int32 or int64, in its shape."""
        kind = np.dtype(self._types[self._tensors[tensor].Type()].lower())
        found: Constant = self._data(tensor).view(kind).reshape(self.shape(tensor))
        return found

    def _data(self, tensor: int) -> Constant:
        """Return a tensor's bytes: in the flatbuffer, or behind it in files that have no room there."""
        buffer = self._model.Buffers(self._tensors[tensor].Buffer())
        if buffer.Offset() > 1:
            return self._content[buffer.Offset() : buffer.Offset() + buffer.Size()]
        return np.asarray(buffer.DataAsNumpy() if buffer.DataLength() else (), np.uint8)

    def _operator(self, place: int) -> Operator:
        found = self._graph.Operators(place)
        code = self._model.OperatorCodes(found.OpcodeIndex())
        return Operator(
            # The newer field holds numbers that the older one has no room for.
            kind=self._kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "CUSTOM"),
            inputs=_indices(found.InputsAsNumpy()),
            outputs=_indices(found.OutputsAsNumpy()),
            raw=found,
        )

    def _read_buffers(self) -> Iterator[int]:
        """Yield the buffer of every input of every operator, and of every output of a graph."""
        for place in range(self._model.SubgraphsLength()):
            graph = self._model.Subgraphs(place)
            operators = (graph.Operators(i) for i in range(graph.OperatorsLength()))
            for read in (graph.OutputsAsNumpy(), *(operator.InputsAsNumpy() for operator in operators)):
                yield from (graph.Tensors(index).Buffer() for index in _indices(read))


def _indices(found: Any) -> tuple[int, ...]:
    """Return tensors' indices; none of an empty list, which reads as the number 0."""
    return tuple(int(index) for index in np.atleast_1d(found) if index >= 0) if np.ndim(found) else ()


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
