"""fp32 ONNX to fp16, w8a32, w8a16 and w8a8 with onnxruntime's tools; runs in the export worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Precision
from edgebench.calibration.attention import float_between
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.floats import shield_floats
from edgebench.calibration.passes.kept import set_aside
from edgebench.calibration.passes.layers import layers
from edgebench.calibration.passes.onnx import Adapted
from edgebench.calibration.passes.onnx_ends import unrounded_answers
from edgebench.calibration.passes.order import in_order
from edgebench.calibration.passes.size import slim
from edgebench.calibration.passes.sums import rounding_steps
from edgebench.calibration.recipe import Pass
from edgebench.calibration.target import Arithmetic
from edgebench.errors import ExportError
from edgebench.exporters.onnx_adapted import adapted
from edgebench.exporters.onnx_arithmetic import (
    arithmetic_of,
    of_opset_for,
    quantizer_settings,
    residual_inputs,
)
from edgebench.exporters.onnx_prepared import prepared
from edgebench.exporters.onnx_told import float_notes
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult, activation_ranges
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from onnx import ModelProto

_INT8_BITS = 8
_GIVEN, _OWN = "graph_", "own_graph_"
"""How the names of what the conversion to float16 inserts begin, and what becomes of such names."""
_NO_KERNELS = (
    "ONNX Runtime's CPU has no int16 kernels: it computes in float between Q/DQ, no faster than fp32"
)


def quantize(job: QuantizationJob) -> QuantizationResult:
    """Write `job.base` at `job.precision`; inputs and outputs stay float.

    w8a8 and w8a16 are written as QuantizeLinear/DequantizeLinear pairs with per-channel weights. Raises
    ExportError where the tool fails, ModelError where the model is quantized already.
    """
    import onnxruntime

    makers = {
        Precision.FP16: _fp16,
        Precision.W8A32: _dynamic,
        Precision.W8A16: _static,
        Precision.W8A8: _static,
    }
    try:
        result = makers[job.precision](job)
    except (ValueError, RuntimeError, LookupError, AttributeError, AssertionError, TypeError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ExportError(
            f"{job.base.name}: onnxruntime cannot make {job.precision} of it: {type(err).__name__}: {reason}"
        ) from err
    return replace(result, versions={"onnxruntime": onnxruntime.__version__})


def _fp16(job: QuantizationJob) -> QuantizationResult:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network, put_back = set_aside(_renamed(onnx.load(job.base)))
    half = in_order(convert_float_to_float16(network, keep_io_types=True))
    with storage_errors(job.out):
        job.out.write_bytes(put_back(half).SerializeToString())
    return QuantizationResult(("weights and arithmetic in float16, inputs and outputs in float32",))


def _renamed(network: ModelProto) -> ModelProto:
    """Return the graph without names such as its conversion to float16 gives: it was one once itself."""
    ends = {entry.name for entry in (*network.graph.input, *network.graph.output)}
    for node in network.graph.node:
        node.name = node.name.replace(_GIVEN, _OWN)
        for names in (node.input, node.output):
            names[:] = [name if name in ends else name.replace(_GIVEN, _OWN) for name in names]
    return network


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
    return QuantizationResult(
        tuple(steps), notes=float_notes(network, onnx.load(job.out), floats), target=job.target
    )


def _matrices_of_matrices(network: ModelProto) -> list[str]:
    """Return the MatMuls by constants of more than two axes, which have no scale per channel at run time."""
    large = {tensor.name for tensor in network.graph.initializer if len(tensor.dims) > 2}  # noqa: PLR2004 - a matrix
    return [n.name for n in network.graph.node if n.op_type == "MatMul" and large & set(n.input)]


def _static(job: QuantizationJob) -> QuantizationResult:
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    arithmetic = arithmetic_of(job.precision, job.target)
    ranges = activation_ranges(job)
    whole = of_opset_for(arithmetic, load_model_with_shape_infer(prepared(job.base)))
    network, put_back = set_aside(whole)
    ready = adapted(network, job)
    between = float_between(ready.model)
    tool = QDQQuantizer(
        ready.model,
        tensors_range=_ranges({**ranges, **ready.ranges}),
        nodes_to_exclude=[*ready.floats, *between],
        **quantizer_settings(arithmetic, products_alone=bool(between)),
    )
    if arithmetic.layers_only:
        for name, reader in residual_inputs(tool.model.model):
            tool.quantize_activation_tensor(name)
            tool.tensor_to_its_receiving_nodes.setdefault(name, []).append(reader)
    tool.quantize_model()
    made = in_order(tool.model.model)
    if Pass.FLOAT_ENDS in job.passes:
        made = unrounded_answers(made)
    made = slim(made, scaled=ready.scaled)
    if not arithmetic.layers_only:
        made = shield_floats(made, ready.floats)
    with storage_errors(job.out):
        job.out.write_bytes(put_back(made).SerializeToString())
    told = _told(job, arithmetic, ready)
    steps = ("in float: all of the transformer but products with constants",) if between else ()
    return replace(
        told, steps=(*told.steps, *steps), notes=(*told.notes, *float_notes(network, made, ready.floats))
    )


def _told(job: QuantizationJob, arithmetic: Arithmetic, ready: Adapted) -> QuantizationResult:
    """Return what was done, for the manifest, and what the user has to know of it."""
    kind = f"{'' if arithmetic.signed else 'u'}int{arithmetic.activation_bits}"
    step = f"Q/DQ: {kind} activations, int8 weights of {arithmetic.weight_bits} bits per channel"
    wide = job.precision is Precision.W8A16
    steps = [step if wide else f"{step} for {job.target}"]
    steps += ["zero points 0; what layers give and biases in float"] if arithmetic.layers_only else []
    steps += rounding_steps(layers(ready.unrounded)) if job.samples else []
    steps += [f"in float: {', '.join(ready.floats)}"] if ready.floats else []
    return QuantizationResult(
        tuple(steps), notes=(_NO_KERNELS,) if wide else (), target=None if wide else job.target
    )


def _ranges(ranges: Mapping[str, Range]) -> Any:
    """Return the ranges as onnxruntime's quantizer takes them."""
    import numpy as np
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    return TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.float32(found.lowest), highest=np.float32(found.highest))
            for name, found in ranges.items()
        },
    )
