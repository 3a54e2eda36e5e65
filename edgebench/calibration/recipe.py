"""Which passes prepare an fp32 graph for int8: names only, so that listing them loads nothing."""

from __future__ import annotations

import enum


class Pass(enum.StrEnum):
    """One thing that is done to a graph before it is quantized."""

    FLOAT_ENDS = "float-ends"
    """Small first and last layers stay float."""
    EQUALIZE = "equalize"
    """Channels between layers are made alike."""
    BALANCE = "balance"
    """What layer normalization gives is weighed against the weights that read it."""
    ROUND = "round"
    """Weights are rounded by what they multiply, biases take the mean of the error."""


ALL_PASSES = frozenset(Pass)
