"""From stored samples to a model's input: the only place where preprocessing is applied."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.datasets import Colour, Layout, Preprocessing
from edgebench.errors import ConfigError, DataError

_IMAGE_AXES = 4
_CHANNELS = {1, 3, 4}
_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow's conversion to `L`."""


def apply(samples: NDArray[Any], steps: Preprocessing) -> NDArray[np.float32]:
    """Return samples [n, ...] as float32 after the declared steps.

    Images are [n, height, width, channels]. The samples are left as they are. Raises DataError where a
    step does not fit the samples, ConfigError where it makes no sense by itself.
    """
    check_steps(steps)
    if steps.resize is not None or steps.colour is not None:
        samples = _images(samples, steps)
    values = np.array(samples, np.float32)  # one copy; the steps work in it
    if steps.scale != 1.0:
        values *= np.float32(steps.scale)
    if steps.mean:
        values -= _per_channel("mean", steps.mean, values)
    if steps.std:
        values /= _per_channel("std", steps.std, values)
    if steps.layout is not None:
        _require_images(values, f"layout {steps.layout}")
    return np.ascontiguousarray(np.moveaxis(values, -1, 1)) if steps.layout is Layout.NCHW else values


def check_steps(steps: Preprocessing) -> None:
    """Raise ConfigError, naming the key, for steps that make no sense whatever the samples are."""
    rules = {
        "resize": steps.resize is None or all(size >= 1 for size in steps.resize),
        "scale": math.isfinite(steps.scale) and steps.scale != 0,
        "mean": all(map(math.isfinite, steps.mean)),
        "std": all(math.isfinite(value) and value > 0 for value in steps.std),
    }
    for key, holds in rules.items():
        if not holds:
            value = getattr(steps, key)
            shown = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"preprocessing: {key} {shown} is not possible", hint=_RULES[key])


_RULES = {
    "resize": "height and width in pixels, 1 or more",
    "scale": "a finite number other than 0",
    "mean": "finite numbers",
    "std": "positive finite numbers",
}


def _images(samples: NDArray[Any], steps: Preprocessing) -> NDArray[Any]:
    images = _require_images(samples, "resize and colour")
    if steps.resize is not None and images.shape[1:3] != tuple(steps.resize):
        images = np.stack([_resized(image, steps.resize) for image in images])
    return images if steps.colour is None else _coloured(images, steps.colour)


def _coloured(images: NDArray[Any], colour: Colour) -> NDArray[Any]:
    """Return images in the declared colour; a fourth channel is opacity, and dropped."""
    if images.shape[-1] == 1:
        return images if colour is Colour.GRAY else np.repeat(images, 3, axis=-1)
    images = images[..., :3]
    if colour is Colour.GRAY:
        return (images.astype(np.float32) @ np.asarray(_LUMA, np.float32))[..., None]
    return images[..., ::-1] if colour is Colour.BGR else images


def _resized(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return one image [h, w, c] at (height, width), bilinear, channel by channel in float."""
    from PIL import Image

    height, width = size
    planes = [
        Image.fromarray(image[..., c].astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        for c in range(image.shape[-1])
    ]
    return np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1)


def _require_images(samples: NDArray[Any], step: str) -> NDArray[Any]:
    if samples.ndim != _IMAGE_AXES or samples.shape[-1] not in _CHANNELS:
        raise DataError(
            f"{step}: samples have the shape {samples.shape[1:]}, which is not height, width, channels",
            hint="declare these steps only for images stored as [n, height, width, 1 or 3]",
        )
    return samples


def _per_channel(name: str, values: tuple[float, ...], samples: NDArray[np.float32]) -> NDArray[np.float32]:
    channels = samples.shape[-1]
    if len(values) not in (1, channels):
        raise DataError(
            f"{name} has {len(values)} values, and the samples have {channels} channels",
            hint=f"give one value, or {channels}",
        )
    return np.asarray(values, np.float32)
