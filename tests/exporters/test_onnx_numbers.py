"""Tensors that a converter numbers anew each time have one number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from odd_graphs import COUNT, Built, branches, node, normal, weight
from onnx_builders import save

from edgebench.artifact import Format
from edgebench.exporters import parity
from edgebench.exporters.onnx_numbers import renumbered


def numbered(path: Path, first: int, second: int) -> Built:
    """Write two layers whose inner names carry two numbers, and an output that looks like such a name."""
    inner, constant = f"Transpose__{first}:0", f"const__{second}"
    nodes = [node("MatMul", f"x {constant}", inner), node("Relu", inner, "y__0")]
    save(path, nodes, {"x": [1, 24]}, {"y__0": [1, 8]}, {constant: weight(24, 8)})
    return path, [normal(COUNT, 24)]


def test_two_conversions_are_one_file(tmp_path: Path) -> None:
    """Whatever the numbers were, the bytes are the same; inputs and outputs keep their names."""
    made = []
    for numbers in ((30, 12), (7, 0)):
        path, samples = numbered(tmp_path / "m.onnx", *numbers)
        before = parity.answers(path, Format.ONNX, samples)
        network = renumbered(onnx.load(path))
        onnx.save(network, path)
        np.testing.assert_array_equal(parity.answers(path, Format.ONNX, samples)[0], before[0])
        assert [entry.name for entry in network.graph.output] == ["y__0"]
        made.append(network.SerializeToString())
    assert made[0] == made[1]


def test_inner_graphs_read_the_new_names(tmp_path: Path) -> None:
    """A branch that reads a numbered tensor of the graph outside still does."""
    path, samples = branches(tmp_path / "m.onnx")
    before = parity.answers(path, Format.ONNX, samples)
    content = path.read_bytes().replace(b"shared", b"sh__77")
    path.write_bytes(content)
    network = renumbered(onnx.load(path))
    assert "sh__77" not in {tensor.name for tensor in network.graph.initializer}
    onnx.save(network, path)
    np.testing.assert_array_equal(parity.answers(path, Format.ONNX, samples)[0], before[0])
