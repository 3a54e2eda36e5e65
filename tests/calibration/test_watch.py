"""Graphs watched while they run: the same statistics as from all activations, whatever the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgebench.calibration import onnx_tap
from edgebench.calibration.picking import stride
from edgebench.calibration.watch import watch_onnx, watch_tflite
from edgebench.errors import DataError


def conv_net(path: Path, *, log: bool = False) -> Path:
    """Write Conv-Relu-(Log)-MatMul with an open batch: 3×32×32 in, five scores out."""
    source = np.random.default_rng(0)
    weights = {
        "k": source.normal(size=(8, 3, 3, 3)),
        "b": source.normal(size=8),
        "w": source.normal(size=(8, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Log" if log else "Identity", ["r"], ["l"], name="log"),
        helper.make_node("GlobalAveragePool", ["l"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "w"], ["y"], name="head"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 32, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 5])
    constants = [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def images(count: int = 6) -> np.ndarray:
    """Return random images float32[count, 3, 32, 32]."""
    return np.random.default_rng(1).normal(size=(count, 3, 32, 32)).astype(np.float32)


def one_by_one(x: np.ndarray) -> list[list[np.ndarray]]:
    """Return the samples as the watchers take them."""
    return [[x[index : index + 1]] for index in range(len(x))]


def test_statistics_are_those_of_the_activations(tmp_path: Path) -> None:
    """Extremes of each tensor lie within the true ones, and are the true ones where that is asked for."""
    import onnxruntime as ort

    path, x = conv_net(tmp_path / "m.onnx"), images()
    found = watch_onnx(path, one_by_one(x))
    exact = watch_onnx(path, one_by_one(x), exact=True)
    network = onnx.load(path)
    network.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("r", "p", "f")
    )
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    truth = dict(zip(("y", "r", "p", "f"), session.run(None, {"x": x}), strict=True))
    assert set(found) == {"x", "c", "r", "l", "p", "f", "y"}
    for name in ("y", "p", "f"):
        assert found[name].lowest == pytest.approx(truth[name].min(), rel=1e-6)
        assert found[name].highest == pytest.approx(truth[name].max(), rel=1e-6)
    assert found["r"].highest <= truth["r"].max()
    assert found["r"].highest > 0.6 * truth["r"].max()
    assert exact["r"].highest == pytest.approx(truth["r"].max(), rel=1e-6)
    assert exact["x"].lowest == x.min()
    share = found["r"].zeros / found["r"].total
    assert share == pytest.approx((truth["r"] == 0).mean(), abs=0.03)
    assert found["c"] is found["r"], "the ReLU's input is fused away and has its output's range"


def test_the_sampled_values_meet_every_channel(tmp_path: Path) -> None:
    """With 8,192 values per image the step is odd and visits all eight channels of the ReLU."""
    network = onnx.load(conv_net(tmp_path / "m.onnx"))
    step = stride(8 * 32 * 32)
    assert step == 5
    assert len(set(np.arange(0, 8192, step) // 1024)) == 8
    assert onnx_tap.fused_activations(network) == {"c": "r"}


def test_the_table_does_not_depend_on_order(tmp_path: Path) -> None:
    """Samples the other way round give the same counts, bit for bit."""
    path, samples = conv_net(tmp_path / "m.onnx"), one_by_one(images())
    forward, backward = watch_onnx(path, samples), watch_onnx(path, samples[::-1])
    for name, found in forward.items():
        np.testing.assert_array_equal(found.counts, backward[name].counts)
        assert (found.lowest, found.highest) == (backward[name].lowest, backward[name].highest)


def test_nan_names_tensor_and_sample(tmp_path: Path) -> None:
    """A logarithm of zero on sample 4: the tensor, the sample."""
    x = np.abs(images())
    path = conv_net(tmp_path / "m.onnx", log=True)
    network = onnx.load(path)
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "k"))
    network.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.ones(8, np.float32), "b"))
    onnx.save(network, path)
    watch_onnx(path, one_by_one(x))
    x[4] = -100
    with pytest.raises(DataError, match=r"tensor l is NaN or infinite on calibration sample 4"):
        watch_onnx(path, one_by_one(x))


@pytest.mark.assets
def test_a_tflite_graph_is_watched_alike(assets: Path) -> None:
    """Every computed float tensor of a real ResNet-8 has a distribution; ReLUs give no negatives."""
    with np.load(assets / "mlperf_tiny_ic" / "data" / "ic01_official.npz") as data:
        x = data["x"][:8].astype(np.float32)
    path = assets / "mlperf_tiny_ic" / "models" / "pretrainedResnet.tflite"
    found = watch_tflite(path, one_by_one(x), exact=True)
    assert len(found) > 10
    assert (found["input_1"].lowest, found["input_1"].highest) == (x.min(), x.max())
    assert all(values.total >= 8 * 10 for values in found.values())
    relu = next(values for name, values in found.items() if "Relu" in name)
    assert relu.lowest == 0.0
