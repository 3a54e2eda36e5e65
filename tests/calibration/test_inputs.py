"""What is odd about calibration data is said, and what is not odd is not."""

from __future__ import annotations

import numpy as np
import pytest

from edgebench.calibration.inputs import InputWatch
from edgebench.datasets import Preprocessing
from edgebench.preprocess import apply

SOURCE = np.random.default_rng(0)
IMAGES = SOURCE.integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
FLOATS = SOURCE.random((64, 8, 8, 3)).astype(np.float32)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SCALED = Preprocessing(scale=1 / 255)


def notes(stored: np.ndarray, steps: Preprocessing) -> tuple[str, ...]:
    """Return the notes on samples that come 16 at a time."""
    seen = InputWatch(steps)
    for start in range(0, len(stored), 16):
        piece = stored[start : start + 16]
        seen.add(piece, apply(piece, steps))
    return seen.notes()


@pytest.mark.parametrize(
    ("stored", "steps"),
    [
        (IMAGES, SCALED),
        (IMAGES, Preprocessing(scale=1 / 255, **IMAGENET)),
        (FLOATS, Preprocessing()),
        (SOURCE.normal(size=(40, 10)).astype(np.float32), Preprocessing()),
        (SOURCE.integers(0, 17, (64, 8, 8, 1)).astype(np.float32), Preprocessing(scale=1 / 16)),
        (SOURCE.integers(0, 30_000, (64, 20)), Preprocessing()),
        (np.where(SOURCE.random((64, 8, 8, 1)) < 0.8, 0, 200).astype(np.uint8), SCALED),
    ],
    ids=[
        "images",
        "normalised images",
        "unit floats",
        "normal numbers",
        "digits",
        "tokens",
        "black background",
    ],
)
def test_good_data_has_no_notes(stored: np.ndarray, steps: Preprocessing) -> None:
    """Scaled and normalised images, plain features, dark backgrounds: nothing is said."""
    assert notes(stored, steps) == ()


@pytest.mark.parametrize(
    ("stored", "steps", "words"),
    [
        (
            IMAGES,
            Preprocessing(),
            "the model's input ranges from 0 to 255, and no scale, mean or std is declared",
        ),
        (
            IMAGES,
            Preprocessing(**IMAGENET),
            "after the declared preprocessing: does its scale, mean or std fit",
        ),
        (FLOATS, SCALED, "was the data scaled already?"),
        (FLOATS * np.float32(0.1) + 5, Preprocessing(), "is a mean missing?"),
        (np.full((40, 4), 3.0, np.float32), Preprocessing(), "every value of the model's input is 3"),
        (np.repeat(FLOATS[:1], 40, axis=0), Preprocessing(), "all 40 calibration samples are the same"),
        (FLOATS[:8], Preprocessing(), "8 calibration samples are few"),
        (
            np.clip(IMAGES.astype(int) * 2, 0, 255).astype(np.uint8),
            SCALED,
            "values are 255, the most there can",
        ),
    ],
    ids=["raw", "no scale", "scaled twice", "no mean", "constant", "all equal", "few", "saturated"],
)
def test_odd_data_is_described_by_what_was_seen(stored: np.ndarray, steps: Preprocessing, words: str) -> None:
    """Each fault gives one note, with the figures that show it."""
    (note,) = notes(stored, steps)
    assert words in note


def test_the_notes_do_not_depend_on_the_pieces() -> None:
    """Samples in pieces of 16 or all at once: the same words."""
    seen = InputWatch(Preprocessing())
    seen.add(IMAGES, apply(IMAGES, Preprocessing()))
    assert seen.notes() == notes(IMAGES, Preprocessing())
