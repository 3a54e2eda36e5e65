"""Balancing: the same function in float, and fewer decibels lost as integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import ModelProto

from edgebench.artifact import Format
from edgebench.calibration.attention import float_between
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import layers, read_constant, read_matrix
from edgebench.calibration.passes.smooth import balance, unclipped
from edgebench.calibration.table import GraphTable, TensorStatistics
from tests.calibration.passes.networks import answers, noise, quantize, residual_network, samples, session
from tests.calibration.passes.transformer import LARGE, TOKENS, WIDTH, transformer_layer

SHAPE = (TOKENS, WIDTH)


def tokens(count: int, seed: int) -> list[list[np.ndarray]]:
    """Return `count` inputs [1, 12, 32]."""
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(1, *SHAPE)).astype(np.float32)] for _ in range(count)]


def test_the_balanced_graph_computes_the_same_in_float() -> None:
    """Outputs of the graph before and after agree to float rounding."""
    model = transformer_layer()
    balanced = balance(model, layers(model), tokens(32, 1), bits=8)
    wanted, found = (answers(session(m), tokens(8, 2)) for m in (model, balanced.model))
    assert balanced.model.SerializeToString() != model.SerializeToString()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_balancing_saves_decibels_on_samples_it_did_not_see() -> None:
    """With large channels, int8 of the balanced graph is 6 dB nearer to fp32 on held-back samples."""
    model = transformer_layer()
    balanced = balance(model, layers(model), tokens(64, 1), bits=8)
    plain = {layer.taken: measured(model, layer.taken, tokens(64, 1)) for layer in layers(model)}
    held_back = tokens(64, 2)
    wanted = answers(session(model), held_back)
    before = noise(wanted, answers(session(products(model, plain)), held_back))
    after = noise(wanted, answers(session(products(balanced.model, balanced.ranges)), held_back))
    assert after > before + 6


def test_factors_go_into_the_norm_that_the_products_alone_read() -> None:
    """The second norm's large gains shrink beside the others, and no operator is added for them."""
    model = transformer_layer()
    balanced = balance(model, layers(model), tokens(32, 1), bits=8)
    norm = next(node for node in balanced.model.graph.node if node.output[0] == "second")
    gains = np.abs(read_constant(balanced.model, norm.input[1]))
    others = np.delete(gains, LARGE)
    assert gains[list(LARGE)].max() / np.median(others) < 15
    readers = [node for node in balanced.model.graph.node if "second" in node.input]
    assert [node.op_type for node in readers] == ["MatMul"]


def test_what_others_read_too_is_divided_by_an_operator_of_its_own() -> None:
    """A norm that a sum reads as well keeps its gains; the products read a Mul of it."""
    model = transformer_layer()
    last = next(node for node in model.graph.node if node.output[0] == "y")
    last.input[0] = "second"
    balanced = balance(model, layers(model), tokens(32, 1), bits=8)
    readers = [node.op_type for node in balanced.model.graph.node if "second" in node.input]
    assert sorted(readers) == ["Add", "Mul"]
    wanted, found = (answers(session(m), tokens(8, 2)) for m in (model, balanced.model))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_ranges_are_those_of_what_the_products_read_now() -> None:
    """Each returned range holds every value of its tensor in the balanced graph, and no more."""
    model = transformer_layer()
    balanced = balance(model, layers(model), tokens(32, 1), bits=8)
    for name, found in balanced.ranges.items():
        seen = measured(balanced.model, name, tokens(32, 1))
        assert (found.lowest, found.highest) == pytest.approx((seen.lowest, seen.highest), rel=1e-4)


def test_channels_alike_are_left_alone() -> None:
    """Where no channel is larger than others nothing is gained, and the graph stays as it is."""
    model = transformer_layer(gain=1.0)
    assert balance(model, layers(model), tokens(32, 1), bits=8).model == model


def test_convolutions_are_left_alone() -> None:
    """Of a residual network only the classifier is looked at."""
    model = residual_network()
    balanced = balance(model, layers(model), samples(4), bits=8)
    assert {name.removesuffix("_balanced") for name in balanced.ranges} == {"flat"}
    for layer in layers(model)[:-1]:
        np.testing.assert_array_equal(read_matrix(balanced.model, layer), read_matrix(model, layer))


def test_without_samples_a_table_gives_all_that_was_seen() -> None:
    """A transformer's products keep the extremes of what they read, whatever the range that was chosen."""
    entry = TensorStatistics(Range(-1.0, 2.0), lowest=-3.0, highest=40.0, zeros=0.0, values=10)
    table = GraphTable(Format.ONNX, "", 8, {"second": entry, "flat": entry, "middle": entry})
    assert unclipped(transformer_layer(), table) == {"second": Range(-3.0, 40.0)}
    assert unclipped(residual_network(), table) == {}


def products(model: ModelProto, ranges: dict[str, Range]) -> ModelProto:
    """Return Q/DQ of the products with constants alone."""
    given = {name: Range(-8.0, 8.0) for node in model.graph.node for name in node.output} | ranges
    return quantize(model, given, float_between(model), bits=8, outputs=False)


def measured(model: ModelProto, name: str, given: Sequence[list[np.ndarray]]) -> Range:
    """Return the extremes of a tensor."""
    tapped = ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.add(name=name)
    opened = session(tapped)
    values = np.concatenate([opened.run([name], {"x": sample[0]})[0].ravel() for sample in given])
    return Range(min(float(values.min()), 0.0), max(float(values.max()), 0.0))
