"""TFLite graphs of every kind become int8 files that run and answer as they should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_conversions import framework

from edgebench.artifact import Format, Precision, TensorIo
from edgebench.calibration.methods import DEFAULT_METHOD
from edgebench.calibration.samples import write_samples
from edgebench.calibration.target import local_target
from edgebench.exporters import parity
from edgebench.exporters.converters import ConversionJob
from edgebench.exporters.graph_ranges import RangesJob, find_ranges
from edgebench.exporters.keras_source import to_tflite
from edgebench.exporters.quantize_tflite import quantize
from edgebench.exporters.quantizers import QuantizationJob, QuantizationResult
from edgebench.exporters.source import open_source

pytestmark = pytest.mark.tensorflow
COUNT = 48
LEAST_DB = 28.0
"""What these small random networks reach at the least; wrong arithmetic shows 10 dB and less."""


def several_ends(keras: Any) -> Any:
    """Two inputs and three outputs, one of them read by another layer too."""
    layers = keras.layers
    x, z = keras.Input((16,), name="x"), keras.Input((10,), name="z")
    hidden, product = layers.Dense(24, activation="relu")(x), layers.Dense(24, use_bias=False)(z)
    logits = layers.Dense(4)(layers.Add()([hidden, product]))
    return keras.Model([x, z], [logits, hidden, layers.Activation("sigmoid")(product)])


def shared_weights(keras: Any) -> Any:
    """One layer that is called twice."""
    x, layer = keras.Input((24,)), keras.layers.Dense(24)
    return keras.Model(x, layer(keras.layers.Activation("tanh")(layer(x))))


def input_given(keras: Any) -> Any:
    """An input that is an output as well."""
    x = keras.Input((24,))
    return keras.Model(x, [keras.layers.Dense(8)(keras.layers.Dense(16, activation="relu")(x)), x])


def line_convolutions(keras: Any) -> Any:
    """1-D convolutions, dilated, with a stride, without bias."""
    layers, x = keras.layers, keras.Input((40, 2))
    first = layers.Conv1D(8, 3, dilation_rate=2, use_bias=False, activation="relu")(x)
    return keras.Model(x, layers.Conv1D(4, 1)(layers.Conv1D(12, 5, strides=3, activation="relu")(first)))


def volume_convolutions(keras: Any) -> Any:
    """3-D convolutions, which no int8 kernel takes."""
    layers, x = keras.layers, keras.Input((6, 6, 6, 2))
    return keras.Model(x, layers.Conv3D(4, 3)(layers.Conv3D(6, 3, activation="relu", padding="same")(x)))


def upwards(keras: Any) -> Any:
    """A transposed convolution between others."""
    layers, x = keras.layers, keras.Input((8, 8, 3))
    first = layers.Conv2D(8, 3, activation="relu")(x)
    return keras.Model(
        x, layers.Conv2D(4, 3)(layers.Conv2DTranspose(6, 2, strides=2, activation="relu")(first))
    )


def groups(keras: Any) -> Any:
    """A grouped and a depthwise convolution."""
    layers, x = keras.layers, keras.Input((10, 10, 4))
    first = layers.Conv2D(12, 3, groups=2, activation="relu")(x)
    return keras.Model(
        x, layers.Conv2D(5, 3, padding="same")(layers.ReLU(6.0)(layers.DepthwiseConv2D(3, strides=2)(first)))
    )


def words(keras: Any) -> Any:
    """A table that whole numbers are looked up in."""
    layers, x = keras.layers, keras.Input((7,), dtype="int32")
    found = layers.Dense(16, activation="relu")(layers.Embedding(30, 16)(x))
    return keras.Model(x, layers.Dense(30)(layers.GlobalAveragePooling1D()(found)))


def attention(keras: Any) -> Any:
    """Attention, a residual sum and a normalization."""
    layers, x = keras.layers, keras.Input((6, 8))
    mixed = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)]))
    return keras.Model(x, layers.Dense(4)(mixed))


def looped(keras: Any) -> Any:
    """An LSTM, a WHILE of which one result is read by nothing."""
    x = keras.Input((7, 5))
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.LSTM(8)(x)))


def unrolled(keras: Any) -> Any:
    """A GRU of which each step splits a product in three and, at first, reads two of them."""
    x = keras.Input((7, 5))
    return keras.Model(x, keras.layers.Dense(3)(keras.layers.GRU(8, unroll=True)(x)))


NETWORKS: tuple[Callable[[Any], Any], ...] = (
    several_ends,
    shared_weights,
    input_given,
    line_convolutions,
    volume_convolutions,
    upwards,
    groups,
    words,
    attention,
    looped,
    unrolled,
)


def samples_of(model: Any) -> list[np.ndarray]:
    """Return samples for each input of a model: normal numbers, or whole ones up to 30."""
    source = np.random.default_rng(0)
    return [
        source.integers(0, 30, (COUNT, *entry.shape[1:])).astype(np.int32)
        if "int" in str(entry.dtype)
        else source.normal(size=(COUNT, *entry.shape[1:])).astype(np.float32)
        for entry in model.inputs
    ]


def quantized(
    build: Callable[[Any], Any], folder: Path
) -> dict[TensorIo, tuple[float | None, QuantizationResult]]:
    """Return, with float and with int8 ends, the ratio of signal to error and what was told."""
    pytest.importorskip("ai_edge_quantizer", reason="needs pip install 'edgebench[tensorflow]'")
    keras = framework("keras")
    keras.utils.set_random_seed(0)
    model = build(keras)
    model.save(folder / "m.keras")
    samples = samples_of(model)
    np.savez(folder / "s.npz", **{f"in_{index}": array for index, array in enumerate(samples)})
    base = folder / "base.tflite"
    result = to_tflite(ConversionJob(open_source(str(folder / "m.keras")), base, folder / "s.npz"))
    with np.load(result.reference) as stored:
        reference = [stored[f"out_{index}"] for index in range(len(stored.files))]
    write_samples(folder / "store", COUNT, [samples])
    table = find_ranges(RangesJob(base, Format.TFLITE, folder / "store", DEFAULT_METHOD)).table
    found = {}
    for io in TensorIo:
        out = folder / f"{io}.tflite"
        job = QuantizationJob(base, out, Precision.W8A8, local_target(), table, io, folder / "store")
        told = quantize(job)
        given = parity.answers(out, Format.TFLITE, samples)
        found[io] = parity.compare("samples", reference, given).sqnr_db, told
    return found


@pytest.mark.parametrize("build", NETWORKS)
def test_a_graph_of_any_kind_is_quantized(build: Callable[[Any], Any], tmp_path: Path) -> None:
    """w8a8 of it runs with float and with int8 ends, and answers near what its source answers."""
    for io, (ratio, _) in quantized(build, tmp_path).items():
        assert ratio is not None, io
        assert ratio > LEAST_DB, io


def test_a_loop_stays_float_with_a_word_about_it(tmp_path: Path) -> None:
    """Condition and body of a WHILE keep float tensors, and a note names it."""
    for _, told in quantized(looped, tmp_path).values():
        (note,) = told.notes
        assert note.startswith("left in float, with all that is inside: WHILE ")


def test_an_operator_with_an_unread_result_stays_float(tmp_path: Path) -> None:
    """A SPLIT of which one part is not read is named among what stays float."""
    told = quantized(unrolled, tmp_path)[TensorIo.INT8][1]
    assert any(step.startswith("in float: ") and "split" in step for step in told.steps)
