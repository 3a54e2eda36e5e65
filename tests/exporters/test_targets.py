"""What a quantized ONNX file is like for each target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporters.target_builders import (
    activation_types,
    constants,
    made,
    pictures,
    save_residual,
    spikes,
    zero_points,
)
from models.small_tflite import save_tflite

from edgebench.artifact import Format, Precision, read_manifest
from edgebench.calibration.target import Target, local_target, resolved
from edgebench.datasets import Dataset
from edgebench.errors import ConfigError
from edgebench.exporters.export import ExportRequest, export
from edgebench.exporters.source import open_source
from edgebench.storage import sha256_bytes

TARGETS = [target for target in Target if target is not Target.AUTO]
LAYERS = ("Conv", "Gemm", "MatMul")
OTHER = Target.X86_AVX2 if local_target() is not Target.X86_AVX2 else Target.X86_VNNI
"""A target that is not this machine's."""


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the residual network's file."""
    return save_residual(tmp_path_factory.mktemp("residual") / "m.onnx")


def widest_weight(network: onnx.ModelProto) -> int:
    """Return the largest magnitude of an int8 weight."""
    stored = [v for v in constants(network).values() if v.dtype == np.int8 and v.ndim > 1]
    return max(int(np.abs(values.astype(np.int16)).max()) for values in stored)


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_has_its_own_integers(residual: Path, target: Target) -> None:
    """The weights' bits and the activations' type are the target's, and the answers are near fp32's."""
    found = made(residual, pictures(), Precision.W8A8, target)
    network = onnx.load(found.path)
    assert found.told.target is target
    assert str(target) in found.told.steps[0]
    signed = target in (Target.ARM64, Target.TENSORRT)
    assert activation_types(network) == {"int8" if signed else "uint8"}
    assert (widest_weight(network) > 64) == (target is not Target.X86_AVX2)
    if target.weight_bits <= local_target().weight_bits:
        assert found.sqnr > 25


@pytest.mark.parametrize("target", [Target.AUTO, OTHER])
def test_the_manifest_says_whose_integers_they_are(
    residual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    """w8a8 names its target, fp32 none; a file for another machine is verified here, and a note says so."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    x = pictures()
    data = Dataset("pictures", (x,), None, sha256_bytes(x.tobytes()))
    precisions = (Precision.FP32, Precision.W8A8)
    request = ExportRequest(open_source(str(residual)), (Format.ONNX,), precisions, tmp_path, "net")
    result = export(replace(request, calibration=data, parity_data=data, target=target))
    fp32, int8 = (read_manifest(tmp_path / f"net.{precision}.onnx") for precision in precisions)
    assert fp32 is not None
    assert int8 is not None
    assert (fp32.target, int8.target) == (None, resolved(target))
    assert int8.parity is not None
    words = f"net.w8a8.onnx: is made for {OTHER} and runs on {local_target()}"
    assert [note.startswith(words) for note in result.notes if "runs on" in note] == [True] * (
        target is OTHER
    )


# --- TensorRT -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def for_tensorrt(residual: Path) -> onnx.ModelProto:
    """Return the residual network for TensorRT."""
    network = onnx.load(made(residual, pictures(), Precision.W8A8, Target.TENSORRT).path)
    onnx.checker.check_model(network, full_check=True)
    return network


def producers(network: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the node that gives each tensor."""
    return {name: node for node in network.graph.node for name in node.output}


def test_tensorrt_gets_zero_points_of_zero(for_tensorrt: onnx.ModelProto) -> None:
    """All Q/DQ nodes are symmetric int8."""
    found = list(zero_points(for_tensorrt))
    assert len(found) > 10
    assert all(zero.dtype == np.int8 and not zero.any() for _, zero in found)


def test_tensorrt_gets_weights_per_channel_and_float_biases(for_tensorrt: onnx.ModelProto) -> None:
    """Each layer reads a pair, weights with one scale per output channel, and a bias that is float.

    The last layer is too small to be worth it, and reads floats.
    """
    values, made_by = constants(for_tensorrt), producers(for_tensorrt)
    layers = [node for node in for_tensorrt.graph.node if node.op_type in LAYERS and node.name != "head"]
    assert len(layers) == 5
    for layer in layers:
        taken, weight = (made_by[name] for name in layer.input[:2])
        assert (taken.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert made_by[taken.input[0]].op_type == "QuantizeLinear"
        axis = next(entry.i for entry in weight.attribute if entry.name == "axis")
        assert values[weight.input[1]].shape == (values[weight.input[0]].shape[axis],)
        assert values[layer.input[2]].dtype == np.float32


def test_tensorrt_adds_inside_the_layer(for_tensorrt: onnx.ModelProto) -> None:
    """Of a residual sum the skipped input is quantized, the layer's own output is not; nor are outputs."""
    made_by = producers(for_tensorrt)
    for node in for_tensorrt.graph.node:
        if node.op_type == "Add":
            kinds = sorted(made_by[name].op_type for name in node.input)
            assert kinds == ["Conv", "DequantizeLinear"], node.name
    assert made_by["logits"].op_type == "Gemm"


def test_tensorrt_does_not_share_pairs(for_tensorrt: onnx.ModelProto) -> None:
    """Each reader of a quantized tensor has a Q/DQ pair of its own."""
    read = [name for node in for_tensorrt.graph.node for name in node.input]
    pairs = [node.output[0] for node in for_tensorrt.graph.node if node.op_type == "DequantizeLinear"]
    assert all(read.count(name) == 1 for name in pairs)


@pytest.mark.parametrize("precision", [Precision.W8A16, Precision.W8A32])
def test_tensorrt_refuses_other_integers(residual: Path, tmp_path: Path, precision: Precision) -> None:
    """Before anything runs: what TensorRT does not take, and what it does."""
    request = ExportRequest(open_source(str(residual)), (Format.ONNX,), (precision,), tmp_path, "net")
    with pytest.raises(ConfigError, match=f"TensorRT takes no {precision}") as caught:
        export(replace(request, target=Target.TENSORRT, calib_random=True))
    assert caught.value.hint == "--precision w8a8, fp16 or fp32, or another --target"


def test_a_tflite_file_is_not_for_tensorrt(tmp_path: Path) -> None:
    """TFLite's integers are the same on every target, and TensorRT reads none of it: a note says so."""
    found = made(save_tflite(tmp_path / "m.tflite"), spikes(16), Precision.W8A8, Target.TENSORRT)
    assert found.told.target is None
    assert found.told.notes == ("TensorRT reads no TFLite: this file is as for any processor",)
