"""One export under way: each format converted once, then calibrated, quantized, verified and placed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench import __version__
from edgebench.artifact import (
    Artifact,
    CalibrationRecord,
    Format,
    Parity,
    Precision,
    Skipped,
    manifest_path,
    write_manifest,
)
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.calibration.table import CalibrationTable, GraphTable
from edgebench.calibration.target import Target, local_target, mismatch, resolved
from edgebench.errors import MissingExtraError
from edgebench.exporters.calibration import calibrated
from edgebench.exporters.calibration_samples import DataSamples, RandomSamples
from edgebench.exporters.conversion import SUFFIX, Converted, convert, write_parity_samples
from edgebench.exporters.converters import CONVERTERS
from edgebench.exporters.export_request import ExportRequest, ExportResult, target_path
from edgebench.exporters.graph_hash import graph_sha256
from edgebench.exporters.inspect import Description
from edgebench.exporters.mixed import Assignment, assign
from edgebench.exporters.mixed_data import HeldBack, calibrating
from edgebench.exporters.mixed_text import mixed_note, mixed_steps
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.tensorrt import why_not
from edgebench.exporters.worker import run_worker
from edgebench.storage import atomic_path, from_plain, sha256_path, size_bytes, storage_errors, to_plain

if TYPE_CHECKING:
    from edgebench.progress import Progress


_NEAREST = (
    "the table gives the ranges; each weight is rounded to the nearest integer. With --calib-data beside it, "
    "weights are rounded by what they multiply, which loses less"
)


@dataclass(frozen=True, slots=True)
class _Verified:
    description: Description
    parity: Parity | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """The ranges of one format's graph, where they came from, and what the user has to be told."""

    table: GraphTable
    record: CalibrationRecord
    notes: tuple[str, ...]


