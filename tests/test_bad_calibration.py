"""What can be wrong with calibration data, tables and models to quantize, through the real program."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from models.small_onnx import save_classifier
from models.small_tflite import save_tflite, weights
from onnx import TensorProto, helper, numpy_helper
from processes import edgebench, fails

from edgebench import api

COUNT = 64
INT8 = ("-f", "onnx", "--int8", "-o", "out")


def vectors(width: int = 16, *, seed: int = 0) -> np.ndarray:
    """Return random samples, float32[64, width]."""
    return np.random.default_rng(seed).normal(size=(COUNT, width)).astype(np.float32)


def data(folder: Path, **arrays: np.ndarray) -> str:
    """Write d.npz without labels into a folder; return its name."""
    np.savez(folder / "d.npz", **arrays)  # type: ignore[arg-type]
    return "d.npz"


def root(path: Path) -> Path:
    """Write a network that takes the square root of the sum of its input: NaN where it is negative."""
    constants = {
        "w1": np.ones((16, 8), np.float32),
        "w2": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["sum"], name="sums"),
        helper.make_node("Sqrt", ["sum"], ["root"], name="roots"),
        helper.make_node("MatMul", ["root", "w2"], ["logits"], name="classes"),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])]
        for name, size in (("x", 16), ("logits", 4))
    ]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "roots", *ends, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def sum_of_two(path: Path) -> Path:
    """Write a network with the inputs `left` and `right`, both of 16 numbers."""
    constants = [numpy_helper.from_array(vectors(4, seed=s)[:16], f"w{s}") for s in (1, 2)]
    nodes = [
        helper.make_node("MatMul", ["left", "w1"], ["a"], name="lefts"),
        helper.make_node("MatMul", ["right", "w2"], ["b"], name="rights"),
        helper.make_node("Add", ["a", "b"], ["logits"], name="sums"),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 16]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph(nodes, "two", inputs, [output], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_nan_in_the_data_is_named_with_its_sample(tmp_path: Path) -> None:
    """A NaN in sample 57 of 64 exits 2 with the array's name and the number."""
    save_classifier(tmp_path / "m.onnx")
    x = vectors()
    x[57, 3] = np.nan
    argv = ("export", "m.onnx", *INT8, "--calib-data", data(tmp_path, x=x))
    fails(tmp_path, *argv, words="d.npz: the array 'x' has NaN in sample 57")


