"""The runs beyond single calls: what each asks of the agent, and what is kept of its answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.benchmark.agent_run import AgentResult
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.asked import ScenarioAsked
from edgebench.benchmark.workloads.measuring import Bench, elapsed_ns, energy_of, query_count, stream_columns
from edgebench.benchmark.workloads.records import (
    Cache,
    LoadRun,
    Look,
    Process,
    ProfileRun,
    Scenario,
    ScenarioRun,
    SoakRun,
    ThroughputRun,
)
from edgebench.benchmark.workloads.serving import serve
from edgebench.errors import MeasurementError

if TYPE_CHECKING:
    from edgebench.benchmark.raw_files import Columns

PROFILED_CALLS = 200
KEPT = 2_000
"""Calls of a soak that are kept of each block, a quarter of a second or 32,768 calls. Of 10 minutes of a
model of 10 µs or more these are 5 million, 38 MB."""

_SCHEDSTAT = "/proc/self/schedstat"
"""The kernel's count of the calling thread's time: on a core, and ready without one, nanoseconds."""

_LONGER = 3.0
"""Times the duration after which a stream ends even if it is short of queries."""


def throughput(bench: Bench, batch: int, threads: int, index: int) -> ThroughputRun:
    """Return calls in a row at one batch size and thread count. Raises MeasurementError."""
    taken = bench.grouping(batch).batch
    if taken != batch:
        raise MeasurementError(f"the model takes {taken} sample{'s' if taken > 1 else ''} a call")

    def told(process: Process, result: AgentResult, raw: str) -> tuple[ThroughputRun, Columns]:
        columns = stream_columns(result)
        calls = len(columns["latency_ns"])
        run = ThroughputRun(process, index, calls, calls * batch, elapsed_ns(result), raw)
        return replace(run, energy=energy_of(bench, result)), columns

    settings = {**_stream(bench.asked.duration_s), "threads": threads, "watch": bench.meters.watched()}
    name = f"throughput.b{batch}.t{threads}.s{index}"
    lasts_s = _LONGER * bench.asked.duration_s
    return bench.run(name, ThroughputRun, settings, told, batch=batch, lasts_s=lasts_s)


def load(bench: Bench, cache: Cache, index: int) -> LoadRun:
    """Return one loading of the model from a cold or a warm cache. Raises MeasurementError."""

    def told(process: Process, result: AgentResult, _raw: str) -> tuple[LoadRun, Columns]:
        times = {"load_ns": np.array([process.load_ns]), "first_ns": np.array([process.first_ns])}
        return LoadRun(process, cache, index, result.meta.get("resident_share")), times

    return bench.run(f"load.{cache}.s{index}", LoadRun, {"mode": "load", "cache": str(cache)}, told)


def soak(bench: Bench) -> SoakRun:
    """Return calls in a row for as long as was asked. Raises MeasurementError."""
    asked_s, window_s = bench.asked.soak_s or 0.0, bench.asked.window_s

    def told(process: Process, result: AgentResult, raw: str) -> tuple[SoakRun, Columns]:
        columns = stream_columns(result)
        run = SoakRun(process, query_count(result), asked_s, window_s, elapsed_ns(result), raw)
        return replace(run, energy=energy_of(bench, result), looks=_looks(result, window_s)), columns

    first = bench.measurer.cores[0] if bench.measurer.cores else 0
    clock = f"/sys/devices/system/cpu/cpu{first}/cpufreq/scaling_cur_freq"
    settings = {**_stream(asked_s), "keep": KEPT, "watch": [*bench.meters.watched(), _SCHEDSTAT, clock]}
    return bench.run("soak", SoakRun, settings, told, lasts_s=asked_s)


def _looks(result: AgentResult, window_s: float) -> tuple[Look, ...]:
    """Return the first reading, the first one at or after each window's end, and the last."""
    times, texts = result.arrays["watch_ns"].astype(np.int64), result.meta["watched"]
    blocks = result.arrays["block_ns"].astype(np.int64)
    calls, busy = (np.concatenate([[0], np.cumsum(blocks[:, place])]) for place in (2, 1))
    full = int(times[-1] // (window_s * 1e9))
    ends = np.searchsorted(times, (np.arange(full) + 1) * window_s * 1e9)
    wanted = dict.fromkeys([0, *ends.tolist(), len(times) - 1])
    return tuple(
        Look(int(times[i]), int(calls[i]), int(busy[i]), _field(texts[i][-2], 1), _field(texts[i][-1], 0))
        for i in wanted
    )


def _field(text: str | None, place: int) -> int | None:
    """Return a whole number in a file's text, None where it is not there."""
    words = (text or "").split()
    return int(words[place]) if len(words) > place and words[place].isdecimal() else None


def profile(bench: Bench) -> ProfileRun:
    """Return what the runtime's profiler says of each operator. Raises MeasurementError."""

    def told(process: Process, result: AgentResult, raw: str) -> tuple[ProfileRun, Columns]:
        meta, arrays = result.meta, result.arrays
        run = ProfileRun(
            process=process,
            tool=str(meta["tool"]),
            calls=arrays["run_ns"].size,
            operators=len(meta["operators"]),
            plain_ns=int(np.median(arrays["plain_ns"].astype(np.int64))),
            profiled_ns=int(np.median(arrays["profiled_ns"].astype(np.int64))),
            resolution_ns=int(meta["resolution_ns"]),
            raw=raw,
        )
        return run, _profile_columns(result)

    return bench.run("profile", ProfileRun, {"mode": "profile", "calls": PROFILED_CALLS}, told)


def _profile_columns(result: AgentResult) -> dict[str, Any]:
    """Return a row for every operator of every call, and for every call as a whole, named `call`."""
    arrays = result.arrays
    names = np.array([name for name, _ in result.meta["operators"]], object)
    types = np.array([kind for _, kind in result.meta["operators"]], object)
    whole = arrays["run_ns"].size
    return {
        "call": np.concatenate([arrays["call"].astype(np.int64), np.arange(whole)]),
        "operator": np.concatenate([names[arrays["operator"]], np.full(whole, "", object)]),
        "type": np.concatenate([types[arrays["operator"]], np.full(whole, "call", object)]),
        "duration_ns": np.concatenate([arrays["operator_ns"], arrays["run_ns"]]),
    }


# --- scenarios ----------------------------------------------------------------------------------


def scenario(bench: Bench, asked: ScenarioAsked, index: int, *, batch: int) -> ScenarioRun:
    """Return queries as a scenario issues them. batch: samples a call, offline. Raises MeasurementError."""
    if asked.scenario is Scenario.SERVER:
        return serve(bench, asked, index)
    rule, duration_s = mlperf.RULES[asked.scenario], bench.asked.duration_s
    size = {Scenario.OFFLINE: batch, Scenario.MULTI_STREAM: rule.samples_per_query}.get(asked.scenario, 1)
    taken = bench.grouping(size).batch
    calls = math.ceil(rule.samples_per_query / taken)
    least = rule.least_queries
    if asked.scenario is Scenario.OFFLINE:
        least = math.ceil(mlperf.offline_samples(duration_s) / taken)

    def told(process: Process, result: AgentResult, raw: str) -> tuple[ScenarioRun, Columns]:
        columns = stream_columns(result)
        run = ScenarioRun(
            process=process,
            scenario=asked.scenario,
            index=index,
            queries=len(columns["latency_ns"]),
            samples_per_query=taken * calls,
            asked_s=duration_s,
            elapsed_ns=elapsed_ns(result),
            raw=raw,
        )
        return run, columns

    settings = {**_stream(duration_s), "calls_per_query": calls, "min_queries": least}
    name = f"{asked.scenario}.s{index}"
    return bench.run(name, ScenarioRun, settings, told, batch=taken, lasts_s=_LONGER * duration_s)


def _stream(duration_s: float) -> dict[str, Any]:
    """Return the settings of queries in a row."""
    return {
        "mode": "stream",
        "calls_per_query": 1,
        "min_queries": 1,
        "duration_s": duration_s,
        "max_s": _LONGER * duration_s,
    }
