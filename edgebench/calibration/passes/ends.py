"""Which of the first and last layers stay float: those that cost little there."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_WEIGHTS, _MOST_WORK = 0.02, 0.05
"""Shares of a model's weights and multiplications that one layer may have and stay float."""


def cost_little(weights: Sequence[int], work: Sequence[int]) -> list[bool]:
    """Return of each layer whether it has at most 2 % of all weights and 5 % of all multiplications."""
    most_weights, most_work = _MOST_WEIGHTS * sum(weights), _MOST_WORK * sum(work)
    return [own <= most_weights and done <= most_work for own, done in zip(weights, work, strict=True)]
