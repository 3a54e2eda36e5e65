"""Channels made alike: exact in float, less noise in int8, and nothing done where it would not be exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from edgebench.artifact import Format, Precision
from edgebench.calibration.methods import Method
from edgebench.calibration.observers import observe
from edgebench.calibration.passes.equalize import channels, equalize, pairs
from edgebench.calibration.passes.ranges import measured_ranges
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import Target
from edgebench.calibration.watch import watch_onnx
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.quantize_onnx import quantize as to_int8
from edgebench.exporters.quantizers import QuantizationJob
from edgebench.ladder.onnx_layers import onnx_anatomy
from tests.calibration.passes.networks import SIDE, answers, model_of, noise, quantize, samples, session

WIDTH = 12


def network(activation: str = "Relu", *, groups: int = WIDTH, uneven: float = 2.0) -> ModelProto:
    """Return stem, grouped and pointwise convolution, pooling and classes, whose channels differ in size.

    uneven: decades between the smallest and the largest channel; the pointwise weights make up for them,
    as they do once batch normalization is folded.
    """
    rng = np.random.default_rng(0)
    sizes = 10 ** rng.uniform(-uneven, 0, WIDTH)
    constants: list[Any] = []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def conv(name: str, taken: str, values: Any, biases: Any, **settings: Any) -> Any:
        names = [taken, constant(f"{name}_w", values), constant(f"{name}_b", biases)]
        return helper.make_node("Conv", names, [f"{name}_y"], name=name, **settings)

    stem = rng.normal(scale=0.3, size=(WIDTH, 3, 3, 3)) * sizes[:, None, None, None]
    part = WIDTH // groups
    middle = rng.normal(scale=0.3, size=(WIDTH, part, 3, 3))
    middle = middle / sizes.reshape(groups, 1, part, 1, 1).repeat(part, axis=1).reshape(WIDTH, part, 1, 1)
    last = rng.normal(scale=0.3, size=(WIDTH, WIDTH, 1, 1))
    nodes = [
        conv("stem", "x", stem, 0.1 * sizes, pads=[1] * 4),
        _activation(activation, "stem_y", "stem_r", constant),
        conv("middle", "stem_r", middle, np.full(WIDTH, 0.1), pads=[1] * 4, group=groups),
        helper.make_node("Relu", ["middle_y"], ["middle_r"]),
        helper.make_node("MaxPool", ["middle_r"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("last", "pooled", last, np.zeros(WIDTH)),
        helper.make_node("GlobalAveragePool", ["last_y"], ["y"]),
    ]
    return model_of(nodes, [1, 3, SIDE, SIDE], [1, WIDTH, 1, 1], constants)


def _activation(kind: str, taken: str, given: str, constant: Any) -> Any:
    if kind == "Clip":
        return helper.make_node("Clip", [taken, constant("low", 0.0), constant("high", 6.0)], [given])
    return helper.make_node(kind, [taken], [given])


def int8_noise(model: ModelProto, given: list[Any], held: list[Any], folder: Any) -> float:
    """Return the signal to noise ratio of the model's w8a8 file on samples that fixed no range, dB."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    ranges = {name: observe(values, Method.MSE) for name, values in watch_onnx(path, given).items()}
    made = quantize(model, ranges, [], bits=8)
    return noise(answers(session(model), held), answers(session(made), held))


@pytest.mark.parametrize("groups", [WIDTH, 3, 1])
def test_the_graph_computes_the_same(groups: int) -> None:
    """Depthwise, grouped and plain convolutions behind a ReLU: answers equal but for the last bits."""
    model, given = network(groups=groups), samples(8)
    equal, moved = equalize(model, given, bits=8)
    assert {"stem_y", "stem_r"} <= set(moved)
    wanted = answers(session(model), given)
    np.testing.assert_allclose(answers(session(equal), given), wanted, rtol=1e-4, atol=1e-5)
    assert equal.SerializeToString() != model.SerializeToString()


def test_uneven_channels_lose_much_less(tmp_path: Any) -> None:
    """A depthwise convolution that reads channels two decades apart: at least 6 dB more."""
    model, given, held = network(), samples(32), samples(32, seed=2)
    equal, _ = equalize(model, given, bits=8)
    before, after = (int8_noise(each, given, held, tmp_path) for each in (model, equal))
    assert after > before + 6


def test_the_channels_of_a_depthwise_convolution_become_equal() -> None:
    """It has a scale for each of its channels, so nothing is lost by making them all the same."""
    model, given = network(), samples(16)
    before = channels(model, {"stem_r": 1}, given)["stem_r"].largest
    equal, _ = equalize(model, given, bits=8)
    after = channels(equal, {"stem_r": 1}, given)["stem_r"].largest
    assert before.max() / before.min() > 30
    assert after.max() / after.min() < 1.001


