"""Labelled data by a spec string, and the one place where preprocessing is applied."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


_INDEX = 4
"""Bytes from which on an integer is an index and not a pixel or a quantized value."""


class Colour(enum.StrEnum):
    """The order of an image's channels as the model takes them."""

    RGB = "rgb"
    BGR = "bgr"
    GRAY = "gray"


class Layout(enum.StrEnum):
    """The order of an image's axes as the model takes them; raw images are NHWC."""

    NHWC = "nhwc"
    NCHW = "nchw"


class Labels(enum.StrEnum):
    """When labels are numbers to be met, and not classes."""

    NAMED = "named"
    """Where they are called targets."""

    TYPED = "typed"
    """Where they are called targets, and where they are of a floating type."""

    NUMBERS = "numbers"
    """Always."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a stored sample to the model's input: resize, colour, (x·scale − mean)/std, layout.

    resize: (height, width) in pixels, bilinear. scale: multiplies the stored value. mean, std: per
    channel (or one for all), in the scaled unit. layout None: the samples' axes are left alone.
    Applied to the model's first input only; other inputs pass unchanged.
    """

    resize: tuple[int, int] | None = None
    colour: Colour | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples as they are stored, before preprocessing.

    inputs: one array per model input, each [N, ...]. labels: int64[N], classes; None where there are none,
    or where the truth is numbers: targets, float64[N, C]. columns: str[N] each, by which the samples fall
    into groups. fingerprint: SHA-256 over the arrays' names, shapes, dtypes and bytes, and the labels.
    """

    spec: str
    inputs: tuple[Array, ...]
    labels: NDArray[np.int64] | None
    fingerprint: str
    input_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    targets: NDArray[np.float64] | None = None
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)

    @property
    def is_labelled(self) -> bool:
        """Return whether it is known what is true of the samples: a class, or numbers."""
        return self.labels is not None or self.targets is not None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.inputs[0])


def load_dataset(
    spec: str,
    *,
    base: Path | None = None,
    preprocessing: Preprocessing | None = None,
    labels: Labels = Labels.NAMED,
) -> Dataset:
    """Return the data that `spec` names, as it is stored; relative paths are taken from `base`.

    spec: `d.npz`, a folder of class folders, a `.csv` or `.parquet` manifest, or `file.py:function`.
    preprocessing: its resize and colour are needed here where images differ in size or kind. labels: whether
    they are classes, or numbers to be met.
    Raises DataError where the data is absent, empty, not finite or not consistent.
    """
    from edgebench.dataset_readers import Wanted, read_dataset

    return read_dataset(spec, base or Path.cwd(), Wanted(preprocessing or Preprocessing(), labels))


def preprocess(
    dataset: Dataset, preprocessing: Preprocessing, indices: Sequence[int] | None = None
) -> tuple[Array, ...]:
    """Return the model's real-valued inputs for the samples at `indices` (all where None).

    The first input becomes float32[n, ...]: resized, channels ordered, (x·scale − mean)/std over the
    last axis, then moved to the declared layout. Further inputs pass unchanged. Where nothing is
    declared the first input is only cast to float32; stored integers of 32 or 64 bits pass unchanged
    then, since they are indices, such as a text's tokens. Raises DataError where a step does not fit.
    """
    from edgebench.preprocess import apply

    chosen = dataset.inputs if indices is None else tuple(array[list(indices)] for array in dataset.inputs)
    if (
        preprocessing == Preprocessing()
        and chosen[0].dtype.kind == "i"
        and chosen[0].dtype.itemsize >= _INDEX
    ):
        return chosen
    return (apply(chosen[0], preprocessing), *chosen[1:])


def split_overlap(first: Dataset, second: Dataset) -> int:
    """Return how many samples of `second` are, byte for byte, samples of `first` too."""
    known = set(_sample_hashes(first))
    return sum(digest in known for digest in _sample_hashes(second))


def _sample_hashes(dataset: Dataset) -> list[bytes]:
    import hashlib

    return [
        hashlib.sha256(b"".join(array[index].tobytes() for array in dataset.inputs)).digest()
        for index in range(len(dataset))
    ]
