"""A small image classifier, its data and its Q/DQ file, made by hand: the ladder's tests break them.

The labels are the classifier's own answers, to images of which it is sure: a faultless ladder loses
nothing, and every loss in a test is the fault that the test planted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgebench.datasets import Preprocessing
from edgebench.options import parse_preprocessing
from edgebench.preprocess import apply

STEPS = "{scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: nchw}"
"""What the classifier takes: ImageNet's mean and deviation."""
UNIT = "{scale: 0.00392156862745098, layout: nchw}"
_CLASSES = 6


@dataclass(frozen=True)
class Case:
    """The classifier's file, its Q/DQ file, its data, and the images that the Q/DQ file was made on."""

    model: Path
    quantized: Path
    data: Path
    images: np.ndarray

    def quantize(self, model: Path, out: Path, steps: str = STEPS) -> Path:
        """Write the Q/DQ file of `model`, calibrated on the images prepared by `steps`; return its path."""
        return quantize(model, out, apply(self.images[:64], parse_preprocessing(steps)))


def make_case(folder: Path) -> Case:
    """Write classifier, Q/DQ file and 200 labelled images to `folder`."""
    source = np.random.default_rng(5)
    casts = source.uniform(20, 235, (1200, 1, 1, 3))
    images = np.clip(casts + source.normal(0, 25, (1200, 10, 10, 3)), 0, 255).astype(np.uint8)
    model = _classifier(folder / "net.onnx", source)
    steps: Preprocessing = parse_preprocessing(STEPS)
    scores = run(model, apply(images, steps))
    _shift(model, -scores.mean(0))
    scores = run(model, apply(images, steps))
    ordered = np.sort(scores, 1)
    sure = np.argsort(ordered[:, -2] - ordered[:, -1])[:200]
    data = folder / "data.npz"
    np.savez(data, x=images[sure], y=scores[sure].argmax(1))
    quantized = quantize(model, folder / "net.w8a8.onnx", apply(images[:64], steps))
    return Case(model, quantized, data, images)


def run(model: Path, inputs: np.ndarray) -> np.ndarray:
    """Return the first output for all inputs at once."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {session.get_inputs()[0].name: inputs})[0]
    return answer


def quantize(model: Path, out: Path, inputs: np.ndarray, *, bits: int = 7) -> Path:
    """Write `model` as Q/DQ with uint8 activations and int8 weights of so many bits; return `out`."""
    name = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    quantize_static(
        model,
        out,
        _Reader(name, inputs),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=bits == 7,
    )
    return out


def edit(model: Path, out: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Write `model` with a change to `out`; return `out`."""
    network = onnx.load(model)
    change(network)
    onnx.save(network, out)
    return out


def scale_weights(network: onnx.ModelProto, name: str, factor: float) -> None:
    """Multiply a constant."""
    stored = next(tensor for tensor in network.graph.initializer if tensor.name == name)
    changed = numpy_helper.to_array(stored) * np.float32(factor)
    stored.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), name))


def scale_dequantize(network: onnx.ModelProto, tensor: str, factor: float) -> None:
    """Multiply the scale of the DequantizeLinear behind `tensor`, and of no QuantizeLinear."""
    node = next(
        node
        for node in network.graph.node
        if node.op_type == "DequantizeLinear"
        and (node.output[0] == tensor or node.output[0].startswith(f"{tensor}_DequantizeLinear"))
    )
    stored = next(entry for entry in network.graph.initializer if entry.name == node.input[1])
    changed = numpy_helper.to_array(stored) * np.float32(factor)
    network.graph.initializer.append(numpy_helper.from_array(changed, f"{node.input[1]}_broken"))
    node.input[1] = f"{node.input[1]}_broken"


def save_overflowing(folder: Path) -> tuple[Path, Path, Path]:
    """Write a model whose 8×8-bit products overflow 16 bits, its Q/DQ file of 8-bit weights, and data."""
    source = np.random.default_rng(2)
    width = 64
    signs = np.where(source.random((width, 12)) < 0.5, -1.0, 1.0)
    signs[1::2] = signs[0::2]  # neighbours along the sum have one sign: pairs of products add up
    weights = {
        "w1": (signs * source.uniform(0.9, 1.0, (width, 12))).astype(np.float32),
        "w2": source.normal(size=(12, _CLASSES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="wide"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["logits"], name="classes"),
    ]
    model = _save(folder / "wide.onnx", nodes, weights, ["batch", width])
    inputs = source.uniform(0.75, 1.0, (800, width)).astype(np.float32)
    inputs[:, ::8] *= source.random((800, width // 8)) < 0.5
    scores = run(model, inputs)
    np.savez(folder / "wide.npz", x=inputs[:200], y=scores[:200].argmax(1))
    return model, quantize(model, folder / "wide.w8a8.onnx", inputs[200:264], bits=8), folder / "wide.npz"


class _Reader(CalibrationDataReader):
    def __init__(self, name: str, inputs: np.ndarray) -> None:
        self._rows = iter([{name: inputs[i : i + 1]} for i in range(len(inputs))])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next sample, None behind the last."""
        return next(self._rows, None)


def _classifier(path: Path, source: np.random.Generator) -> Path:
    shapes = {"w1": (8, 3, 3, 3), "w2": (16, 8, 3, 3), "w3": (16, _CLASSES)}
    weights = {
        name: (source.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    weights["b3"] = np.zeros(_CLASSES, np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["logits"], name="classes"),
    ]
    return _save(path, nodes, weights, ["batch", 3, 10, 10])


def _save(
    path: Path, nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray], shape: Sequence[str | int]
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(nodes[0].input[0], TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", _CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _shift(model: Path, by: np.ndarray) -> None:
    network = onnx.load(model)
    stored = next(tensor for tensor in network.graph.initializer if tensor.name == "b3")
    stored.CopyFrom(numpy_helper.from_array(by.astype(np.float32), "b3"))
    onnx.save(network, model)