def test_even_channels_stay_nearly_as_they_are(tmp_path: Any) -> None:
    """Where nothing is to be gained nothing is lost: within half a decibel."""
    model, given, held = network(uneven=0.0, groups=1), samples(32), samples(32, seed=2)
    equal, _ = equalize(model, given, bits=8)
    before, after = (int8_noise(each, given, held, tmp_path) for each in (model, equal))
    assert after > before - 0.5


@pytest.mark.parametrize("kind", ["Clip", "Sigmoid", "HardSwish"])
def test_activations_that_do_not_pass_a_scale_on_end_a_pair(kind: str) -> None:
    """ReLU6, sigmoid and hard swish of a multiple are no multiple: the stem is left alone."""
    assert [pair.before.node.name for pair in pairs(network(kind))] == ["middle"]


def test_a_channel_that_something_else_sees_is_left_alone() -> None:
    """An output of the graph, a sum, or a reader without constant weights: no pair."""
    model = network()
    model.graph.output.append(helper.make_tensor_value_info("stem_r", 1, None))
    assert [pair.before.node.name for pair in pairs(model)] == ["middle"]
    model = network()
    model.graph.node.append(helper.make_node("Add", ["stem_r", "stem_r"], ["twice"]))
    assert [pair.before.node.name for pair in pairs(model)] == ["middle"]


def test_two_readers_get_the_same_factors() -> None:
    """A result that two convolutions read: both make up for it, and the answers are the same."""
    model = network()
    weights = numpy_helper.from_array(np.ones((2, WIDTH, 1, 1), np.float32), "side_w")
    model.graph.initializer.append(weights)
    model.graph.node.append(helper.make_node("Conv", ["stem_r", "side_w"], ["side"], name="side"))
    model.graph.output.append(helper.make_tensor_value_info("side", 1, None))
    given = samples(8)
    equal, moved = equalize(model, given, bits=8)
    assert "stem_r" in moved
    for sample in given:
        wanted, found = (session(each).run(None, {"x": sample[0]}) for each in (model, equal))
        for one, other in zip(wanted, found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_channels_that_are_always_zero_do_no_harm() -> None:
    """Dead channels keep their weights; the others are equalized, and every number is finite."""
    model = network()
    for tensor in model.graph.initializer:
        if tensor.name in ("stem_w", "stem_b"):
            values = numpy_helper.to_array(tensor).copy()
            values[:2] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    given = samples(8)
    equal, _ = equalize(model, given, bits=8)
    np.testing.assert_allclose(
        answers(session(equal), given), answers(session(model), given), rtol=1e-4, atol=1e-5
    )


def test_what_only_float_layers_read_is_left_alone() -> None:
    """A pair whose readers stay float has no noise to lose."""
    _, moved = equalize(network(), samples(4), bits=8, floats=["middle", "last"])
    assert moved == []


def test_the_ranges_of_what_moved_are_measured_anew() -> None:
    """The table's range of an equalized tensor no longer holds; the one measured does."""
    model, given = network(), samples(16)
    equal, moved = equalize(model, given, bits=8)
    before, after = (measured_ranges(m, moved, given, Method.MIN_MAX)["stem_r"] for m in (model, equal))
    assert after.highest != pytest.approx(before.highest, rel=0.05)
    seen = channels(equal, {"stem_r": 1}, given)["stem_r"].largest.max()
    assert after.highest == pytest.approx(seen, rel=1e-5)


def test_the_ladder_compares_no_tensor_whose_channels_were_scaled(tmp_path: Path) -> None:
    """The int8 file names such tensors so, and the ladder says how many; all it shows is near to float."""
    base, given = tmp_path / "m.onnx", samples(32)
    onnx.save(network(), base)
    write_samples(tmp_path / "samples", len(given), given)
    table = find_ranges(RangesJob(base, Format.ONNX, tmp_path / "samples", Method.MSE)).table
    out = tmp_path / "out.onnx"
    to_int8(QuantizationJob(base, out, Precision.W8A8, Target.ARM64, table, samples=tmp_path / "samples"))
    names = {name for node in onnx.load(out).graph.node for name in node.output}
    assert "stem_r/scaled" in names
    assert "stem_r" not in names
    anatomy = onnx_anatomy(base, out, [np.concatenate([sample[0] for sample in given])])
    (note,) = anatomy.notes
    assert note.startswith("tensors not compared because the int8 file scales their channels: ")
    assert anatomy.layers
    assert all(layer.accumulated_db is None or layer.accumulated_db > 20 for layer in anatomy.layers)
