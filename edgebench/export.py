"""The Python call behind `edgebench export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format, TensorIo
from edgebench.datasets import load_dataset
from edgebench.exporters.mixed_budget import DEFAULT_MAX_FLOAT, mixed_settings
from edgebench.options import choice, choices, model_name, parse_preprocessing, precisions_of, shape_of
from edgebench.progress import Progress, silent

if TYPE_CHECKING:
    from edgebench.exporters.export import ExportResult


def export(
    model: str,
    *,
    out: Path,
    weights: Path | None = None,
    formats: str = "onnx,tflite",
    precisions: str | None = None,
    int8: bool = False,
    fp16: bool = False,
    calib_data: str | None = None,
    calib_samples: int = 256,
    calib_table: Path | None = None,
    calib_method: str | None = None,
    calib_random: bool = False,
    max_calib_memory: str | None = None,
    max_drop: str | None = None,
    max_float: str = DEFAULT_MAX_FLOAT,
    input_shape: Sequence[str] = (),
    io: str = "float",
    target: str = "auto",
    preprocessing: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ExportResult:
    """Return the artifacts that `model` was exported to in `out`, and what was skipped and why.

    formats, precisions: names with commas; int8 and fp16 add w8a8 and fp16 to the precisions, and
    fp32 is the precision where none is named. calib_table: what `calibrate` wrote, in place of data.
    calib_method: None for mse, or the table's. max_drop: how much top-1 w8a8 may lose, as in "0.5pp"; where
    the result's `held` is false it loses more, and is the best that was found with `max_float` of the
    multiplications in float. input_shape: "1,3,224,224", one per input. target: whose integer arithmetic
    ONNX files are made for.
    Raises InputError for a wrong model, data or option, ExportError for a failed conversion.
    """
    from edgebench.calibration.memory import parse_memory
    from edgebench.calibration.methods import Method
    from edgebench.calibration.target import Target
    from edgebench.exporters.export import ExportRequest, check_convertible
    from edgebench.exporters.export import export as export_request
    from edgebench.exporters.source import open_source

    declared = parse_preprocessing(preprocessing)
    wanted, chosen = precisions_of(precisions, int8=int8, fp16=fp16), choices(formats, Format, "--format")
    method = choice(calib_method, Method, "--calib-method") if calib_method else None
    memory, arithmetic = parse_memory(max_calib_memory), choice(target, Target, "--target")
    calibration = load_dataset(calib_data, preprocessing=declared) if calib_data else None
    source = open_source(model, weights=weights, input_shapes=[shape_of(text) for text in input_shape])
    check_convertible(source, chosen)
    request = ExportRequest(
        source=source,
        formats=chosen,
        precisions=wanted,
        out=out,
        name=name or model_name(model),
        calibration=calibration,
        calibration_samples=calib_samples,
        calib_table=calib_table,
        calib_method=method,
        calib_random=calib_random,
        calib_memory_bytes=memory,
        parity_data=calibration,
        preprocessing=declared,
        io=TensorIo(io),
        target=arithmetic,
        mixed=mixed_settings(max_drop, max_float),
        overwrite=overwrite,
    )
    progress(f"export to {', '.join(wanted)}")
    return export_request(request, progress=progress)
