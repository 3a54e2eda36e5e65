"""ONNX files as sources: tidied, renewed, and refused where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from onnx import TensorProto, helper, numpy_helper

from edgebench.errors import DataError, ExportError, ModelError
from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.onnx_file import open_session, opset, read_onnx
from edgebench.exporters.onnx_source import to_onnx
from edgebench.exporters.source import open_source
from edgebench.storage import sha256_path


def convert(path: Path, out: Path, samples: np.ndarray | None = None) -> onnx.ModelProto:
    """Convert `path` to `out` and return the model there."""
    file = None
    if samples is not None:
        file = out.with_suffix(".npz")
        np.savez(file, in_0=samples)
    to_onnx(ConversionJob(open_source(str(path)), out, file))
    return onnx.load(out)


def old_model(path: Path) -> Path:
    """Write a model of opset 9 and IR 3, its weights listed among its inputs."""
    weight = numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "old", [x, w], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=3), path)
    return path


def test_old_files_are_renewed(tmp_path: Path) -> None:
    """Weights leave the inputs, the operators become those of opset 13, the answers stay."""
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    network = convert(old_model(tmp_path / "old.onnx"), tmp_path / "new.onnx", x)
    assert [entry.name for entry in network.graph.input] == ["x"]
    assert opset(network) == 13
    with np.load(tmp_path / "new.onnx.reference.npz") as stored:
        np.testing.assert_allclose(stored["out_0"], x[:, :3])


def test_random_samples_stand_in_for_data(tmp_path: Path) -> None:
    """Without data eight random samples are written and answered."""
    convert(save_classifier(tmp_path / "m.onnx"), tmp_path / "out.onnx")
    with np.load(tmp_path / "out.onnx.samples.npz") as stored:
        assert stored["in_0"].shape == (8, 16)


def test_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    """Samples of 17 numbers for a model of 16 name both."""
    with pytest.raises(DataError, match=r"\[16\].*\[17\]"):
        convert(save_classifier(tmp_path / "m.onnx"), tmp_path / "out.onnx", np.zeros((2, 17), np.float32))


def test_external_weights_come_inside(tmp_path: Path) -> None:
    """Weights in a second file are taken into the artifact; without that file it is one error."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx", width=300))
    onnx.save_model(
        network, tmp_path / "ext.onnx", save_as_external_data=True, location="ext.bin", size_threshold=0
    )
    assert len(convert(tmp_path / "ext.onnx", tmp_path / "out.onnx").SerializeToString()) > 4 * 300 * 16
    (tmp_path / "ext.bin").unlink()
    with pytest.raises(ModelError, match="not a readable ONNX"):
        read_onnx(tmp_path / "ext.onnx")


def test_the_record_covers_external_weights(tmp_path: Path) -> None:
    """A source's hash is the file's, and changes with the weights beside it where there are some."""
    plain = save_classifier(tmp_path / "m.onnx")
    assert open_source(str(plain)).record.sha256 == sha256_path(plain)
    path = tmp_path / "ext.onnx"
    onnx.save_model(onnx.load(plain), path, save_as_external_data=True, location="e.bin", size_threshold=0)
    first = open_source(str(path)).record.sha256
    assert first != sha256_path(path)
    content = (tmp_path / "e.bin").read_bytes()
    (tmp_path / "e.bin").write_bytes(b"\1" + content[1:])
    assert open_source(str(path)).record.sha256 != first
    path.write_bytes(path.read_bytes().replace(b"e.bin", b"/root"))
    assert open_source(str(path)).record.sha256 == sha256_path(path)


def test_external_weights_do_not_reach_outside(tmp_path: Path) -> None:
    """A file that names `../secret` as its weights is refused."""
    (tmp_path / "secret").write_bytes(bytes(4096))
    inner = tmp_path / "inner"
    inner.mkdir()
    network = onnx.load(save_classifier(inner / "m.onnx"))
    tensor = network.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../secret", "offset": "0", "length": str(4 * 16 * 8)}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (inner / "m.onnx").write_bytes(network.SerializeToString())
    with pytest.raises(ModelError, match="not a readable ONNX"):
        read_onnx(inner / "m.onnx")


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    """A NaN in a weight is refused by the weight's name."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx"))
    bad = numpy_helper.to_array(network.graph.initializer[0]).copy()
    bad[0, 0] = np.nan
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(bad, "w1"))
    onnx.save(network, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="'w1'"):
        read_onnx(tmp_path / "m.onnx")


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    """Operator and node of what no runtime knows stand in the error."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx"))
    network.graph.node[1].op_type = "Reluctant"
    onnx.save(network, tmp_path / "m.onnx")
    with pytest.raises(ExportError, match=r"Reluctant \(node relu\)"):
        convert(tmp_path / "m.onnx", tmp_path / "out.onnx")


def test_a_model_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    """Shapes that contradict each other are an error with the file's name."""
    network = onnx.load(save_classifier(tmp_path / "m.onnx"))
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((3, 3), np.float32), "w1"))
    onnx.save(network, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx") as caught:
        open_session(tmp_path / "m.onnx", "m.onnx")
    assert "\n" not in caught.value.message
