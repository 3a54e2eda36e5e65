"""Random images as a data set."""

from __future__ import annotations

import numpy as np

from edgebench.datasets import Dataset
from edgebench.storage import sha256_bytes


def images(count: int = 24, *, channels_last: bool = False) -> Dataset:
    """Return random images 8×8 with three channels, and labels of five classes."""
    source = np.random.default_rng(1)
    x = source.normal(size=(count, 3, 8, 8)).astype(np.float32)
    x = np.moveaxis(x, 1, -1) if channels_last else x
    labels = source.integers(0, 5, count)
    return Dataset("made by a test", (np.ascontiguousarray(x),), labels, sha256_bytes(x.tobytes()))
