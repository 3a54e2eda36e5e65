"""The Python call behind `edgebench calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format
from edgebench.datasets import load_dataset
from edgebench.options import choices, parse_preprocessing, shape_of
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.calibration.table import CalibrationTable


def calibrate(
    model: str,
    *,
    calib_data: str,
    out: Path,
    weights: Path | None = None,
    formats: str = "onnx,tflite",
    method: str = "mse",
    calib_samples: int = 256,
    calib_stability: bool = True,
    max_calib_memory: str | None = None,
    per_channel: bool = False,
    input_shape: Sequence[str] = (),
    preprocessing: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CalibrationTable:
    """Write what ranges `model`'s tensors have on data to the file `out`, and return that table.

    `export` takes it in place of data. calib_stability: also find how far the ranges move as quarters of
    the samples are left out. max_calib_memory: `300MB`, for what is needed beyond the model; None for no
    bound. per_channel: also find the range of every channel, and tell which are wide or dead. Raises
    InputError for a wrong model, data or option, ExportError for a failed conversion.
    """
    from edgebench.calibration.memory import parse_memory
    from edgebench.calibration.methods import Method
    from edgebench.exporters.calibrate_model import CalibrateRequest, calibrate_model
    from edgebench.exporters.calibration import CalibrationSettings
    from edgebench.exporters.source import open_source

    declared = parse_preprocessing(preprocessing)
    (chosen,) = choices(method, Method, "--method")
    request = CalibrateRequest(
        formats=choices(formats, Format, "--format"),
        settings=CalibrationSettings(
            method=chosen,
            stability=calib_stability,
            memory_bytes=parse_memory(max_calib_memory),
            per_channel=per_channel,
        ),
        source=open_source(model, weights=weights, input_shapes=[shape_of(text) for text in input_shape]),
        data=load_dataset(calib_data, preprocessing=declared),
        out=out,
        samples=calib_samples,
        preprocessing=declared,
        overwrite=overwrite,
    )
    return calibrate_model(request, progress=progress)
