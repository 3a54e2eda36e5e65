"""MLPerf's scenarios as a table: what each run says, and whether it keeps the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgebench.benchmark import statistics
from edgebench.benchmark.intervals import latency_interval
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.records import Scenario, ScenarioRun
from edgebench.reports.text_tables import Named, Raw, TextTable
from edgebench.reports.units import NONE, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIDENCE = 0.95


def scenarios(measured: Named, raw: Raw) -> TextTable:
    """Return every run of a scenario as a row."""
    rows = [
        (name, *_scenario_cells(run, raw[run.raw]["latency_ns"]))
        for name, measurement in measured
        for run in measurement.workloads.scenarios
    ]
    header = ("artifact", "scenario", "result", "by MLPerf's rules", "p50 ms", "p90 ms", "p99 ms", "queries")
    note = (
        "Queries as MLPerf's scenarios issue them, by edgebench and not by LoadGen: no MLPerf results. "
        "Estimates are LoadGen's early-stopping ones, at 99 %; in brackets stands the 95 % interval, for "
        "which queries count by what they are worth when they depend on each other."
    )
    return TextTable("Scenarios", note, header, tuple(rows), left=4)


def _scenario_cells(run: ScenarioRun, latency_ns: NDArray[np.int64]) -> tuple[str, ...]:
    found = mlperf.outcome(run, latency_ns)
    lasted = f"{run.queries:,} in {run.elapsed_ns / 1e9:.3g} s"
    single = run.scenario is not Scenario.OFFLINE  # a query there is the whole of it, not one call
    cells = (_percentile(latency_ns, q) if single else NONE for q in (0.5, 0.9, 0.99))
    return (scenario_name(run), result_text(run, found), rules_text(run, found), *cells, lasted)


def scenario_name(run: ScenarioRun) -> str:
    """Return a run's scenario as it is asked for, and which of several runs it is."""
    bound = "" if run.bound_ns is None else f"={run.bound_ns / 1e6:g}ms"
    return f"{run.scenario}{bound}" + (f" #{run.index + 1}" if run.index else "")


def result_text(run: ScenarioRun, found: mlperf.Outcome) -> str:
    """Return what a scenario's run says, by the rule that judges it."""
    if run.scenario is Scenario.OFFLINE:
        return f"{number(1e9 * run.queries * run.samples_per_query / run.elapsed_ns)} samples/s"
    rule = mlperf.RULES[run.scenario]
    if run.scenario is Scenario.SERVER:
        word = {True: "holds", False: "does not hold", None: "undecided at"}[found.held]
        return f"{word} {number(run.qps)} queries/s ({found.late} of {run.queries:,} late)"
    if found.estimate_ns is None:
        return f"{NONE} ({run.queries} queries, at least {rule.least_queries} needed)"
    return f"p{100 * (rule.percentile or 0):g} {number(found.estimate_ns / 1e6)} ms"


def rules_text(run: ScenarioRun, found: mlperf.Outcome) -> str:
    """Return whether a run keeps MLPerf's counts and times, or those scaled to its duration."""
    if not found.invalid:
        return "VALID"
    scaled = "VALID" if not found.scaled_invalid else f"INVALID ({'; '.join(found.scaled_invalid)})"
    return f"INVALID ({'; '.join(found.invalid)}); scaled to {run.asked_s:g} s {scaled}"


def _percentile(latency_ns: NDArray[np.int64], q: float) -> str:
    if not statistics.quantile_supported(len(latency_ns), q, CONFIDENCE):
        return NONE
    ends = latency_interval(latency_ns, np.zeros(len(latency_ns), np.int64), q, CONFIDENCE)
    if ends.lower is None and ends.upper is None:
        return NONE
    lower, upper = (number(None if end is None else end / 1e6) for end in (ends.lower, ends.upper))
    return f"{number(statistics.quantile(latency_ns, q) / 1e6)} [{lower}, {upper}]"
