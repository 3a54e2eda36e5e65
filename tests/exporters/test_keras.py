"""Keras files and SavedModels to TFLite and ONNX: the same function, the same border; or one clear line."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.artifact import Format, Precision
from edgebench.errors import EdgebenchError, ExportError, MissingExtraError, ModelError
from edgebench.exporters import keras_source, parity
from edgebench.exporters.converters import ConversionJob, ConversionResult
from edgebench.exporters.inspect import Description, describe
from edgebench.exporters.keras_safety import check_keras_file
from edgebench.exporters.samples import read_samples
from edgebench.exporters.source import open_source

pytestmark = pytest.mark.tensorflow

FORMATS = [Format.TFLITE, Format.ONNX]
CONVERT = {Format.TFLITE: keras_source.to_tflite, Format.ONNX: keras_source.to_onnx}
NEAR = 1e-4
EXTRA = "needs TensorFlow: pip install 'edgebench[tensorflow]'"


@pytest.fixture(scope="session")
def tf() -> Any:
    """Return TensorFlow, or skip."""
    return pytest.importorskip("tensorflow", reason=EXTRA)


@pytest.fixture(scope="session")
def keras(tf: Any) -> Any:
    """Return Keras 3 on TensorFlow, or skip."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    assert tf is not None
    return pytest.importorskip("keras", reason=EXTRA)


@pytest.fixture(scope="session")
def tf_keras(tf: Any) -> Any:
    """Return Keras 2 as tf_keras keeps it, or skip."""
    assert tf is not None
    return pytest.importorskip("tf_keras", reason=EXTRA)


@dataclass(frozen=True)
class Made:
    """An artifact: what it says of itself, what it answers, and what its source answered."""

    description: Description
    given: Sequence[np.ndarray]
    reference: Sequence[np.ndarray]
    result: ConversionResult

    @property
    def names(self) -> tuple[list[str], list[str]]:
        """Names of inputs and of outputs, in order."""
        return [i.name for i in self.description.inputs], [o.name for o in self.description.outputs]

    @property
    def error(self) -> float:
        """The largest difference between artifact and source, over all outputs."""
        pairs = zip(self.given, self.reference, strict=True)
        return max(float(np.abs(given - wanted).max()) for given, wanted in pairs)


def convert(
    model: Path, fmt: Format, folder: Path, samples: Sequence[np.ndarray] = (), shapes: Any = ()
) -> Made:
    """Convert a source and run the artifact in its runtime on the samples."""
    out, file = folder / f"m.{fmt}", None
    if samples:
        file = folder / "samples.npz"
        np.savez(file, **{f"in_{index}": array for index, array in enumerate(samples)})
    result = CONVERT[fmt](ConversionJob(open_source(str(model), input_shapes=shapes), out, file))
    assert result.reference is not None
    with np.load(result.reference) as stored:
        reference = [stored[f"out_{index}"] for index in range(len(stored.files))]
    return Made(describe(out, fmt), parity.answers(out, fmt, read_samples(result.samples)), reference, result)


def saved(model: Any, path: Path) -> Path:
    """Save a Keras model in the form that the path's ending asks for."""
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


def two_by_two(keras: Any) -> Any:
    """Return a model of two inputs and two outputs, none of them in alphabetical order."""
    layers = keras.layers
    zebra, apple = layers.Input((4,), name="zebra"), layers.Input((6, 6, 3), name="apple")
    parts = [layers.Dense(5)(zebra), layers.Flatten()(layers.Conv2D(2, 3)(apple))]
    joined = layers.Concatenate()(parts)
    outputs = [layers.Dense(3, name="z_out")(joined), layers.Dense(2, name="a_out")(joined)]
    return keras.Model([zebra, apple], outputs)


