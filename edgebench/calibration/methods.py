"""How a range is found: names only, so that listing them loads nothing."""

from __future__ import annotations

import enum


class Method(enum.StrEnum):
    """How a range is found."""

    MIN_MAX = "min-max"
    MOVING_AVERAGE = "moving-average"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"

    @property
    def exact(self) -> bool:
        """Whether the observer looks at the extremes themselves."""
        return self in (Method.MIN_MAX, Method.MOVING_AVERAGE)


DEFAULT_METHOD = Method.MSE
