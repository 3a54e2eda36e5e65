"""Laws of latency whose percentiles are known exactly, for simulated measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SPREAD = 0.1
SLOW, DWELL_FAST, DWELL_SLOW = 1.4, 60, 20
DRIFT, DECAY = 0.2, 0.5
TAIL = 2.0


@dataclass(frozen=True, slots=True)
class Law:
    """A law by name. draw: rng, sessions, calls → float64[sessions, calls]. quantile: q → its true value."""

    name: str
    draw: Callable[[np.random.Generator, int, int], FloatArray]
    quantile: Callable[[float], float]


def autoregressive(rng: np.random.Generator, rows: int, calls: int, memory: float) -> FloatArray:
    """Return standard normal series of lag-one correlation `memory`, float64[rows, calls]."""
    series = np.empty((calls, rows))
    series[0] = rng.normal(size=rows)
    fresh = np.sqrt(1 - memory**2) * rng.normal(size=(calls, rows))
    for call in range(1, calls):
        series[call] = memory * series[call - 1] + fresh[call]
    return np.ascontiguousarray(series.T)


def _blocks(rng: np.random.Generator, rows: int, calls: int) -> FloatArray:
    shared = np.repeat(rng.normal(size=(rows, -(-calls // 20))), 20, axis=1)[:, :calls]
    return (shared + rng.normal(size=(rows, calls))) / np.sqrt(2)


def _sessions(rng: np.random.Generator, rows: int, calls: int) -> FloatArray:
    return (0.2 * rng.normal(size=(rows, 1)) + rng.normal(size=(rows, calls))) / np.sqrt(1.04)


def _modes(rng: np.random.Generator, rows: int, calls: int) -> FloatArray:
    """Return latencies that dwell for some tens of calls in a fast mode, then in a slow one."""
    slow = np.empty((calls, rows), bool)
    slow[0] = rng.random(rows) < DWELL_SLOW / (DWELL_FAST + DWELL_SLOW)
    change = rng.random((calls, rows))
    for call in range(1, calls):
        stays = change[call] >= np.where(slow[call - 1], 1 / DWELL_SLOW, 1 / DWELL_FAST)
        slow[call] = np.where(stays, slow[call - 1], ~slow[call - 1])
    return np.exp(SPREAD / 2 * rng.normal(size=(rows, calls))) * np.where(slow.T, SLOW, 1.0)


def _heavy(rng: np.random.Generator, rows: int, calls: int) -> FloatArray:
    return _heavy_quantile(rng.random((rows, calls)))


def _heavy_quantile(q: FloatArray | float) -> FloatArray:
    return np.asarray(1 + SPREAD * ((1 - np.asarray(q)) ** (-1 / TAIL) - 1))


def drift(calls: int) -> FloatArray:
    """Return the level at each call of a session that gets slower all the time."""
    return 1 + DRIFT * np.arange(calls) / calls


def decay(calls: int) -> FloatArray:
    """Return the level at each call of a session that begins slower and comes to rest."""
    return 1 + DECAY * np.exp(-np.arange(calls) / (0.04 * calls))


def _normal(draw: Callable[[np.random.Generator, int, int], FloatArray], name: str) -> Law:
    """Return a law whose logarithm is normal at every call, however calls depend on each other."""
    return Law(
        name,
        lambda rng, rows, calls: np.exp(SPREAD * draw(rng, rows, calls)),
        lambda q: float(np.exp(SPREAD * NormalDist().inv_cdf(q))),
    )


def _by_bisection(below: Callable[[float], float], q: float) -> float:
    low, high = 0.1, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < q else (low, middle)
    return high


def _modes_below(x: float) -> float:
    law, share = NormalDist(0, SPREAD / 2), DWELL_SLOW / (DWELL_FAST + DWELL_SLOW)
    return (1 - share) * law.cdf(np.log(x)) + share * law.cdf(np.log(x / SLOW))


def _drift_below(x: float) -> float:
    law = NormalDist(0, SPREAD)
    return float(np.mean([law.cdf(np.log(x / level)) for level in drift(200)]))


def _independent(rng: np.random.Generator, rows: int, calls: int) -> FloatArray:
    return rng.normal(size=(rows, calls))


INDEPENDENT = _normal(_independent, "i.i.d.")
AUTOREGRESSIVE = _normal(lambda rng, rows, calls: autoregressive(rng, rows, calls, 0.8), "AR(1), 0.8")
BLOCKS = _normal(_blocks, "blocks of 20")
SESSIONS = _normal(_sessions, "sessions differ")
BIMODAL = Law("bimodal, dwelling", _modes, lambda q: _by_bisection(_modes_below, q))
HEAVY = Law("heavy tail", _heavy, lambda q: float(_heavy_quantile(q)))
DRIFTING = Law(
    "drifting 20 %",
    lambda rng, rows, calls: np.exp(SPREAD * rng.normal(size=(rows, calls))) * drift(calls),
    lambda q: _by_bisection(_drift_below, q),
)
LAWS = (INDEPENDENT, AUTOREGRESSIVE, BLOCKS, SESSIONS, BIMODAL, HEAVY, DRIFTING)
