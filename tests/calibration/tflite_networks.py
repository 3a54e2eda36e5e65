"""Small TFLite graphs, written with the schema itself, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

CODES = vars(schema.BuiltinOperator)
FUNCTIONS = vars(schema.ActivationFunctionType)


class Network:
    """A graph under way, with one input x. Each method adds an operator and returns what it gives."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        """Begin with the input, float32[shape]."""
        self.rng = np.random.default_rng(seed)
        self._model, self._graph = schema.ModelT(), schema.SubGraphT()
        self._model.version, self._model.subgraphs, self._model.operatorCodes = 3, [self._graph], []
        self._model.buffers = [schema.BufferT()]
        self._graph.name, self._graph.tensors, self._graph.operators = "main", [], []
        self.x = self.tensor("x", shape)
        self._graph.inputs, self._graph.outputs = [self.x], []

    def tensor(self, name: str, shape: Sequence[int], values: Any = None) -> int:
        """Add a tensor; a constant one where there are values."""
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), len(self._model.buffers)
        if values is not None:
            kinds = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}
            tensor.type = kinds[values.dtype.name]
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def constant(self, name: str, values: Any) -> int:
        """Add a constant, its values as they are."""
        return self.tensor(name, values.shape, values)

    def random(self, name: str, *shape: int, scale: float | None = None) -> int:
        """Add constant weights."""
        scale = np.sqrt(2 / np.prod(shape[1:])) if scale is None else scale
        return self.constant(name, self.rng.normal(scale=scale, size=shape).astype(np.float32))

    def shape(self, tensor: int) -> list[int]:
        """Return a tensor's shape."""
        return list(self._graph.tensors[tensor].shape)

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        table: str = "",
        **options: Any,
    ) -> int:
        """Add an operator whose result is `name`; table: of its options."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = CODES[kind]
        code.version = 1
        operator.opcodeIndex, operator.inputs = len(self._model.operatorCodes), list(inputs)
        if table:
            operator.builtinOptionsType = vars(schema.BuiltinOptions)[table]
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self._model.operatorCodes.append(code)
        operator.outputs = [self.tensor(name, shape)]
        self._graph.operators.append(operator)
        return int(operator.outputs[0])

    def conv(self, taken: int, outputs: int, name: str, *, kernel: int = 3, **settings: Any) -> int:
        """Add a CONV_2D with random weights, or a DEPTHWISE_CONV_2D with `multiplier`; see _options."""
        channels, multiplier = self.shape(taken)[-1], settings.get("multiplier")
        groups = settings.get("groups", 1)
        weights = (
            (1, kernel, kernel, outputs) if multiplier else (outputs, kernel, kernel, channels // groups)
        )
        scale = np.sqrt(2 / (kernel**2 * (1 if multiplier else channels)))
        inputs = [taken, self.random(f"{name}_w", *weights, scale=scale)]
        inputs += [self.random(f"{name}_b", outputs, scale=0.1)] if settings.get("bias", True) else []
        options = _options(**settings)
        sides = [
            _places(size, kernel, options, axis)
            for size, axis in zip(self.shape(taken)[1:3], "HW", strict=True)
        ]
        kind = "DEPTHWISE_CONV_2D" if multiplier else "CONV_2D"
        table = "DepthwiseConv2DOptions" if multiplier else "Conv2DOptions"
        return self.operator(kind, inputs, name, [1, *sides, outputs], table, **options)

    def dense(self, taken: int, outputs: int, name: str, *, act: str = "NONE") -> int:
        """Add a FULLY_CONNECTED with random weights."""
        columns = self.shape(taken)[-1]
        inputs = [
            taken,
            self.random(f"{name}_w", outputs, columns),
            self.random(f"{name}_b", outputs, scale=0.1),
        ]
        function = FUNCTIONS[act]
        table = "FullyConnectedOptions"
        return self.operator(
            "FULLY_CONNECTED", inputs, name, [1, outputs], table, fusedActivationFunction=function
        )

    def add(self, first: int, second: int, name: str, *, act: str = "NONE") -> int:
        """Add an ADD of two tensors of one shape."""
        shape, function = self.shape(first), FUNCTIONS[act]
        return self.operator(
            "ADD", [first, second], name, shape, "AddOptions", fusedActivationFunction=function
        )

    def pool(self, taken: int, name: str) -> int:
        """Add an AVERAGE_POOL_2D over the whole image."""
        _, high, wide, channels = self.shape(taken)
        options = {"strideH": high, "strideW": wide, "filterHeight": high, "filterWidth": wide, "padding": 1}
        return self.operator(
            "AVERAGE_POOL_2D", [taken], name, [1, 1, 1, channels], "Pool2DOptions", **options
        )

    def reshape(self, taken: int, name: str, *shape: int) -> int:
        """Add a RESHAPE."""
        to = self.constant(f"{name}_to", np.array(shape, np.int32))
        return self.operator("RESHAPE", [taken, to], name, shape, "ReshapeOptions", newShape=list(shape))

    def softmax(self, taken: int, name: str) -> int:
        """Add a SOFTMAX."""
        return self.operator("SOFTMAX", [taken], name, self.shape(taken), "SoftmaxOptions", beta=1.0)

    def content(self, *outputs: int) -> bytes:
        """Return the file with these outputs."""
        self._graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def save(self, path: Path, *outputs: int) -> Path:
        """Write the file with these outputs."""
        path.write_bytes(self.content(*outputs))
        return path


def classifier(path: Path, *, channels: int = 16, classes: int = 4) -> Path:
    """Write a small residual network for float32[1, 8, 8, 3], pooled, with probabilities at its end."""
    net = Network(1, 8, 8, 3)
    stem = net.conv(net.x, channels, "stem", act="RELU")
    inner = net.conv(net.conv(stem, channels, "first", act="RELU"), channels, "second")
    total = net.add(inner, stem, "sum", act="RELU")
    flat = net.reshape(
        net.pool(net.conv(total, channels, "third", act="RELU"), "pooled"), "flat", 1, channels
    )
    return net.save(path, net.softmax(net.dense(flat, classes, "logits"), "scores"))


def _options(**settings: Any) -> dict[str, Any]:
    """Return a convolution's options from same, stride, dilation, act and multiplier."""
    stride, dilation = settings.get("stride", (1, 1)), settings.get("dilation", (1, 1))
    found = {
        "padding": schema.Padding.SAME if settings.get("same", True) else schema.Padding.VALID,
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": FUNCTIONS[settings.get("act", "NONE")],
    }
    return found | ({"depthMultiplier": settings["multiplier"]} if "multiplier" in settings else {})


