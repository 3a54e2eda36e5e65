"""Images from files as one array; every file is read once, and no second copy of the set is held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebench.datasets import Colour, Preprocessing
from edgebench.errors import DataError
from edgebench.preprocess import check_steps

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
_MODES = {Colour.GRAY: "L", Colour.RGB: "RGB", Colour.BGR: "RGB"}
_MATRIX = 2

Array = NDArray[Any]


def read_images(files: Sequence[Path], steps: Preprocessing, *, what: str) -> Array:
    """Return images as [n, height, width, 1 or 3]: uint8, or as deep as they are stored.

    The declared size and colour are applied here, because files may differ in them. what: the data
    set's name in messages. Raises DataError for a file that is no image, and for images that differ.
    """
    check_steps(steps)
    first = _image(files[0], steps)
    try:
        images = np.empty((len(files), *first.shape), first.dtype)
    except MemoryError as err:
        raise DataError(f"{what}: {err}", hint="declare a smaller resize, or use fewer images") from err
    images[0] = first
    for index, file in enumerate(files[1:], start=1):
        image = _image(file, steps)
        if image.shape != first.shape or image.dtype != first.dtype:
            raise DataError(
                f"{what}: images differ: {files[0]} is {_kind(first)}, {file} is {_kind(image)}",
                hint="declare preprocessing resize and colour, as in {resize: [224, 224], colour: rgb}",
            )
        images[index] = image
    return images


def _kind(image: Array) -> str:
    return f"{'×'.join(map(str, image.shape))} {image.dtype}"


def _image(file: Path, steps: Preprocessing) -> Array:
    """Return one image as uint8[h, w, c]; uint16, int32 or float32[h, w, 1] where it is stored so."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            image = _converted(opened, steps)
            if steps.resize is not None and (image.height, image.width) != tuple(steps.resize):
                height, width = steps.resize
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except Exception as err:  # a damaged file makes Pillow's readers raise kinds of everything
        reason = str(err) or type(err).__name__
        raise DataError(f"{file}: is not a readable image: {reason}") from err
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return pixels[..., None] if pixels.ndim == _MATRIX else pixels


def _converted(image: Image.Image, steps: Preprocessing) -> Image.Image:
    """Return the image in the declared colour; one of more than 8 bits as it is, since Pillow clips it."""
    if image.mode.startswith("I") or image.mode == "F":
        image.load()
        return image
    native = "L" if image.mode in ("1", "L") else "RGB"
    return image.convert(_MODES[steps.colour] if steps.colour else native)
