"""The models that fidelity.py measures: one chain of convolutions, written as ONNX and as TFLite by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 10
_KERNEL = 3


@dataclass(frozen=True, slots=True)
class Network:
    """`layers` convolutions of 3×3 with ReLU on side×side×channels, then the mean over the image.

    The input is float32[1, side, side, channels] as TFLite, channels first as ONNX; the last
    convolution gives the 10 scores.
    """

    name: str
    side: int
    channels: int
    layers: int

    def weights(self) -> list[np.ndarray]:
        """Return float32[out, 3, 3, in] of each layer, scaled so that activations neither die nor grow."""
        source = np.random.default_rng(0)
        sizes = [self.channels] * self.layers + [CLASSES]
        scale = np.sqrt(2 / (_KERNEL * _KERNEL * self.channels))
        return [
            source.normal(scale=scale, size=(out, _KERNEL, _KERNEL, self.channels)).astype(np.float32)
            for out in sizes[1:]
        ]


def write_onnx(network: Network, path: Path) -> None:
    """Write the network to `path` as ONNX, opset 13."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, last = [], [], "x"
    for index, weight in enumerate(network.weights()):
        constants.append(
            numpy_helper.from_array(np.ascontiguousarray(weight.transpose(0, 3, 1, 2)), f"w{index}")
        )
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last = f"r{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["scores"]))
    taken = [1, network.channels, network.side, network.side]
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def write_tflite(network: Network, path: Path) -> None:
    """Write the network to `path` as a TFLite flatbuffer; only LiteRT's own schema is needed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    writer = _Writer(schema)
    shape = [1, network.side, network.side, network.channels]
    first = last = writer.tensor("x", shape)
    for index, weight in enumerate(network.weights()):
        shape = [*shape[:3], len(weight)]
        constants = [
            writer.tensor(f"w{index}", weight.shape, weight),
            writer.tensor(f"b{index}", [len(weight)], np.zeros(len(weight), np.float32)),
        ]
        given = writer.tensor(f"c{index}", shape)
        writer.convolution([last, *constants], given)
        last = given
    axes = writer.tensor("axes", [2], np.array([1, 2], np.int32))
    scores = writer.tensor("scores", [1, CLASSES])
    writer.mean([last, axes], scores)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(writer.model([first], [scores]).Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


class _Writer:
    """Collects tensors and operators of a TFLite model's one subgraph."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._buffers: list[Any] = [schema.BufferT()]  # the first means: no content
        self._tensors: list[Any] = []
        self._operators: list[Any] = []

    def tensor(self, name: str, shape: tuple[int, ...] | list[int], content: Any = None) -> int:
        """Add a tensor, float32 unless its content is of another type; return its index."""
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), 0
        integers = content is not None and content.dtype == np.int32
        tensor.type = self._schema.TensorType.INT32 if integers else self._schema.TensorType.FLOAT32
        if content is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def convolution(self, inputs: list[int], output: int) -> None:
        """Add a convolution with ReLU, stride 1, the image's size kept."""
        options = self._schema.Conv2DOptionsT()
        options.padding = self._schema.Padding.SAME
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = self._schema.ActivationFunctionType.RELU
        self._operator(0, inputs, output, self._schema.BuiltinOptions.Conv2DOptions, options)

    def mean(self, inputs: list[int], output: int) -> None:
        """Add a mean over axes."""
        options = self._schema.ReducerOptionsT()
        options.keepDims = False
        self._operator(1, inputs, output, self._schema.BuiltinOptions.ReducerOptions, options)

    def _operator(self, code: int, inputs: list[int], output: int, kind: int, options: Any) -> None:
        operator = self._schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._operators.append(operator)

    def model(self, inputs: list[int], outputs: list[int]) -> Any:
        """Return the whole as the schema's model."""
        graph = self._schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = (
            self._tensors,
            self._operators,
            inputs,
            outputs,
        )
        model = self._schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        builtin = self._schema.BuiltinOperator
        model.operatorCodes = [self._code(builtin.CONV_2D), self._code(builtin.MEAN)]
        return model

    def _code(self, builtin: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        return code