def _places(size: int, kernel: int, options: dict[str, Any], axis: str) -> int:
    """Return how often a window is laid along one side: as many as LiteRT lays, or it refuses the file."""
    stride, span = options[f"stride{axis}"], (kernel - 1) * options[f"dilation{axis}Factor"] + 1
    whole = size if options["padding"] == schema.Padding.SAME else size - span + 1
    return -(-whole // stride)


def run(model: Path, sample: Any, *names: str) -> list[np.ndarray]:
    """Return what a file's tensors of these names are for one sample; of no names its outputs."""
    from edgebench.calibration.tflite_tap import invoke, keeping_tensors

    opened = keeping_tensors(model)
    invoke(opened, [sample])
    found = {detail["name"]: detail["index"] for detail in opened.get_tensor_details()}
    indices = [found[name] for name in names] or [entry["index"] for entry in opened.get_output_details()]
    return [opened.get_tensor(index) for index in indices]


def answers(model: Path, given: Sequence[Sequence[Any]]) -> np.ndarray:
    """Return the first output for every sample, one after the other."""
    return np.concatenate([run(model, sample[0])[0] for sample in given]).astype(np.float64)


def stored(model: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the weights of a file by what their layer gives: values, and scales, none where float."""
    from ai_edge_litert.interpreter import Interpreter

    from edgebench.calibration.tflite_graph import TfliteGraph

    opened, graph = Interpreter(model_path=str(model)), TfliteGraph(model.read_bytes())
    opened.allocate_tensors()
    details = {detail["index"]: detail for detail in opened.get_tensor_details()}
    weights = {
        graph.name(operator.outputs[0]).removesuffix("/scaled"): operator.inputs[1]
        for operator in graph.operators
        if len(operator.inputs) > 1 and graph.is_constant(operator.inputs[1])
    }
    return {
        given: (opened.get_tensor(index), details[index]["quantization_parameters"]["scales"])
        for given, index in weights.items()
    }


def images(count: int, *shape: int, seed: int = 1) -> list[list[Any]]:
    """Return samples whose neighbouring values are alike, as pictures' are, float32[1, *shape]."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(count, 1, *shape)).cumsum(axis=-2) / 2
    return [[image.astype(np.float32)] for image in base + 0.5]
