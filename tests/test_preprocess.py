"""Preprocessing, value by value, and what is said where a step does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from edgebench.datasets import Colour, Dataset, Layout, Preprocessing, preprocess
from edgebench.errors import ConfigError, DataError
from edgebench.preprocess import apply


def ramp(channels: int = 3, height: int = 4, width: int = 6) -> np.ndarray:
    """Return two images uint8[2, height, width, channels] whose pixels all differ."""
    count = 2 * height * width * channels
    return (np.arange(count) * 5 % 251).astype(np.uint8).reshape(2, height, width, channels)


def test_nothing_declared_is_only_a_cast() -> None:
    """Without steps samples of any shape come back as contiguous float32, equal in value."""
    for samples in (ramp(), np.arange(6).reshape(3, 2), np.array([1.5, 2.5])):
        values = apply(samples, Preprocessing())
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        assert np.array_equal(values, samples)


@pytest.mark.parametrize(
    ("stored", "steps", "becomes"),
    [
        (np.int64, Preprocessing(), np.int64),
        (np.int32, Preprocessing(), np.int32),
        (np.int8, Preprocessing(), np.float32),
        (np.uint8, Preprocessing(), np.float32),
        (np.int64, Preprocessing(scale=0.5), np.float32),
    ],
)
def test_tokens_stay_integers(stored: type, steps: Preprocessing, becomes: type) -> None:
    """Indices of 32 and 64 bits pass unchanged where nothing is declared; pixels become float32."""
    tokens = np.arange(6).reshape(3, 2).astype(stored)
    data = Dataset("tokens", (tokens, tokens), None, "0")
    first, second = preprocess(data, steps)
    assert (first.dtype, second.dtype) == (becomes, stored)


def test_samples_are_never_changed() -> None:
    """The stored samples stay as they were, float32 ones too, and the result shares no memory."""
    for samples in (ramp(), ramp().astype(np.float32)):
        before = samples.copy()
        steps = Preprocessing(scale=0.5, mean=(1.0,), std=(2.0,))
        values = apply(samples, steps)
        assert np.array_equal(samples, before)
        assert not np.shares_memory(values, samples)
        assert not np.shares_memory(apply(samples, Preprocessing()), samples)


def test_scale_mean_and_std_are_applied_in_this_order() -> None:
    """(x · scale − mean) / std, per channel, in float32."""
    steps = Preprocessing(scale=0.5, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    samples = np.array([[[[10, 20, 30]]]], np.uint8)
    assert apply(samples, steps).tolist() == [[[[2.0, 2.0, 1.5]]]]


def test_the_usual_image_net_numbers() -> None:
    """1/255 with ImageNet's mean and std agrees with float64 arithmetic to float32's precision."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = Preprocessing(scale=1 / 255, mean=mean, std=std)
    expected = (ramp().astype(np.float64) / 255 - mean) / std
    assert np.abs(apply(ramp(), steps) - expected).max() < 1e-6


def test_one_value_serves_all_channels() -> None:
    """A single mean and std hold for every channel, and for samples that are no images."""
    steps = Preprocessing(mean=(2.0,), std=(4.0,))
    assert apply(np.array([[6, 10]]), steps).tolist() == [[1.0, 2.0]]


def test_nchw_moves_channels_and_nhwc_leaves_them() -> None:
    """NCHW is the transposed image, contiguous; NHWC is the stored one. Mean is per channel in both."""
    samples = ramp()
    steps = Preprocessing(mean=(1.0, 2.0, 3.0), layout=Layout.NCHW)
    values = apply(samples, steps)
    assert values.shape == (2, 3, 4, 6)
    assert values.flags.c_contiguous
    assert np.array_equal(values[:, 2], samples[..., 2].astype(np.float32) - 3)
    assert np.array_equal(apply(samples, Preprocessing(layout=Layout.NHWC)), samples)


@pytest.mark.parametrize(
    ("colour", "channels", "expected"),
    [
        (Colour.RGB, 3, [10, 20, 30]),
        (Colour.BGR, 3, [30, 20, 10]),
        (Colour.RGB, 4, [10, 20, 30]),
        (Colour.BGR, 4, [30, 20, 10]),
        (Colour.RGB, 1, [10, 10, 10]),
        (Colour.BGR, 1, [10, 10, 10]),
        (Colour.GRAY, 1, [10]),
        (Colour.GRAY, 3, [0.299 * 10 + 0.587 * 20 + 0.114 * 30]),
        (Colour.GRAY, 4, [0.299 * 10 + 0.587 * 20 + 0.114 * 30]),
    ],
)
def test_colours(colour: Colour, channels: int, expected: list[float]) -> None:
    """RGB as stored, BGR reversed, gray by ITU-R BT.601; one channel is repeated, opacity dropped."""
    samples = np.array([[[[10, 20, 30, 99][:channels]]]], np.uint8)
    assert apply(samples, Preprocessing(colour=colour))[0, 0, 0] == pytest.approx(expected, abs=1e-5)


