"""fp32 TFLite to fp16, w8a32 and w8a8 with ai-edge-quantizer; runs in the export worker process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgebench.artifact import Precision, TensorIo
from edgebench.errors import ExportError, MissingExtraError
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.tflite_file import open_interpreter
from edgebench.exporters.tflite_renew import renewed
from edgebench.storage import storage_errors

_EVERYTHING = ".*"


def quantize(job: QuantizationJob) -> QuantizationResult:
    """Write `job.base` at `job.precision`, with float or int8 inputs and outputs.

    Weights are per channel. Raises MissingExtraError without ai-edge-quantizer, ExportError where it
    refuses the model.
    """
    try:
        import ai_edge_quantizer
        from ai_edge_quantizer import quantizer
    except ImportError as err:
        raise MissingExtraError(
            "quantizing TFLite needs ai-edge-quantizer, which is not installed",
            hint="pip install 'edgebench[torch]' or 'edgebench[tensorflow]'",
        ) from err
    del ai_edge_quantizer
    makers = {Precision.FP16: _fp16, Precision.W8A32: _dynamic, Precision.W8A8: _static}
    try:
        tool = quantizer.Quantizer(renewed(job.base.read_bytes()))
        result = makers[job.precision](tool, job)
        content = tool.quantize(_calibrate(tool, job)).quantized_model
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ExportError(
            f"{job.base.name}: ai-edge-quantizer cannot make {job.precision} of it: {reason}"
        ) from err
    with storage_errors(job.out):
        job.out.write_bytes(content)
    return result


def _fp16(tool: Any, job: QuantizationJob) -> QuantizationResult:
    from ai_edge_quantizer import qtyping

    del job
    names = qtyping.TFLOperationName
    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    config = qtyping.OpQuantizationConfig(
        weight_tensor_config=half,
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    for name in (
        names.FULLY_CONNECTED,
        names.CONV_2D,
        names.DEPTHWISE_CONV_2D,
        names.CONV_2D_TRANSPOSE,
        names.EMBEDDING_LOOKUP,
    ):
        tool.update_quantization_recipe(_EVERYTHING, name, config, algorithm_key="float_casting")
    return QuantizationResult(("weights in float16, arithmetic in float32",), versions=_version())


def _dynamic(tool: Any, job: QuantizationJob) -> QuantizationResult:
    from ai_edge_quantizer import recipe

    del job
    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return QuantizationResult(("int8 weights per channel, ranges at run time",), versions=_version())


def _static(tool: Any, job: QuantizationJob) -> QuantizationResult:
    from ai_edge_quantizer import qtyping, recipe

    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    if job.io is TensorIo.FLOAT:
        for name in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(_EVERYTHING, name, algorithm_key="no_quantize")
    _keep_layers(tool, job.floats)
    step = f"int8 activations, int8 weights per channel, {job.io} inputs and outputs"
    kept = [f"in float: {', '.join(job.floats)}"] if job.floats else []
    return QuantizationResult((step, *kept), versions=_version())


def _keep_layers(tool: Any, floats: Sequence[str]) -> None:
    """Leave the operators in float that give these tensors; the file's border is as it was asked for."""
    from ai_edge_quantizer import qtyping

    if not floats:
        return
    names = qtyping.TFLOperationName
    given = "|".join(re.escape(name) for name in floats)
    border = (names.INPUT, names.OUTPUT, names.ALL_SUPPORTED)
    for kind in [name for name in names if name not in border]:
        tool.update_quantization_recipe(f"^(?:{given});", kind, algorithm_key="no_quantize")


def _calibrate(tool: Any, job: QuantizationJob) -> Any:
    """Return the range of every tensor as ai-edge-quantizer takes them; None where it needs none."""
    if not tool.need_calibration:
        return None
    if job.table is None:
        raise ExportError("w8a8 needs the ranges of the activations")
    details = open_interpreter(job.base, str(job.base)).get_tensor_details()
    shapes = {detail["name"]: (1,) * len(detail["shape"]) for detail in details}
    return {
        name: {
            "min": np.full(shapes[name], tensor.range.lowest, np.float32),
            "max": np.full(shapes[name], tensor.range.highest, np.float32),
        }
        for name, tensor in job.table.tensors.items()
        if name in shapes
    }


def _version() -> dict[str, str]:
    from importlib.metadata import version

    return {"ai-edge-quantizer": version("ai-edge-quantizer")}