class ExportWork:
    """What the formats of one export share. folder: for what is thrown away afterwards."""

    def __init__(
        self, request: ExportRequest, table: CalibrationTable | None, folder: Path, progress: Progress
    ) -> None:
        """Write the samples that answers are compared on; those for calibrating when they are needed."""
        self._request, self._table, self._folder, self._progress = request, table, folder, progress
        self._parity = write_parity_samples(request.parity_data, request.preprocessing, folder)
        data, steps, most = request.calibration, request.preprocessing, request.calibration_samples
        self._held: HeldBack | None = None
        if request.mixed and data:
            most = calibrating(data, most)
            self._held = HeldBack(data, steps, folder / "held-back", used=most, table=table)
        self._samples = data and DataSamples(data, most, steps, folder / "calibration")

    def export_format(self, fmt: Format) -> ExportResult:
        """Make all precisions of one format; one whose tools are not installed is skipped."""
        if fmt is Format.TENSORRT:
            return self._skip(fmt, why_not())
        if (self._request.source.kind, fmt) not in CONVERTERS:
            return self._skip(fmt, f"{self._request.source.kind} is not converted to {fmt}")
        try:
            self._progress(f"convert to {fmt}")
            request = self._request
            converted = convert(request.source, fmt, self._folder, request.parity_data, self._parity)
        except MissingExtraError as err:
            if len(self._request.formats) == 1:
                raise
            return self._skip(fmt, f"{err.message}: {err.hint}")
        artifacts, notes = [], list(converted.result.notes)
        for precision in self._request.precisions:
            artifact, told = self._make(fmt, precision, converted)
            artifacts.append(artifact)
            notes += told
        return ExportResult(tuple(artifacts), (), tuple(notes))

    def _skip(self, fmt: Format, reason: str) -> ExportResult:
        skipped = tuple(Skipped(fmt, precision, reason) for precision in self._request.precisions)
        return ExportResult((), skipped, ())

    def _make(
        self, fmt: Format, precision: Precision, converted: Converted
    ) -> tuple[Artifact, tuple[str, ...]]:
        self._progress(f"{fmt} {precision}")
        target = target_path(self._request, fmt, precision)
        ranges = self._calibrate(fmt, converted) if precision.is_static else None
        job = self._job(fmt, precision, converted, ranges)
        mixed = self._assign(fmt, job)
        quantized, made = self._quantize(fmt, replace(job, floats=mixed.floats) if mixed else job)
        verified = self._verify(made, fmt, precision, converted)
        artifact = Artifact(
            name=self._request.name,
            path=target.name,
            format=fmt,
            precision=precision,
            sha256=sha256_path(made),
            size_bytes=size_bytes(made),
            inputs=verified.description.inputs,
            outputs=verified.description.outputs,
            source=self._request.source.record,
            preprocessing=self._request.preprocessing,
            steps=(*converted.result.steps, *quantized.steps, *mixed_steps(mixed.record if mixed else None)),
            calibration=ranges.record if ranges else None,
            parity=verified.parity,
            target=quantized.target,
            mixed=mixed.record if mixed else None,
            versions={"edgebench": __version__, **converted.result.versions, **quantized.versions},
        )
        _place(made, artifact, target)
        told = (*quantized.notes, *verified.notes, *_elsewhere(quantized.target))
        told += (mixed_note(mixed.record),) if mixed else ()
        own = (f"{artifact.id}: {note}" for note in told)
        return artifact, (*(ranges.notes if ranges else ()), *own)

    def _calibrate(self, fmt: Format, converted: Converted) -> _Calibrated:
        """Return the ranges of a format's graph: from the table, or found on the samples."""
        if self._table is not None:
            found = _from_table(self._table, fmt, converted.base)
            return found if self._samples else replace(found, notes=(*found.notes, _NEAREST))
        settings = self._request.settings
        samples = self._samples or RandomSamples(converted.result.samples, self._folder / f"random-{fmt}")
        watched = calibrated(fmt, converted.base, samples, settings, self._progress)
        return _Calibrated(watched.table, samples.record(settings.method), watched.notes)

    def _job(
        self, fmt: Format, precision: Precision, converted: Converted, ranges: _Calibrated | None
    ) -> QuantizationJob:
        return QuantizationJob(
            base=converted.base,
            out=self._folder / f"{precision}.{SUFFIX[fmt]}",
            precision=precision,
            target=resolved(self._request.target),
            table=ranges.table if ranges else None,
            io=self._request.io,
            samples=self._samples.write()[0] if ranges and self._samples else None,
            method=Method(ranges.record.method) if ranges else DEFAULT_METHOD,
        )

    def _assign(self, fmt: Format, job: QuantizationJob) -> Assignment | None:
        """Return the layers to keep in float for the accuracy budget; None where none was set."""
        if self._request.mixed is None or self._held is None or job.precision is not Precision.W8A8:
            return None
        trial = replace(job, keep=self._folder / f"kept-{fmt}")
        return assign(fmt, trial, self._held, self._request.mixed, self._progress)

    def _quantize(self, fmt: Format, job: QuantizationJob) -> tuple[QuantizationResult, Path]:
        if job.precision is Precision.FP32:
            return QuantizationResult(()), job.base
        plain = run_worker(
            "edgebench.exporters.stages:quantize",
            {"job": to_plain(job), "format": fmt.value},
            what=f"quantizing {self._request.source.model} to {fmt} {job.precision}",
        )
        return from_plain(QuantizationResult, plain, what="quantization"), job.out

    def _verify(self, made: Path, fmt: Format, precision: Precision, converted: Converted) -> _Verified:
        arguments = {
            "path": str(made),
            "format": fmt.value,
            "precision": precision.value,
            "samples": str(converted.result.samples),
            "reference": str(converted.result.reference),
            "data": converted.data,
        }
        what = f"running {target_path(self._request, fmt, precision).name}"
        plain = run_worker("edgebench.exporters.stages:verify", arguments, what=what)
        return from_plain(_Verified, plain, what="verification")


def _from_table(table: CalibrationTable, fmt: Format, base: Path) -> _Calibrated:
    from edgebench.step_cache import environment

    graph = table.graph(fmt, graph_sha256(base, fmt), environment())
    record = CalibrationRecord(table.data, table.fingerprint, table.samples, table.method.value)
    return _Calibrated(graph, record, table.notes)


def _elsewhere(target: Target | None) -> tuple[str, ...]:
    """Return what has to be said of verifying a file for another target on this machine."""
    found = mismatch(target, local_target()) if target else None
    return (found,) if found else ()


def _place(made: Path, artifact: Artifact, target: Path) -> None:
    """Put the file, then its manifest, in place; an older manifest never stands beside a newer file."""
    with storage_errors(target):
        manifest_path(target).unlink(missing_ok=True)
    with atomic_path(target) as temporary:
        shutil.copyfile(made, temporary)
    write_manifest(artifact, target.parent)
