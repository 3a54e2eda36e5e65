"""A small classifier as a TFLite file, made by hand: 16 numbers in, 4 classes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SHAPES = {"w1": (8, 16), "b1": (8,), "w2": (4, 8), "b2": (4,)}


def weights() -> dict[str, np.ndarray]:
    """Return the classifier's weights, float32."""
    source = np.random.default_rng(0)
    return {name: source.normal(size=shape).astype(np.float32) / 4 for name, shape in SHAPES.items()}


def save_tflite(
    path: Path,
    *,
    signature: bool = False,
    old_codes: bool = False,
    constants: dict[str, np.ndarray] | None = None,
    scale: float | None = None,
) -> Path:
    """Write two dense layers, relu between, to `path`; return the path.

    signature: the file has one. old_codes: operators are numbered as in 2020 and before. constants: in
    place of `weights()`. scale: of constants that are int8.
    """
    model = schema.ModelT()
    model.version, model.description = 3, "small"
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, model.subgraphs = [], [graph]
    places = {
        name: _tensor(model, name, array.shape, array, scale)
        for name, array in (constants or weights()).items()
    }
    places |= {name: _tensor(model, name, (1, size)) for name, size in (("x", 16), ("h", 8), ("logits", 4))}
    graph.inputs, graph.outputs = [places["x"]], [places["logits"]]
    graph.operators = [
        _dense([places[name] for name in ("x", "w1", "b1")], places["h"], relu=True),
        _dense([places[name] for name in ("h", "w2", "b2")], places["logits"], relu=False),
    ]
    code = schema.OperatorCodeT()
    number = schema.BuiltinOperator.FULLY_CONNECTED
    code.deprecatedBuiltinCode, code.builtinCode, code.version = number, 0 if old_codes else number, 1
    model.operatorCodes = [code]
    if signature:
        model.signatureDefs = [_signature(places)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(
    model: Any,
    name: str,
    shape: tuple[int, ...],
    values: np.ndarray | None = None,
    scale: float | None = None,
) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, list(shape), schema.TensorType.FLOAT32
    tensor.buffer = 0
    if values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
        if values.dtype == np.int8:
            tensor.type = schema.TensorType.INT8
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _dense(inputs: list[int], output: int, *, relu: bool) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [output]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    activation = schema.ActivationFunctionType
    operator.builtinOptions.fusedActivationFunction = activation.RELU if relu else activation.NONE
    return operator


def _signature(places: dict[str, int]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = ([_end(name, places[name])] for name in ("x", "logits"))
    return signature


def save_two_by_two(path: Path) -> Path:
    """Write a model of float32[3]: a - b and a + b, `difference` and `sum`, from `a` and `b`.

    Its signature has them the other way round: `second` is b and `first` is a; `total`, then `rest`.
    """
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    graph.tensors, graph.operators, model.operatorCodes = [], [], []
    for name in ("a", "b", "difference", "sum"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [3], schema.TensorType.FLOAT32
        graph.tensors.append(tensor)
    for place, kind in enumerate(("SUB", "ADD")):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        operator.opcodeIndex, operator.inputs, operator.outputs = place, [0, 1], [2 + place]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind.capitalize()}Options")
        operator.builtinOptions = getattr(schema, f"{kind.capitalize()}OptionsT")()
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [0, 1], [2, 3]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_end("second", 1), _end("first", 0)]
    signature.outputs = [_end("total", 3), _end("rest", 2)]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _end(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
