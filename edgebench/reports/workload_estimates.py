"""Estimates of what was measured beyond single calls: throughput, energy, the accelerator's share."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from edgebench.benchmark.dependence import FloatArray
from edgebench.benchmark.evidence import Measurement
from edgebench.benchmark.validity import THRESHOLDS, disturbances
from edgebench.benchmark.workloads.records import Cache, Process, SoakRun, ThroughputRun
from edgebench.reports.groups import extreme
from edgebench.reports.quantities import Estimate, unknown
from edgebench.reports.subjects import Subject
from edgebench.reports.timing_estimates import median
from edgebench.reports.units import percent

_PARTLY = re.compile(r"(?P<part>\d+) of (?P<all>\d+) nodes")
_PROCESSORS = re.compile(r"CPUExecutionProvider|.*\bCPU\b.*|XNNPACK|none", re.IGNORECASE)
"""Providers that are the processor itself, not an accelerator."""

_OF_TICKS = frozenset({"wait_share", "others_share"})
"""Shares of time that say nothing of a load, of which one tick or this tool's own work is a tenth."""

_OFF = 0.05
"""The share of a model file that may lie on the other side of a cold or a warm load."""


def throughput(subject: Subject, confidence: float) -> Estimate:
    """Return the most samples a second, of all batch sizes and numbers of threads that were tried."""
    by_shape: dict[str, list[ThroughputRun]] = {}
    for run in subject.measurement.workloads.throughput:
        timing = run.process.timing
        by_shape.setdefault(f"batch {timing.batch}, threads {timing.threads}", []).append(run)
    if not by_shape:
        return unknown(missing(subject.measurement, "throughput"), "runs")
    if problem := disturbed([run.process for runs in by_shape.values() for run in runs]):
        return unknown(problem, "runs")
    parts: dict[str, Callable[[float], Estimate]] = {
        shape: partial(_median, np.array([1e9 * run.samples / run.elapsed_ns for run in runs]))
        for shape, runs in by_shape.items()
    }
    return extreme(parts, confidence, largest=True)


def energy(subject: Subject, confidence: float) -> Estimate:
    """Return the energy of a call in mJ, idle power included, over the runs whose energy was read."""
    workloads = subject.measurement.workloads
    runs: tuple[ThroughputRun | SoakRun, ...] = (*workloads.throughput, *workloads.soaks)
    metered = [(run, run.energy) for run in runs if run.energy and run.process.timing.batch == 1]
    if not metered:
        return unknown(missing(subject.measurement, "energy"), "runs")
    if problem := disturbed([run.process for run, _ in metered]):
        return unknown(problem, "runs")
    return _median(np.array([1e3 * read.joules / run.calls for run, read in metered]), confidence)


def loading(cache: Cache, subject: Subject, confidence: float) -> Estimate:
    """Return the time of loading the model with its file out of the page cache, or in it, in ns."""
    measurement = subject.measurement
    runs = [run for run in measurement.workloads.loads if run.cache is cache]
    if not runs:
        return unknown(missing(measurement, f"{cache} load"), "runs")
    off = max(abs((run.resident_share or 0.0) - (cache is Cache.WARM)) for run in runs)
    if None in [run.resident_share for run in runs]:
        return unknown("the system does not tell how much of the file lay in memory", "runs")
    if off > _OFF:
        held = "still" if cache is Cache.COLD else "not"
        return unknown(f"{percent(off)} of the model file was {held} in memory before a {cache} load", "runs")
    processes = [run.process for run in runs]
    waits = [process.wait_share for process in processes if process.wait_share is not None]
    waited = float(np.median(waits)) if waits else 0.0  # of a few milliseconds, where one tick is a tenth
    if waited >= THRESHOLDS["wait_share"].invalid:
        return unknown(f"others held the cores: half of the loads waited {percent(waited)} or more", "runs")
    if problem := disturbed(processes, ignored=_OF_TICKS):
        return unknown(problem, "runs")
    return _median(np.array([run.process.load_ns for run in runs], np.float64), confidence)


def coverage(subject: Subject) -> Estimate:
    """Return the share of the graph's nodes, in %, that an accelerator runs: the least of all sessions."""
    shares = []
    for session in subject.measurement.sessions:
        share = covered_share(session.timing.provider, session.coverage)
        if share is None:
            told = session.coverage or "nothing"
            return unknown(f"the runtime does not tell it in numbers: {told}", "sessions")
        shares.append(share)
    if not shares:
        return unknown("no session was run", "sessions")
    least = min(shares)
    return Estimate(least, least, least, len(shares), "sessions")


def covered_share(provider: str, told: str) -> float | None:
    """Return the share of the nodes, in %, that run elsewhere than on the processor; None if not told."""
    if _PROCESSORS.fullmatch(provider):
        return 0.0
    if told == "every node":
        return 100.0
    found = _PARTLY.search(told)
    return 100 * int(found["part"]) / int(found["all"]) if found and int(found["all"]) else None


def _median(values: FloatArray, confidence: float) -> Estimate:
    return median(values, confidence, "runs")


def disturbed(processes: Sequence[Process], ignored: Collection[str] = ()) -> str | None:
    """Return why a run's times are not the model's own, as those of a session would not be, or None.

    ignored: names of conditions that are what the run was to show.
    """
    for process in processes:
        for reason in disturbances(process, ignored).values():
            return f"a run of it is {reason}"
    return None


def missing(measurement: Measurement, asked: str, what: str | None = None) -> str:
    """Return why something was not measured, in the words of the run where it has any.

    asked: how a run is asked for it. what: its name, where that is another.
    """
    told = next((one for one in measurement.workloads.unavailable if asked in one.what), None)
    return f"{told.what} is not available: {told.why}" if told else f"{what or asked} was not measured"
