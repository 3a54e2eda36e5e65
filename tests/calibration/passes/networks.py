"""Small graphs for the passes, and what they answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import observe
from edgebench.calibration.passes.onnx import adapt
from edgebench.calibration.watch import watch_onnx

SIDE = 8


def residual_network(*, channels: int = 8, depth: int = 2, classes: int = 10) -> ModelProto:
    """Return stem, `depth` residual blocks of two convolutions each, pooling and classes; seed 0."""
    rng = np.random.default_rng(0)
    nodes: list[Any] = []
    constants: list[Any] = []

    def weights(name: str, *shape: int) -> list[str]:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        values = rng.normal(scale=scale, size=shape).astype(np.float32)
        constants.append(numpy_helper.from_array(values, f"{name}_w"))
        bias = rng.normal(scale=0.1, size=shape[0]).astype(np.float32)
        constants.append(numpy_helper.from_array(bias, f"{name}_b"))
        return [f"{name}_w", f"{name}_b"]

    def conv(name: str, taken: str, before: int) -> str:
        names = [taken, *weights(name, channels, before, 3, 3)]
        nodes.append(
            helper.make_node("Conv", names, [f"{name}_y"], name=name, kernel_shape=[3, 3], pads=[1] * 4)
        )
        return f"{name}_y"

    def relu(taken: str) -> str:
        nodes.append(helper.make_node("Relu", [taken], [f"{taken}_r"]))
        return f"{taken}_r"

    last = relu(conv("stem", "x", 3))
    for block in range(depth):
        inner = conv(f"second{block}", relu(conv(f"first{block}", last, channels)), channels)
        nodes.append(helper.make_node("Add", [inner, last], [f"sum{block}"]))
        last = relu(f"sum{block}")
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"))
    names = ["flat", *weights("classes", classes, channels)]
    nodes.append(helper.make_node("Gemm", names, ["logits"], name="classes", transB=1))
    return model_of(nodes, [1, 3, SIDE, SIDE], [1, classes], constants, output="logits")


def model_of(
    nodes: list[Any], taken: list[int], given: list[int], constants: list[Any], *, output: str = "y"
) -> ModelProto:
    """Return a graph from x to `output`, opset 17, shapes inferred."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, given)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def samples(count: int, shape: tuple[int, ...] = (3, SIDE, SIDE), seed: int = 1) -> list[list[Any]]:
    """Return images whose neighbouring pixels are alike, as pictures' are."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(count, 1, *shape)).cumsum(axis=-1) / 2
    return [[image.astype(np.float32)] for image in base + 0.5]


def session(model: ModelProto) -> Any:
    """Return the graph opened in ONNX Runtime on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def answers(opened: Any, given: list[list[Any]]) -> NDArray[np.float64]:
    """Return the first output for every sample, one after the other."""
    name = opened.get_inputs()[0].name
    found = [opened.run(None, {name: sample[0]})[0] for sample in given]
    return np.concatenate(found).astype(np.float64)


def noise(wanted: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the signal to noise ratio, dB."""
    return float(10 * np.log10((wanted**2).sum() / ((wanted - found) ** 2).sum()))


def quantized(
    model: Path, given: list[list[Any]], folder: Path, *, bits: int
) -> tuple[ModelProto, ModelProto]:
    """Return Q/DQ of an fp32 file as onnxruntime makes it, without and with the passes; same ranges."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = folder / "prepared.onnx"
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    network = onnx.shape_inference.infer_shapes(onnx.load(prepared))
    ranges = {name: observe(v, Method.MSE) for name, v in watch_onnx(prepared, given).items()}
    adapted = adapt(network, given, bits=bits, method=Method.MSE)
    plain = quantize(network, ranges, [], bits=bits)
    return plain, quantize(adapted.model, ranges | adapted.ranges, adapted.floats, bits=bits)


def quantize(
    model: ModelProto, ranges: dict[str, Any], floats: list[str], *, bits: int, outputs: bool = True
) -> ModelProto:
    """Return Q/DQ with uint8 activations and int8 weights per channel. outputs: of products too."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    copied = ModelProto()
    copied.CopyFrom(model)
    given = {
        n: TensorData(lowest=np.float32(r.lowest), highest=np.float32(r.highest)) for n, r in ranges.items()
    }
    tool = QDQQuantizer(
        copied,
        per_channel=True,
        reduce_range=bits < 8,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, given),
        nodes_to_quantize=[],
        nodes_to_exclude=floats,
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Relu", "GlobalAveragePool", "Flatten"],
        extra_options={} if outputs else {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    tool.quantize_model()
    tool.model.topological_sort()
    made: ModelProto = tool.model.model
    return made
