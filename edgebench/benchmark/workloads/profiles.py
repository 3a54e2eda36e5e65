"""A runtime's profile summed up: what each operator takes of a call, and what is in no operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One operator. median_ns: of a call, over the profiled calls. share: of all operators' medians, 0–1."""

    operator: str
    type: str
    median_ns: float
    share: float


@dataclass(frozen=True, slots=True)
class OperatorTimes:
    """All operators, the longest first. covered: their share of a profiled call's time, 0–1, its median."""

    operators: tuple[OperatorTime, ...]
    covered: float


def operator_times(columns: Mapping[str, NDArray[Any]]) -> OperatorTimes:
    """Return the operators' times. columns: of a profile's raw file; the type `call` is a call as a whole."""
    types, durations = columns["type"].astype(str), columns["duration_ns"].astype(np.float64)
    whole, calls = types == "call", columns["call"]
    count = int(whole.sum())
    names, kinds, inside = columns["operator"].astype(str)[~whole], types[~whole], durations[~whole]
    unique, first, place = np.unique(names, return_index=True, return_inverse=True)
    by_call = np.zeros((len(unique), count))
    np.add.at(by_call, (place, calls[~whole]), inside)
    medians = np.median(by_call, axis=1)
    total = max(float(medians.sum()), 1.0)
    operators = tuple(
        OperatorTime(str(unique[i]), str(kinds[first[i]]), float(medians[i]), float(medians[i]) / total)
        for i in np.argsort(-medians, kind="stable")
    )
    of_calls = durations[whole][np.argsort(calls[whole])]
    return OperatorTimes(operators, float(np.median(by_call.sum(axis=0) / np.maximum(of_calls, 1.0))))
