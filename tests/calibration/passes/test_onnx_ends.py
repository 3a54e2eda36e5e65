"""What stays float at the ends of ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from edgebench.calibration.passes.onnx_ends import float_ends
from tests.calibration.passes.networks import model_of


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
