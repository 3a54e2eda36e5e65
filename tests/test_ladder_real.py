"""The loss ladder on real trained models and real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from models.ladder_models import STEPS, UNIT
from processes import edgebench

from edgebench.ladder.call import ladder
from edgebench.ladder.record import Cause

pytestmark = pytest.mark.assets

CIFAR = STEPS
"""The CIFAR ResNets take ImageNet's mean and deviation too."""


def mnist(assets: Path, folder: Path) -> Path:
    """Write MNIST's test images and labels as .npz."""
    raw = {
        name: gzip.decompress((assets / "mnist" / "data" / f"t10k-{name}-ubyte.gz").read_bytes())
        for name in ("images-idx3", "labels-idx1")
    }
    images = np.frombuffer(raw["images-idx3"][16:], np.uint8).reshape(-1, 28, 28, 1)
    labels = np.frombuffer(raw["labels-idx1"][8:], np.uint8).astype(np.int64)
    np.savez(folder / "mnist.npz", x=images, y=labels)
    return folder / "mnist.npz"


def quantize_tflite(model: Path, out: Path, images: np.ndarray, *, saturate: str) -> Path:
    """Write the int8 file of a model of one input, the range of the tensors `saturate…` a tenth of it."""
    quantizer = pytest.importorskip("ai_edge_quantizer.quantizer", reason="needs edgebench[tensorflow]")
    recipe = pytest.importorskip("ai_edge_quantizer.recipe")
    tool = quantizer.Quantizer(str(model))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    samples = [{"conv2d_input": (images[i : i + 1] / 255).astype(np.float32)} for i in range(32)]
    ranges = tool.calibrate({"serving_default": samples})
    for name, found in ranges.items():
        if name.startswith(saturate):
            found["min"], found["max"] = found["min"] / 10, found["max"] / 10
    out.write_bytes(tool.quantize(ranges).quantized_model)
    return out


def test_a_saturated_layer_of_a_real_tflite_file_is_named(assets: Path, tmp_path: Path) -> None:
    """MNIST in TFLite, one layer's range a tenth of what it should be: that layer, and no other, is named."""
    model = assets / "mnist" / "models" / "aeq_conv_fc_mnist.tflite"
    data = mnist(assets, tmp_path)
    with np.load(data) as stored:
        images = stored["x"][-64:]
    quantized = quantize_tflite(model, tmp_path / "m.w8a8.tflite", images, saturate="sequential/dense/")
    steps = "{scale: 0.00392156862745098}"
    found = ladder(str(model), quantized, data=str(data), fp32=model, preprocessing=steps)
    assert found.blame.cause is Cause.QUANTIZATION
    assert (found.blame.layer or "").startswith("sequential/dense/MatMul")
    assert all(layer.alone_db is None for layer in found.layers)
    assert [rung.accuracy for rung in found.rungs][:2] == [pytest.approx(0.97, abs=0.03)] * 2


@pytest.mark.acceptance
@pytest.mark.torch
def test_a_resnet_exported_for_wrong_inputs_is_named(assets: Path, tmp_path: Path) -> None:
    """ResNet-20 on CIFAR-10, exported for x/255: both formats lose 30 points on it, and it is blamed.

    The ranges inside hold for the right inputs all the same: the first layer, which takes them, is float.
    """
    factory = f"{Path(__file__).parent / 'models' / 'cifar_resnet.py'}:resnet20"
    weights = next((assets / "cifar10" / "models").glob("resnet20-*.th"))
    with np.load(assets / "cifar10" / "data" / "train_20000.npz") as train:
        np.savez(tmp_path / "calibration.npz", x=train["x"][:128], y=train["y"][:128])
    argv = ["export", factory, "-w", str(weights), "--calib-data", "calibration.npz", "--name", "r20", "-o"]
    for folder, steps in (("right", CIFAR), ("wrong", UNIT)):
        done = edgebench(*argv, folder, "--int8", "--preprocessing", steps, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    data = ["-w", str(weights), "--data", str(assets / "cifar10" / "data" / "test_7500.npz"), "--json"]
    for suffix in ("onnx", "tflite"):
        wrong = edgebench(
            *("ladder", factory, f"wrong/r20.w8a8.{suffix}", *data, "--preprocessing", CIFAR), cwd=tmp_path
        )
        found = json.loads(wrong.stdout)
        assert found["blame"]["cause"] == "preprocessing", wrong.stderr
        assert "manifest declares another" in found["blame"]["sentence"]
        assert "mean () instead of (0.485, 0.456, 0.406)" in found["blame"]["evidence"][0]
        assert found["rungs"][-1]["drop"] > 0.3
        assert found["rungs"][2]["drop"] < 0.1
        assert len(found["layers"]) > 20
    right = edgebench("ladder", factory, "right/r20.w8a8.onnx", *data, cwd=tmp_path)
    assert json.loads(right.stdout)["blame"]["cause"] == "none", right.stdout
