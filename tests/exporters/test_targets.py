"""What a quantized ONNX file is like for each target, and what w8a16 is like in both runtimes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from exporters.onnx_builders import normal, save
from models.small_tflite import save_tflite, weights
from onnx import helper, numpy_helper

from edgebench.artifact import Format, Precision, TensorIo, read_manifest
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Arithmetic, Target, local_target, resolved
from edgebench.datasets import Dataset
from edgebench.errors import ConfigError
from edgebench.exporters import parity, quantize_onnx, quantize_tflite
from edgebench.exporters.export import ExportRequest, export
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.inspect import describe
from edgebench.exporters.onnx_arithmetic import of_opset_for
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.source import open_source
from edgebench.storage import sha256_bytes

TARGETS = [target for target in Target if target is not Target.AUTO]
LAYERS = ("Conv", "Gemm", "MatMul")
OTHER = Target.X86_AVX2 if local_target() is not Target.X86_AVX2 else Target.X86_VNNI
"""A target that is not this machine's."""


def save_residual(path: Path) -> Path:
    """Write convolutions around a residual sum, a second one with a shortcut of its own, and a Gemm."""
    conv = [
        helper.make_node("Conv", [x, f"w_{y}", f"b_{y}"], [y], name=y, pads=[1, 1, 1, 1])
        for x, y in (("x", "stem"), ("stem_r", "one"), ("one_r", "two"), ("sum", "three"), ("sum", "four"))
    ]
    relu = {y: helper.make_node("Relu", [y], [f"{y}_r"], name=f"{y}_r") for y in ("stem", "one")}
    nodes = [
        *(conv[0], relu["stem"], conv[1], relu["one"], conv[2]),
        helper.make_node("Add", ["two", "stem_r"], ["sum"], name="sum"),
        *(conv[3], conv[4]),
        helper.make_node("Add", ["three", "four"], ["last"], name="last"),
        helper.make_node("GlobalAveragePool", ["last"], ["pool"], name="pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w_head", "b_head"], ["logits"], name="head"),
    ]
    stored = {f"w_{y}": normal(8, 8, 3, 3) / 8 for y in ("one", "two", "three", "four")}
    stored |= {"w_stem": normal(8, 3, 3, 3) / 5, "w_head": normal(8, 5), "b_head": normal(5)}
    stored |= {f"b_{y}": normal(8) for y in ("stem", "one", "two", "three", "four")}
    return save(path, nodes, {"x": ["n", 3, 8, 8]}, {"logits": ["n", 5]}, stored)


