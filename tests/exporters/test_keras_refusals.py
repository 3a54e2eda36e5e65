"""Keras files and SavedModels that cannot be exported: each ends in one clear line, and none runs code."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_conversions import FORMATS, convert, framework, linear, saved

from edgebench.artifact import Format
from edgebench.errors import EdgebenchError, ExportError, MissingExtraError, ModelError
from edgebench.exporters.keras_safety import check_keras_file
from edgebench.exporters.saved_model_safety import check_saved_model

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def tf() -> Any:
    """Return TensorFlow, or skip."""
    return framework("tensorflow")


@pytest.fixture
def keras() -> Any:
    """Return Keras 3 on TensorFlow, or skip."""
    return framework("keras")


@pytest.fixture
def tf_keras() -> Any:
    """Return Keras 2 as tf_keras keeps it, or skip."""
    return framework("tf_keras")


@pytest.mark.parametrize("library", ["tensorflow", "tf_keras"])
def test_a_framework_that_is_absent_is_asked_for(
    library: str, tf_keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TensorFlow, or without tf_keras for what Keras 2 saved, the error says what to install."""
    path = tmp_path / "folder"
    linear(tf_keras).save(path)
    monkeypatch.setitem(sys.modules, library, None)
    words = refused(path, Format.ONNX, tmp_path, MissingExtraError)
    assert "edgebench[tensorflow]" in words


