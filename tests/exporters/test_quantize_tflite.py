"""TFLite w8a8: the integers chosen are those stored, what stays float does, and the answers are near."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="needs edgebench[torch] or [tensorflow]")

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.calibration.methods import DEFAULT_METHOD, Method
from edgebench.calibration.passes.tflite import adapt
from edgebench.calibration.passes.tflite_layers import layers
from edgebench.calibration.samples import SampleStore, write_samples
from edgebench.calibration.target import local_target
from edgebench.calibration.tflite_graph import TfliteGraph
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantize_tflite import quantize
from edgebench.exporters.quantizers import QuantizationJob
from tests.calibration.passes.networks import noise
from tests.calibration.tflite_networks import Network, answers, classifier, images, stored


def made(
    base: Path, given: Path, name: str, *, rounded: bool = False, **settings: Any
) -> tuple[Path, tuple[str, ...]]:
    """Return a w8a8 file of a float one with its ranges found on the samples, and its steps."""
    out = given.parent / name
    table = find_ranges(RangesJob(base, Format.TFLITE, given, DEFAULT_METHOD)).table
    settings |= {"samples": given} if rounded else {}
    result = quantize(QuantizationJob(base, out, Precision.W8A8, local_target(), table, **settings))
    return out, result.steps


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Return the folder of 48 images for `classifier`."""
    given = [sample[0] for sample in images(48, 8, 8, 3)]
    write_samples(tmp_path / "samples", len(given), [[np.concatenate(given)]])
    return tmp_path / "samples"


def test_the_file_holds_exactly_the_integers_that_were_chosen(samples: Path, tmp_path: Path) -> None:
    """Integers times scales of the int8 file are the rounded weights, for every kind of layer."""
    net = Network(1, 8, 8, 3)
    y = net.conv(net.conv(net.x, 8, "stem", act="RELU"), 16, "depth", multiplier=2, act="RELU")
    y = net.conv(y, 8, "strided", stride=(2, 2), same=False)
    base = net.save(tmp_path / "m.tflite", net.dense(net.reshape(y, "flat", 1, 72), 72, "y"))
    out, _ = made(base, samples, "o.tflite", rounded=True, io=TensorIo.INT8)
    rounded = TfliteGraph(adapt(base, SampleStore(samples), floats=[], method=Method.MSE).content)
    constants = stored(out)
    assert len(layers(rounded)) == 4
    for layer in layers(rounded):
        integers, scales = constants[layer.given]
        assert integers.dtype == np.int8
        shape = [1] * (integers.ndim - 1) + [-1] if layer.depthwise else [-1] + [1] * (integers.ndim - 1)
        np.testing.assert_allclose(
            integers * scales.reshape(shape), rounded.constant(layer.weight), rtol=1e-5
        )


def test_rounded_weights_answer_nearer_on_images_that_they_did_not_see(samples: Path, tmp_path: Path) -> None:
    """With the same ranges and float ends, samples make held-back answers nearer to the float file's."""
    base, held_back = classifier(tmp_path / "m.tflite", channels=64), images(64, 8, 8, 3, seed=9)
    plain, _ = made(base, samples, "plain.tflite")
    better, steps = made(base, samples, "better.tflite", rounded=True)
    assert "weights rounded by calibration samples" in steps
    wanted = answers(base, held_back)
    assert noise(wanted, answers(better, held_back)) > noise(wanted, answers(plain, held_back)) + 0.5


def test_pooling_and_softmax_in_float_answer_nearer(samples: Path, tmp_path: Path) -> None:
    """Where outputs are float, so is the end of the graph, 6 dB nearer than integers all through."""
    base, held_back = classifier(tmp_path / "m.tflite", channels=64), images(64, 8, 8, 3, seed=9)
    ends, steps = made(base, samples, "ends.tflite")
    whole, none = made(base, samples, "whole.tflite", io=TensorIo.INT8)
    assert "in float: stem, scores, logits, flat, pooled" in steps
    assert not any("in float" in step for step in none)
    found = answers(whole, [[np.rint(image[0] / _scale(whole) + _zero(whole))] for image in held_back])
    wanted = answers(base, held_back)
    assert noise(wanted, answers(ends, held_back)) > noise(wanted, (found + 128) / 256) + 6


