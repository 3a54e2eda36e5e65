"""Real trained models and labelled data that nobody here made, through the real program.

The accuracies are those published, or measured by others, for these files: see the assets' MANIFEST.md.
"""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import edgebench

from edgebench.artifact import read_manifest
from edgebench.benchmark.evidence_files import read_evidence

pytestmark = pytest.mark.assets

CIFAR = "{scale: 0.00392156862745098, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: nchw}"
MFCC = "{mean: [83], std: [1.7102703]}"
"""real value = (stored − 83) · 0.5847029, as the data's page says."""
KWS, IC, MNIST = "mlperf_tiny_kws/models/", "mlperf_tiny_ic/models/", "mnist/models/"


@dataclass(frozen=True)
class Known:
    """A model file, its data, its preprocessing, and its top-1 accuracy in per cent."""

    model: str
    data: str
    top1: float
    preprocessing: str | None = None


KNOWN = (
    Known(KWS + "kws_ref_model.tflite", "kws", 90.2),
    Known(KWS + "kws_ref_model_float32.tflite", "kws", 90.0, MFCC),
    Known(KWS + "alibaba_model_kws.onnx", "kws", 90.8, MFCC),
    Known(IC + "pretrainedResnet.tflite", "ic", 87.0),
    Known(IC + "pretrainedResnet_quant.tflite", "ic", 87.0),
    Known(MNIST + "cntk_mnist.onnx", "mnist", 98.91, "{layout: nchw}"),
    Known(MNIST + "aeq_conv_fc_mnist.tflite", "mnist", 96.52, "{scale: 0.00392156862745098}"),
    Known(MNIST + "aeq_conv_fc_mnist_srq_a8w8.tflite", "mnist", 95.84, "{scale: 0.00392156862745098}"),
    Known(MNIST + "aeq_mnist_quantized.tflite", "mnist", 96.49, "{scale: 0.00392156862745098}"),
    Known(MNIST + "aeq_partly_quantized_mnist.tflite", "mnist", 96.46, "{scale: 0.00392156862745098}"),
    Known("mnist_extra/models/mnist_original.onnx", "mnist_flat", 13.07, "{scale: 0.00392156862745098}"),
)


