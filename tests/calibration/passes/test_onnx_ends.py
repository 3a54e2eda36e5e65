"""What stays float at the ends of ONNX graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edgebench.calibration.observers import Range
from edgebench.calibration.passes.onnx_ends import float_ends, unrounded_answers
from tests.calibration.passes.networks import answers, model_of, quantize, residual_network, samples, session


def network(nodes: list[Any], given: list[int], **weights: tuple[int, ...]) -> ModelProto:
    """Return a graph from x [1, 8, 8, 3] with a small stem and eight convolutions before the nodes.

    weights: shapes of what the nodes read.
    """
    body = {f"m{place}": (32, 32, 3, 3) for place in range(8)}
    shapes = {"k": (32, 3, 3, 3), **body, **weights}
    constants = [numpy_helper.from_array(np.ones(s, np.float32), name) for name, s in shapes.items()]
    convolutions = [
        helper.make_node(
            "Conv", [f"b{place}", f"m{place}"], [f"b{place + 1}"], name=f"body{place}", pads=[1] * 4
        )
        for place in range(8)
    ]
    first = [
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k"], ["b0"], name="stem", pads=[1] * 4),
    ]
    return model_of([*first, *convolutions, *nodes], [1, 8, 8, 3], given, constants)


def test_what_turns_the_input_for_a_float_layer_is_float_too() -> None:
    """The transposition before the stem would round the image that the stem is to see as it is."""
    assert float_ends(network([helper.make_node("Relu", ["b8"], ["y"], name="r")], [1, 32, 8, 8])) == [
        "turn",
        "stem",
    ]


def test_pooling_behind_a_float_classifier_is_float_too() -> None:
    """Softmax, classifier, flattening and mean, back to the last convolution."""
    tail = [
        helper.make_node("GlobalAveragePool", ["b8"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["l"], name="classes"),
        helper.make_node("Softmax", ["l"], ["y"], name="scores"),
    ]
    assert float_ends(network(tail, [1, 4], w=(32, 4))) == [
        "turn",
        "stem",
        "scores",
        "classes",
        "flat",
        "pool",
    ]


def test_a_large_last_layer_is_int8_and_its_softmax_float() -> None:
    """A classifier with most of the weights is quantized; so is what feeds it."""
    tail = [
        helper.make_node("Flatten", ["b8"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w"], ["l"], name="classes"),
        helper.make_node("Softmax", ["l"], ["y"], name="scores"),
    ]
    assert float_ends(network(tail, [1, 64], w=(2048, 64))) == ["turn", "stem", "scores"]


def test_turning_an_int8_result_is_left_in_int8() -> None:
    """A transposition and a reshape behind a large layer move bytes, not floats."""
    tail = [
        helper.make_node("Transpose", ["b8"], ["u"], name="back", perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["u"], ["y"], name="flat"),
    ]
    assert float_ends(network(tail, [1, 2048])) == ["turn", "stem"]


def rounded(*, softmax: bool = False, twice: bool = False) -> ModelProto:
    """Return a residual network as Q/DQ, all ranges alike. twice: its logits are added to themselves too."""
    model = residual_network()
    output = model.graph.output[0]
    if softmax:
        model.graph.node.append(helper.make_node("Softmax", ["logits"], ["scores"], name="scores"))
        output.name = "scores"
    if twice:
        model.graph.node.append(helper.make_node("Add", ["logits", "logits"], ["doubled"], name="double"))
        model.graph.output.append(helper.make_tensor_value_info("doubled", TensorProto.FLOAT, [1, 10]))
    names = ["x", *(name for node in model.graph.node for name in node.output)]
    return quantize(model, dict.fromkeys(names, Range(-4.0, 4.0)), [], bits=7)


def test_the_answer_is_not_rounded_to_a_byte(tmp_path: Path) -> None:
    """One pair fewer; the classifier still computes in integers and writes float."""
    before = rounded()
    after = unrounded_answers(before)
    assert [node.name for node in after.graph.output] == [node.name for node in before.graph.output]
    assert len(before.graph.node) - len(after.graph.node) == 2
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(after.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert [node.op_type for node in made if node.op_type in ("Gemm", "QGemm")] == ["QGemm"]


def test_an_answer_that_is_not_rounded_is_nearer() -> None:
    """The scores of a Q/DQ file have fewer than 256 values; without the last pair they have more."""
    before = rounded()
    given = samples(64)
    found = [answers(session(model), given) for model in (before, unrounded_answers(before))]
    assert [len(np.unique(scores)) > 256 for scores in found] == [False, True]


@pytest.mark.parametrize("case", [{"twice": True}, {"softmax": True}])
def test_what_others_read_stays_rounded(case: dict[str, bool]) -> None:
    """Where logits are also added in integers, or go into a softmax, the pair stays."""
    before = rounded(**case)
    assert unrounded_answers(before).graph == before.graph
