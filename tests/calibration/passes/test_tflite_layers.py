"""Layers of TFLite files: what they multiply is LiteRT's own, and what is shared is let be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.calibration.passes.tflite_layers import layers, read_matrix, write_matrix
from edgebench.calibration.passes.windows import vectors
from edgebench.calibration.tflite_graph import TfliteGraph
from tests.calibration.tflite_networks import Network, images, run

_CONVOLUTIONS: list[dict[str, Any]] = [
    {"outputs": 6},
    {"outputs": 6, "same": False},
    {"outputs": 6, "stride": (2, 2)},
    {"outputs": 6, "stride": (3, 1), "same": False},
    {"outputs": 6, "stride": (2, 3), "kernel": 2},
    {"outputs": 6, "dilation": (2, 2)},
    {"outputs": 6, "kernel": 1, "stride": (3, 3)},
    {"outputs": 4, "multiplier": 1},
    {"outputs": 8, "multiplier": 2, "stride": (2, 2)},
    {"outputs": 4, "multiplier": 1, "dilation": (2, 1), "same": False},
    {"outputs": 4},
    {"outputs": 6, "groups": 2},
]


@pytest.mark.parametrize("settings", _CONVOLUTIONS)
@pytest.mark.parametrize("sides", [(7, 6), (8, 5)])
def test_vectors_times_weights_are_what_litert_gives(
    settings: dict[str, Any], sides: tuple[int, int], tmp_path: Path
) -> None:
    """With SAME and VALID padding, strides, dilation and depth multipliers, the windows are LiteRT's own."""
    net = Network(1, *sides, 4)
    path = net.save(tmp_path / "m.tflite", net.conv(net.x, name="y", **settings))
    sample = images(1, *sides, 4)[0][0]
    graph = TfliteGraph(path.read_bytes())
    (layer,) = layers(graph)
    groups, per_group = layer.windows.groups, layer.outputs // layer.windows.groups
    rows = read_matrix(graph, layer).reshape(groups, per_group, -1)
    assert layer.bias is not None
    bias = graph.constant(layer.bias)
    found = np.einsum("god,gpd->pgo", rows, vectors(layer.windows, layer.image(sample)))
    (wanted,) = run(path, sample)
    assert layer.places == wanted[..., 0].size
    np.testing.assert_allclose(
        found.reshape(-1, layer.outputs) + bias, wanted[0].reshape(-1, layer.outputs), atol=1e-4
    )


def test_a_dense_layer_multiplies_the_rows_of_what_it_reads(tmp_path: Path) -> None:
    """A FULLY_CONNECTED's vectors times its weights are its answer."""
    net = Network(1, 12)
    path = net.save(tmp_path / "m.tflite", net.dense(net.x, 5, "y"))
    sample = images(1, 12, 1)[0][0].reshape(1, 12)
    graph = TfliteGraph(path.read_bytes())
    (layer,) = layers(graph)
    assert layer.bias is not None
    found = vectors(layer.windows, layer.image(sample))[0] @ read_matrix(graph, layer).T
    np.testing.assert_allclose(found + graph.constant(layer.bias), run(path, sample)[0], atol=1e-5)


@pytest.mark.parametrize("settings", _CONVOLUTIONS)
def test_written_weights_are_read_again(settings: dict[str, Any]) -> None:
    """Rows that are written come back, and nothing else in the file changes."""
    net = Network(1, 7, 6, 4)
    before = net.content(net.conv(net.x, name="y", **settings))
    content = bytearray(before)
    graph = TfliteGraph(content)
    (layer,) = layers(graph)
    rows = read_matrix(graph, layer)
    write_matrix(graph, layer, rows * 2)
    np.testing.assert_array_equal(read_matrix(TfliteGraph(bytes(content)), layer), rows * 2)
    write_matrix(graph, layer, rows)
    assert bytes(content) == before


def test_weights_and_biases_that_are_shared_are_no_layers_own() -> None:
    """Layers of the same weights are none that may change; one of a shared bias has none of its own."""
    net = Network(1, 8)
    weight, other = net.random("w", 8, 8), net.random("other", 8, 8)
    bias = net.random("b", 8)
    y = net.x
    for name, chosen in (("first", weight), ("second", weight), ("third", other)):
        y = net.operator("FULLY_CONNECTED", [y, chosen, bias], name, [1, 8], "FullyConnectedOptions")
    (layer,) = layers(TfliteGraph(net.content(y)))
    assert (layer.given, layer.bias) == ("third", None)


def test_a_weight_that_is_an_output_too_is_let_be() -> None:
    """What a file also gives as an answer keeps its values."""
    net = Network(1, 8)
    weight = net.random("w", 8, 8)
    y = net.operator("FULLY_CONNECTED", [net.x, weight], "y", [1, 8], "FullyConnectedOptions")
    assert layers(TfliteGraph(net.content(y))) != []
    assert layers(TfliteGraph(net.content(y, weight))) == []


def test_a_product_of_two_computed_tensors_is_no_layer() -> None:
    """A FULLY_CONNECTED whose weights are computed, and a graph without any, have no layers."""
    net = Network(4, 4)
    product = net.operator("FULLY_CONNECTED", [net.x, net.x], "y", [4, 4], "FullyConnectedOptions")
    assert layers(TfliteGraph(net.content(product))) == []
    plain = Network(1, 4)
    assert layers(TfliteGraph(plain.content(plain.softmax(plain.x, "y")))) == []


def _behind(inside: bytes) -> bytearray:
    """Return a file with its constants behind the flatbuffer."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools.flatbuffer_utils import update_packed_buffer

    model = schema.ModelT.InitFromPackedBuf(inside, 0)
    constants = {place: b.data for place, b in enumerate(model.buffers) if b.data is not None}
    for place in constants:
        model.buffers[place].data, model.buffers[place].offset, model.buffers[place].size = None, 1, 1
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    content = bytearray(builder.Output())
    where = {}
    for place, values in constants.items():
        content += bytes(-len(content) % 16)
        where[place] = len(content)
        content += values.tobytes()
    found = schema.Model.GetRootAsModel(content, 0)
    for place, offset in where.items():
        update_packed_buffer(found.Buffers(place), offset, constants[place].nbytes)
    return content


def test_weights_behind_the_flatbuffer_are_found(tmp_path: Path) -> None:
    """In a file whose constants lie behind it, as beyond 2 GiB, layers are read and written alike."""
    net = Network(1, 8)
    inside = net.content(net.dense(net.x, 4, "y"))
    content = _behind(inside)
    (tmp_path / "behind.tflite").write_bytes(content)
    (tmp_path / "inside.tflite").write_bytes(inside)
    sample = np.ones((1, 8), np.float32)
    wanted = run(tmp_path / "inside.tflite", sample)[0]
    np.testing.assert_array_equal(run(tmp_path / "behind.tflite", sample)[0], wanted)
    graph = TfliteGraph(content)
    (layer,) = layers(graph)
    (other,) = layers(TfliteGraph(inside))
    assert layer == other
    rows = read_matrix(graph, layer)
    np.testing.assert_array_equal(rows, read_matrix(TfliteGraph(inside), other))
    write_matrix(graph, layer, rows * 2)
    np.testing.assert_array_equal(read_matrix(TfliteGraph(bytes(content)), layer), rows * 2)