def normal(*shape: int) -> np.ndarray:
    """Return reproducible normal numbers, float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def linear(library: Any, width: int = 3) -> Any:
    """Return one dense layer on 4 numbers, as a model of keras or tf_keras."""
    return library.Sequential([library.Input((4,)), library.layers.Dense(width, name="d")])


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_two_inputs_and_two_outputs_keep_names_order_and_axes(
    suffix: str, fmt: Format, keras: Any, tmp_path: Path
) -> None:
    """Neither converter's sorting by name shows: the artifact takes and gives what the model does."""
    model, samples = two_by_two(keras), (normal(40, 4), normal(40, 6, 6, 3))
    made = convert(saved(model, tmp_path / f"m{suffix}"), fmt, tmp_path, samples)
    assert made.names == (["zebra", "apple"], ["z_out", "a_out"])
    batch = -1 if fmt is Format.ONNX else 1
    assert [spec.shape for spec in made.description.inputs] == [(batch, 4), (batch, 6, 6, 3)]
    assert [spec.shape for spec in made.description.outputs] == [(batch, 3), (batch, 2)]
    assert made.description.precision is Precision.FP32
    wanted = model.predict(list(samples), verbose=0)
    for given, reference, truth in zip(made.given, made.reference, wanted, strict=True):
        np.testing.assert_allclose(reference, truth, atol=1e-5)
        np.testing.assert_allclose(given, truth, atol=NEAR)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_saved_model_is_taken_by_name_in_a_fixed_order(fmt: Format, keras: Any, tmp_path: Path) -> None:
    """A SavedModel keeps no order of inputs: they are sorted, output_2 before output_10, and it is said."""
    layers = keras.layers
    zebra, apple = layers.Input((4,), name="zebra"), layers.Input((4,), name="apple")
    joined = layers.Add()([layers.Dense(4)(zebra), apple])
    model = keras.Model([zebra, apple], [layers.Dense(1 + index)(joined) for index in range(12)])
    samples = (normal(5, 4), 2 * normal(5, 4))
    made = convert(saved(model, tmp_path / "folder"), fmt, tmp_path, samples)
    assert made.names == (["apple", "zebra"], [f"output_{index}" for index in range(12)])
    assert [spec.shape[1] for spec in made.description.outputs] == list(range(1, 13))
    assert made.result.notes == ("folder: inputs are taken in the order apple, zebra",)
    wanted = model.predict([samples[1], samples[0]], verbose=0)
    for given, truth in zip(made.given, wanted, strict=True):
        np.testing.assert_allclose(given, truth, atol=NEAR)


@pytest.mark.assets
@pytest.mark.parametrize("fmt", FORMATS)
def test_the_keras_2_resnet_8_is_converted(fmt: Format, keras: Any, assets: Path, tmp_path: Path) -> None:
    """The MLPerf Tiny .h5 answers alike in Keras and in either format, and gets its published accuracy."""
    assert keras is not None
    with np.load(assets / "mlperf_tiny_ic" / "data" / "ic01_official.npz") as data:
        images, labels = data["x"].astype(np.float32), data["y"]
    model = assets / "mlperf_tiny_ic" / "models" / "pretrainedResnet.h5"
    made = convert(model, fmt, tmp_path, (images,))
    assert made.error < NEAR
    assert float((made.given[0].argmax(axis=1) == labels).mean()) == 0.87


