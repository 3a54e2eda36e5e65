"""What was measured beyond single calls as tidy rows, beside those of the latencies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgebench.benchmark.evidence import Evidence, Measurement
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.profiles import operator_times
from edgebench.benchmark.workloads.records import LoadRun, Scenario, ScenarioRun
from edgebench.benchmark.workloads.soaking import CONFIDENCE, slowdown, soak_windows
from edgebench.reports.results import Row
from edgebench.reports.scenario_tables import scenario_name
from edgebench.reports.text_tables import Raw
from edgebench.reports.workload_tables import throughput_by_shape

_MS = 1e6


def workload_rows(evidence: Evidence, raw: Raw) -> tuple[Row, ...]:
    """Return a row for each figure; percentiles only where the queries support them."""
    return tuple(
        Row(m.artifact.id, m.device.uri, *figure)
        for m in evidence.measurements
        for make in (_throughput, _scenarios, _loads, _soaks, _operators)
        for figure in make(m, raw)
    )


Figure = tuple[str, float, float | None, float | None, str, float, int]
"""A row without its artifact and device."""


def _fact(quantity: str, value: float, unit: str, n: int) -> Figure:
    """Return a figure that has no interval: what was counted, or a median of few."""
    return quantity, value, None, None, unit, CONFIDENCE, n


def _throughput(measurement: Measurement, _raw: Raw) -> Iterator[Figure]:
    for (batch, threads), runs in throughput_by_shape(measurement.workloads.throughput).items():
        rates = [1e9 * run.samples / run.elapsed_ns for run in runs]
        name = f"batch {batch}, threads {threads}"
        yield _fact(f"throughput[{name}]", float(np.median(rates)), "/s", len(rates))
        yield _fact(f"throughput[{name}][least]", min(rates), "/s", len(rates))
        yield _fact(f"throughput[{name}][most]", max(rates), "/s", len(rates))
        joules = [1e3 * run.energy.joules / run.samples for run in runs if run.energy is not None]
        if joules:
            yield _fact(f"energy[{name}]", float(np.median(joules)), "mJ", len(joules))


def _scenarios(measurement: Measurement, raw: Raw) -> Iterator[Figure]:
    for run in measurement.workloads.scenarios:
        found = mlperf.outcome(run, raw[run.raw]["latency_ns"])
        yield from _scenario(run, found, f"scenario[{scenario_name(run)}]")


def _scenario(run: ScenarioRun, found: mlperf.Outcome, name: str) -> Iterator[Figure]:
    rate = 1e9 * run.queries * run.samples_per_query / run.elapsed_ns
    yield _fact(f"{name} rate", rate, "/s", run.queries)
    if run.scenario is Scenario.SERVER and run.qps is not None:
        yield _fact(f"{name} {'held' if found.held else 'not shown to hold'}", run.qps, "/s", run.queries)
        yield _fact(f"{name} late", 100 * (found.late or 0) / max(1, run.queries), "%", run.queries)
    elif found.estimate_ns is not None:
        percentile = mlperf.RULES[run.scenario].percentile or 0.0
        value = found.estimate_ns / _MS
        yield f"{name} p{100 * percentile:g}", value, None, value, "ms", mlperf.CONFIDENCE, run.queries
    yield _fact(f"{name} valid by MLPerf", float(not found.invalid), "", run.queries)


def _loads(measurement: Measurement, _raw: Raw) -> Iterator[Figure]:
    by_cache: dict[str, list[LoadRun]] = {}
    for run in measurement.workloads.loads:
        by_cache.setdefault(str(run.cache), []).append(run)
    for cache, runs in by_cache.items():
        for quantity in ("load", "first"):
            times = [getattr(run.process, f"{quantity}_ns") / _MS for run in runs]
            yield _fact(f"{quantity}[{cache} cache]", float(np.median(times)), "ms", len(times))


def _soaks(measurement: Measurement, raw: Raw) -> Iterator[Figure]:
    for run in measurement.workloads.soaks:
        columns = raw[run.raw]
        windows = soak_windows(run, columns["start_ns"], columns["latency_ns"])
        for window in windows:
            place = f"soak from {window.begin_s:g} s"
            yield _fact(f"mean[{place}]", window.mean_ns / _MS, "ms", window.calls)
            low, high = window.p95.lower, window.p95.upper
            if low is not None and high is not None:
                ends = (window.p95_ns / _MS, low / _MS, high / _MS)
                yield f"p95[{place}]", *ends, "ms", CONFIDENCE, window.calls
        if (found := slowdown(windows)) is not None:
            yield _fact("time to slowdown", 1e3 * found.begin_s, "ms", run.calls)
            yield _fact("slowdown", found.times, "x", run.calls)


def _operators(measurement: Measurement, raw: Raw) -> Iterator[Figure]:
    for run in measurement.workloads.profiles:
        for one in operator_times(raw[run.raw]).operators:
            yield _fact(f"operator[{one.operator}]", one.median_ns / _MS, "ms", run.calls)
