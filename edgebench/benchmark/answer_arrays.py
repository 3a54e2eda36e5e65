"""Answers as arrays by name, the way that a file of them holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.evidence import Answers
from edgebench.benchmark.metric_draws import Draws

Arrays = Mapping[str, NDArray[Any]]
_COLUMN = "column:"
_DRAWS = ("metric", "metric_resampled", "metric_left_out")


def answer_arrays(answers: Answers) -> dict[str, Any]:
    """Return the arrays that `answers_of` makes the answers of again."""
    arrays: dict[str, Any] = {"logits": answers.logits, "labels": answers.labels}
    if answers.targets is not None:
        arrays["targets"] = answers.targets
    arrays |= {f"{_COLUMN}{name}": column for name, column in answers.columns.items()}
    if answers.draws is not None:
        draws = answers.draws
        arrays |= dict(zip(_DRAWS, (np.array(draws.value), draws.resampled, draws.left_out), strict=True))
    return arrays


def answers_of(arrays: Arrays) -> Answers:
    """Return the answers that a file's arrays hold. Raises KeyError where they lack what every one has."""
    draws = None
    if _DRAWS[0] in arrays:
        value, resampled, left_out = (arrays[name].astype(np.float64) for name in _DRAWS)
        draws = Draws(float(value), resampled, left_out)
    columns = {
        name.removeprefix(_COLUMN): column for name, column in arrays.items() if name.startswith(_COLUMN)
    }
    return Answers(
        logits=arrays["logits"].astype(np.float32),
        labels=arrays["labels"].astype(np.int64),
        targets=arrays["targets"].astype(np.float64) if "targets" in arrays else None,
        columns=columns,
        draws=draws,
    )
