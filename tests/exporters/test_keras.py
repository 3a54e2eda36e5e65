"""Keras files and SavedModels to TFLite and ONNX: the same function, and the same border."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_conversions import FORMATS, NEAR, convert, framework, linear, normal, saved

from edgebench.artifact import Format, Precision
from edgebench.errors import ModelError

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


def two_by_two(keras: Any) -> Any:
    """Return a model of two inputs and two outputs, none of them in alphabetical order."""
    layers = keras.layers
    zebra, apple = layers.Input((4,), name="zebra"), layers.Input((6, 6, 3), name="apple")
    parts = [layers.Dense(5)(zebra), layers.Flatten()(layers.Conv2D(2, 3)(apple))]
    joined = layers.Concatenate()(parts)
    outputs = [layers.Dense(3, name="z_out")(joined), layers.Dense(2, name="a_out")(joined)]
    return keras.Model([zebra, apple], outputs)


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


def test_a_loss_of_the_users_own_does_not_matter(keras: Any, tmp_path: Path) -> None:
    """What a model was trained with is not loaded: a loss that is not Keras's does not stop the export."""

    def my_loss(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_true - y_pred)

    model = linear(keras)
    model.compile(loss=my_loss)
    assert convert(saved(model, tmp_path / "m.keras"), Format.TFLITE, tmp_path).error < NEAR
