"""How an ONNX graph is quantized for a target: its integers, and which tensors have Q/DQ nodes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Precision
from edgebench.calibration.target import Arithmetic, Target

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_LAYERS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
_INT8_BITS = 8
_OPSET_OF_INT16 = 21
_W8A16 = Arithmetic(activation_bits=16)
"""ONNX Runtime multiplies in float between 16-bit Q/DQ nodes, on any target: no product saturates."""


def arithmetic_of(precision: Precision, target: Target) -> Arithmetic:
    """Return what the integers of an ONNX file of a precision for a target are like."""
    return _W8A16 if precision is Precision.W8A16 else target.arithmetic


def quantizer_settings(arithmetic: Arithmetic, *, products_alone: bool) -> dict[str, Any]:
    """Return what onnxruntime's QDQQuantizer takes beside the graph and its ranges.

    products_alone: what a product of a transformer gives goes on as float, so that it loses nothing.
    With `layers_only` the placement is the one that TensorRT's manual recommends: what layers read is
    quantized, each reader behind a pair of its own, what they give and their biases are not.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    kinds = {
        (8, False): QuantType.QUInt8,
        (8, True): QuantType.QInt8,
        (16, False): QuantType.QUInt16,
        (16, True): QuantType.QInt16,
    }
    options: dict[str, Any] = {"ActivationSymmetric": arithmetic.symmetric}
    if products_alone:
        options["OpTypesToExcludeOutputQuantization"] = ["MatMul", "Gemm"]
    operators = [*dict.fromkeys([*QLinearOpsRegistry, *QDQRegistry])]
    if arithmetic.layers_only:
        operators = _LAYERS
        options |= {
            "OpTypesToExcludeOutputQuantization": _LAYERS,
            "QuantizeBias": False,
            "DedicatedQDQPair": True,
        }
    return {
        "per_channel": True,
        "reduce_range": arithmetic.weight_bits < _INT8_BITS,
        "weight_qType": QuantType.QInt8,
        "activation_qType": kinds[arithmetic.activation_bits, arithmetic.signed],
        "nodes_to_quantize": [],
        "op_types_to_quantize": operators,
        "extra_options": options,
    }


def residual_inputs(model: ModelProto) -> list[tuple[str, NodeProto]]:
    """Return what is added to a layer's output, and the Add, which TensorRT does in the layer's kernel.

    Of two layers that are added, the one that comes last in the graph does the sum.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    layers = {
        node.output[0]: place
        for place, node in enumerate(model.graph.node)
        if node.op_type in _LAYERS and readers[node.output[0]] == 1
    }
    found = []
    for node in model.graph.node:
        if node.op_type == "Add" and not constants & set(node.input):
            first, second = node.input
            if {first, second} & set(layers):
                last_is_first = layers.get(first, -1) > layers.get(second, -1)
                found.append((second if last_is_first else first, node))
    return found


def of_opset_for(arithmetic: Arithmetic, model: ModelProto) -> ModelProto:
    """Return the graph in an opset that has Q/DQ nodes for its integers; as it is where it has no other.

    Before opset 21 there are no 16-bit ones but those of com.microsoft, which onnxruntime's quantizer
    takes for a graph that does not convert.
    """
    from onnx import shape_inference, version_converter
    from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer

    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if arithmetic.activation_bits == _INT8_BITS or opset >= _OPSET_OF_INT16:
        return model
    try:
        converted = version_converter.convert_version(model, _OPSET_OF_INT16)
    except (RuntimeError, shape_inference.InferenceError):
        return model
    return save_and_reload_model_with_shape_infer(converted)