@pytest.mark.assets
@pytest.mark.parametrize("fmt", FORMATS)
def test_the_keras_2_saved_model_is_converted_through_tf_keras(
    fmt: Format, tf_keras: Any, assets: Path, tmp_path: Path
) -> None:
    """The MLPerf Tiny SavedModel answers alike, gets its published accuracy, and the user is told how."""
    with np.load(assets / "mlperf_tiny_kws" / "data" / "kws01.npz") as data:
        features, labels = (data["x"].astype(np.float32) - 83) * np.float32(0.5847029), data["y"]
    made = convert(assets / "mlperf_tiny_kws" / "models" / "kws_ref_model", fmt, tmp_path, (features,))
    assert made.error < NEAR
    assert float((made.given[0].argmax(axis=1) == labels).mean()) == 0.913
    loader = f"loaded through tf_keras {tf_keras.__version__}"
    assert made.result.notes == (f"kws_ref_model: saved by Keras 2, which Keras 3 refuses: {loader}",)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_model_that_takes_a_dictionary_is_converted(fmt: Format, keras: Any, tmp_path: Path) -> None:
    """Inputs and outputs named by a dictionary come in the order in which Keras flattens it."""
    layers = keras.layers
    zebra, apple = layers.Input((4,), name="zebra"), layers.Input((6,), name="apple")
    joined = layers.Concatenate()([layers.Dense(5)(zebra), apple])
    outputs = {"z": layers.Dense(3, name="zz")(joined), "a": layers.Dense(2, name="aa")(joined)}
    model = keras.Model({"zebra": zebra, "apple": apple}, outputs)
    samples = (normal(5, 6), normal(5, 4))
    made = convert(saved(model, tmp_path / "m.keras"), fmt, tmp_path, samples)
    assert made.names == (["apple", "zebra"], ["aa", "zz"])
    wanted = model.predict({"apple": samples[0], "zebra": samples[1]}, verbose=0)
    np.testing.assert_allclose(made.given[0], wanted["a"], atol=NEAR)
    np.testing.assert_allclose(made.given[1], wanted["z"], atol=NEAR)


