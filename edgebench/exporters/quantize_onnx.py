"""fp32 ONNX to fp16, w8a32 and w8a8 with onnxruntime's tools; runs in the export worker process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Precision
from edgebench.calibration.attention import float_between
from edgebench.calibration.observers import Range
from edgebench.calibration.passes_floats import shield_floats
from edgebench.calibration.passes_kept import set_aside
from edgebench.calibration.passes_order import control_flow, in_order
from edgebench.calibration.passes_size import slim
from edgebench.calibration.table import GraphTable
from edgebench.errors import ExportError
from edgebench.exporters.onnx_adapted import adapted
from edgebench.exporters.onnx_prepared import prepared
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from onnx import ModelProto

_INT8_BITS = 8


def quantize(job: QuantizationJob) -> QuantizationResult:
    """Write `job.base` at `job.precision`; inputs and outputs stay float.

    w8a8 is written as QuantizeLinear/DequantizeLinear pairs with per-channel weights. Raises
    ExportError where the tool fails, ModelError where the model is quantized already.
    """
    import onnxruntime

    makers = {Precision.FP16: _fp16, Precision.W8A32: _dynamic, Precision.W8A8: _static}
    try:
        result = makers[job.precision](job)
    except (ValueError, RuntimeError, KeyError, AttributeError, IndexError, TypeError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ExportError(
            f"{job.base.name}: onnxruntime cannot make {job.precision} of it: {type(err).__name__}: {reason}"
        ) from err
    return QuantizationResult(result.steps, {"onnxruntime": onnxruntime.__version__}, result.notes)


def _fp16(job: QuantizationJob) -> QuantizationResult:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network, put_back = set_aside(onnx.load(job.base))
    half = in_order(convert_float_to_float16(network, keep_io_types=True))
    with storage_errors(job.out):
        job.out.write_bytes(put_back(half).SerializeToString())
    return QuantizationResult(("weights and arithmetic in float16, inputs and outputs in float32",))


def _dynamic(job: QuantizationJob) -> QuantizationResult:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    reduced = job.target.weight_bits < _INT8_BITS
    model = prepared(job.base)
    network = onnx.load(model)
    floats = _matrices_of_matrices(network)
    with storage_errors(job.out):
        quantize_dynamic(
            model,
            job.out,
            per_channel=True,
            reduce_range=reduced,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=floats,
        )
    bits = job.target.weight_bits
    step = f"int8 weights of {bits} bits per channel for {job.target}, ranges at run time"
    steps = [step, *([f"in float: {', '.join(floats)}"] if floats else [])]
    return QuantizationResult(tuple(steps), notes=_float_notes(network))


def _matrices_of_matrices(network: ModelProto) -> list[str]:
    """Return the MatMuls by constants of more than two axes, which have no scale per channel at run time."""
    large = {tensor.name for tensor in network.graph.initializer if len(tensor.dims) > 2}  # noqa: PLR2004 - a matrix
    return [n.name for n in network.graph.node if n.op_type == "MatMul" and large & set(n.input)]


def _float_notes(network: ModelProto) -> tuple[str, ...]:
    held = control_flow(network)
    return (f"left in float, with all that is inside: {', '.join(held)}",) if held else ()


def _static(job: QuantizationJob) -> QuantizationResult:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    if job.table is None:
        raise ExportError("w8a8 needs the ranges of the activations")
    bits = job.target.weight_bits
    network, put_back = set_aside(load_model_with_shape_infer(prepared(job.base)))
    ready = adapted(network, job)
    between = float_between(ready.model)
    tool = QDQQuantizer(
        ready.model,
        per_channel=True,
        reduce_range=bits < _INT8_BITS,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=_ranges(job.table, ready.ranges),
        nodes_to_quantize=[],
        nodes_to_exclude=[*ready.floats, *between],
        op_types_to_quantize=[*dict.fromkeys([*QLinearOpsRegistry, *QDQRegistry])],
        # What a product of a transformer gives goes on as float, so that it loses nothing.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]} if between else {},
    )
    tool.quantize_model()
    made = put_back(shield_floats(slim(in_order(tool.model.model)), ready.floats))
    with storage_errors(job.out):
        job.out.write_bytes(made.SerializeToString())
    step = f"Q/DQ: uint8 activations, int8 weights of {bits} bits per channel for {job.target}"
    steps = [step, "weights rounded by calibration samples"] if job.samples else [step]
    steps += [f"in float: {', '.join(ready.floats)}"] if ready.floats else []
    steps += ["in float: all of the transformer but products with constants"] if between else []
    return QuantizationResult(tuple(steps), notes=_float_notes(network))


def _ranges(table: GraphTable, others: Mapping[str, Range]) -> Any:
    """Return the ranges as onnxruntime's quantizer takes them; those of `others` in the table's place."""
    import numpy as np
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.float32(found.lowest), highest=np.float32(found.highest))
            for name, found in {**{n: t.range for n, t in table.tensors.items()}, **others}.items()
        },
    )
