"""Rounding of TFLite weights: what the file answers afterwards, and what does not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.calibration.methods import Method
from edgebench.calibration.passes.tflite import adapt, moments, round_weights
from edgebench.calibration.passes.tflite_layers import TfliteLayer, layers, read_matrix, write_matrix
from edgebench.calibration.tflite_graph import TfliteGraph
from tests.calibration.passes.networks import noise
from tests.calibration.tflite_networks import Network, answers, classifier, images


def _layers(path: Path) -> list[TfliteLayer]:
    return layers(TfliteGraph(path.read_bytes()))


def _nearest(path: Path, out: Path) -> Path:
    """Write the file with each weight at the nearest of 255 steps of its channel."""
    content = bytearray(path.read_bytes())
    graph = TfliteGraph(content)
    for layer in layers(graph):
        rows = read_matrix(graph, layer)
        scales = np.abs(rows).max(axis=1, keepdims=True) / 127
        write_matrix(graph, layer, np.rint(rows / scales) * scales)
    out.write_bytes(bytes(content))
    return out


def test_rounding_by_samples_is_nearer_on_images_that_it_did_not_see(tmp_path: Path) -> None:
    """On held-back images the rounded weights' probabilities are 3 dB nearer than the nearest ones'."""
    path, given, held_back = (
        classifier(tmp_path / "m.tflite"),
        images(48, 8, 8, 3),
        images(32, 8, 8, 3, seed=9),
    )
    rounded = tmp_path / "rounded.tflite"
    rounded.write_bytes(round_weights(path, _layers(path), given))
    wanted = answers(path, held_back)
    nearest = noise(wanted, answers(_nearest(path, tmp_path / "nearest.tflite"), held_back))
    assert noise(wanted, answers(rounded, held_back)) > nearest + 3


def test_the_bias_takes_the_mean_of_the_error(tmp_path: Path) -> None:
    """A depthwise layer's mean answer on the samples is the float one's after rounding."""
    net = Network(1, 6, 6, 4)
    path = net.save(tmp_path / "m.tflite", net.conv(net.x, 8, "y", multiplier=2, same=False))
    given = images(40, 6, 6, 4)
    rounded = tmp_path / "rounded.tflite"
    rounded.write_bytes(round_weights(path, _layers(path), given))
    shift = (answers(rounded, given) - answers(path, given)).mean(axis=(0, 1, 2))
    (before,), (after,) = (
        [graph.constant(layer.bias) for layer in layers(graph) if layer.bias is not None]
        for graph in (TfliteGraph(file.read_bytes()) for file in (path, rounded))
    )
    assert np.abs(shift).max() < 1e-4
    assert np.abs(after - before).max() > 1e-3


def test_moments_are_those_of_all_rows(tmp_path: Path) -> None:
    """Mean and second moments over samples equal those computed from all of a dense layer's rows at once."""
    net = Network(1, 5)
    path = net.save(tmp_path / "m.tflite", net.dense(net.x, 3, "y"))
    given = [[sample[0].reshape(1, 5)] for sample in images(60, 5, 1)]
    found = moments(path, _layers(path), given)["y"]
    rows = np.concatenate([sample[0] for sample in given]).astype(np.float64)
    np.testing.assert_allclose(found.mean[0], rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.second[0], rows.T @ rows / len(rows), rtol=1e-4)


def test_the_result_is_the_same_whatever_is_held_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Going through the samples once for all layers or once per layer gives the same bytes."""
    path, given = classifier(tmp_path / "m.tflite"), images(8, 8, 8, 3)
    whole = round_weights(path, _layers(path), given)
    monkeypatch.setattr("edgebench.calibration.passes.sums._BYTES", 1)
    assert round_weights(path, _layers(path), given) == whole != path.read_bytes()


def test_what_stays_float_keeps_its_weights(tmp_path: Path) -> None:
    """The layers named as float are as they were; the others are not."""
    path = classifier(tmp_path / "m.tflite")
    adapted = adapt(path, images(8, 8, 8, 3), floats=["stem", "logits"], method=Method.MSE)
    before, after = TfliteGraph(path.read_bytes()), TfliteGraph(adapted.content)
    same = {
        layer.given
        for layer in layers(before)
        if np.array_equal(before.constant(layer.weight), after.constant(layer.weight))
    }
    assert same == {"stem", "logits"}
    assert adapted.floats == ["stem", "logits"]


def test_a_file_without_layers_is_not_changed(tmp_path: Path) -> None:
    """Where nothing is multiplied by constants, the samples are not even read."""
    net = Network(1, 4)
    path = net.save(tmp_path / "m.tflite", net.softmax(net.x, "y"))
    assert adapt(path, iter([]), floats=[], method=Method.MSE).content == path.read_bytes()