def refused(model: Path, fmt: Format, folder: Path, kind: type[EdgebenchError] = ModelError) -> str:
    """Require the error's kind, that it is one short line and names the file; return the line."""
    with pytest.raises(kind) as caught:
        convert(model, fmt, folder)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400
    assert str(model) in caught.value.message
    return str(caught.value)


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "folder"])
def test_weights_that_are_not_finite_are_named(name: str, keras: Any, tmp_path: Path) -> None:
    """A NaN among the weights is an error that names the layer, in all three forms of file."""
    model = linear(keras)
    kernel, bias = model.layers[0].get_weights()
    kernel[1, 2] = np.nan
    model.layers[0].set_weights([kernel, bias])
    words = refused(saved(model, tmp_path / name), Format.TFLITE, tmp_path)
    assert "d/kernel" in words
    assert "hold NaN or infinity" in words


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_a_lambda_is_refused_and_does_not_run(
    library: str, suffix: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Python code in a file, which older Keras ran on loading, is named and not executed."""
    keras, ran = request.getfixturevalue(library), tmp_path / "ran"
    trace = str(ran)

    def leave_a_trace(x: Any) -> Any:
        import pathlib

        pathlib.Path(trace).touch()
        return x

    layer = keras.layers.Lambda(leave_a_trace, name="sly")
    path = saved(keras.Sequential([keras.Input((4,)), layer]), tmp_path / f"m{suffix}")
    ran.unlink()
    assert "the layer sly is a Lambda" in refused(path, Format.TFLITE, tmp_path)
    assert not ran.exists()


def test_a_lambda_behind_the_configuration_of_another_file_is_refused(tf_keras: Any, tmp_path: Path) -> None:
    """An HDF5 file that is a zip archive at once is checked as what it is loaded as."""
    layer = tf_keras.layers.Lambda(lambda x: x, name="sly")
    path = saved(tf_keras.Sequential([tf_keras.Input((4,)), layer]), tmp_path / "m.h5")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
    assert zipfile.is_zipfile(path)
    assert "the layer sly is a Lambda" in refused(path, Format.TFLITE, tmp_path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_a_class_of_the_users_own_is_named(
    library: str, suffix: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A layer whose code is not Keras's is named, and the hint is the form that needs no code."""
    keras = request.getfixturevalue(library)

    class Doubling(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    path = saved(keras.Sequential([keras.Input((4,)), Doubling()]), tmp_path / f"m{suffix}")
    words = refused(path, Format.ONNX, tmp_path)
    assert "Doubling" in words
    assert "model.export('folder')" in words


def wrapping(path: Path, layer: dict[str, Any]) -> Path:
    """Write the configuration of a .keras file that holds one layer."""
    model = {"class_name": "Functional", "config": {"layers": [layer]}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model))
    return path


SLY = {
    "TFOpLambda": ({"function": "io.write_file"}, "tf.io.write_file"),
    "SlicingOpLambda": ({"function": "io.write_file"}, "tf.io.write_file"),
    "ClassMethod": ({"cls_symbol": "io.gfile.GFile", "method_name": "write"}, "io.gfile.GFile.write"),
    "TensorFlowOpLayer": ({"node_def": {"op": "WriteFile"}}, "WriteFile"),
}


@pytest.mark.parametrize("kind", SLY)
def test_a_layer_that_reaches_for_files_is_refused(kind: str, tmp_path: Path) -> None:
    """A layer of tf_keras may wrap a function that computes, and no function that does more."""
    config, words = SLY[kind]
    path = wrapping(tmp_path / "m.keras", {"class_name": kind, "config": {"name": "sly", **config}})
    with pytest.raises(ModelError, match=f"the layer sly calls {words}"):
        check_keras_file(path)


@pytest.mark.parametrize(
    "module", ["os", "my.layers", "keras.utils", "tf_keras.src.utils", "keras.src.saving"]
)
def test_a_class_of_another_module_is_refused(module: str, tmp_path: Path) -> None:
    """Only modules of Keras that hold layers are loaded from; others are named, and never imported."""
    path = wrapping(tmp_path / "m.keras", {"module": module, "class_name": "f", "config": {}})
    with pytest.raises(ModelError, match=f"comes from the Python module {module}"):
        check_keras_file(path)


def test_mixed_precision_is_refused(keras: Any, tmp_path: Path) -> None:
    """A model that computes in float16, be it deep inside, would not be fp32: the layer is named."""
    layer = keras.layers.Dense(3, name="half", dtype="mixed_float16")
    inner = keras.Sequential([keras.Input((4,)), layer])
    path = saved(keras.Sequential([keras.Input((4,)), inner]), tmp_path / "m.keras")
    words = refused(path, Format.TFLITE, tmp_path)
    assert "the layer half computes in float16" in words


def cut(path: Path) -> None:
    """Cut a file in the middle."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def noise(path: Path) -> None:
    """Fill a file with random bytes behind the first ones."""
    path.write_bytes(path.read_bytes()[:8] + np.random.default_rng(0).bytes(4096))


@pytest.mark.parametrize("damage", [cut, noise])
@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("m.keras", ""),
        ("m.h5", ""),
        ("folder", "saved_model.pb"),
        ("folder", "variables/variables.data-00000-of-00001"),
        ("folder", "variables/variables.index"),
    ],
)
def test_a_damaged_file_is_one_line(
    name: str, inner: str, damage: Callable[[Path], None], keras: Any, tmp_path: Path
) -> None:
    """Cut in the middle or overwritten, a Keras file or a part of a SavedModel is named in one line."""
    path = saved(linear(keras, width=500), tmp_path / name)
    damage(path / inner if inner else path)
    refused(path, Format.TFLITE, tmp_path)


@pytest.mark.parametrize("lost", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("garbage", [False, True])
def test_a_keras_archive_with_a_damaged_part_is_one_line(
    lost: str, keras: Any, tmp_path: Path, *, garbage: bool
) -> None:
    """An archive whose configuration or weights are absent or of another kind is named in one line."""
    whole = saved(linear(keras), tmp_path / "whole.keras")
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for name in old.namelist():
            if name != lost:
                new.writestr(name, old.read(name))
            elif garbage:
                new.writestr(name, b"\xff\xfe no")
    refused(tmp_path / "m.keras", Format.TFLITE, tmp_path)


def test_weights_without_a_model_are_recognised(keras: Any, tmp_path: Path) -> None:
    """A file of weights only is called that, and the hint says how to save the whole."""
    linear(keras).save_weights(tmp_path / "m.weights.h5")
    assert "model.save" in refused(tmp_path / "m.weights.h5", Format.TFLITE, tmp_path)


def test_a_folder_without_variables_is_one_line(keras: Any, tmp_path: Path) -> None:
    """A SavedModel whose weights were not copied along is named in one line."""
    path = saved(linear(keras), tmp_path / "folder")
    shutil.rmtree(path / "variables")
    refused(path, Format.TFLITE, tmp_path)


def graph(tf: Any, folder: Path, function: Callable[[Any], Any], spec: Any, **signatures: Any) -> Path:
    """Save a function of one input as a SavedModel with one output, y."""

    class Module(tf.Module):
        @tf.function(input_signature=[spec])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": function(x)}

    module = Module()
    tf.saved_model.save(module, str(folder), signatures=signatures or {"serving_default": module.serve})
    return folder


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_operator_that_the_format_lacks_is_named(fmt: Format, tf: Any, tmp_path: Path) -> None:
    """An operator that neither TFLite nor ONNX has ends in its name and its node's."""
    spec = tf.TensorSpec((None, 4, 4), name="x")
    path = graph(tf, tmp_path / "g", lambda x: tf.linalg.svd(x, compute_uv=False, name="the_svd"), spec)
    words = refused(path, fmt, tmp_path, ExportError)
    assert "cannot express the operator Svd (node the_svd)" in words
    assert not (tmp_path / f"m.{fmt}").exists()


def test_a_loop_that_tflite_cannot_unroll_is_named(keras: Any, tmp_path: Path) -> None:
    """A SavedModel's recurrence with an open batch ends in its operator, and the hint says the way out."""
    layers = keras.layers
    model = keras.Sequential([layers.Input((5, 3)), layers.LSTM(4)])
    words = refused(saved(model, tmp_path / "folder"), Format.TFLITE, tmp_path, ExportError)
    assert "TensorListReserve" in words
    assert "batch fixed at 1" in words


def test_a_saved_model_that_runs_python_is_refused(tf: Any, tmp_path: Path) -> None:
    """A graph that calls back into Python or touches files is refused before it is loaded."""
    spec = tf.TensorSpec((None,), name="x")
    python = graph(tf, tmp_path / "python", lambda x: tf.py_function(lambda a: a, [x], tf.float32), spec)
    assert "EagerPyFunc" in refused(python, Format.ONNX, tmp_path)
    disk = graph(tf, tmp_path / "disk", lambda x: x * tf.io.parse_tensor(tf.io.read_file("a"), x.dtype), spec)
    assert "ReadFile" in refused(disk, Format.ONNX, tmp_path)


def test_a_saved_model_that_writes_files_is_refused(tf: Any, tmp_path: Path) -> None:
    """Printing into a file, saving in an answer, and saving where weights are restored: none of it runs."""
    spec, ran = tf.TensorSpec((None,), name="x"), tmp_path / "ran"

    def printing(x: Any) -> Any:
        tf.print("sly", output_stream=f"file://{ran}")
        return x * 2

    def saving(x: Any) -> Any:
        tf.raw_ops.SaveV2(prefix=str(ran), tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        return x * 2

    assert "PrintV2" in refused(graph(tf, tmp_path / "print", printing, spec), Format.ONNX, tmp_path)
    assert "SaveV2" in refused(graph(tf, tmp_path / "save", saving, spec), Format.ONNX, tmp_path)
    path = graph(tf, tmp_path / "restore", lambda x: x * 2, spec)
    model = saved_model_pb2(path)
    for meta in model.meta_graphs:
        meta.saver_def.restore_op_name = meta.saver_def.save_tensor_name.partition(":")[0]
    (path / "saved_model.pb").write_bytes(model.SerializeToString())
    assert "SaveV2" in refused(path, Format.ONNX, tmp_path)
    assert not list(tmp_path.glob("ran*"))


def saved_model_pb2(path: Path) -> Any:
    """Return what a SavedModel's file holds."""
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def test_printing_to_the_screen_is_no_harm(tf: Any, tmp_path: Path) -> None:
    """A SavedModel that prints to standard error as it answers is one that computes."""

    def printing(x: Any) -> Any:
        tf.print("hello", output_stream=sys.stderr)
        return x * 2

    check_saved_model(graph(tf, tmp_path / "g", printing, tf.TensorSpec((None, 3), name="x")))


def test_inputs_that_cannot_be_fed_are_refused(tf: Any, tmp_path: Path) -> None:
    """Strings, an unknown number of dimensions, a batch of 4: each is one line with its cause."""
    text = graph(tf, tmp_path / "text", tf.strings.length, tf.TensorSpec((None,), tf.string, name="x"))
    assert "takes string" in refused(text, Format.TFLITE, tmp_path)
    shapeless = graph(tf, tmp_path / "shapeless", lambda x: x * 2, tf.TensorSpec(None, name="x"))
    assert "no known number of dimensions" in refused(shapeless, Format.TFLITE, tmp_path)
    four = graph(tf, tmp_path / "four", lambda x: x * 2, tf.TensorSpec((4, 3), name="x"))
    assert "fixed at 4" in refused(four, Format.TFLITE, tmp_path)


def test_a_saved_model_without_the_signature_is_refused(tf: Any, tmp_path: Path) -> None:
    """No serving_default among several signatures: they are listed, and the hint says how to name one."""
    spec = tf.TensorSpec((None, 3), name="x")
    functions = {name: tf.function(lambda x: {"y": x * 2}, input_signature=[spec]) for name in ("one", "two")}
    path = graph(tf, tmp_path / "g", lambda x: x * 2, spec, **functions)
    words = refused(path, Format.TFLITE, tmp_path)
    assert "it has one, two" in words
    assert "serving_default" in words
