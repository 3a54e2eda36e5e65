"""fp32 TFLite to fp16, w8a32, w8a16 and w8a8 with ai-edge-quantizer; runs in the export worker process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgebench.artifact import Precision, TensorIo
from edgebench.calibration.passes.sums import rounding_steps
from edgebench.calibration.passes.tflite import Adapted
from edgebench.calibration.passes.tflite_layers import layers
from edgebench.calibration.target import Target
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.errors import ExportError, MissingExtraError
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult, activation_ranges
from edgebench.exporters.tflite_adapted import adapted
from edgebench.exporters.tflite_file import open_interpreter
from edgebench.exporters.tflite_inner import inner_graphs
from edgebench.exporters.tflite_renew import renewed
from edgebench.exporters.tflite_scopes import pattern_of
from edgebench.exporters.tflite_size import slim
from edgebench.exporters.tflite_transformer import (
    PRODUCTS,
    REST,
    is_transformer,
    load_recipe,
    static_recipe,
)
from edgebench.storage import storage_errors

_EVERYTHING = ".*"
_FLOAT = "no_quantize"
_NO_KERNELS = "LiteRT has no fast kernels for int16 activations: many times slower than fp32"
_NOT_TENSORRT = "TensorRT reads no TFLite: this file is as for any processor"


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
    makers = {
        Precision.FP16: _fp16,
        Precision.W8A32: _dynamic,
        Precision.W8A16: _static16,
        Precision.W8A8: _static,
    }
    try:
        ready = adapted(job)
        tool = quantizer.Quantizer(renewed(ready.content))
        result = makers[job.precision](tool, job, ready)
        content = tool.quantize(_calibrate(tool, job, ready)).quantized_model
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as err:
        reason = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise ExportError(
            f"{job.base.name}: ai-edge-quantizer cannot make {job.precision} of it: {reason}"
        ) from err
    with storage_errors(job.out):
        job.out.write_bytes(slim(content, scaled=ready.scaled))
    told = (_NOT_TENSORRT,) if job.target is Target.TENSORRT else ()
    return replace(result, notes=(*result.notes, *told))


def _fp16(tool: Any, job: QuantizationJob, ready: Adapted) -> QuantizationResult:
    from ai_edge_quantizer import qtyping

    del job, ready
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


def _dynamic(tool: Any, job: QuantizationJob, ready: Adapted) -> QuantizationResult:
    from ai_edge_quantizer import recipe

    del job, ready
    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return QuantizationResult(("int8 weights per channel, ranges at run time",), versions=_version())


def _static(tool: Any, job: QuantizationJob, ready: Adapted) -> QuantizationResult:
    if is_transformer(job):
        load_recipe(tool)
        _keep_layers(tool, ready, ready.floats)
        return QuantizationResult((*_steps(PRODUCTS, job, ready), REST), versions=_version())
    tool.load_quantization_recipe(static_recipe())
    if job.io is TensorIo.FLOAT:
        _keep_border(tool)
    told = _keep_floats(tool, ready)
    return QuantizationResult(_steps(_fixed("int8", job.io), job, ready), versions=_version(), notes=told)


def _static16(tool: Any, job: QuantizationJob, ready: Adapted) -> QuantizationResult:
    from ai_edge_quantizer import recipe

    tool.load_quantization_recipe(recipe.static_wi8_ai16())
    _keep_border(tool)
    notes = [_NO_KERNELS, *_keep_floats(tool, ready)]
    if job.io is TensorIo.INT8:
        notes.append("takes and gives float: int8 inputs and outputs are those of w8a8")
    steps = _steps(_fixed("int16", TensorIo.FLOAT), job, ready)
    return QuantizationResult(steps, versions=_version(), notes=tuple(notes))


def _fixed(activations: str, io: TensorIo) -> str:
    return f"{activations} activations, int8 weights per channel, {io} inputs and outputs"


def _steps(first: str, job: QuantizationJob, ready: Adapted) -> tuple[str, ...]:
    """Return what was done, in words. first: to activations and weights."""
    steps = [first]
    steps += rounding_steps(layers(TfliteGraph(ready.unrounded))) if job.samples else []
    steps += [f"in float: {', '.join(ready.floats)}"] if ready.floats else []
    return tuple(steps)


def _keep_floats(tool: Any, ready: Adapted) -> tuple[str, ...]:
    """Leave the chosen layers and all inner graphs in float; return what is to be told of it."""
    from ai_edge_quantizer import qtyping

    inner = inner_graphs(ready.content)
    _keep_layers(tool, ready, [*ready.floats, *inner.results])
    if inner.ends:
        for name in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(_any_of(inner.ends), name, algorithm_key=_FLOAT)
    return (f"left in float, with all that is inside: {', '.join(inner.holders)}",) if inner.holders else ()


def _keep_border(tool: Any) -> None:
    """Leave the model's inputs and outputs float."""
    from ai_edge_quantizer import qtyping

    for name in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(_EVERYTHING, name, algorithm_key=_FLOAT)


def _keep_layers(tool: Any, ready: Adapted, floats: Sequence[str]) -> None:
    """Leave the operators in float that give these tensors; the file's border is as it was asked for."""
    from ai_edge_quantizer import qtyping

    if not floats:
        return
    pattern, names = pattern_of(ready.content, floats), qtyping.TFLOperationName
    border = (names.INPUT, names.OUTPUT, names.ALL_SUPPORTED)
    for kind in [name for name in names if name not in border]:
        tool.update_quantization_recipe(pattern, kind, algorithm_key=_FLOAT)


def _any_of(names: Sequence[str]) -> str:
    """Return the pattern of a border of which these tensors are a part, in ai-edge-quantizer's writing."""
    return f"(?:^|;)(?:{'|'.join(re.escape(name) for name in dict.fromkeys(names))});"


def _calibrate(tool: Any, job: QuantizationJob, ready: Adapted) -> Any:
    """Return the range of every tensor as ai-edge-quantizer takes them; None where it needs none."""
    if not tool.need_calibration:
        return None
    details = open_interpreter(job.base, str(job.base)).get_tensor_details()
    shapes = {detail["name"]: (1,) * len(detail["shape"]) for detail in details}
    ranges = activation_ranges(job) | ready.ranges
    return {
        name: {
            "min": np.full(shapes[name], found.lowest, np.float32),
            "max": np.full(shapes[name], found.highest, np.float32),
        }
        for name, found in ranges.items()
        if name in shapes
    }


def _version() -> dict[str, str]:
    from importlib.metadata import version

    return {"ai-edge-quantizer": version("ai-edge-quantizer")}
