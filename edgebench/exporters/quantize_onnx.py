"""fp32 ONNX to fp16, w8a32 and w8a8 with onnxruntime's tools; runs in the export worker process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.artifact import Precision
from edgebench.errors import ExportError
from edgebench.exporters.onnx_file import open_session, session_specs
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.samples import check_fit, read_samples
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

_BATCH = 32


def quantize(job: QuantizationJob) -> QuantizationResult:
    """Write `job.base` at `job.precision`; inputs and outputs stay float.

    w8a8 is written as QuantizeLinear/DequantizeLinear pairs with per-channel weights. Raises
    ExportError where the tool fails, DataError where the calibration samples do not fit the model.
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
    return QuantizationResult(
        result.steps, result.method, {"onnxruntime": onnxruntime.__version__}, result.notes
    )


def _fp16(job: QuantizationJob) -> QuantizationResult:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network = convert_float_to_float16(onnx.load(job.base), keep_io_types=True)
    with storage_errors(job.out):
        job.out.write_bytes(network.SerializeToString())
    return QuantizationResult(("weights and arithmetic in float16, inputs and outputs in float32",))


def _dynamic(job: QuantizationJob) -> QuantizationResult:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    reduced = job.target.weight_bits < 8  # noqa: PLR2004 - bits of int8
    with _prepared(job.base) as prepared, storage_errors(job.out):
        quantize_dynamic(
            prepared, job.out, per_channel=True, reduce_range=reduced, weight_type=QuantType.QInt8
        )
    bits = job.target.weight_bits
    return QuantizationResult(
        (f"int8 weights of {bits} bits per channel for {job.target}, ranges at run time",)
    )


def _static(job: QuantizationJob) -> QuantizationResult:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if job.calibration is None:
        raise ExportError("w8a8 needs calibration samples")
    bits = job.target.weight_bits
    with _prepared(job.base) as prepared, storage_errors(job.out):
        quantize_static(
            prepared,
            job.out,
            _Reader(prepared, job.calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=bits < 8,  # noqa: PLR2004 - bits of int8
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    steps = (f"Q/DQ: uint8 activations, int8 weights of {bits} bits per channel for {job.target}",)
    return QuantizationResult(steps, "min-max")


class _Reader:
    """The calibration samples as onnxruntime asks for them: one feed after the other, then None."""

    def __init__(self, model: Path, samples: Path) -> None:
        """Read the samples; raises DataError where they do not fit the model."""
        inputs = session_specs(open_session(model, model.name).get_inputs())
        arrays = read_samples(samples)
        check_fit(arrays, inputs)
        cast = [array.astype(spec.dtype) for array, spec in zip(arrays, inputs, strict=True)]
        fixed = next((spec.shape[0] for spec in inputs if spec.shape and spec.shape[0] > 0), None)
        self._feeds = self._batches([spec.name for spec in inputs], cast, fixed or _BATCH, whole=bool(fixed))

    @staticmethod
    def _batches(
        names: list[str], arrays: list[Array], size: int, *, whole: bool
    ) -> Iterator[dict[str, Any]]:
        count = len(arrays[0])
        for start in range(0, count - size + 1 if whole else count, size):
            yield dict(zip(names, (array[start : start + size] for array in arrays), strict=True))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next feed, or None at the end."""
        return next(self._feeds, None)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the feeds that are left."""
        return self._feeds


class _prepared:  # noqa: N801 - used as a function
    """The model with shapes inferred and batch normalization folded, in a file of its own."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def __enter__(self) -> Path:
        """Return the prepared file."""
        from onnxruntime.quantization.shape_inference import quant_pre_process

        self._folder = tempfile.TemporaryDirectory(prefix="edgebench-onnx-")
        path = Path(self._folder.name) / self._base.name
        quant_pre_process(str(self._base), str(path), skip_symbolic_shape=True)
        return path

    def __exit__(self, *args: object) -> None:
        """Remove the file."""
        self._folder.cleanup()
