"""From a source to artifacts: convert once per format, quantize, verify in the runtime, write manifests."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.artifact import Format, Precision
from edgebench.calibration.table import CalibrationTable, usable_table
from edgebench.calibration.target import Target
from edgebench.datasets import Dataset
from edgebench.errors import ConfigError, InputError, StorageError
from edgebench.exporters.export_request import ExportRequest, ExportResult, file_stem, target_path
from edgebench.exporters.export_work import ExportWork
from edgebench.exporters.mixed_data import labelled
from edgebench.exporters.source import Source, SourceKind
from edgebench.exporters.worker import in_parallel
from edgebench.progress import Progress, silent
from edgebench.storage import folder_lock, scratch_folder

__all__ = ["ExportRequest", "ExportResult", "export", "file_stem"]


def export(request: ExportRequest, *, progress: Progress = silent) -> ExportResult:
    """Write the artifacts and their manifests into `request.out` and return them.

    What was finished before an error stays. Raises ConfigError where calibration data lacks, the target
    takes no such precision or the table is another's, ExportError where a conversion fails or its outputs
    are wrong, StorageError where `out` cannot be written, is in use, or holds such artifacts already.
    """
    _check(request)
    table = _table(request)
    with folder_lock(request.out), scratch_folder() as folder:
        work = ExportWork(request, table, folder, progress)
        parts = in_parallel(work.export_format, request.formats)
    return ExportResult(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        skipped=tuple(skip for part in parts for skip in part.skipped),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _check(request: ExportRequest) -> None:
    check_target(request.target, request.formats, request.precisions)
    given = (request.calibration, request.calib_table, request.calib_random or None)
    static = [precision for precision in request.precisions if precision.is_static]
    if static and given == (None, None, None):
        raise ConfigError(
            f"{static[0]} needs data to fix the ranges of its activations",
            hint="--calib-data DATA, or --calib-table of edgebench calibrate; "
            "or --calib-random for random numbers, which lose accuracy",
        )
    if request.mixed is not None:
        check_budget(request.precisions, request.calibration)
    for fmt in request.formats:
        for precision in request.precisions:
            path = target_path(request, fmt, precision)
            if path.exists() and not request.overwrite:
                raise StorageError(
                    f"{path}: exists already",
                    hint="--overwrite replaces it, or choose another folder with -o",
                )


def check_budget(precisions: Sequence[Precision], calibration: Dataset | None) -> None:
    """Raise InputError where an accuracy budget cannot be measured: no w8a8, no data, or no labels."""
    if Precision.W8A8 not in precisions:
        raise ConfigError(
            "a budget on the accuracy's drop is for w8a8, and that is not among the precisions",
            hint="--int8, or leave out --max-drop",
        )
    labelled(calibration)


def check_convertible(source: Source, formats: Sequence[Format]) -> None:
    """Raise InputError for a TFLite source where TFLite is not among the formats."""
    if source.kind is SourceKind.TFLITE and Format.TFLITE not in formats:
        raise InputError(
            f"{source.model}: a TFLite file is not converted to {', '.join(formats)}",
            hint="take format tflite, or export the model that it was made from",
        )


def check_target(target: Target, formats: Sequence[Format], precisions: Sequence[Precision]) -> None:
    """Raise ConfigError for a precision that the target's runtime does not take."""
    if target is not Target.TENSORRT or Format.ONNX not in formats:
        return
    for precision in precisions:
        if precision in (Precision.W8A16, Precision.W8A32):
            raise ConfigError(
                f"TensorRT takes no {precision}: its integers are int8, with activations of fixed ranges",
                hint="--precision w8a8, fp16 or fp32, or another --target",
            )


def _table(request: ExportRequest) -> CalibrationTable | None:
    """Return the table of ranges that is asked for. Raises ConfigError where it is for other inputs."""
    path = request.calib_table
    if path is None or not any(precision.is_static for precision in request.precisions):
        return None
    if request.calib_random:
        raise ConfigError("--calib-table and --calib-random contradict each other", hint="leave out one")
    return usable_table(path, request.preprocessing, request.calib_method)