@pytest.fixture(scope="session")
def data(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the labelled data by name; MNIST's own files are packed as .npz."""
    folder = tmp_path_factory.mktemp("data")
    raw = {
        name: gzip.decompress((assets / "mnist" / "data" / f"t10k-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    }
    images = np.frombuffer(raw["images-idx3"][16:], np.uint8).reshape(-1, 28, 28, 1)
    labels = np.frombuffer(raw["labels-idx1"][8:], np.uint8).astype(np.int64)
    np.savez(folder / "mnist.npz", x=images, y=labels)
    np.savez(folder / "mnist_flat.npz", x=images.reshape(-1, 784), y=labels)
    cifar = assets / "cifar10" / "data"
    with np.load(cifar / "train_20000.npz") as train:
        chosen = np.random.default_rng(0).permutation(len(train["x"]))[:256]
        np.savez(folder / "cifar_calibration.npz", x=train["x"][chosen], y=train["y"][chosen])
    return {
        "kws": assets / "mlperf_tiny_kws" / "data" / "kws01.npz",
        "ic": assets / "mlperf_tiny_ic" / "data" / "ic01_official.npz",
        "mnist": folder / "mnist.npz",
        "mnist_flat": folder / "mnist_flat.npz",
        "cifar": cifar / "test_7500.npz",
        "cifar_calibration": folder / "cifar_calibration.npz",
    }


def measure(
    cwd: Path, models: list[Path], data: Path, preprocessing: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the rows of `edgebench benchmark --json` as artifact → quantity → row."""
    steps = ["--preprocessing", preprocessing] if preprocessing else []
    argv = [*map(str, models), "--data", str(data), *steps, "--sessions", "1", "--calls", "10", "--json"]
    done = edgebench("benchmark", *argv, "--out", "run", cwd=cwd)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = {}
    for row in json.loads(done.stdout)["rows"]:
        found.setdefault(row["artifact"], {})[row["quantity"]] = row
    return found


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: Path(known.model).name)
def test_published_accuracies_are_reproduced(
    assets: Path, data: dict[str, Path], tmp_path: Path, known: Known
) -> None:
    """`edgebench benchmark` gives the known accuracy of a real model on its real data, to the digit."""
    path = assets / known.model
    found = measure(tmp_path, [path], data[known.data], known.preprocessing)
    assert round(found[path.name]["top1"]["value"], 2) == known.top1


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("lfs_pointer_ds_cnn_s_quantized.tflite", "Git LFS pointer"),
        ("mobilenet_v1_0.25_128_quant_edgetpu.tflite", "edgetpu-custom-op"),
        ("model_invoking_error.tflite", "fake-op-double"),
    ],
)
def test_broken_files_end_in_one_clear_line(assets: Path, tmp_path: Path, file: str, words: str) -> None:
    """A Git LFS pointer, a model for another chip and one with an unknown operator: a line and a hint."""
    done = edgebench("benchmark", str(assets / "broken_dev" / file), cwd=tmp_path)
    assert done.returncode == 2
    message, hint = done.stderr.strip().splitlines()
    assert words in message
    assert file in message
    assert hint.startswith("hint: ")


def test_a_model_that_crashes_one_interface_is_measured_through_another(assets: Path, tmp_path: Path) -> None:
    """This real TFLite file crashes LiteRT's CompiledModel: its Interpreter measures it, and that is said."""
    model = assets / "ultraface_dev" / "models" / "version-slim-320_without_postprocessing.tflite"
    argv = ["benchmark", str(model), "--sessions", "1", "--calls", "10", "--out", "run"]
    done = edgebench(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    session = read_evidence(tmp_path / "run").measurements[0].sessions[0]
    assert session.calls == 10
    assert session.timing.provider.startswith("Interpreter")
    assert "CompiledModel ended by SIG" in session.timing.provider


@pytest.mark.acceptance
@pytest.mark.torch
def test_int8_of_a_pretrained_network_keeps_its_accuracy(
    assets: Path, data: dict[str, Path], tmp_path: Path
) -> None:
    """ResNet-20 in int8, calibrated on 256 training images: at most 0.7 points lost on 7,500 others."""
    factory = f"{Path(__file__).parent / 'models' / 'cifar_resnet.py'}:resnet20"
    weights = next((assets / "cifar10" / "models").glob("resnet20-*.th"))
    argv = ["-w", str(weights), "--precision", "fp32", "--int8", "--preprocessing", CIFAR, "--name", "r20"]
    calibration = ["--calib-data", str(data["cifar_calibration"]), "--calib-samples", "256", "-o", "out"]
    done = edgebench("export", factory, *argv, *calibration, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    models = sorted([*(tmp_path / "out").glob("*.onnx"), *(tmp_path / "out").glob("*.tflite")])
    found = measure(tmp_path, models, data["cifar"])
    assert found["r20.fp32.onnx"]["top1"]["value"] == pytest.approx(91.87, abs=0.01)
    for artifact in ("r20.w8a8.onnx", "r20.w8a8.tflite"):
        assert found[artifact]["drop"]["value"] <= 0.7


@pytest.mark.acceptance
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("known", "note"),
    [
        (Known(IC + "pretrainedResnet.h5", "ic", 87.0), ""),
        (Known(KWS + "kws_ref_model", "kws", 91.3, MFCC), "tf_keras"),
    ],
)
def test_keras_files_and_saved_models_are_exported(
    assets: Path, data: dict[str, Path], tmp_path: Path, known: Known, note: str
) -> None:
    """A Keras 2 file and a SavedModel go to both formats: fp32 keeps the accuracy to the digit.

    Of int8 these few samples can only say that it is not shown to lose more than 0.7 points.
    """
    more = ["--preprocessing", known.preprocessing] if known.preprocessing else []
    calibration = ["--calib-data", str(data[known.data]), "--calib-samples", "100"]
    argv = ["--precision", "fp32,w8a8", *calibration, *more, "--name", "m", "-o", "out"]
    done = edgebench("export", str(assets / known.model), *argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert note in done.stderr
    models = sorted([*(tmp_path / "out").glob("*.onnx"), *(tmp_path / "out").glob("*.tflite")])
    assert len(models) == 4
    found = measure(tmp_path, models, data[known.data])
    for fmt in ("onnx", "tflite"):
        assert round(found[f"m.fp32.{fmt}"]["top1"]["value"], 2) == known.top1
        assert found[f"m.w8a8.{fmt}"]["drop"]["lower"] <= 0.7


@pytest.mark.acceptance
@pytest.mark.torch
def test_calibration_on_unscaled_data_is_no_go(assets: Path, data: dict[str, Path], tmp_path: Path) -> None:
    """int8 calibrated on pixels 0–255 for a network that takes normalised ones ends in NO-GO."""
    factory = f"{Path(__file__).parent / 'models' / 'cifar_resnet.py'}:resnet20"
    weights = next((assets / "cifar10" / "models").glob("resnet20-*.th"))
    argv = ["export", factory, "-w", str(weights), "-f", "onnx", "--name", "r20", "-o", "out"]
    calibration = ["--calib-data", str(data["cifar_calibration"])]
    right = edgebench(*argv, *calibration, "--precision", "fp32", "--preprocessing", CIFAR, cwd=tmp_path)
    wrong = edgebench(*argv, *calibration, "--int8", "--preprocessing", "{layout: nchw}", cwd=tmp_path)
    assert (right.returncode, wrong.returncode) == (0, 0), right.stderr + wrong.stderr
    manifest = tmp_path / "out" / "r20.w8a8.onnx.json"
    good = read_manifest(tmp_path / "out" / "r20.fp32.onnx")
    record = json.loads(manifest.read_text())
    assert good is not None
    record["preprocessing"] = json.loads((tmp_path / "out" / "r20.fp32.onnx.json").read_text())[
        "preprocessing"
    ]
    manifest.write_text(json.dumps(record))
    models = sorted((tmp_path / "out").glob("*.onnx"))
    assert measure(tmp_path, models, data["cifar"])["r20.w8a8.onnx"]["drop"]["value"] > 20
    assert edgebench("report", "run", cwd=tmp_path).returncode == 1


@pytest.mark.acceptance
def test_onnx_goes_to_tflite_through_its_own_environment(assets: Path, tmp_path: Path) -> None:
    """`doctor --fix onnx2tf`, then a real ONNX detector becomes TFLite with the same answers."""
    cache = Path.home() / ".cache" / "edgebench"
    fixed = edgebench("doctor", "--fix", "onnx2tf", cwd=tmp_path, EDGEBENCH_CACHE=str(cache))
    assert fixed.returncode == 0, fixed.stderr
    model = assets / "ultraface_dev" / "models" / "version-slim-320.onnx"
    shutil.copyfile(model, tmp_path / "face.onnx")
    argv = ["export", "face.onnx", "-f", "tflite", "-p", "fp32,fp16", "-o", "out"]
    done = edgebench(*argv, cwd=tmp_path, EDGEBENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    artifact = read_manifest(tmp_path / "out" / "face.fp32.tflite")
    assert artifact is not None
    assert artifact.parity is not None
    assert artifact.parity.max_abs_error < 1e-3
