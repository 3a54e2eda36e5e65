"""Latency series whose truth is known, for the statistics' tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def autoregressive(rng: np.random.Generator, sessions: int, calls: int, memory: float) -> FloatArray:
    """Return standard normal series of lag-one correlation `memory`, float64[sessions, calls]."""
    series = np.empty((sessions, calls))
    series[:, 0] = rng.normal(size=sessions)
    fresh = np.sqrt(1 - memory**2) * rng.normal(size=(sessions, calls))
    for call in range(1, calls):
        series[:, call] = memory * series[:, call - 1] + fresh[:, call]
    return series


def by_session(sessions: int, calls: int) -> NDArray[np.int64]:
    """Return which session each call belongs to, int64[sessions × calls]."""
    return np.repeat(np.arange(sessions), calls)
