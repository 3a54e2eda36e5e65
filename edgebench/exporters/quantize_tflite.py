"""fp32 TFLite to fp16, w8a32 and w8a8 with ai-edge-quantizer; runs in the export worker process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench.artifact import Precision, TensorIo
from edgebench.errors import ExportError, MissingExtraError
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.samples import check_fit, read_samples
from edgebench.exporters.tflite_file import open_interpreter, tensor_specs
from edgebench.exporters.tflite_names import SIGNATURE
from edgebench.storage import storage_errors

_EVERYTHING = ".*"


def quantize(job: QuantizationJob) -> QuantizationResult:
    """Write `job.base` at `job.precision`, with float or int8 inputs and outputs.

    Weights are per channel. Raises MissingExtraError without ai-edge-quantizer, ExportError where it
    refuses the model, DataError where the calibration samples do not fit.
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
        tool = quantizer.Quantizer(str(job.base))
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
    step = f"int8 activations, int8 weights per channel, {job.io} inputs and outputs"
    return QuantizationResult((step,), "min-max", _version())


def _calibrate(tool: Any, job: QuantizationJob) -> Any:
    if not tool.need_calibration:
        return None
    if job.calibration is None:
        raise ExportError("w8a8 needs calibration samples")
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    # The tool's own update is a moving average of each sample's range, which clips what the last samples
    # do not reach: 17 dB instead of 23 dB on the MLPerf Tiny ResNet-8.
    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(tool.get_quantization_recipe())
    watch = calibrator.Calibrator(str(job.base), num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    watch.calibrate({SIGNATURE: _feeds(job.base, job.calibration)}, recipe)
    return watch.get_model_qsvs()


def _feeds(model: Path, samples: Path) -> list[dict[str, Any]]:
    """Return one feed per sample: a list, since the tool goes over them twice."""
    inputs = tensor_specs(open_interpreter(model, str(model)))[0]
    arrays = read_samples(samples)
    check_fit(arrays, inputs)
    cast = [array.astype(spec.dtype) for array, spec in zip(arrays, inputs, strict=True)]
    return [
        {spec.name: array[index : index + 1] for spec, array in zip(inputs, cast, strict=True)}
        for index in range(len(cast[0]))
    ]


def _version() -> dict[str, str]:
    from importlib.metadata import version

    return {"ai-edge-quantizer": version("ai-edge-quantizer")}