def test_gray_is_pillows_gray() -> None:
    """Gray of a uint8 image is what Pillow's conversion gives, before its rounding."""
    samples = ramp()
    values = apply(samples, Preprocessing(colour=Colour.GRAY))[..., 0]
    pillow = np.stack([np.asarray(Image.fromarray(image).convert("L"), np.float32) for image in samples])
    assert np.abs(values - pillow).max() <= 0.51


def test_resize_is_bilinear_with_height_first() -> None:
    """(height, width): a horizontal ramp stays one, and Pillow's own float bilinear gives the values."""
    samples = np.tile(np.array([0, 100, 200, 250], np.uint8)[None, None, :, None], (1, 2, 1, 1))
    values = apply(samples, Preprocessing(resize=(4, 2)))
    assert values.shape == (1, 4, 2, 1)
    plane = Image.fromarray(samples[0, ..., 0].astype(np.float32))
    expected = np.asarray(plane.resize((2, 4), Image.Resampling.BILINEAR))
    assert np.array_equal(values[0, ..., 0], expected)
    assert (values[0, 0] == values[0, 3]).all()


def test_resize_to_the_same_size_changes_nothing() -> None:
    """A size that the samples have already is no resampling."""
    assert np.array_equal(apply(ramp(), Preprocessing(resize=(4, 6))), ramp())


def test_resize_keeps_a_constant_image_constant() -> None:
    """No border of another value appears, up or down."""
    samples = np.full((1, 7, 5, 3), 200, np.uint8)
    for size in ((3, 2), (14, 10), (1, 1)):
        assert np.allclose(apply(samples, Preprocessing(resize=size)), 200, atol=1e-3)


def test_all_steps_together() -> None:
    """Resize, BGR, scale, mean, std and NCHW act in this order, with mean in the model's colour order."""
    samples = np.tile(np.array([10, 20, 30], np.uint8), (1, 2, 2, 1))
    steps = Preprocessing(
        resize=(4, 4),
        colour=Colour.BGR,
        scale=0.1,
        mean=(1.0, 1.0, 1.0),
        std=(2.0, 1.0, 1.0),
        layout=Layout.NCHW,
    )
    values = apply(samples, steps)
    assert values.shape == (1, 3, 4, 4)
    assert values[0, :, 0, 0] == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "steps", "words"),
    [
        ((5, 16), Preprocessing(resize=(2, 2)), "resize and colour: samples have the shape (16,)"),
        ((5, 16), Preprocessing(colour=Colour.RGB), "resize and colour"),
        ((5, 16), Preprocessing(layout=Layout.NCHW), "layout nchw"),
        ((5, 3, 8, 8), Preprocessing(layout=Layout.NCHW), "the shape (3, 8, 8)"),
        ((5, 3, 8, 8), Preprocessing(layout=Layout.NHWC), "layout nhwc"),
        ((5, 8, 8, 2), Preprocessing(colour=Colour.GRAY), "not height, width, channels"),
        ((5, 8, 8, 3), Preprocessing(mean=(1.0, 2.0)), "mean has 2 values, and the samples have 3"),
        ((5, 3, 8, 8), Preprocessing(mean=(1.0, 2.0, 3.0)), "mean has 3 values, and the samples have 8"),
        ((5, 8, 8, 1), Preprocessing(std=(1.0, 2.0, 3.0)), "std has 3 values, and the samples have 1"),
        ((5, 8, 8, 3), Preprocessing(colour=Colour.GRAY, mean=(1.0, 2.0, 3.0)), "the samples have 1"),
    ],
)
def test_a_step_that_does_not_fit_is_named(shape: tuple[int, ...], steps: Preprocessing, words: str) -> None:
    """Steps for images on other samples, and channel counts that differ, are refused with the numbers."""
    with pytest.raises(DataError) as caught:
        apply(np.zeros(shape, np.uint8), steps)
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (Preprocessing(resize=(0, 5)), "resize [0, 5]"),
        (Preprocessing(resize=(5, -1)), "resize [5, -1]"),
        (Preprocessing(scale=0.0), "scale 0.0"),
        (Preprocessing(scale=float("nan")), "scale nan"),
        (Preprocessing(mean=(float("inf"),)), "mean [inf]"),
        (Preprocessing(std=(0.0, 1.0, 1.0)), "std [0.0, 1.0, 1.0]"),
        (Preprocessing(std=(-1.0,)), "std [-1.0]"),
        (Preprocessing(std=(float("nan"),)), "std [nan]"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(steps: Preprocessing, words: str) -> None:
    """Sizes below 1, a scale of 0, and numbers that are not finite are errors that name the key."""
    with pytest.raises(ConfigError, match="preprocessing") as caught:
        apply(ramp(), steps)
    assert words in caught.value.message
