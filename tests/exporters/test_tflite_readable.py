"""Names of tensors that people can read, in place of the converters' own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="needs edgebench[torch] or [tensorflow]")

from ai_edge_litert import schema_py_generated as schema

from edgebench.exporters.tflite_readable import plain_name, readable
from tests.calibration.tflite_networks import Network, answers, images

_NORM = "torch.nn.modules.normalization.LayerNorm"
_NETS = "networks_52ec6b883c8d"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("model/activation_7/Relu;model/activation_7/Relu;model/conv/BiasAdd", "model/activation_7/Relu"),
        (f"{_NETS}._Net/torch.nn.modules.container.Sequential_layers/{_NORM}_before;3", "layers/before"),
        (f"{_NETS}._Net;;{_NETS}._Net/torch.nn.modules.linear.Linear_embed;1", "Net"),
        (f"{_NETS}._Net/{_NORM}_0;", "0"),
        ("StatefulPartitionedCall:0", "StatefulPartitionedCall:0"),
        ("dense/MatMul", "dense/MatMul"),
        (";", ";"),
        ("", ""),
    ],
)
def test_a_name_is_what_a_person_says(given: str, name: str) -> None:
    """The first of joined names; of PyTorch's modules the attributes; else the name as it is."""
    assert plain_name(given) == name


def named(*names: str) -> bytes:
    """Return the file of a chain of convolutions whose outputs have these names."""
    net = Network(1, 8, 8, 3)
    y = net.x
    for name in names:
        y = net.conv(y, 4, name)
    return net.content(y)


def tensors(content: bytes) -> list[str]:
    """Return the names of a file's tensors."""
    graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    return [tensor.name.decode() for tensor in graph.tensors]


def test_each_tensor_has_a_name_of_its_own() -> None:
    """Two layers that a converter calls alike get a number; inputs and outputs keep their names."""
    given = named("net/a/Relu;net/b", "net/a/Relu;net/c", "last;name")
    found = tensors(readable(given))
    assert len(set(found)) == len(found) == len(tensors(given))
    assert [found[tensors(given).index(name)] for name in ("x", "net/a/Relu;net/b", "net/a/Relu;net/c")] == [
        "x",
        "net/a/Relu",
        "net/a/Relu_1",
    ]
    assert found[-1] == "last;name"


def test_what_all_names_begin_with_goes() -> None:
    """The scope that every tensor but inputs and outputs is in says nothing."""
    found = tensors(readable(named("net/a/Relu;net/b", "net/c")))
    assert {"a/Relu", "net/c"} <= set(found)


def test_the_file_answers_the_same(tmp_path: Path) -> None:
    """Only names change: the answers are the same bit for bit, and the second time nothing changes."""
    before = named("net/first;net/first", "net/second", "out")
    after = readable(before)
    assert len(after) < len(before)
    assert readable(after) == after
    given = [[image[0]] for image in images(4, 8, 8, 3)]
    (tmp_path / "before.tflite").write_bytes(before)
    (tmp_path / "after.tflite").write_bytes(after)
    found = [answers(tmp_path / name, given) for name in ("before.tflite", "after.tflite")]
    np.testing.assert_array_equal(*found)