def _scale(path: Path) -> float:
    return float(_input(path)["quantization"][0])


def _zero(path: Path) -> int:
    return int(_input(path)["quantization"][1])


def _input(path: Path) -> Any:
    from edgebench.exporters.tflite_file import open_interpreter

    return open_interpreter(path, "m").get_input_details()[0]


def test_int8_inputs_and_outputs_leave_no_float_in_the_file(samples: Path, tmp_path: Path) -> None:
    """With int8 inputs and outputs every tensor that is computed is of integers."""
    base = classifier(tmp_path / "m.tflite", channels=64)
    out, _ = made(base, samples, "o.tflite", rounded=True, io=TensorIo.INT8)
    graph = TfliteGraph(out.read_bytes())
    assert not any(graph.is_float(tensor) for tensor in range(len(graph)))


def test_layers_named_as_float_stay_so_whatever_their_names(samples: Path, tmp_path: Path) -> None:
    """A name full of a pattern's signs keeps its own layer float, none whose name begins or ends alike."""
    net = Network(1, 8, 8, 3)
    y = net.x
    for name in ("a.b/c[0];(d)+", "x;a.b/c[0];(d)+", "a.b/c[0];(d)+;x"):
        y = net.conv(y, 8, name)
    base = net.save(tmp_path / "m.tflite", y)
    out, steps = made(base, samples, "o.tflite", io=TensorIo.INT8, floats=("a.b/c[0];(d)+",))
    assert "in float: a.b/c[0];(d)+" in steps
    constants = stored(out)
    kinds = [constants[name][0].dtype for name in ("a.b/c[0];(d)+", "x;a.b/c[0];(d)+", "a.b/c[0];(d)+;x")]
    assert kinds == [np.float32, np.int8, np.int8]


@pytest.mark.parametrize("io", list(TensorIo))
def test_means_in_integers_have_a_scale_of_their_own(samples: Path, tmp_path: Path, io: TensorIo) -> None:
    """Pooled values that weigh an image's channels have steps that are finer than their source's."""
    net = Network(1, 8, 8, 3)
    image = net.conv(net.x, 16, "stem", act="RELU")
    wide = net.dense(net.reshape(net.pool(image, "pooled"), "flat", 1, 16), 64, "wide", act="RELU")
    scores = net.dense(net.dense(wide, 64, "middle", act="RELU"), 64, "scores")
    out, _ = made(net.save(tmp_path / "m.tflite", scores), samples, "o.tflite", io=io)
    graph = TfliteGraph(out.read_bytes())
    (mean,) = [operator for operator in graph.operators if operator.kind == "MEAN"]
    taken, given = (_details(out)[graph.name(index)] for index in (mean.inputs[0], mean.outputs[0]))
    assert 0 < given["quantization"][0] < 0.8 * taken["quantization"][0]


def _details(path: Path) -> dict[str, Any]:
    from edgebench.exporters.tflite_file import open_interpreter

    return {detail["name"]: detail for detail in open_interpreter(path, "m").get_tensor_details()}


@pytest.mark.assets
@pytest.mark.acceptance
@pytest.mark.parametrize(("io", "least"), [(TensorIo.FLOAT, 30.0), (TensorIo.INT8, 28.0)])
def test_resnet8_keeps_its_probabilities(assets: Path, tmp_path: Path, io: TensorIo, least: float) -> None:
    """MLPerf Tiny's ResNet-8 on images that did not calibrate it: 30 dB, in integers alone 28."""
    with np.load(assets / "cifar10" / "data" / "train_20000.npz") as data:
        chosen = data["x"][::50].astype(np.float32)
    write_samples(tmp_path / "samples", 128, [[chosen[:128]]])
    base = assets / "mlperf_tiny_ic" / "models" / "pretrainedResnet.tflite"
    out, _ = made(base, tmp_path / "samples", "o.tflite", rounded=True, io=io)
    wanted = answers(base, [[image[None]] for image in chosen[128:]])
    if io is TensorIo.FLOAT:
        found = answers(out, [[image[None]] for image in chosen[128:]])
    else:
        integers = [np.rint(image[None] / _scale(out) + _zero(out)) for image in chosen[128:]]
        found = (answers(out, [[image.clip(-128, 127)] for image in integers]) + 128) / 256
    assert noise(wanted, found) > least
