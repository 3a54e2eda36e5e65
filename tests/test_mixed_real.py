"""Accuracy budgets on real trained models and labelled data that nobody here made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from processes import edgebench

from edgebench.artifact import Artifact, Format, read_manifest
from edgebench.benchmark.accuracy import correct
from edgebench.datasets import Dataset, load_dataset, preprocess
from edgebench.exporters.conversion import shuffled
from edgebench.exporters.parity import answers

pytestmark = [pytest.mark.assets, pytest.mark.acceptance]

CIFAR = "{scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: nchw}"


def right(file: Path, data: Dataset, numbers: list[int]) -> np.ndarray:
    """Return which samples a file answers rightly, by its own runtime and manifest."""
    artifact = manifest(file)
    assert data.labels is not None
    inputs = preprocess(data, artifact.preprocessing, numbers)
    return correct(answers(file, artifact.format, list(inputs))[0], data.labels[numbers])


def manifest(file: Path) -> Artifact:
    """Return a file's manifest."""
    artifact = read_manifest(file)
    assert artifact is not None
    return artifact


def drop(file: Path, fp32: Path, data: Dataset, numbers: list[int]) -> float:
    """Return how much top-1 a file loses against another on some samples, 0–1."""
    return float(right(fp32, data, numbers).mean() - right(file, data, numbers).mean())


@pytest.mark.torch
def test_resnet20_holds_half_a_point(assets: Path, tmp_path: Path) -> None:
    """On 2,744 held-back images the budget is proven, and on 4,500 others the file loses under a point."""
    with np.load(assets / "cifar10" / "data" / "test_7500.npz") as test:
        for name, chosen in (("calibration", slice(0, 3000)), ("evaluation", slice(3000, None))):
            np.savez(tmp_path / f"{name}.npz", x=test["x"][chosen], y=test["y"][chosen])
    factory = f"{Path(__file__).parent / 'models' / 'cifar_resnet.py'}:resnet20"
    weights = next((assets / "cifar10" / "models").glob("resnet20-*.th"))
    argv = (
        "export",
        factory,
        "-w",
        str(weights),
        "--format",
        "onnx",
        "--precision",
        "fp32,w8a8",
        "--name",
        "r",
    )
    budget = ("--calib-data", "calibration.npz", "--preprocessing", CIFAR, "--max-drop", "0.5pp", "-o", ".")
    done = edgebench(*argv, *budget, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the budget of 0.5pp is met" in done.stderr
    assert "not proven" not in done.stderr
    mixed = manifest(tmp_path / "r.w8a8.onnx").mixed
    assert mixed is not None
    assert mixed.held
    assert mixed.trial.samples == 2744
    others = load_dataset(str(tmp_path / "evaluation.npz"))
    every = list(range(len(others)))
    assert drop(tmp_path / "r.w8a8.onnx", tmp_path / "r.fp32.onnx", others, every) < 0.01


def test_the_manifest_of_resnet8_says_what_its_files_do(assets: Path, tmp_path: Path) -> None:
    """Held or not, the counts are those of the two files on the held-back images, and the code says which."""
    source = assets / "mlperf_tiny_ic" / "models" / "pretrainedResnet.tflite"
    spec = str(assets / "mlperf_tiny_ic" / "data" / "ic01_official.npz")
    argv = ("export", str(source), "--format", "tflite", "--precision", "fp32,w8a8", "--name", "r", "-o", ".")
    done = edgebench(*argv, "--calib-data", spec, "--max-drop", "0.5pp", cwd=tmp_path)
    mixed = manifest(tmp_path / "r.w8a8.tflite").mixed
    assert mixed is not None
    assert done.returncode == int(not mixed.held), done.stderr
    assert ("is NOT held" in done.stderr) is not mixed.held
    data = load_dataset(spec)
    numbers = sorted(shuffled(data)[100:])
    files = (tmp_path / "r.w8a8.tflite", tmp_path / "r.fp32.tflite")
    assert mixed.trial.drop == pytest.approx(drop(*files, data, numbers))
    assert mixed.right == int(right(files[1], data, numbers).sum())
    assert manifest(files[0]).format is Format.TFLITE
    assert mixed.trial.size_bytes == files[0].stat().st_size
