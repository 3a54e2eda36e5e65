"""Scikit-learn's 1,797 scans of handwritten digits in three parts that do not overlap.

Each function returns images uint8[n, 8, 8, 1] with values 0–16, and labels int64[n].
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

SEED = 20
PARTS = {"train": slice(0, 897), "calibration": slice(897, 1097), "evaluation": slice(1097, 1797)}

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def train() -> Part:
    """Return 897 scans to train on."""
    return _part("train")


def calibration() -> Part:
    """Return 200 scans that fix the int8 ranges."""
    return _part("calibration")


def evaluation() -> Part:
    """Return 700 scans that the verdict rests on."""
    return _part("evaluation")


def _part(name: str) -> Part:
    digits = load_digits()
    rows = np.random.default_rng(SEED).permutation(len(digits.target))[PARTS[name]]
    return digits.images[rows].astype(np.uint8)[..., None], digits.target[rows].astype(np.int64)
