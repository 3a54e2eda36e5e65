"""A model's calibration table: each format's fp32 graph made and watched, nothing quantized."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgebench.artifact import Format
from edgebench.calibration.table import CalibrationTable, write_table
from edgebench.datasets import Dataset, Preprocessing
from edgebench.errors import ConfigError, MissingExtraError, StorageError
from edgebench.exporters.calibration import CalibrationSettings, calibrated
from edgebench.exporters.calibration_samples import DataSamples
from edgebench.exporters.conversion import convert, write_parity_samples
from edgebench.exporters.converters import CONVERTERS
from edgebench.exporters.export import check_convertible
from edgebench.exporters.graph_ranges import Ranges
from edgebench.exporters.source import Source
from edgebench.exporters.worker import in_parallel
from edgebench.progress import Progress, silent
from edgebench.step_cache import environment
from edgebench.storage import scratch_folder


@dataclass(frozen=True, slots=True)
class CalibrateRequest:
    """Which source is watched on what. samples: at most so many of the data. out: the table's file."""

    source: Source
    formats: tuple[Format, ...]
    data: Dataset
    out: Path
    samples: int = 256
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the formats of one calibration share. parity: what conversions compare their answers on."""

    folder: Path
    samples: DataSamples
    parity: Path | None


def calibrate_model(request: CalibrateRequest, *, progress: Progress = silent) -> CalibrationTable:
    """Write the table of a model's ranges and return it.

    A format whose tools are not installed, or that the source is not converted to, is a note of the table.
    Raises StorageError where the table is there already or cannot be written, ConfigError where no format
    is left, and whatever conversion and watching raise.
    """
    check_convertible(request.source, request.formats)
    if request.out.exists() and not request.overwrite:
        raise StorageError(
            f"{request.out}: exists already", hint="--overwrite replaces it, or choose another -o"
        )
    with scratch_folder() as folder:
        steps = request.preprocessing
        samples = DataSamples(request.data, request.samples, steps, folder / "calibration")
        shared = _Shared(folder, samples, write_parity_samples(request.data, steps, folder))
        found = in_parallel(lambda fmt: _format(request, fmt, shared, progress), request.formats)
    graphs = [part for part in found if isinstance(part, Ranges)]
    skipped = [part for part in found if isinstance(part, str)]
    if not graphs:
        raise ConfigError(f"nothing was calibrated: {'; '.join(skipped)}", hint="choose another --format")
    told = (note for part in graphs for note in part.notes)
    table = CalibrationTable(
        data=request.data.spec,
        fingerprint=request.data.fingerprint,
        samples=len(samples.numbers),
        method=request.settings.method,
        graphs=tuple(part.table for part in graphs),
        preprocessing=steps,
        notes=tuple(dict.fromkeys([*told, *(f"skipped {reason}" for reason in skipped)])),
        versions=environment(),
    )
    return write_table(request.out, table)


def _format(request: CalibrateRequest, fmt: Format, shared: _Shared, progress: Progress) -> Ranges | str:
    """Return the ranges of a format's graph, or why there are none."""
    if (request.source.kind, fmt) not in CONVERTERS:
        return f"{fmt}: {request.source.kind} is not converted to it for calibrating"
    progress(f"convert to {fmt}")
    try:
        converted = convert(request.source, fmt, shared.folder, request.data, shared.parity)
    except MissingExtraError as err:
        if len(request.formats) == 1:
            raise
        return f"{fmt}: {err.message}: {err.hint}"
    found = calibrated(fmt, converted.base, shared.samples, request.settings, progress)
    return Ranges(found.table, (*converted.result.notes, *found.notes))
