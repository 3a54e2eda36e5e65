"""Which function converts what: names only, so that listing them loads no framework.

Each function takes a ConversionJob, writes the fp32 file `job.out`, and returns a ConversionResult.
It runs in a worker process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgebench.artifact import Format
from edgebench.exporters.source import Source, SourceKind


@dataclass(frozen=True, slots=True)
class ConversionJob:
    """One conversion. samples: npz of in_0, in_1, … (preprocessed real samples); None for random ones."""

    source: Source
    out: Path
    samples: Path | None = None


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What a conversion did.

    steps: in words, for the manifest. samples: npz of in_0, in_1, …, the job's or random ones.
    reference: npz of out_0, out_1, … (float32), the source's own outputs on them. notes: what the user
    has to be told.
    """

    steps: tuple[str, ...]
    samples: Path
    reference: Path
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


CONVERTERS: dict[tuple[SourceKind, Format], str] = {
    (SourceKind.TORCH, Format.ONNX): "edgebench.exporters.torch_source:to_onnx",
    (SourceKind.TORCH, Format.TFLITE): "edgebench.exporters.torch_source:to_tflite",
    (SourceKind.PT2, Format.ONNX): "edgebench.exporters.torch_source:to_onnx",
    (SourceKind.PT2, Format.TFLITE): "edgebench.exporters.torch_source:to_tflite",
    (SourceKind.KERAS, Format.ONNX): "edgebench.exporters.keras_source:to_onnx",
    (SourceKind.KERAS, Format.TFLITE): "edgebench.exporters.keras_source:to_tflite",
    (SourceKind.SAVED_MODEL, Format.ONNX): "edgebench.exporters.keras_source:to_onnx",
    (SourceKind.SAVED_MODEL, Format.TFLITE): "edgebench.exporters.keras_source:to_tflite",
    (SourceKind.ONNX, Format.ONNX): "edgebench.exporters.onnx_source:to_onnx",
    (SourceKind.ONNX, Format.TFLITE): "edgebench.exporters.onnx2tf:to_tflite",
    (SourceKind.TFLITE, Format.TFLITE): "edgebench.exporters.tflite_source:to_tflite",
}
