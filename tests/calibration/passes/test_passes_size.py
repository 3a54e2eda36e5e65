"""Slimming a Q/DQ file: the same answers from fewer bytes, and the tensors' names as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from edgebench.calibration.observers import Range
from edgebench.calibration.passes.size import slim
from tests.calibration.passes.networks import answers, quantize, residual_network, samples, session


@pytest.fixture(scope="module")
def quantized() -> ModelProto:
    """Return a residual network as Q/DQ, the ranges of all tensors alike."""
    model = residual_network()
    names = ["x", *(name for node in model.graph.node for name in node.output)]
    return quantize(model, dict.fromkeys(names, Range(-4.0, 4.0)), [], bits=7)


def test_the_answers_are_the_same_bit_for_bit(quantized: ModelProto) -> None:
    """ONNX Runtime gives exactly the scores of the file as it was."""
    given = samples(8)
    before, after = (answers(session(model), given) for model in (quantized, slim(quantized)))
    np.testing.assert_array_equal(before, after)


def test_a_small_file_loses_an_eighth(quantized: ModelProto) -> None:
    """At least an eighth of the bytes of a small network's file go."""
    assert slim(quantized).ByteSize() < 7 / 8 * quantized.ByteSize()


def test_convolutions_are_still_run_on_integers(quantized: ModelProto, tmp_path: Path) -> None:
    """The runtime's optimized graph has as many integer convolutions as before."""
    import onnxruntime as ort

    counts = []
    for model in (quantized, slim(quantized)):
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
        counts.append(sum(node.op_type == "QLinearConv" for node in nodes))
    assert counts[0] == counts[1] == 5


def test_tensors_of_the_model_keep_their_names(quantized: ModelProto) -> None:
    """What each QuantizeLinear reads and each layer gives is named as before; the graph is valid."""
    slimmed = slim(quantized)
    onnx.checker.check_model(slimmed, full_check=True)
    for model in (quantized, slimmed):
        read = [n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
        assert {"x", "first0_y_r", "sum1_r"} <= set(read)
    named = [[n.name for n in m.graph.node if "Linear" not in n.op_type] for m in (quantized, slimmed)]
    assert named[0] == named[1]


def test_the_graph_given_is_not_changed(quantized: ModelProto) -> None:
    """Slimming works on a copy."""
    before = quantized.SerializeToString()
    slim(quantized)
    assert quantized.SerializeToString() == before


def test_what_holds_unsaid_is_not_said() -> None:
    """Of a window only the strides, dilations and pads that differ from the standard's stay."""
    weights = onnx.numpy_helper.from_array(np.ones((4, 4, 3, 3), np.float32), "w")
    told = {
        "plain": {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1},
        "striding": {"strides": [2, 1], "dilations": [1, 2], "pads": [0, 1, 0, 0], "kernel_shape": [3, 3]},
    }
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], [f"y{name}"], name, **entries)
        for name, entries in told.items()
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in ("x", "yplain", "ystriding")
    ]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights])
    slimmed = slim(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
    left = {
        node.name: {entry.name: list(entry.ints) for entry in node.attribute} for node in slimmed.graph.node
    }
    assert left == {"plain": {}, "striding": told["striding"]}


def test_operator_sets_that_nothing_is_of_are_left_out(quantized: ModelProto) -> None:
    """A file names the sets of its own nodes only."""
    padded = ModelProto()
    padded.CopyFrom(quantized)
    padded.opset_import.append(onnx.helper.make_opsetid("org.pytorch.aten", 1))
    assert [entry.domain for entry in slim(padded).opset_import] == [""]