def test_nan_inside_the_graph_is_named_with_tensor_and_sample(tmp_path: Path) -> None:
    """A sample on which a tensor of the graph becomes NaN exits 2 with the tensor's name and the number."""
    root(tmp_path / "m.onnx")
    x = np.abs(vectors())
    x[57] *= -1
    argv = ("export", "m.onnx", *INT8, "--calib-data", data(tmp_path, x=x))
    fails(tmp_path, *argv, words="the tensor root is NaN or infinite on calibration sample 57")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": vectors()[:0]}, "d.npz: holds no samples"),
        ({"x": vectors(9)}, "the model's input x takes samples of shape [16], the data's have [9]"),
        ({"x": vectors(), "z": vectors()}, "the model takes 1 inputs (x), the data has 2"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(
    arrays: dict[str, np.ndarray], words: str, tmp_path: Path
) -> None:
    """No samples, another shape, or more arrays than inputs exit 2 with both sides of what does not fit."""
    save_classifier(tmp_path / "m.onnx")
    fails(tmp_path, "export", "m.onnx", *INT8, "--calib-data", data(tmp_path, **arrays), words=words)
    assert not list(tmp_path.glob("out/*.onnx"))


def test_arrays_in_another_order_are_refused_and_unknown_ones_told(tmp_path: Path) -> None:
    """Inputs in the wrong order exit 2; arrays of foreign names are taken in their order, with a note."""
    sum_of_two(tmp_path / "m.onnx")
    argv = ("export", "m.onnx", *INT8, "--calib-data")
    swapped = data(tmp_path, right=vectors(), left=vectors(seed=1))
    fails(tmp_path, *argv, swapped, words="in the order right, left, the model takes left, right")
    done = edgebench(*argv, data(tmp_path, first=vectors(), second=vectors(seed=1)), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: onnx: the data's arrays first, second are taken for the inputs left, right" in done.stderr


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_data_that_is_always_zero_is_told(suffix: str, tmp_path: Path) -> None:
    """All-zero data exports, and notes name the tensor that never was anything else."""
    if suffix == "tflite":
        pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    {"onnx": save_classifier, "tflite": save_tflite}[suffix](tmp_path / f"m.{suffix}")
    given = data(tmp_path, x=np.zeros((COUNT, 16), np.float32))
    done = edgebench("export", f"m.{suffix}", "-f", suffix, "--int8", "--calib-data", given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: every value of the model's input is 0 in the calibration data" in done.stderr
    assert f"note: {suffix}: always zero on the calibration samples: x" in done.stderr


def test_evaluating_on_the_calibration_data_is_told(tmp_path: Path) -> None:
    """An int8 file that is measured on what its ranges are of: a note says so; on other data none does."""
    save_classifier(tmp_path / "m.onnx")
    argv = ("export", "m.onnx", *INT8, "--calib-data", data(tmp_path, x=vectors(), y=np.arange(COUNT) % 4))
    assert edgebench(*argv, cwd=tmp_path).returncode == 0
    np.savez(tmp_path / "other.npz", x=vectors(seed=1), y=np.arange(COUNT) % 4)
    measure = ("benchmark", "out/m.w8a8.onnx", "--sessions", "1", "--calls", "30")
    edgebench(*measure, "--data", "d.npz", "-o", "same", cwd=tmp_path)
    edgebench(*measure, "--data", "other.npz", "-o", "another", cwd=tmp_path)
    told = "m.w8a8.onnx: calibrated on the evaluation data: the accuracy may read too high"
    assert told in api.read_evidence(tmp_path / "same").notes
    assert told not in api.read_evidence(tmp_path / "another").notes


def test_a_quantized_onnx_file_is_refused_for_any_precision(tmp_path: Path) -> None:
    """Q/DQ nodes in a source exit 2 with the file's name and what can be done, for fp32 too."""
    save_classifier(tmp_path / "m.onnx")
    given = data(tmp_path, x=vectors())
    assert edgebench("export", "m.onnx", *INT8, "--calib-data", given, cwd=tmp_path).returncode == 0
    for more in (("--calib-data", given, "--int8"), ()):
        argv = ("export", "out/m.w8a8.onnx", "-f", "onnx", "-o", "two", *more)
        words = fails(tmp_path, *argv, words="m.w8a8.onnx: the model is already quantized")
        assert "edgebench benchmark measures it as it is; to quantize anew, export the float model" in words


def test_a_quantized_tflite_file_is_refused(tmp_path: Path) -> None:
    """int8 weights in a float TFLite file exit 2 with what can be done."""
    rough = {name: np.rint(array * 100).astype(np.int8) for name, array in weights().items()}
    save_tflite(tmp_path / "m.tflite", constants={**weights(), "w1": rough["w1"]}, scale=0.01)
    argv = ("export", "m.tflite", "-f", "tflite", "--int8", "--calib-data", data(tmp_path, x=vectors()))
    words = fails(tmp_path, *argv, words="already quantized, though it computes in float32")
    assert "export the float model" in words


def test_a_table_of_another_model_is_refused(tmp_path: Path) -> None:
    """A table exits 2 with both graphs' hashes where the weights are others."""
    save_classifier(tmp_path / "m.onnx")
    save_classifier(tmp_path / "other.onnx", seed=1)
    given = data(tmp_path, x=vectors())
    argv = ("calibrate", "m.onnx", "-f", "onnx", "--calib-data", given, "-o", "t.json")
    assert edgebench(*argv, cwd=tmp_path).returncode == 0
    words = fails(
        tmp_path, "export", "other.onnx", *INT8, "--calib-table", "t.json", words="made for another model"
    )
    assert "edgebench calibrate" in words


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_infinite_weights_are_named(suffix: str, tmp_path: Path) -> None:
    """An infinite weight exits 2 with the weight's name."""
    if suffix == "tflite":
        constants = weights()
        constants["w1"][1, 2] = np.inf
        save_tflite(tmp_path / "m.tflite", constants=constants)
    else:
        network = onnx.load(save_classifier(tmp_path / "m.onnx"))
        values = numpy_helper.to_array(network.graph.initializer[0]).copy()
        values[1, 2] = np.inf
        network.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w1"))
        onnx.save(network, tmp_path / "m.onnx")
    argv = ("export", f"m.{suffix}", "-f", suffix, "--int8", "--calib-data", data(tmp_path, x=vectors()))
    fails(tmp_path, *argv, words="the weights 'w1' hold NaN or infinity")
