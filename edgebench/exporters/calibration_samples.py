"""The samples that a calibration sees: of the user's data, or random, written when first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgebench.artifact import CalibrationRecord
from edgebench.calibration.inputs import InputWatch
from edgebench.calibration.methods import Method
from edgebench.calibration.samples import PIECE, write_samples
from edgebench.datasets import Dataset, Preprocessing, preprocess
from edgebench.exporters.conversion import chosen
from edgebench.exporters.samples import read_samples
from edgebench.storage import encode_json, sha256_bytes, to_plain

if TYPE_CHECKING:
    from edgebench.exporters.samples import Array

RANDOM_SAMPLES = 32


class CalibrationSamples(Protocol):
    """Samples on disk. names: of the data's arrays. numbers: the samples' places in the data."""

    names: tuple[str, ...]
    numbers: Sequence[int]

    def key(self) -> dict[str, Any]:
        """Return all that the samples depend on, as plain data."""

    def write(self) -> tuple[Path, tuple[str, ...]]:
        """Return the folder of the samples, a SampleStore, and notes on them."""

    def record(self, method: Method) -> CalibrationRecord:
        """Return what a manifest says of them."""


class DataSamples:
    """At most `most` samples of a data set; several threads may ask for them."""

    def __init__(self, data: Dataset, most: int, preprocessing: Preprocessing, folder: Path) -> None:
        """Choose the samples; `folder` is for their file."""
        self.names = data.input_names
        self.numbers = chosen(data, most)
        self._data, self._preprocessing, self._folder = data, preprocessing, folder
        self._lock = threading.Lock()
        self._notes: tuple[str, ...] | None = None

    def key(self) -> dict[str, Any]:
        """Return the data's hash, the indices' and the preprocessing."""
        return {
            "data": self._data.fingerprint,
            "indices": sha256_bytes(encode_json(self.numbers)),
            "preprocessing": to_plain(self._preprocessing),
        }

    def write(self) -> tuple[Path, tuple[str, ...]]:
        """Return the folder of the samples and what is odd about them."""
        with self._lock:
            if self._notes is None:
                seen = InputWatch(self._preprocessing)
                write_samples(self._folder, len(self.numbers), self._pieces(seen))
                self._notes = seen.notes()
        return self._folder, self._notes

    def record(self, method: Method) -> CalibrationRecord:
        """Return the data's name, its hash, and how many samples of it were used."""
        return CalibrationRecord(self._data.spec, self._data.fingerprint, len(self.numbers), method.value)

    def _pieces(self, seen: InputWatch) -> Iterator[Sequence[Array]]:
        for start in range(0, len(self.numbers), PIECE):
            indices = self.numbers[start : start + PIECE]
            ready = preprocess(self._data, self._preprocessing, indices)
            seen.add(self._data.inputs[0][list(indices)], ready[0])
            yield ready


class RandomSamples:
    """Random numbers in the shapes of a conversion's samples."""

    names: tuple[str, ...] = ()
    numbers: Sequence[int] = ()

    def __init__(self, like: Path, folder: Path) -> None:
        """Take the shapes from the npz `like`; `folder` is for the samples' file."""
        self._shapes = [(array.shape[1:], array.dtype) for array in read_samples(like)]
        self._folder = folder

    def key(self) -> dict[str, Any]:
        """Return the shapes and kinds of the random numbers."""
        return {"data": "random, seed 0", "shapes": [(shape, kind.name) for shape, kind in self._shapes]}

    def write(self) -> tuple[Path, tuple[str, ...]]:
        """Return the folder of the samples."""
        source = np.random.default_rng(0)
        write_samples(self._folder, RANDOM_SAMPLES, [[_random(*spec, source) for spec in self._shapes]])
        return self._folder, ()

    def record(self, method: Method) -> CalibrationRecord:
        """Return that the samples are random."""
        return CalibrationRecord("random", "random, seed 0", RANDOM_SAMPLES, method.value)


def _random(shape: tuple[int, ...], kind: np.dtype[Any], source: np.random.Generator) -> Array:
    full = (RANDOM_SAMPLES, *shape)
    if kind.kind == "f":
        return source.normal(size=full).astype(kind)
    return source.integers(0, 2, full).astype(kind)