def pictures(count: int = 48) -> np.ndarray:
    """Return random images 8×8 with three channels, float32."""
    return np.random.default_rng(2).normal(size=(count, 3, 8, 8)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Made:
    """A quantized file with what was told of it, and its signal over noise in dB."""

    path: Path
    told: QuantizationResult
    sqnr: float


def made(path: Path, data: np.ndarray, precision: Precision, target: Target, **more: Any) -> Made:
    """Return what an fp32 file beside which it is written is quantized to, by the export's own steps."""
    fmt = Format(path.suffix[1:])
    module = quantize_onnx if fmt is Format.ONNX else quantize_tflite
    samples = path.with_name("samples")
    if not samples.exists():
        write_samples(samples, len(data), [[data]])
    table = find_ranges(RangesJob(path, fmt, samples, DEFAULT_METHOD)).table
    out = path.with_name(f"{precision}.{target}.{fmt}")
    told = module.quantize(QuantizationJob(path, out, precision, target, table, **more))
    wanted, got = (parity.answers(file, fmt, (data,)) for file in (path, out))
    found = parity.compare("made", wanted, got)
    assert found.sqnr_db is not None
    return Made(out, told, found.sqnr_db)


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the residual network's file."""
    return save_residual(tmp_path_factory.mktemp("residual") / "m.onnx")


def constants(network: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the initializers' values by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}


def zero_points(network: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, np.ndarray]]:
    """Yield every Q/DQ node with its zero points."""
    values = constants(network)
    for node in network.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield node, values[node.input[2]]


def activation_types(network: onnx.ModelProto) -> set[str]:
    """Return the types that activations are quantized to."""
    return {str(zero.dtype) for node, zero in zero_points(network) if node.op_type == "QuantizeLinear"}


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


# --- w8a16 ----------------------------------------------------------------------------------------


def save_wide(path: Path, opset: int) -> Path:
    """Write MatMul-Relu-MatMul-Relu-MatMul: all layers alike, so that none is kept in float.

    What the first number weighs is small, as it is large.
    """
    names = ["x", "a", "b", "y"]
    nodes = []
    for index, (taken, given) in enumerate(itertools.pairwise(names)):
        out = given if given == "y" else f"{given}_m"
        nodes.append(helper.make_node("MatMul", [taken, f"w{index}"], [out], name=f"m{index}"))
        if given != "y":
            nodes.append(helper.make_node("Relu", [out], [given], name=f"r{index}"))
    rng = np.random.default_rng(3)
    stored = {f"w{i}": rng.normal(size=(32, 32)).astype(np.float32) / 5 for i in range(3)}
    stored["w0"][0] /= 300
    return save(path, nodes, {"x": ["n", 32]}, {"y": ["n", 32]}, stored, opset=opset)


def spikes(width: int, count: int = 64) -> np.ndarray:
    """Return normal numbers of which a few are large, as in a transformer, float32[count, width]."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(count, width)).astype(np.float32)
    x[:, 0] *= 300 * (rng.random(count) < 0.2)
    return x


@pytest.mark.parametrize("opset", [17, 21])
def test_w8a16_keeps_wide_activations_in_onnx(tmp_path: Path, opset: int) -> None:
    """An input 300 times the others: 8 bits lose the others, 16 do not. The file is plain ONNX."""
    path = save_wide(tmp_path / "m.onnx", opset)
    narrow, wide = (made(path, spikes(32), p, local_target()) for p in (Precision.W8A8, Precision.W8A16))
    assert wide.sqnr > narrow.sqnr + 10
    network = onnx.load(wide.path)
    onnx.checker.check_model(network, full_check=True)
    assert activation_types(network) == {"uint16"}
    assert {node.domain for node in network.graph.node} == {""}
    assert describe(wide.path, Format.ONNX).precision is Precision.W8A16
    assert wide.told.target is None
    assert any("no int16 kernels" in note for note in wide.told.notes)


@pytest.mark.parametrize("io", list(TensorIo))
def test_w8a16_keeps_wide_activations_in_tflite(tmp_path: Path, io: TensorIo) -> None:
    """The same in LiteRT; inputs and outputs stay float, which is said where int8 ones are asked for."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[torch]'")
    constants = weights()
    constants["w1"][:, 0] /= 300
    path = save_tflite(tmp_path / "m.tflite", constants=constants)
    narrow = made(path, spikes(16), Precision.W8A8, local_target())
    wide = made(path, spikes(16), Precision.W8A16, local_target(), io=io)
    assert wide.sqnr > narrow.sqnr + 10
    found = describe(wide.path, Format.TFLITE)
    assert (found.precision, found.inputs[0].dtype) == (Precision.W8A16, "float32")
    assert any("takes and gives float" in note for note in wide.told.notes) == (io is TensorIo.INT8)
    assert any("no fast kernels" in note for note in wide.told.notes)


def test_w8a16_has_room_for_what_calibration_did_not_meet(tmp_path: Path) -> None:
    """Samples twice as large as those that fixed the ranges: 8 bits cut them off, 16 do not."""
    path = save_wide(tmp_path / "m.onnx", 17)
    plain = np.random.default_rng(5).normal(size=(64, 32)).astype(np.float32)
    figures = []
    for precision in (Precision.W8A8, Precision.W8A16):
        out = made(path, plain, precision, local_target()).path
        wanted, got = (parity.answers(file, Format.ONNX, (1.9 * plain,)) for file in (path, out))
        figures.append(parity.compare("larger", wanted, got).sqnr_db)
    assert figures[0] < 20
    assert figures[1] > 35


def test_a_graph_that_does_not_convert_is_left_as_it_is(tmp_path: Path) -> None:
    """Without opset 21 the quantizer takes com.microsoft's 16-bit nodes; a graph of 8 bits needs neither."""
    nodes = [helper.make_node("NoSuchOperator", ["x"], ["y"])]
    strange = onnx.load(save(tmp_path / "m.onnx", nodes, {"x": ["n", 4]}, {"y": ["n", 4]}))
    plain = onnx.load(save_wide(tmp_path / "w.onnx", 17))
    wide, narrow = Arithmetic(activation_bits=16), Arithmetic()
    opsets = [of_opset_for(a, m).opset_import[0].version for a, m in ((wide, strange), (wide, plain))]
    assert opsets == [17, 21]
    assert of_opset_for(narrow, plain) is plain


def test_w8a16_needs_data(residual: Path, tmp_path: Path) -> None:
    """Its ranges are fixed beforehand, as those of w8a8 are."""
    request = ExportRequest(open_source(str(residual)), (Format.ONNX,), (Precision.W8A16,), tmp_path, "net")
    with pytest.raises(ConfigError, match="w8a16 needs data"):
        export(request)
