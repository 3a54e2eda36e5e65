"""The whole preparation on graphs where it matters: what stays float, what the quantized file answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebench.calibration.methods import Method
from edgebench.calibration.observers import Range
from edgebench.calibration.passes.layers import layers
from edgebench.calibration.passes.onnx import adapt, adapt_weights, flat_biases
from edgebench.calibration.passes.onnx_ends import float_ends
from edgebench.calibration.passes.sums import rounding_steps
from tests.calibration.passes.networks import (
    answers,
    model_of,
    noise,
    quantize,
    quantized,
    residual_network,
    samples,
    session,
)


def test_the_first_and_the_last_layer_stay_float_where_they_are_small() -> None:
    """A first convolution, the pooling and a classifier of few weights are named; no layer between them."""
    model = residual_network(channels=32, depth=3)
    assert float_ends(model) == ["stem", "classes", "flatten", "pool"]


def test_a_layer_behind_a_transposed_input_is_a_first_layer() -> None:
    """An image that comes with its channels last is transposed first; the stem stays float all the same."""
    model = residual_network(channels=32, depth=3)
    model.graph.node[0].input[0] = "turned"
    model.graph.node.insert(0, helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2]))
    assert "stem" in float_ends(model)


def test_a_bias_of_two_dimensions_can_be_quantized() -> None:
    """A Gemm whose bias is [1, n], over which onnxruntime's quantizer stumbles, is one of n for it."""
    model = residual_network()
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "classes_b")
    bias.dims.insert(0, 1)
    given = samples(4)
    flat = flat_biases(model)
    np.testing.assert_array_equal(answers(session(flat), given), answers(session(model), given))
    names = ["x", *(name for node in model.graph.node for name in node.output)]
    ranges = dict.fromkeys(names, Range(-4.0, 4.0))
    with pytest.raises(ValueError, match="ambiguous"):
        quantize(model, ranges, [], bits=7)
    made = [quantize(network, ranges, [], bits=7) for network in (flat, residual_network())]
    np.testing.assert_array_equal(*(answers(session(network), given) for network in made))


def test_a_large_classifier_is_quantized() -> None:
    """A last layer that holds most of the weights does not stay float: the file would not shrink."""
    assert "classes" not in float_ends(residual_network(channels=32, depth=1, classes=2000))


def test_the_result_is_the_same_whatever_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going through the samples once for all layers or once per layer gives the same weights."""
    model, given = residual_network(), samples(16)
    whole = adapt_weights(model, layers(model), given, bits=7)
    monkeypatch.setattr("edgebench.calibration.passes.sums._BYTES", 1)
    parts = adapt_weights(model, layers(model), given, bits=7)
    assert whole.SerializeToString() == parts.SerializeToString()
    assert whole.SerializeToString() != model.SerializeToString()


def test_the_same_samples_give_the_same_bytes() -> None:
    """Preparing a graph twice gives the same file bit for bit."""
    model, given = residual_network(), samples(16)
    found = [adapt(model, given, bits=7, method=Method.MSE) for _ in range(2)]
    assert found[0].model.SerializeToString() == found[1].model.SerializeToString()
    assert found[0].ranges == found[1].ranges


def test_the_graph_given_is_not_changed() -> None:
    """The passes work on copies."""
    model = residual_network()
    before = model.SerializeToString()
    adapt(model, samples(4), bits=7, method=Method.MSE)
    assert model.SerializeToString() == before


def test_weights_that_a_branch_reads_too_are_left_alone() -> None:
    """A weight that an If's branch also multiplies by keeps its values."""
    weight = numpy_helper.from_array(np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32), "w")
    inside = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4])],
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["negative"])],
        "other",
        [],
        [helper.make_tensor_value_info("negative", TensorProto.FLOAT, [1, 4])],
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], name="outer"),
        helper.make_node("If", ["yes"], ["z"], then_branch=inside, else_branch=other),
        helper.make_node("Add", ["y", "z"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, 4])],
        [weight, numpy_helper.from_array(np.ones((), bool), "yes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert layers(model) == []


@pytest.mark.assets
@pytest.mark.acceptance
def test_resnet20_gains_three_decibels_at_seven_bits(assets: Path, tmp_path: Path) -> None:
    """On ResNet-20 with real images, Q/DQ of the prepared graph is 3 dB nearer to fp32 than without."""
    import torch

    from tests.models.cifar_resnet import resnet20

    network = resnet20()
    stored = torch.load(assets / "cifar10" / "models" / "resnet20-12fca82f.th", "cpu", weights_only=True)
    network.load_state_dict({k.removeprefix("module."): v for k, v in stored["state_dict"].items()})
    exported = tmp_path / "net.onnx"
    torch.onnx.export(
        network.eval(), (torch.zeros(1, 3, 32, 32),), exported, dynamo=True, external_data=False
    )
    with np.load(assets / "cifar10" / "data" / "train_20000.npz") as data:
        images = data["x"][::100].astype(np.float32).transpose(0, 3, 1, 2) / 255
    images = (images - np.float32([0.485, 0.456, 0.406])[:, None, None]) / np.float32([0.229, 0.224, 0.225])[
        :, None, None
    ]
    chosen = [[image[None]] for image in images.astype(np.float32)]
    calibration, held_back = chosen[:128], chosen[128:]
    plain, prepared = quantized(exported, calibration, tmp_path, bits=7)
    wanted = answers(session(onnx.load(exported)), held_back)
    assert (
        noise(wanted, answers(session(prepared), held_back))
        > noise(wanted, answers(session(plain), held_back)) + 3
    )


def test_layers_too_wide_to_be_rounded_by_samples_are_named() -> None:
    """The manifest's words name the layer that is rounded to the nearest, and no other."""
    weights = [np.ones(shape, np.float32) for shape in ((4, 2305), (2, 4))]
    nodes = [
        helper.make_node("Gemm", ["x", "w0"], ["wide"], transB=1),
        helper.make_node("Gemm", ["wide", "w1"], ["y"], transB=1),
    ]
    constants = [numpy_helper.from_array(each, f"w{place}") for place, each in enumerate(weights)]
    model = model_of(nodes, [1, 2305], [1, 2], constants)
    assert rounding_steps(layers(model)) == [
        "weights rounded by calibration samples",
        "weights rounded to the nearest, more than 2304 an output: wide",
    ]
    assert len(rounding_steps(layers(residual_network()))) == 1
