"""What an export is asked for and what it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edgebench.artifact import Artifact, Format, Precision, Skipped, TensorIo
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.calibration.target import Target
from edgebench.datasets import Dataset, Preprocessing
from edgebench.exporters.calibration import CalibrationSettings
from edgebench.exporters.conversion import SUFFIX
from edgebench.exporters.mixed_budget import MixedSettings
from edgebench.exporters.source import Source

_LONGEST_STEM = 100


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to make of a source.

    calibration: fixes the ranges of w8a8; at most `calibration_samples` of it are used. calib_table: a
    file of ranges in its place. calib_random: random numbers in its place. calib_method: None for the
    table's, or the default. calib_memory_bytes: bounds what calibrating needs. fresh: watch the graphs
    anew, whatever the cache holds. parity_data: what the answers are compared on; random where None.
    mixed: how much accuracy w8a8 may lose, and how much of it may stay float for that.
    calibration: fixes the ranges of w8a8 and w8a16; at most `calibration_samples` of it are used.
    calib_table: a file of ranges in its place. calib_random: random numbers in its place. calib_method:
    None for the table's, or the default. calib_memory_bytes: bounds what calibrating needs. fresh: watch
    the graphs anew, whatever the cache holds. parity_data: what the answers are compared on; random where
    None. target: whose integer arithmetic ONNX files are made for.
    """

    source: Source
    formats: tuple[Format, ...]
    precisions: tuple[Precision, ...]
    out: Path
    name: str
    calibration: Dataset | None = None
    calibration_samples: int = 256
    calib_table: Path | None = None
    calib_random: bool = False
    calib_method: Method | None = None
    calib_memory_bytes: int | None = None
    fresh: bool = False
    parity_data: Dataset | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    io: TensorIo = TensorIo.FLOAT
    mixed: MixedSettings | None = None
    target: Target = Target.AUTO
    overwrite: bool = False

    @property
    def settings(self) -> CalibrationSettings:
        """How ranges are found where no table gives them."""
        return CalibrationSettings(
            method=self.calib_method or DEFAULT_METHOD,
            memory_bytes=self.calib_memory_bytes,
            fresh=self.fresh,
        )


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was made, what was not and why, and what the user has to be told."""

    artifacts: tuple[Artifact, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether each artifact holds the accuracy budget that was set for it, if one was."""
        return all(artifact.mixed is None or artifact.mixed.held for artifact in self.artifacts)


def file_stem(name: str) -> str:
    """Return a name as the start of a file's name: letters, digits, `.`, `_` and `-` of any alphabet."""
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.")
    return clean[:_LONGEST_STEM] or "model"


def target_path(request: ExportRequest, fmt: Format, precision: Precision) -> Path:
    """Return where the artifact of a format and a precision goes."""
    return request.out / f"{file_stem(request.name)}.{precision}.{SUFFIX[fmt]}"
