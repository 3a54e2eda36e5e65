"""What a model file is, whoever made it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from onnx import TensorProto, helper, numpy_helper

from edgebench.artifact import Format, Precision
from edgebench.datasets import Preprocessing
from edgebench.errors import EdgebenchError, InputError
from edgebench.exporters.inspect import adopt, describe
from edgebench.storage import sha256_path


def test_a_file_without_manifest_is_described(tmp_path: Path) -> None:
    """Name, hash, size, inputs and precision come from the file, preprocessing from the user."""
    path = save_classifier(tmp_path / "a net.onnx")
    steps = Preprocessing(scale=0.5)
    artifact = adopt(path, preprocessing=steps)
    assert artifact.id == "a net.onnx"
    assert artifact.sha256 == sha256_path(path)
    assert (artifact.inputs[0].name, artifact.inputs[0].shape) == ("x", (-1, 16))
    assert artifact.precision is Precision.FP32
    assert artifact.preprocessing == steps


@pytest.mark.parametrize(
    ("dtype", "operators", "precision"),
    [
        (np.float32, [], Precision.FP32),
        (np.float16, [], Precision.FP16),
        (np.int8, ["QuantizeLinear", "DequantizeLinear"], Precision.W8A8),
        (np.int8, ["DynamicQuantizeLinear"], Precision.W8A32),
        (np.int8, [], Precision.UNKNOWN),
    ],
)
def test_the_weights_and_operators_tell_the_precision(
    dtype: type, operators: list[str], precision: Precision
) -> None:
    """Types of the weights, and which operators stand beside them, decide; an odd mix is unknown."""
    from edgebench.exporters.inspect import _onnx_precision

    nodes = [helper.make_node(operator, ["w"], ["y"]) for operator in operators or ["Identity"]]
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    weights = [
        numpy_helper.from_array(np.ones(100, dtype), "w"),
        numpy_helper.from_array(np.ones(3, np.float32), "b"),
    ]
    assert (
        _onnx_precision(helper.make_model(helper.make_graph(nodes, "g", [], [value], weights))) is precision
    )


def test_a_file_that_crashes_its_runtime_is_a_message(tmp_path: Path) -> None:
    """Bytes that begin as TFLite does and go on at random end in one error, not in a dead process."""
    path = tmp_path / "noise.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + np.random.default_rng(0).bytes(20_000))
    with pytest.raises(EdgebenchError, match="noise"):
        adopt(path)


@pytest.mark.parametrize("name", ["m.ort", "m.pt", "m", "m.h5"])
def test_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    """Only ONNX and TFLite files are measured."""
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="known kind"):
        adopt(tmp_path / name)


@pytest.mark.assets
@pytest.mark.parametrize(
    ("file", "precision"),
    [
        ("mlperf_tiny_ic/models/pretrainedResnet.tflite", Precision.FP32),
        ("mlperf_tiny_ic/models/pretrainedResnet_quant.tflite", Precision.W8A8),
        ("mlperf_tiny_kws/models/kws_ref_model_float32.tflite", Precision.W8A32),
        ("mnist/models/aeq_mnist_quantized.tflite", Precision.UNKNOWN),
        ("mobilenet_v1_025/mobilenet_v1_0.25_224_quant.tflite", Precision.W8A8),
    ],
)
def test_real_files_are_what_is_inside_not_what_they_are_called(
    assets: Path, file: str, precision: Precision
) -> None:
    """The file called float32 holds int8 weights; weights behind DEQUANTIZE alone have no name here."""
    assert describe(assets / file, Format.TFLITE).precision is precision


@pytest.mark.assets
def test_weights_among_the_inputs_are_not_inputs(assets: Path) -> None:
    """An old ONNX with 185 graph inputs takes one."""
    path = assets / "ultraface_dev" / "models" / "version-slim-320.onnx"
    assert len(onnx.load(path).graph.input) == 185
    assert [spec.name for spec in describe(path, Format.ONNX).inputs] == ["input"]


def test_a_file_whose_weights_lie_in_another_is_refused(tmp_path: Path) -> None:
    """Its size and hash would be those of the graph alone; the hint's command makes one file of both."""
    save_classifier(tmp_path / "m.onnx")
    network, path = onnx.load(tmp_path / "m.onnx"), tmp_path / "e.onnx"
    onnx.save(network, path, save_as_external_data=True, location="e.data", size_threshold=0)
    with pytest.raises(InputError, match=r"keeps weights in e\.data") as caught:
        adopt(path)
    assert caught.value.hint == f"edgebench export {path} --format onnx -o DIR writes one file"
