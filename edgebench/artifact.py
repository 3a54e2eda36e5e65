"""The artifact: a model file ready for a device, and the manifest that says what it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.calibration.target import Target
from edgebench.datasets import Preprocessing
from edgebench.storage import read_json, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

SCHEMA = 2
"""1: the first. 2: `mixed`."""


class Format(enum.StrEnum):
    """What an artifact's file is."""

    ONNX = "onnx"
    TFLITE = "tflite"
    TENSORRT = "tensorrt"


class Precision(enum.StrEnum):
    """How weights and activations are held: w = weight bits, a = activation bits."""

    FP32 = "fp32"
    FP16 = "fp16"
    W8A32 = "w8a32"
    W8A16 = "w8a16"
    W8A8 = "w8a8"
    UNKNOWN = "unknown"
    """A file made elsewhere whose arithmetic was not determined."""

    @property
    def is_static(self) -> bool:
        """Whether the ranges of its activations are fixed beforehand, by calibration."""
        return self in (Precision.W8A8, Precision.W8A16)


class TensorIo(enum.StrEnum):
    """What a TFLite artifact takes and gives at its border."""

    FLOAT = "float"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (stored - zero_point), per tensor."""

    scale: float
    zero_point: int

    def stored(self, real: Array, dtype: str) -> Array:
        """Return real values as the integers of `dtype` that stand for them, clipped to its range."""
        import numpy as np

        steps = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        limits = np.iinfo(np.dtype(dtype))
        clipped: Array = np.clip(steps, limits.min, limits.max).astype(dtype)
        return clipped

    def real(self, stored: Array) -> NDArray[np.float32]:
        """Return stored integers as the real values that they stand for, float32."""
        import numpy as np

        values: NDArray[np.float32] = stored.astype(np.float32)
        return (values - np.float32(self.zero_point)) * np.float32(self.scale)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. shape: a dimension of unknown size is -1. dtype: numpy's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Parity:
    """How near the artifact's outputs are to the source's on the same real samples.

    sqnr_db: 10·log10(signal power / error power); None where the error is exactly zero.
    agreement: share of samples with the same best class, 0–1; None where there are no classes.
    data: where the samples came from: a data set's spec string, or `random` where none was given.
    """

    data: str
    samples: int
    max_abs_error: float
    cosine: float
    sqnr_db: float | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Where an artifact came from. sha256: of the model file and of its weights."""

    model: str
    kind: str
    sha256: str
    weights: str | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """The data that fixed the activation ranges."""

    data: str
    fingerprint: str
    samples: int
    method: str


@dataclass(frozen=True, slots=True)
class MixedTrial:
    """One set of layers kept in float, as it was measured against the fp32 file on held-back samples.

    floats: the layers, by the tensors that they give. float_share: theirs of the model's multiplications,
    0–1. lost, won: samples that only the fp32 file, and only this one, answered rightly.
    """

    floats: tuple[str, ...]
    float_share: float
    lost: int
    won: int
    samples: int
    size_bytes: int

    @property
    def drop(self) -> float:
        """Top-1 lost, as a share of the samples, −1 to 1."""
        return (self.lost - self.won) / self.samples


@dataclass(frozen=True, slots=True)
class MixedPrecision:
    """Which layers were kept in float to hold an accuracy budget, and how that was found.

    budget: as it was asked for. allowed: the largest drop by it, as a share of the samples. held: whether
    the chosen trial, by its number, drops no more. most_float_share: of the multiplications that might
    stay float, 0–1. data, fingerprint: where the held-back samples are from. right: how many of them the
    fp32 file answers rightly.
    """

    budget: str
    allowed: float
    held: bool
    chosen: int
    trials: tuple[MixedTrial, ...]
    most_float_share: float
    data: str
    fingerprint: str
    right: int

    @property
    def trial(self) -> MixedTrial:
        """The trial that the artifact is."""
        return self.trials[self.chosen]


@dataclass(frozen=True, slots=True)
class Artifact:
    """The manifest of one exported model file. `path` is relative to the manifest's folder.

    size_bytes is 0 and sha256 empty where only a log of another tool names the file.
    target: whose integer arithmetic the file is made for; None where it is the same for all of them.
    """

    name: str
    path: str
    format: Format
    precision: Precision
    sha256: str
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source: SourceRecord
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    steps: tuple[str, ...] = ()
    calibration: CalibrationRecord | None = None
    parity: Parity | None = None
    target: Target | None = None
    versions: dict[str, str] = field(default_factory=dict)
    mixed: MixedPrecision | None = None
    schema: int = SCHEMA

    @property
    def id(self) -> str:
        """Name, precision and format, as tables show it: `resnet20.w8a8.onnx`."""
        return Path(self.path).name


@dataclass(frozen=True, slots=True)
class Skipped:
    """A format and precision that was asked for and not made, and why."""

    format: Format
    precision: Precision
    reason: str


def manifest_path(model: Path) -> Path:
    """Return where the manifest of the model file `model` lies: `m.onnx` → `m.onnx.json`."""
    return model.with_name(model.name + ".json")


def write_manifest(artifact: Artifact, folder: Path) -> Path:
    """Write the manifest beside its model file in `folder`; return its path."""
    path = manifest_path(folder / artifact.path)
    write_json(path, artifact)
    return path


def read_manifest(model: Path) -> Artifact | None:
    """Return the manifest beside `model`, or None where it has none. Raises InputError."""
    path = manifest_path(model)
    return read_json(path, Artifact) if path.exists() else None
