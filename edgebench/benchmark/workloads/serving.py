"""The server scenario: queries that arrive by a Poisson process, and the highest rate that holds a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.benchmark.agent_run import AgentResult
from edgebench.benchmark.raw_files import read_columns
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.asked import ScenarioAsked
from edgebench.benchmark.workloads.measuring import Bench
from edgebench.benchmark.workloads.records import Process, Scenario, ScenarioRun, Trial
from edgebench.errors import MeasurementError

if TYPE_CHECKING:
    from edgebench.benchmark.raw_files import Columns

SEARCH_S = 2.0
"""How long each rate is tried in the search, at most; the run that counts lasts as long as was asked."""

_LEAST_TRIED = 20
"""Queries of a trial at the least; what holds there has to hold with many more."""

ATTEMPTS = 5
STEP_DOWN = 0.9
"""What a rate that was found, and then did not hold, is multiplied with before the next attempt."""

_RULE = mlperf.RULES[Scenario.SERVER]
_PERCENTILE = _RULE.percentile or 0.99


def serve(bench: Bench, asked: ScenarioAsked, index: int) -> ScenarioRun:
    """Return arrivals at the rate asked for, or at the highest found; each in a process of its own.

    Raises MeasurementError where no rate that was tried holds the bound.
    """
    if asked.qps is not None:
        return _arrivals(
            bench, asked, asked.qps, trials=(), name=f"{_name(asked, index)}.at{asked.qps:g}", index=index
        )
    trials = list(_search(bench, asked, index))
    qps = max((trial.qps for trial in trials if _few_late(trial)), default=0.0)
    if qps == 0.0:
        least = min(trial.qps for trial in trials)
        raise MeasurementError(
            f"no rate of arrivals holds {_bound_ns(asked) / 1e6:g} ms at the 99th percentile; the lowest "
            f"that was tried is {least:.3g} queries a second"
        )
    for attempt in range(ATTEMPTS):
        name = f"{_name(asked, index)}.try{attempt}"
        run = _arrivals(bench, asked, qps, trials=tuple(trials), name=name, index=index)
        latency = read_columns(bench.measurer.request.out / run.raw, ("latency_ns",))["latency_ns"]
        found = mlperf.outcome(run, latency)
        if found.held:
            break
        trials.append(Trial(qps, run.queries, found.late or 0))
        qps *= STEP_DOWN
    return run


def _name(asked: ScenarioAsked, index: int) -> str:
    return f"server.{_bound_ns(asked) / 1e6:g}ms.s{index}"


def _few_late(trial: Trial) -> bool:
    return trial.over <= int(trial.queries * (1 - _PERCENTILE))


def _bound_ns(asked: ScenarioAsked) -> int:
    return asked.bound_ns or 0


def _search(bench: Bench, asked: ScenarioAsked, index: int) -> tuple[Trial, ...]:
    """Return the rates that were tried in one process, by bisection."""
    seconds = min(SEARCH_S, bench.asked.duration_s)

    def told(process: Process, result: AgentResult, raw: str) -> tuple[ScenarioRun, Columns]:
        trials = tuple(Trial(float(q), int(n), int(late)) for q, n, late in result.meta["trials"])
        run = ScenarioRun(process, Scenario.SERVER, index, 0, 1, seconds, 0, raw, trials=trials)
        return run, {"latency_ns": np.zeros(0, np.int64)}

    settings = {**_settings(bench, asked, None, seconds), "min_queries": _LEAST_TRIED}
    return bench.run(f"{_name(asked, index)}.search", ScenarioRun, settings, told, lasts_s=60.0).trials


def _arrivals(
    bench: Bench, asked: ScenarioAsked, qps: float, *, trials: tuple[Trial, ...], name: str, index: int
) -> ScenarioRun:
    """Return one run at one rate. trials: those before it."""
    duration_s = bench.asked.duration_s

    def told(process: Process, result: AgentResult, raw: str) -> tuple[ScenarioRun, Columns]:
        latency = result.arrays["latency_ns"].astype(np.int64)
        run = ScenarioRun(
            process=process,
            scenario=Scenario.SERVER,
            index=index,
            queries=len(latency),
            samples_per_query=1,
            asked_s=duration_s,
            elapsed_ns=int(result.meta["elapsed_ns"]),
            raw=raw,
            seed=bench.measurer.request.seed,
            bound_ns=asked.bound_ns,
            qps=qps,
            trials=trials,
            ended_by=str(result.meta["ended_by"]),
        )
        return run, {"latency_ns": latency}

    settings = _settings(bench, asked, qps, duration_s)
    lasts_s = max(3 * duration_s, 2 * _RULE.least_queries / qps)
    return bench.run(name, ScenarioRun, settings, told, lasts_s=lasts_s)


def _settings(bench: Bench, asked: ScenarioAsked, qps: float | None, duration_s: float) -> dict[str, Any]:
    return {
        "mode": "server",
        "qps": qps,
        "duration_s": duration_s,
        "min_queries": _RULE.least_queries,
        "bound_ns": _bound_ns(asked),
        "percentile": _PERCENTILE,
        "seed": bench.measurer.request.seed,
    }
