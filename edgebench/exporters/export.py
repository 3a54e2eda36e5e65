"""From a source to artifacts: convert once per format, quantize, verify in the runtime, write manifests."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench import __version__
from edgebench.artifact import (
    Artifact,
    CalibrationRecord,
    Format,
    Parity,
    Precision,
    Skipped,
    TensorIo,
    manifest_path,
    write_manifest,
)
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import local_target
from edgebench.datasets import Dataset, Preprocessing, preprocess
from edgebench.errors import ConfigError, InputError, MissingExtraError, StorageError
from edgebench.exporters.converters import CONVERTERS, ConversionJob, ConversionResult
from edgebench.exporters.inspect import Description
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.samples import read_samples
from edgebench.exporters.source import Source, SourceKind
from edgebench.exporters.tensorrt import why_not
from edgebench.exporters.worker import in_parallel, run_worker
from edgebench.progress import Progress, silent
from edgebench.storage import (
    atomic_path,
    folder_lock,
    from_plain,
    sha256_path,
    size_bytes,
    storage_errors,
    to_plain,
)

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

PARITY_SAMPLES = 64
"""Samples that an artifact's answers are compared on."""
RANDOM_SAMPLES = 32
_PIECE = 16
"""Calibration samples that are preprocessed, and in memory, at a time."""
_LONGEST_STEM = 100
_SUFFIX = {Format.ONNX: "onnx", Format.TFLITE: "tflite", Format.TENSORRT: "engine"}


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to make of a source.

    calibration: fixes the ranges of w8a8; at most `calibration_samples` of it are used. calib_random:
    random numbers in its place. parity_data: what the answers are compared on; random where None.
    """

    source: Source
    formats: tuple[Format, ...]
    precisions: tuple[Precision, ...]
    out: Path
    name: str
    calibration: Dataset | None = None
    calibration_samples: int = 256
    calib_random: bool = False
    parity_data: Dataset | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    io: TensorIo = TensorIo.FLOAT
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was made, what was not and why, and what the user has to be told."""

    artifacts: tuple[Artifact, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verified:
    description: Description
    parity: Parity
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Converted:
    """The fp32 file of a format with what its making told, and the samples it is compared on."""

    base: Path
    result: ConversionResult
    samples: Path
    data: str


def export(request: ExportRequest, *, progress: Progress = silent) -> ExportResult:
    """Write the artifacts and their manifests into `request.out` and return them.

    What was finished before an error stays. Raises ConfigError where w8a8 lacks calibration data,
    ExportError where a conversion fails or its outputs are wrong, StorageError where `out` cannot be
    written, is in use, or holds such artifacts already.
    """
    _check(request)
    with folder_lock(request.out), tempfile.TemporaryDirectory(prefix="edgebench-export-") as name:
        work = _Work(request, Path(name), progress)
        work.write_samples()
        parts = in_parallel(work.export_format, request.formats)
    return ExportResult(
        artifacts=tuple(artifact for part in parts for artifact in part.artifacts),
        skipped=tuple(skip for part in parts for skip in part.skipped),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def file_stem(name: str) -> str:
    """Return a name as the start of a file's name: letters, digits, `.`, `_` and `-` of any alphabet."""
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return clean[:_LONGEST_STEM] or "model"


def _check(request: ExportRequest) -> None:
    source = request.source
    if source.kind is SourceKind.TFLITE:
        raise InputError(
            f"{source.model}: a TFLite file is not converted further",
            hint="edgebench benchmark measures it as it is; export the model that it was made from",
        )
    if Precision.W8A8 in request.precisions and request.calibration is None and not request.calib_random:
        raise ConfigError(
            "w8a8 needs data to fix the ranges of its activations",
            hint="--calib-data DATA; or --calib-random for random numbers, which lose accuracy",
        )
    for fmt in request.formats:
        for precision in request.precisions:
            path = _target(request, fmt, precision)
            if path.exists() and not request.overwrite:
                raise StorageError(
                    f"{path}: exists already",
                    hint="--overwrite replaces it, or choose another folder with -o",
                )


def _target(request: ExportRequest, fmt: Format, precision: Precision) -> Path:
    return request.out / f"{file_stem(request.name)}.{precision}.{_SUFFIX[fmt]}"


@dataclass(slots=True)
class _Work:
    """One export under way. folder: for what is thrown away afterwards."""

    request: ExportRequest
    folder: Path
    progress: Progress

    def write_samples(self) -> None:
        """Write the preprocessed samples for comparing, and those for calibrating, where there are any."""
        request = self.request
        steps = request.preprocessing
        if (data := request.parity_data) is not None:
            _write_arrays(self._samples_file, preprocess(data, steps, _chosen(data, PARITY_SAMPLES)))
        if (data := request.calibration) is not None and Precision.W8A8 in request.precisions:
            chosen = _chosen(data, request.calibration_samples)
            pieces = (
                preprocess(data, steps, chosen[start : start + _PIECE])
                for start in range(0, len(chosen), _PIECE)
            )
            write_samples(self._calibration_folder, len(chosen), pieces)

    def export_format(self, fmt: Format) -> ExportResult:
        """Make all precisions of one format; one whose tools are not installed is skipped."""
        if fmt is Format.TENSORRT:
            return self._skip(fmt, why_not())
        if (self.request.source.kind, fmt) not in CONVERTERS:
            return self._skip(fmt, f"{self.request.source.kind} is not converted to {fmt}")
        try:
            converted = self._convert(fmt)
        except MissingExtraError as err:
            if len(self.request.formats) == 1:
                raise
            return self._skip(fmt, f"{err.message}: {err.hint}")
        artifacts, notes = [], list(converted.result.notes)
        for precision in self.request.precisions:
            artifact, told = self._make(fmt, precision, converted)
            artifacts.append(artifact)
            notes += [f"{artifact.id}: {note}" for note in told]
        return ExportResult(tuple(artifacts), (), tuple(notes))

    @property
    def _samples_file(self) -> Path:
        return self.folder / "samples.npz"

    @property
    def _calibration_folder(self) -> Path:
        return self.folder / "calibration"

    def _skip(self, fmt: Format, reason: str) -> ExportResult:
        skipped = tuple(Skipped(fmt, precision, reason) for precision in self.request.precisions)
        return ExportResult((), skipped, ())

    def _convert(self, fmt: Format) -> _Converted:
        source, base = self.request.source, self.folder / f"base.{_SUFFIX[fmt]}"
        self.progress(f"convert to {fmt}")
        real = self._samples_file if self._samples_file.exists() else None
        job = ConversionJob(source=source, out=base, samples=real)
        plain = run_worker(
            "edgebench.exporters.stages:convert",
            {"job": to_plain(job), "format": fmt.value},
            what=f"converting {source.model} to {fmt}",
        )
        result = from_plain(ConversionResult, plain, what="conversion")
        data = self.request.parity_data.spec if self.request.parity_data else "random"
        return _Converted(base, result, result.samples, data)

    def _make(
        self, fmt: Format, precision: Precision, converted: _Converted
    ) -> tuple[Artifact, tuple[str, ...]]:
        self.progress(f"{fmt} {precision}")
        target = _target(self.request, fmt, precision)
        quantized, made = self._quantize(fmt, precision, converted)
        verified = self._verify(made, fmt, precision, converted)
        artifact = Artifact(
            name=self.request.name,
            path=target.name,
            format=fmt,
            precision=precision,
            sha256=sha256_path(made),
            size_bytes=size_bytes(made),
            inputs=verified.description.inputs,
            outputs=verified.description.outputs,
            source=self.request.source.record,
            preprocessing=self.request.preprocessing,
            steps=(*converted.result.steps, *quantized.steps),
            calibration=self._calibration_record(quantized),
            parity=verified.parity,
            versions={"edgebench": __version__, **converted.result.versions, **quantized.versions},
        )
        _place(made, artifact, target)
        return artifact, (*quantized.notes, *verified.notes)

    def _quantize(
        self, fmt: Format, precision: Precision, converted: _Converted
    ) -> tuple[QuantizationResult, Path]:
        if precision is Precision.FP32:
            return QuantizationResult(()), converted.base
        out = self.folder / f"{precision}.{_SUFFIX[fmt]}"
        job = QuantizationJob(
            base=converted.base,
            out=out,
            precision=precision,
            target=local_target(),
            calibration=self._calibration(converted) if precision is Precision.W8A8 else None,
            io=self.request.io,
        )
        plain = run_worker(
            "edgebench.exporters.stages:quantize",
            {"job": to_plain(job), "format": fmt.value},
            what=f"quantizing {self.request.source.model} to {fmt} {precision}",
        )
        return from_plain(QuantizationResult, plain, what="quantization"), out

    def _calibration(self, converted: _Converted) -> Path:
        if self.request.calibration is not None:
            return self._calibration_folder
        source, folder = np.random.default_rng(0), converted.base.with_suffix(".random")
        piece = [_random_like(array, source) for array in read_samples(converted.samples)]
        write_samples(folder, RANDOM_SAMPLES, [piece])
        return folder

    def _verify(self, made: Path, fmt: Format, precision: Precision, converted: _Converted) -> _Verified:
        arguments = {
            "path": str(made),
            "format": fmt.value,
            "precision": precision.value,
            "samples": str(converted.samples),
            "reference": str(converted.result.reference),
            "data": converted.data,
        }
        what = f"running {_target(self.request, fmt, precision).name}"
        plain = run_worker("edgebench.exporters.stages:verify", arguments, what=what)
        return from_plain(_Verified, plain, what="verification")

    def _calibration_record(self, quantized: QuantizationResult) -> CalibrationRecord | None:
        if quantized.method is None:
            return None
        data = self.request.calibration
        if data is None:
            return CalibrationRecord("random", "random, seed 0", RANDOM_SAMPLES, quantized.method)
        count = min(self.request.calibration_samples, len(data))
        return CalibrationRecord(data.spec, data.fingerprint, count, quantized.method)


def _chosen(data: Dataset, most: int) -> list[int]:
    """Return at most so many of the data's indices, spread by chance, the same each time."""
    return sorted(np.random.default_rng(0).permutation(len(data))[:most].tolist())


def _write_arrays(path: Path, arrays: Any) -> None:
    with storage_errors(path):
        np.savez(path, **{f"in_{index}": array for index, array in enumerate(arrays)})


def _random_like(array: Array, source: np.random.Generator) -> Array:
    shape = (RANDOM_SAMPLES, *array.shape[1:])
    if array.dtype.kind == "f":
        return source.normal(size=shape).astype(array.dtype)
    return source.integers(0, 2, shape).astype(array.dtype)


def _place(made: Path, artifact: Artifact, target: Path) -> None:
    """Put the file, then its manifest, in place; an older manifest never stands beside a newer file."""
    with storage_errors(target):
        manifest_path(target).unlink(missing_ok=True)
    with atomic_path(target) as temporary:
        shutil.copyfile(made, temporary)
    write_manifest(artifact, target.parent)
