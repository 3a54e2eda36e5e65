"""Slim TFLite files: smaller, and the same in all that is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="needs edgebench[torch] or [tensorflow]")

from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import quantizer, recipe

from edgebench.exporters.tflite_size import slim
from tests.calibration.tflite_networks import Network, answers, images


def quantized(channels: int) -> bytes:
    """Return int8 of a network of many channels and few weights, as ai-edge-quantizer writes it."""
    net = Network(1, 8, 8, 3)
    y = net.conv(net.x, channels, "first", kernel=1)
    for name in ("second", "third", "fourth"):
        y = net.conv(y, channels, name, multiplier=1)
    tool = quantizer.Quantizer(net.content(y), recipe.static_wi8_ai8())
    bound = np.full((1, 1, 1, 1), 4.0, np.float32)
    names = ("x", "first", "second", "third", "fourth")
    return bytes(tool.quantize({name: {"min": -bound, "max": bound} for name in names}).quantized_model)


def _plain(value: Any) -> Any:
    """Return an object of the schema as nested lists and dictionaries."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return {key: _plain(entry) for key, entry in vars(value).items()} if hasattr(value, "__dict__") else value


def test_zero_points_are_stored_once(tmp_path: Path) -> None:
    """A file of many channels loses a quarter of its bytes, and all that is read of it is the same."""
    before = quantized(256)
    after = slim(before)
    assert len(after) < 0.75 * len(before)
    assert slim(after) == after
    first, second = (schema.ModelT.InitFromPackedBuf(content, 0) for content in (before, after))
    constants = {
        index
        for index, tensor in enumerate(first.subgraphs[0].tensors)
        if first.buffers[tensor.buffer].data is not None
    }
    for index in constants:
        assert second.subgraphs[0].tensors[index].name == f"c{index}".encode()
        second.subgraphs[0].tensors[index].name = first.subgraphs[0].tensors[index].name
    assert len(constants) == 8
    assert _plain(first) == _plain(second)
    given = images(4, 8, 8, 3)
    (tmp_path / "before.tflite").write_bytes(before)
    (tmp_path / "after.tflite").write_bytes(after)
    integers = [[np.rint(image[0] * 20).clip(-128, 127)] for image in given]
    found = [answers(tmp_path / name, integers) for name in ("before.tflite", "after.tflite")]
    np.testing.assert_array_equal(*found)


def test_constants_are_aligned() -> None:
    """Every constant lies at a multiple of 16 bytes, where vector instructions read it fastest."""
    model = schema.Model.GetRootAsModel(slim(quantized(10)), 0)
    buffers = [model.Buffers(place) for place in range(model.BuffersLength())]
    places = [found._tab.Vector(found._tab.Offset(4)) for found in buffers if found.DataLength()]
    assert len(places) >= 8
    assert not any(place % 16 for place in places)


def test_constants_behind_the_flatbuffer_are_taken_in(tmp_path: Path) -> None:
    """A larger file, whose weights ai-edge-quantizer writes behind the flatbuffer, answers the same."""
    net = Network(1, 4, 4, 256)
    y = net.conv(net.conv(net.x, 256, "first"), 128, "second")
    bound = np.full((1, 1, 1, 1), 4.0, np.float32)
    tool = quantizer.Quantizer(net.content(y), recipe.static_wi8_ai8())
    ranges = {name: {"min": -bound, "max": bound} for name in ("x", "first", "second")}
    before = bytes(tool.quantize(ranges).quantized_model)
    assert any(b.offset > 1 for b in schema.ModelT.InitFromPackedBuf(before, 0).buffers)
    after = slim(before)
    assert not any(b.offset > 1 for b in schema.ModelT.InitFromPackedBuf(after, 0).buffers)
    assert len(after) <= len(before)
    (tmp_path / "before.tflite").write_bytes(before)
    (tmp_path / "after.tflite").write_bytes(after)
    given = [[np.rint(image[0] * 20).clip(-128, 127)] for image in images(2, 4, 4, 256)]
    found = [answers(tmp_path / name, given) for name in ("before.tflite", "after.tflite")]
    np.testing.assert_array_equal(*found)
