"""Sustained load, window by window: when calls without a pause became slower, and whose doing it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark.statistics import Bounds, quantile, quantile_interval
from edgebench.benchmark.workloads.records import Look, SoakRun

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLOWER = 1.10
"""A window whose calls take this much longer than the first one's is slow."""

STAYS = 2
"""Windows in a row that are slow before it is said that the machine slowed down; one may be chance."""

CONFIDENCE = 0.95
_FULL = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """The calls that began in one window. Times in nanoseconds; begin_s since the first call.

    calls: all of them; the percentiles are of those that are kept. mean_ns: what each call took, its waiting
    for a core and what copied its inputs included. p95: bounds, None where the window's calls do not bound
    it. waited_share: of the window's time, 0–1, that the calling thread stood ready without a core;
    clock_khz: at its end; None where the system does not tell.
    """

    begin_s: float
    calls: int
    mean_ns: float
    p50_ns: float
    p95_ns: float
    p95: Bounds
    waited_share: float | None = None
    clock_khz: int | None = None


@dataclass(frozen=True, slots=True)
class Slowdown:
    """From when on calls were slower, and how much. times: the mean call then over that of the first window.

    lasted_s: until the windows were quick again, or the run ended. waited_share: of that time, as `Window`
    has it: what is lost to waiting is taken by other programs, what is not, by the machine's own slowing.
    """

    begin_s: float
    lasted_s: float
    times: float
    waited_share: float | None


def soak_windows(
    run: SoakRun, start_ns: NDArray[np.int64], latency_ns: NDArray[np.int64]
) -> tuple[Window, ...]:
    """Return a run's windows in order; the last counts if it is at least half as long as the others.

    start_ns, latency_ns: int64[calls], in order.
    """
    width = run.window_s * 1e9
    count = max(1, int(float(start_ns[-1]) / width + 1 - _FULL))
    ends = np.searchsorted(start_ns, np.arange(1, count + 1) * width)
    parts = np.split(latency_ns, ends[:-1])
    parts[-1] = latency_ns[ends[-2] if count > 1 else 0 : ends[-1]]
    looks = (*run.looks, *[None] * (count + 1))  # none where nobody looked
    return tuple(
        _window(index * run.window_s, part, looks[index], looks[index + 1])
        for index, part in enumerate(parts)
        if len(part)
    )


def _window(begin_s: float, latency: NDArray[np.int64], first: Look | None, last: Look | None) -> Window:
    calls, mean_ns = len(latency), float(latency.mean())
    if first is not None and last is not None and last.calls > first.calls:
        calls = last.calls - first.calls
        mean_ns = (last.busy_ns - first.busy_ns) / calls
    return Window(
        begin_s=begin_s,
        calls=calls,
        mean_ns=mean_ns,
        p50_ns=quantile(latency, 0.5),
        p95_ns=quantile(latency, 0.95),
        p95=quantile_interval(latency, 0.95, CONFIDENCE),
        waited_share=_waited(first, last),
        clock_khz=last.clock_khz if last else None,
    )


def _waited(first: Look | None, last: Look | None) -> float | None:
    if first is None or last is None or first.waited_ns is None or last.waited_ns is None:
        return None
    return (last.waited_ns - first.waited_ns) / (last.at_ns - first.at_ns)


def slowdown(windows: Sequence[Window]) -> Slowdown | None:
    """Return the first time that calls became slower and stayed so; None where they did not."""
    if not windows:
        return None
    slow = [window.mean_ns > SLOWER * windows[0].mean_ns for window in windows]
    begin = next((i for i in range(len(slow)) if all(slow[i : i + STAYS]) and i + STAYS <= len(slow)), None)
    if begin is None:
        return None
    end = next((i for i in range(begin, len(slow)) if not slow[i]), len(slow))
    part = windows[begin:end]
    width = windows[1].begin_s - windows[0].begin_s
    waited = [window.waited_share for window in part if window.waited_share is not None]
    return Slowdown(
        begin_s=part[0].begin_s,
        lasted_s=len(part) * width,
        times=float(np.mean([window.mean_ns for window in part])) / windows[0].mean_ns,
        waited_share=float(np.mean(waited)) if waited else None,
    )
