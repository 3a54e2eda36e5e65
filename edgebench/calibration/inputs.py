"""What is odd about calibration data, in words: constant, saturated, scaled twice or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.datasets import Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

FEW_SAMPLES = 32
_SATURATED = 0.05
"""Share of stored values at the end of what they can be, from which a note is made of it."""
_LARGE = 32.0
"""Normalised inputs lie within some standard deviations of zero; nothing normalised reaches this."""
_SMALL = 0.05
_NAME_BYTES = 4
"""Stored integers of so many bytes are names of things, such as a text's tokens, and not amounts."""
_FAR_MEAN = 3.0
"""Standard deviations; a mean farther from zero than this says that it was not taken off."""


class InputWatch:
    """Streaming facts about a model's first input, before and after preprocessing."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        """Start with nothing seen."""
        self._declared = preprocessing
        self._first: Array | None = None
        self._all_equal = True
        self._samples = self._values = self._at_end = 0
        self._most, self._numbers = -math.inf, True
        self._low, self._high, self._sum, self._squares = math.inf, -math.inf, 0.0, 0.0

    def add(self, stored: Array, ready: Array) -> None:
        """See some samples, [n, ...] as they are stored and as the model takes them."""
        if self._first is None:
            self._first = stored[0].copy()
        self._all_equal = self._all_equal and bool((stored == self._first).all())
        self._samples += len(stored)
        self._at_end += int(np.count_nonzero(stored == _end(stored.dtype)))
        self._most = max(self._most, float(stored.max()))
        self._values += stored.size
        self._numbers = stored.dtype.kind == "f" or stored.dtype.itemsize < _NAME_BYTES
        values = ready.astype(np.float64)
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        self._sum += float(values.mean()) * len(ready)
        self._squares += float(np.square(values).mean()) * len(ready)

    def notes(self) -> tuple[str, ...]:
        """Return what a user has to be told, if anything."""
        found = [*self._equality(), *self._saturation(), *self._scale()]
        if self._samples < FEW_SAMPLES:
            found.append(f"{self._samples} calibration samples are few: ranges want {FEW_SAMPLES} or more")
        return tuple(found)

    def _equality(self) -> Sequence[str]:
        if self._low == self._high:
            return [f"every value of the model's input is {self._low:.4g} in the calibration data"]
        if self._all_equal and self._samples > 1:
            return [f"all {self._samples} calibration samples are the same"]
        return []

    def _saturation(self) -> Sequence[str]:
        share = self._at_end / max(self._values, 1)
        if share <= _SATURATED or self._low == self._high or self._first is None:
            return []
        end = _end(self._first.dtype)
        if self._most > end:  # floats that are not 0–1
            return []
        return [
            f"{share:.0%} of the stored calibration values are {end:.4g}, the most there can be: saturated?"
        ]

    def _scale(self) -> Sequence[str]:
        """Return whether what the preprocessing gives looks like what a model is trained on."""
        if not self._numbers:
            return []
        declared = self._declared
        spread = f"the model's input ranges from {self._low:.4g} to {self._high:.4g}"
        normalises = declared.scale != 1.0 or bool(declared.mean or declared.std)
        if max(-self._low, self._high) > _LARGE:
            if normalises:
                return [
                    f"{spread} after the declared preprocessing: does its scale, mean or std fit the data?"
                ]
            return [
                f"{spread}, and no scale, mean or std is declared: right only if the model does that itself"
            ]
        if normalises and max(-self._low, self._high) < _SMALL:
            return [f"{spread} after the declared preprocessing: was the data scaled already?"]
        mean = self._sum / max(self._samples, 1)
        deviation = math.sqrt(max(self._squares / max(self._samples, 1) - mean**2, 0.0))
        if deviation and abs(mean) > _FAR_MEAN * deviation:
            return [f"{spread}, its mean is {mean:.3g} and its deviation {deviation:.3g}: is a mean missing?"]
        return []


def _end(dtype: np.dtype[Any]) -> float:
    """Return the most that a stored value can be: of integers; 1 for floats, which stand for 0–1 then."""
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).max)
    return 1.0
