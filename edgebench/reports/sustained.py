"""Estimates of sustained load: a percentile in the worst window of calls in a row for minutes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark.evidence import Soak
from edgebench.benchmark.series import Series
from edgebench.reports.groups import extreme
from edgebench.reports.quantities import Estimate, unknown
from edgebench.reports.subjects import Subject
from edgebench.reports.timing_estimates import of_calls
from edgebench.reports.workload_estimates import disturbed, missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NS = 1e9
_SHOWN = frozenset({"throttling", "clock_lost"})
"""What sustained load does to a machine: that is the finding, and no disturbance of it."""

_FULL = 0.5
"""The last window counts from this share of its width on."""


def sustained(subject: Subject, q: float, confidence: float) -> Estimate:
    """Return the quantile `q`, 0–1, of the latencies in the window where it is highest, in ns."""
    soaks = () if subject.samples is None else subject.samples.soaks
    if not soaks:
        return unknown(missing(subject.measurement, "soak", "sustained load"), "calls")
    processes = [run.process for run in subject.measurement.workloads.soaks]
    if problem := disturbed(processes, ignored=_SHOWN):
        return unknown(problem, "calls")
    parts: dict[str, Callable[[float], Estimate]] = {}
    for index, soak in enumerate(soaks):
        for window, calls in enumerate(windows(soak)):
            name = f"window {window + 1} of {soak.window_s:g} s" + (f", run {index + 1}" if index else "")
            parts[name] = partial(of_calls, Series(calls, np.zeros(len(calls), np.int64)), q)
    return extreme(parts, confidence, largest=True)


def windows(soak: Soak) -> list[NDArray[np.int64]]:
    """Return the latencies, int64[n] in ns each, of the calls that started in each window, in order."""
    width = soak.window_s * _NS
    last = float(soak.start_ns[-1]) if len(soak.start_ns) else 0.0
    count = max(1, int(last / width + 1 - _FULL))
    place = np.minimum(soak.start_ns // int(width), count - 1)
    return [soak.latency_ns[place == window] for window in range(count) if (place == window).any()]
