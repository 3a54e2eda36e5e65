"""Files of data, and what it takes to read them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def npz(path: Path, **arrays: object) -> Path:
    """Write arrays to an .npz file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def picture(path: Path, value: int = 0, size: tuple[int, int] = (4, 5), mode: str = "RGB") -> Path:
    """Write a plain image of (height, width) and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode in ("L", "I;16", "I", "F") else (value,) * len(mode)
    Image.new(mode, (size[1], size[0]), colour).save(path)
    return path


def peak_mb(work: Callable[[], object]) -> float:
    """Return the peak of memory that `work` allocated, in megabytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
