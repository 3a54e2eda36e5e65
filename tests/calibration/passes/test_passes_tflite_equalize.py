"""Channels of TFLite graphs made alike: exact in float, less noise in int8, else nothing is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import Method
from edgebench.calibration.passes.tflite_equalize import channels, equalize, pairs
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantize_tflite import quantize
from edgebench.exporters.quantizers import QuantizationJob
from tests.calibration.passes.networks import noise
from tests.calibration.tflite_networks import Network, answers, images

WIDTH = 12


def network(path: Path, *, act: str = "RELU", multiplier: int | None = 1, uneven: float = 2.0) -> Path:
    """Write stem, depthwise or plain convolution, pooling and classes, whose channels differ in size.

    uneven: decades between the smallest and the largest channel of the stem.
    """
    net = Network(1, 8, 8, 3)
    stem = net.conv(net.x, WIDTH, "stem", act=act)
    settings = {"multiplier": multiplier} if multiplier else {}
    middle = net.conv(stem, WIDTH * (multiplier or 1), "middle", act="RELU", **settings)
    net.save(path, net.dense(net.reshape(net.pool(middle, "pooled"), "flat", 1, WIDTH), 5, "y"))
    content = bytearray(path.read_bytes())
    graph = TfliteGraph(content)
    sizes = (10 ** np.random.default_rng(0).uniform(-uneven, 0, WIDTH)).astype(np.float32)
    stem_operator, middle_operator = graph.operators[:2]
    graph.constant(stem_operator.inputs[1])[:] *= sizes[:, None, None, None]
    graph.constant(stem_operator.inputs[2])[:] *= sizes
    graph.constant(middle_operator.inputs[1])[:] /= sizes
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("multiplier", [1, None])
def test_the_file_computes_the_same(tmp_path: Path, multiplier: int | None) -> None:
    """A depthwise and a plain convolution behind a fused ReLU: answers equal but for the last bits."""
    path, given = network(tmp_path / "m.tflite", multiplier=multiplier), images(8, 8, 8, 3)
    content, moved = equalize(path, given, top=127)
    (tmp_path / "equal.tflite").write_bytes(content)
    assert "stem" in moved
    np.testing.assert_allclose(
        answers(tmp_path / "equal.tflite", given), answers(path, given), rtol=1e-3, atol=1e-4
    )


def test_the_channels_of_a_depthwise_convolution_become_equal(tmp_path: Path) -> None:
    """It has a scale for each of its channels, so nothing is lost by making them all the same."""
    path, given = network(tmp_path / "m.tflite"), images(16, 8, 8, 3)
    (pair, *_) = pairs(TfliteGraph(path.read_bytes()))
    tensor = pair.between[-1]
    before = channels(path, [tensor], given)[tensor].largest
    (tmp_path / "equal.tflite").write_bytes(equalize(path, given, top=127)[0])
    after = channels(tmp_path / "equal.tflite", [tensor], given)[tensor].largest
    assert before.max() / before.min() > 30
    assert after.max() / after.min() < 1.001


def test_uneven_channels_lose_much_less(tmp_path: Path) -> None:
    """The int8 file made with the samples is at least 6 dB nearer than with the table alone."""
    path, given, held = network(tmp_path / "m.tflite"), images(32, 8, 8, 3), images(32, 8, 8, 3, seed=2)
    write_samples(tmp_path / "samples", len(given), given)
    table = find_ranges(RangesJob(path, Format.TFLITE, tmp_path / "samples", Method.MSE)).table
    job = QuantizationJob(path, tmp_path / "q.tflite", Precision.W8A8, Target.ARM64, table)
    wanted = answers(path, held)
    found = []
    for each in (job, replace(job, samples=tmp_path / "samples")):
        quantize(each)
        found.append(noise(wanted, answers(each.out, held)))
    assert found[1] > found[0] + 6


@pytest.mark.parametrize("act", ["RELU6", "RELU_N1_TO_1", "TANH"])
def test_activations_that_do_not_pass_a_scale_on_end_a_pair(tmp_path: Path, act: str) -> None:
    """What a ReLU6 gives of a multiple is no multiple: the stem is left alone."""
    path = network(tmp_path / "m.tflite", act=act)
    assert equalize(path, images(4, 8, 8, 3), top=127) == (path.read_bytes(), [])


def test_a_channel_that_something_else_sees_is_left_alone(tmp_path: Path) -> None:
    """An output of the file, or a sum that reads it beside a convolution: no pair."""
    for last in ("output", "sum"):
        net = Network(1, 8, 8, 3)
        stem = net.conv(net.x, WIDTH, "stem", act="RELU")
        after = net.conv(stem, WIDTH, "after")
        outputs = [after, stem] if last == "output" else [net.add(after, stem, "total")]
        path = net.save(tmp_path / f"{last}.tflite", *outputs)
        assert pairs(TfliteGraph(path.read_bytes())) == []


def test_what_only_float_layers_read_is_left_alone(tmp_path: Path) -> None:
    """A pair whose readers stay float has no noise to lose."""
    path = network(tmp_path / "m.tflite")
    assert equalize(path, images(4, 8, 8, 3), top=127, floats=["middle"])[1] == []


def test_the_ladder_compares_no_tensor_whose_channels_were_scaled(tmp_path: Path) -> None:
    """The int8 file names such tensors so, and the ladder says how many; all it shows is near to float."""
    from edgebench.ladder.tflite_layers import tflite_anatomy

    path, given = network(tmp_path / "m.tflite"), images(32, 8, 8, 3)
    inputs = np.concatenate([sample[0] for sample in given])
    write_samples(tmp_path / "samples", len(given), [[inputs]])
    table = find_ranges(RangesJob(path, Format.TFLITE, tmp_path / "samples", Method.MSE)).table
    out = tmp_path / "out.tflite"
    job = QuantizationJob(path, out, Precision.W8A8, Target.ARM64, table, samples=tmp_path / "samples")
    quantize(job)
    graph = TfliteGraph(out.read_bytes())
    names = {graph.name(tensor) for operator in graph.operators for tensor in operator.outputs}
    assert "stem/scaled" in names
    assert "stem" not in names
    anatomy = tflite_anatomy(path, out, [inputs])
    assert anatomy.notes == ("tensors not compared because the int8 file scales their channels: 1",)
    assert all(layer.accumulated_db is None or layer.accumulated_db > 20 for layer in anatomy.layers)
    assert {layer.tensor for layer in anatomy.layers} >= {"middle", "y"}
