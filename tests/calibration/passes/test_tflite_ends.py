"""What stays float at the ends of a TFLite graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgebench.calibration.passes.tflite_ends import float_ends
from edgebench.calibration.tflite_graph import TfliteGraph
from tests.calibration.tflite_networks import Network, classifier


def test_a_small_first_layer_and_all_behind_the_last_convolution_stay_float(tmp_path: Path) -> None:
    """Stem, pooling, classifier and softmax are named; the convolutions between are not."""
    path = classifier(tmp_path / "m.tflite", channels=64)
    found = float_ends(TfliteGraph(path.read_bytes()))
    assert found == ["stem", "scores", "logits", "flat", "pooled"]


def test_a_large_classifier_is_quantized_and_the_pooling_before_it_is_not(tmp_path: Path) -> None:
    """A last layer of many weights does not stay float, but the means that it reads are taken in float."""
    path = classifier(tmp_path / "m.tflite", channels=64, classes=2000)
    assert float_ends(TfliteGraph(path.read_bytes())) == ["stem", "scores", "pooled"]


def test_what_arranges_the_input_is_float_with_the_layer_behind_it() -> None:
    """An image that comes with its channels first is transposed in float before a float stem."""
    net = Network(1, 3, 8, 8)
    order = net.constant("order", np.array([0, 2, 3, 1], np.int32))
    turned = net.operator("TRANSPOSE", [net.x, order], "turned", [1, 8, 8, 3], "TransposeOptions")
    y = net.conv(turned, 64, "stem", act="RELU")
    for name in ("first", "second", "third"):
        y = net.conv(y, 64, name, act="RELU")
    assert float_ends(TfliteGraph(net.content(y))) == ["turned", "stem"]


def test_a_maximum_in_the_middle_and_a_softmax_within_stay_integers() -> None:
    """Only what gives the outputs stays float: an inner softmax that a layer reads does not."""
    net = Network(1, 64)
    y = net.softmax(net.dense(net.x, 64, "first"), "inner")
    assert float_ends(TfliteGraph(net.content(net.dense(y, 64, "last")))) == []


def test_a_graph_of_nothing_but_arrangement_ends() -> None:
    """Going back from an output stops at the input."""
    net = Network(1, 8)
    y = net.softmax(net.reshape(net.x, "flat", 2, 4), "y")
    assert float_ends(TfliteGraph(net.content(y))) == ["y", "flat"]
