"""What of a transformer stays float, and which of its tensors are masks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgebench.calibration.attention import attends, float_between, steps
from edgebench.calibration.attention_masks import masks
from edgebench.calibration.picking import stride
from edgebench.calibration.watch import watch_onnx
from edgebench.errors import DataError, ModelError
from edgebench.exporters.onnx_file import read_onnx
from tests.calibration.passes.networks import model_of, residual_network
from tests.calibration.passes.test_passes_smooth import tokens
from tests.calibration.passes.transformer import WIDTH, transformer_layer


def test_products_with_constants_are_all_that_becomes_integer() -> None:
    """Norms, sums, the mask, Softmax and products of two activations stay float."""
    model = transformer_layer()
    left = {node.name for node in model.graph.node} - set(float_between(model))
    assert left == {f"make_{name}_product" for name in ("query", "key", "value", "join", "up", "down")}


def test_a_network_without_attention_is_as_it_was() -> None:
    """Of a residual network nothing stays float by this rule."""
    assert not attends(residual_network())
    assert float_between(residual_network()) == []


def test_between_two_convolutions_integers_stay() -> None:
    """Of a network of both kinds, the ReLU and the sum between convolutions are integers."""
    model = residual_network()
    norm = helper.make_node("LayerNormalization", ["flat", "gain"], ["normed"], name="norm", axis=-1)
    model.graph.node.insert(len(model.graph.node) - 1, norm)
    model.graph.node[-1].input[0] = "normed"
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "first0_b")),
            "gain",
        )
    )
    for place, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}{place}"
    kinds = {node.name: node.op_type for node in model.graph.node}
    stays = [kinds[name] for name in float_between(model)]
    assert "LayerNormalization" in stays
    assert stays.count("Add") == 1  # the last sum goes to the pooling, and so to the norm
    assert "Conv" not in stays


@pytest.mark.parametrize("hidden", [-math.inf, -3.4e38])
def test_a_mask_of_infinite_or_huge_numbers_is_no_fault(tmp_path: Path, hidden: float) -> None:
    """The sum of scores and mask is not watched; all that becomes integer is."""
    model = transformer_layer(hidden=hidden)
    onnx.save(model, tmp_path / "net.onnx")
    found = watch_onnx(tmp_path / "net.onnx", tokens(4, 1))
    assert masks(steps(model)) == {"masked", "mask"}
    assert "masked" not in found
    assert {"first", "seen", "second", "spread"} <= set(found)
    assert all(values.lowest > -1e6 and values.highest < 1e6 for values in found.values())


def test_of_a_transformer_the_true_extremes_are_watched(tmp_path: Path) -> None:
    """A value that is far from all others is in the distribution, also between those that are picked."""
    model = transformer_layer(tokens=400)
    onnx.save(model, tmp_path / "net.onnx")
    given = np.random.default_rng(1).normal(size=(1, 400, WIDTH)).astype(np.float32)
    given[0, 1, 1] = 1000.0
    assert stride(given.size) > 1
    assert given.reshape(-1)[:: stride(given.size)].max() < 10
    assert watch_onnx(tmp_path / "net.onnx", [[given]])["x"].highest == 1000.0


def test_infinity_elsewhere_is_a_fault_still(tmp_path: Path) -> None:
    """A value that overflows on its way to a product is named."""
    nodes = [
        helper.make_node("Exp", ["x"], ["large"]),
        helper.make_node("Relu", ["large"], ["y"]),
    ]
    onnx.save(model_of(nodes, [1, 12, 32], [1, 12, 32], []), tmp_path / "net.onnx")
    given = tokens(1, 1)
    given[0][0][0, 0, 0] = 1e3
    with pytest.raises(DataError, match="large is NaN or infinite"):
        watch_onnx(tmp_path / "net.onnx", given)


def test_constants_of_a_mask_alone_may_be_infinite(tmp_path: Path) -> None:
    """A mask of −∞ loads; a gain of −∞, or a mask of NaN, is told."""
    read_onnx(saved(transformer_layer(hidden=-math.inf), tmp_path))
    with pytest.raises(ModelError, match="'mask' hold NaN"):
        read_onnx(saved(transformer_layer(hidden=math.nan), tmp_path))
    with pytest.raises(ModelError, match="'second_gain' hold NaN"):
        read_onnx(saved(transformer_layer(gain=-math.inf), tmp_path))


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    """Write the graph; return its file."""
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"