def images(keras: Any) -> Any:
    """Return a small image network: separable and transposed convolutions, normalization, resizing."""
    layers = keras.layers
    stem = [layers.SeparableConv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(6.0)]
    body = [layers.Conv2DTranspose(3, 3, strides=2), layers.UpSampling2D(interpolation="bilinear")]
    head = [layers.Dropout(0.5), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    return keras.Sequential([layers.Input((8, 8, 3)), *stem, *body, *head])


def attention(keras: Any) -> Any:
    """Return one block of self-attention."""
    layers = keras.layers
    tokens = layers.Input((5, 8))
    seen = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    return keras.Model(tokens, layers.LayerNormalization()(layers.Add()([seen, tokens])))


def recurrent(keras: Any) -> Any:
    """Return an LSTM in both directions and a GRU."""
    layers = keras.layers
    both = layers.Bidirectional(layers.LSTM(4, return_sequences=True))
    return keras.Sequential([layers.Input((5, 3)), both, layers.GRU(4), layers.Dense(2)])


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("build", [images, attention, recurrent])
def test_networks_of_every_kind_answer_alike(
    build: Callable[[Any], Any], fmt: Format, keras: Any, tmp_path: Path
) -> None:
    """Convolutions, attention and recurrence give in either format what they give in Keras."""
    model = build(keras)
    samples = normal(40, *model.inputs[0].shape[1:])
    made = convert(saved(model, tmp_path / "m.keras"), fmt, tmp_path, (samples,))
    np.testing.assert_allclose(made.given[0], model.predict(samples, verbose=0), atol=NEAR)


@pytest.mark.parametrize("fmt", FORMATS)
def test_names_that_only_tensorflow_takes_are_made_plain(fmt: Format, keras: Any, tmp_path: Path) -> None:
    """An input called by a word of Python's, and outputs of one name, get names that are their own."""
    layers = keras.layers
    first, shared = layers.Input((4,), name="in"), layers.Dense(4, name="in_")
    model = keras.Model(first, [shared(first), shared(shared(first))])
    made = convert(saved(model, tmp_path / "m.keras"), fmt, tmp_path, (normal(3, 4),))
    assert made.names == (["in_"], ["in__1", "in__2"])
    assert made.error < NEAR


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_fixed_batch_stays_fixed(fmt: Format, keras: Any, tmp_path: Path) -> None:
    """A model saved with a batch of 1 has a batch of 1 in either format."""
    first = keras.layers.Input(batch_shape=(1, 4))
    model = keras.Model(first, keras.layers.Dense(3)(first))
    made = convert(saved(model, tmp_path / "m.keras"), fmt, tmp_path, (normal(3, 4),))
    assert made.description.inputs[0].shape == (1, 4)
    assert made.description.outputs[0].shape == (1, 3)
    assert made.error < NEAR


def any_size(keras: Any) -> Any:
    """Return a network for images of any height and width."""
    layers = keras.layers
    pool = layers.GlobalMaxPooling2D()
    return keras.Sequential([layers.Input((None, None, 3)), layers.Conv2D(4, 3), pool, layers.Dense(2)])


def test_open_dimensions_are_closed_or_asked_for(keras: Any, tmp_path: Path) -> None:
    """Height and width come from the samples or from --input-shape; without either it is asked for."""
    path = saved(any_size(keras), tmp_path / "m.keras")
    by_samples = convert(path, Format.TFLITE, tmp_path, (normal(3, 9, 8, 3),))
    assert by_samples.description.inputs[0].shape == (1, 9, 8, 3)
    by_option = convert(path, Format.ONNX, tmp_path, shapes=[(1, 7, 6, 3)])
    assert by_option.description.inputs[0].shape == (-1, 7, 6, 3)
    with pytest.raises(ModelError, match="leaves dimensions open") as caught:
        convert(path, Format.TFLITE, tmp_path)
    assert "--input-shape" in str(caught.value.hint)


@pytest.mark.parametrize("fmt", FORMATS)
def test_without_samples_random_ones_are_answered(fmt: Format, keras: Any, tmp_path: Path) -> None:
    """A conversion without data still compares: its random samples and the source's answers are kept."""
    layers = keras.layers
    tokens = layers.Input((7,), dtype="int32", name="tokens")
    model = keras.Model(tokens, layers.GlobalAveragePooling1D()(layers.Embedding(11, 4)(tokens)))
    made = convert(saved(model, tmp_path / "m.keras"), fmt, tmp_path)
    assert made.description.inputs[0].dtype == "int32"
    assert len(made.given[0]) == 8
    assert made.error < NEAR


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_keras_3_refuses_is_loaded_through_tf_keras(
    suffix: str, fmt: Format, tf: Any, tf_keras: Any, tmp_path: Path
) -> None:
    """A file of Keras 2 with TensorFlow functions as layers is converted, and the user is told how."""
    first = tf_keras.Input((4, 4))
    hidden = tf.nn.relu(tf_keras.layers.Dense(3)(first)) * 2.0
    model = tf_keras.Model(first, tf.concat([hidden[:, 0], hidden[:, 1]], axis=1))
    path = tmp_path / f"m{suffix}"
    model.save(path)
    made = convert(path, fmt, tmp_path, (normal(6, 4, 4),))
    assert f"m{suffix}: loaded through tf_keras {tf_keras.__version__}; Keras 3 refused it:" in str(
        made.result.notes
    )
    np.testing.assert_allclose(made.given[0], model.predict(normal(6, 4, 4), verbose=0), atol=NEAR)


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


def test_a_loss_of_the_users_own_does_not_matter(keras: Any, tmp_path: Path) -> None:
    """What a model was trained with is not loaded: a loss that is not Keras's does not stop the export."""

    def my_loss(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_true - y_pred)

    model = linear(keras)
    model.compile(loss=my_loss)
    assert convert(saved(model, tmp_path / "m.keras"), Format.TFLITE, tmp_path).error < NEAR


def test_mixed_precision_is_refused(keras: Any, tmp_path: Path) -> None:
    """A model that computes in float16 would not be fp32: its layer is named, and the way out."""
    layer = keras.layers.Dense(3, name="half", dtype="mixed_float16")
    path = saved(keras.Sequential([keras.Input((4,)), layer]), tmp_path / "m.keras")
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
