"""TFLite files made ready: layers that stay float keep weights that are not rounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.small_tflite import save_tflite

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target
from edgebench.exporters.parity import answers
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.exporters.tflite_adapted import adapted


@pytest.fixture
def job(tmp_path: Path) -> QuantizationJob:
    """Return a job on a small classifier and 24 samples."""
    write_samples(tmp_path / "samples", 24, [[vectors(24)]])
    return QuantizationJob(
        save_tflite(tmp_path / "net.tflite"),
        tmp_path / "out.tflite",
        Precision.W8A8,
        Target.ARM64,
        io=TensorIo.INT8,  # so that neither layer is float anyway
        samples=tmp_path / "samples",
    )


def vectors(count: int) -> np.ndarray:
    """Return samples of 16 numbers."""
    return np.random.default_rng(count).normal(size=(count, 16)).astype(np.float32)


def given(content: bytes, folder: Path) -> np.ndarray:
    """Return what a file answers to four samples."""
    path = folder / "asked.tflite"
    path.write_bytes(content)
    return answers(path, Format.TFLITE, [vectors(4)])[0]


def test_all_layers_in_float_compute_what_the_source_does(job: QuantizationJob, tmp_path: Path) -> None:
    """With both layers kept, nothing is rounded; with one, the other is."""
    wanted = given(job.base.read_bytes(), tmp_path)
    kept, part = (adapted(replace(job, floats=floats)) for floats in (("h", "logits"), ("h",)))
    assert np.abs(given(kept.content, tmp_path) - wanted).max() < 1e-5
    assert np.abs(given(part.content, tmp_path) - wanted).max() > 1e-4
    assert kept.floats == ["h", "logits"]


def test_what_is_kept_from_an_earlier_job_gives_the_same_file(job: QuantizationJob, tmp_path: Path) -> None:
    """The second job with a folder to keep things in reads them, and gets the file that it would make."""
    keeping = replace(job, keep=tmp_path / "kept")
    first = adapted(keeping)
    assert first == adapted(job)
    assert adapted(replace(keeping, floats=("h",))) == adapted(replace(job, floats=("h",)))
