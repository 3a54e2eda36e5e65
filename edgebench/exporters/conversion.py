"""The fp32 file of a format, made in a worker process, with what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.artifact import Format
from edgebench.datasets import Dataset, Preprocessing, preprocess
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.source import Source
from edgebench.exporters.worker import run_worker
from edgebench.storage import from_plain, storage_errors, to_plain

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

PARITY_SAMPLES = 64
"""Samples that an artifact's answers are compared on."""
SUFFIX = {Format.ONNX: "onnx", Format.TFLITE: "tflite", Format.TENSORRT: "engine"}


@dataclass(frozen=True, slots=True)
class Converted:
    """The fp32 file of a format with what its making told, and the samples it is compared on."""

    base: Path
    result: ConversionResult
    data: str


def convert(
    source: Source, fmt: Format, folder: Path, data: Dataset | None, samples: Path | None
) -> Converted:
    """Return the fp32 file of a source, written into `folder`.

    samples: an npz of preprocessed samples of `data`; None for random ones. Raises MissingExtraError where
    the tools are not installed, ExportError where the conversion fails.
    """
    base = folder / f"base.{SUFFIX[fmt]}"
    job = ConversionJob(source=source, out=base, samples=samples)
    plain = run_worker(
        "edgebench.exporters.stages:convert",
        {"job": to_plain(job), "format": fmt.value},
        what=f"converting {source.model} to {fmt}",
    )
    result = from_plain(ConversionResult, plain, what="conversion")
    return Converted(base, result, data.spec if data else "random")


def write_parity_samples(data: Dataset | None, steps: Preprocessing, folder: Path) -> Path | None:
    """Return the npz of preprocessed samples that answers are compared on; None without data."""
    if data is None:
        return None
    import numpy as np

    path = folder / "samples.npz"
    arrays = preprocess(data, steps, chosen(data, PARITY_SAMPLES))
    named: dict[str, Array] = {f"in_{index}": array for index, array in enumerate(arrays)}
    with storage_errors(path):
        np.savez(path, **named)  # type: ignore[arg-type]  # numpy's stub takes the flag for an array
    return path


def chosen(data: Dataset, most: int) -> Sequence[int]:
    """Return at most so many of the data's indices, spread by chance, the same each time."""
    return sorted(shuffled(data)[:most])


def shuffled(data: Dataset) -> list[int]:
    """Return the data's indices in an order by chance, the same each time."""
    import numpy as np

    order: list[int] = np.random.default_rng(0).permutation(len(data)).tolist()
    return order
