"""From stored samples to a model's input: the only place where preprocessing is applied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.datasets import Colour, Layout, Preprocessing
from edgebench.errors import DataError

_IMAGE_AXES = 4
_CHANNELS = {1, 3, 4}
_LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as Pillow's conversion to `L`."""


def apply(samples: NDArray[Any], steps: Preprocessing) -> NDArray[np.float32]:
    """Return samples [n, ...] as float32 after the declared steps.

    Images are [n, height, width, channels]. Raises DataError where a step does not fit the samples.
    """
    if steps.resize is not None or steps.colour is not None:
        samples = _images(samples, steps)
    values = np.asarray(samples, np.float32)
    if steps.scale != 1.0:
        values = values * np.float32(steps.scale)
    if steps.mean:
        values = values - _per_channel("mean", steps.mean, values)
    if steps.std:
        values = values / _per_channel("std", steps.std, values)
    if steps.layout is Layout.NCHW:
        values = np.moveaxis(_require_images(values, "layout nchw"), -1, 1)
    return np.ascontiguousarray(values, np.float32)


def _images(samples: NDArray[Any], steps: Preprocessing) -> NDArray[Any]:
    images = _require_images(samples, "resize and colour")
    if steps.resize is not None and images.shape[1:3] != tuple(steps.resize):
        images = np.stack([_resized(image, steps.resize) for image in images])
    if steps.colour is Colour.BGR and images.shape[-1] == 3:  # noqa: PLR2004 - three colours
        return images[..., ::-1]
    if steps.colour is Colour.GRAY and images.shape[-1] != 1:
        return (images[..., :3].astype(np.float32) @ np.asarray(_LUMA, np.float32))[..., None]
    if steps.colour in (Colour.RGB, Colour.BGR) and images.shape[-1] == 1:
        return np.repeat(images, 3, axis=-1)
    return images


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
    result = np.asarray(values, np.float32)
    if name == "std" and not bool((result > 0).all()):
        raise DataError(f"std {values} has a value that is not positive")
    return result
