"""The labelled samples that neither fix ranges nor round weights: what an accuracy budget is measured on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebench.calibration.samples import PIECE, write_samples
from edgebench.datasets import Dataset, Preprocessing, preprocess
from edgebench.errors import ConfigError, DataError
from edgebench.exporters.conversion import shuffled
from edgebench.storage import storage_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgebench.calibration.table import CalibrationTable
    from edgebench.exporters.samples import Array

MOST_HELD = 5000
"""Of a larger set so many are taken: they show half a point, and each trial answers all of them."""
MOST_BYTES = 4 << 30
"""Of temporary space for them, as the model takes them: 5,000 images of 224×224 pixels are 3 GB."""
LEAST_HELD = 20


def labelled(data: Dataset | None) -> Dataset:
    """Return the data where a budget can be measured on it.

    Raises ConfigError without data, DataError without labels or with too few samples.
    """
    if data is None:
        raise ConfigError(
            "a budget on the drop needs labelled data: a part of it is held back to measure the drop on",
            hint="--calib-data DATA, or `data.calibration`, with labels; beside a calibration table too",
        )
    if data.labels is None:
        raise DataError(
            f"{data.spec} has no labels, and a budget on the drop is about top-1 accuracy",
            hint="add labels, as docs/data.md says, or leave out --max-drop",
        )
    if len(data) < 2 * LEAST_HELD:
        raise DataError(
            f"{data.spec} has {len(data)} samples, and a budget on the drop holds half of them back: too few",
            hint=f"give at least {2 * LEAST_HELD}; a thousand and more show a point",
        )
    return data


def calibrating(data: Dataset, most: int) -> int:
    """Return how many samples calibrate at most where others are held back: never more than half."""
    return min(most, len(data) // 2)


def most_held(data: Dataset, preprocessing: Preprocessing) -> int:
    """Return how many samples of a data set are held back at most."""
    size = sum(array.nbytes for array in preprocess(data, preprocessing, [0]))
    return min(MOST_HELD, max(LEAST_HELD, MOST_BYTES // max(size, 1)))


class HeldBack:
    """The samples behind those that calibrate, in an order by chance that is the same each time."""

    def __init__(
        self,
        data: Dataset,
        preprocessing: Preprocessing,
        folder: Path,
        *,
        used: int,
        table: CalibrationTable | None = None,
    ) -> None:
        """Choose the samples. used: how many calibrate; those that the table was made of count too."""
        if table is not None and table.fingerprint == data.fingerprint:
            used = max(used, table.samples)
        self.data, self._preprocessing, self._folder = data, preprocessing, folder
        self.numbers = sorted(shuffled(data)[used : used + most_held(data, preprocessing)])
        self._lock, self._written = threading.Lock(), False
        if len(self.numbers) < LEAST_HELD:
            raise DataError(
                f"{data.spec}: the calibration table was made of {used} of its {len(data)} samples, which "
                f"leaves {len(self.numbers)} to measure the drop on",
                hint=f"edgebench calibrate --calib-samples {len(data) // 2}, or give more data",
            )

    @property
    def labels(self) -> Path:
        """The file of the samples' labels, int64[N]."""
        return self._folder / "labels.npy"

    def write(self) -> Path:
        """Return the folder of the samples, a SampleStore, and of their labels; threads may ask at once."""
        with self._lock:
            if not self._written:
                write_samples(self._folder, len(self.numbers), self._pieces())
                with storage_errors(self.labels):
                    np.save(self.labels, self._labels())
                self._written = True
        return self._folder

    def _labels(self) -> NDArray[np.int64]:
        assert self.data.labels is not None  # noqa: S101 - `labelled` has looked
        return self.data.labels[self.numbers]

    def _pieces(self) -> Iterator[Sequence[Array]]:
        for start in range(0, len(self.numbers), PIECE):
            yield preprocess(self.data, self._preprocessing, self.numbers[start : start + PIECE])
