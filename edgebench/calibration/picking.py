"""Which of a tensor's values are looked at."""

from __future__ import annotations

import math

VALUES = 2048
"""Values of each tensor that are watched per sample; smaller tensors are watched whole."""


def stride(length: int, most: int = VALUES) -> int:
    """Return the step that takes at most so many of `length` values, odd, so that it meets all channels."""
    step = math.ceil(length / most)
    return step if step == 1 or step % 2 else step + 1
