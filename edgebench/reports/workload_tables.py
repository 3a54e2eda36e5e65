"""What was measured beyond single calls, as tables of text: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgebench.benchmark.evidence import Evidence, Measurement
from edgebench.benchmark.validity import disturbances
from edgebench.benchmark.workloads.records import LoadRun, Process, ThroughputRun
from edgebench.reports.scenario_tables import scenarios
from edgebench.reports.sustained_tables import profiles, soaks
from edgebench.reports.text_tables import Named, Raw, TextTable
from edgebench.reports.units import NONE, number, percent

_MB = 1e6


def workload_tables(evidence: Evidence, raw: Raw) -> tuple[TextTable, ...]:
    """Return the tables of everything that was measured beyond single calls; none where nothing was."""
    measured = [m for m in evidence.measurements if m.failure is None]
    several = len({m.device.uri for m in evidence.measurements}) > 1
    makers = (_throughput, scenarios, _loads, soaks, profiles)
    tables = (make([(_name(m, with_device=several), m) for m in measured], raw) for make in makers)
    return tuple(table for table in tables if table.rows)


def unavailable(evidence: Evidence) -> tuple[str, ...]:
    """Return what was asked for and could not be measured, with the reason."""
    return tuple(
        f"{m.artifact.id}: {one.what} is not available: {one.why}"
        for m in evidence.measurements
        for one in m.workloads.unavailable
    )


def _name(measurement: Measurement, *, with_device: bool) -> str:
    return measurement.artifact.id + (f" · {measurement.device.uri}" if with_device else "")


def _throughput(measured: Named, _raw: Raw) -> TextTable:
    rows = []
    for name, measurement in measured:
        for (batch, threads), runs in throughput_by_shape(measurement.workloads.throughput).items():
            rates = [1e9 * run.samples / run.elapsed_ns for run in runs]
            energies = [1e3 * run.energy.joules / run.samples for run in runs if run.energy is not None]
            rows.append(
                (
                    name,
                    str(batch),
                    str(threads),
                    number(float(np.median(rates))),
                    _range(rates),
                    _megabytes(max(run.process.peak_rss_bytes or 0 for run in runs)),
                    _megabytes(max(run.process.steady_rss_bytes or 0 for run in runs)),
                    number(float(np.median(energies))) if energies else NONE,
                    _disturbed([run.process for run in runs]),
                )
            )
    header = (
        "artifact",
        "batch",
        "threads",
        "samples/s",
        "from, to",
        "peak MB",
        "steady MB",
        "mJ a sample",
        "",
    )
    note = "The median over the fresh processes, with the smallest and the largest; memory is the largest."
    return TextTable("Throughput", note, header, tuple(rows))


def throughput_by_shape(runs: Sequence[ThroughputRun]) -> dict[tuple[int, int], list[ThroughputRun]]:
    """Return the runs of each batch size and number of threads."""
    found: dict[tuple[int, int], list[ThroughputRun]] = {}
    for run in runs:
        timing = run.process.timing
        found.setdefault((timing.batch or 0, timing.threads or 0), []).append(run)
    return dict(sorted(found.items()))


def _loads(measured: Named, _raw: Raw) -> TextTable:
    rows = []
    for name, measurement in measured:
        by_cache: dict[str, list[LoadRun]] = {}
        for run in measurement.workloads.loads:
            by_cache.setdefault(str(run.cache), []).append(run)
        for cache, runs in by_cache.items():
            loads = [run.process.load_ns / 1e6 for run in runs]
            firsts = [run.process.first_ns / 1e6 for run in runs]
            shares = [run.resident_share for run in runs if run.resident_share is not None]
            resident = (
                percent(max(shares, key=lambda share: abs(share - (cache == "warm")))) if shares else NONE
            )
            medians = (number(float(np.median(times))) for times in (loads, firsts))
            load, first = medians
            rows.append((name, cache, resident, load, _range(loads), first, _range(firsts), str(len(runs))))
    header = (
        "artifact",
        "cache",
        "file in memory",
        "load ms",
        "from, to",
        "first call ms",
        "from, to",
        "processes",
    )
    note = (
        "Cold: the file's pages were dropped from the page cache (posix_fadvise, no root); warm: the file "
        "was read before. How much of it lay in memory right before loading is what the kernel says "
        "(mincore), of the process that is furthest off. The runtime's libraries stay in memory in both."
    )
    return TextTable("Loading", note, header, tuple(rows), left=2)


def _disturbed(processes: Sequence[Process]) -> str:
    """Return what disturbed the processes, empty where nothing did; waiting is taken per thread."""
    found = {name: None for process in processes for name in disturbances(process)}
    found |= {"collected later, without sensors": None} if any(one.collected for one in processes) else {}
    return ", ".join(_SAID.get(name, name.replace("_", " ")) for name in found)


_SAID = {"wait_share": "waited", "steal_share": "stolen", "others_share": "others at work"}
"""Conditions in a word, where their names are none."""


def _range(values: Sequence[float]) -> str:
    return f"{number(min(values))}, {number(max(values))}"


def _megabytes(size: int) -> str:
    return number(size / _MB) if size else NONE
