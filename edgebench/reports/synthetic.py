"""Evidence made from nothing: a small model in every form, measured so well that any gate can answer."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from edgebench.artifact import Artifact, Format, Precision, SourceRecord
from edgebench.benchmark.evidence import (
    DeviceFacts,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    Soak,
    Timing,
)
from edgebench.benchmark.statistics import needed_calls
from edgebench.benchmark.workloads.records import Cache, Energy, LoadRun, Process, ThroughputRun, Workloads
from edgebench.reports.cases import Case
from edgebench.reports.gates import TAG, Gate
from edgebench.reports.quantities import QUANTILES, Quantity
from edgebench.reports.synthetic_answers import synthetic_answers

_URI = "made:up"
_DEVICE = DeviceFacts(_URI, "made up", "none", cores=1, memory_bytes=0, system="none")
_TIMING = Timing("none", "", "made up", batch=1, threads=1, affinity=(), timed="nothing: made from nothing")
_SEED = 0

_LATENCY_NS, _LOAD_NS, _FIRST_NS, _MEMORY_BYTES = 10e6, 50e6, 20e6, 100e6
_SIZES = {Precision.FP32: 4_000_000, Precision.FP16: 2_000_000}
_SMALL = 1_000_000
"""An int8 file, a quarter of the fp32 one."""

_SPREAD, _SPREAD_OF_SESSIONS = 0.02, 0.005
_JOULES = 0.05  # of a call
_MOST_CALLS = 2_000_000


def synthetic_cases(gate: Gate) -> tuple[Case, ...]:
    """Return a run of a model of 10 ms and 1 MB in every format and precision, a case for each.

    It has as many calls, sessions and samples as the gate's confidence and bound ask for, on a device and
    with an artifact that the gate's patterns match. The same gate gives the same run.
    """
    artifacts, device = _artifacts(gate), _device(gate)
    samples, sessions = _timings(gate)
    baseline, others, record = synthetic_answers(gate)
    workloads = _workloads(gate)
    evidence = Evidence(
        name="gates check",
        created_utc="",
        tool_version="",
        measurements=tuple(Measurement(a, device, sessions, record, workloads=workloads) for a in artifacts),
        baseline=artifacts[0].id,
    )
    keys = [(artifact.id, device.uri) for artifact in artifacts]
    answers = {**dict.fromkeys(keys, others), keys[0]: baseline}
    return tuple(Case(evidence, dict.fromkeys(keys, samples), answers, key) for key in keys)


def _device(gate: Gate) -> DeviceFacts:
    """Return a device that all tags of the gate, or the first of its patterns, name."""
    tags = tuple(pattern.removeprefix(TAG) for pattern in gate.devices if pattern.startswith(TAG))
    if tags or not gate.devices:
        return replace(_DEVICE, tags=tags)
    return replace(_DEVICE, uri=_matching(gate.devices[0]))


def _artifacts(gate: Gate) -> tuple[Artifact, ...]:
    """Return the fp32 ONNX file first, then the others, then one of the name that the gate asks for."""
    names = [(form, precision) for form in Format for precision in Precision]
    made = [_artifact(f"model.{p}.{f}", f, p) for f, p in names if p is not Precision.UNKNOWN]
    if gate.on is not None and not any(gate.matches(artifact) for artifact in made):
        made.append(_artifact(_matching(gate.on), Format.ONNX, Precision.W8A8))
    return tuple(made)


def _artifact(path: str, form: Format, precision: Precision) -> Artifact:
    source = SourceRecord("made up", "none", "")
    size = _SIZES.get(precision, _SMALL)
    return Artifact("model", path, form, precision, "", size, inputs=(), outputs=(), source=source)


def _matching(pattern: str) -> str:
    """Return a name that a pattern of fnmatch matches: `net*[ab][!x]?` gives `netxa0x`."""
    return _SET.sub(_member, pattern).replace("*", "x").replace("?", "x")


_SET = re.compile(r"\[(!?)(.[^\]]*)\]")


def _member(found: re.Match[str]) -> str:
    """Return a character that a set of characters allows."""
    return next(c for c in "x0-" if c not in found[2]) if found[1] else found[2][0]


def _timings(gate: Gate) -> tuple[LatencySamples, tuple[Session, ...]]:
    """Return four times the calls that a p99 needs, in as many sessions as a median of theirs does."""
    count = max(8, 2 * needed_calls(0.5, gate.confidence))
    each = math.ceil(_calls_of(gate.question.quantile or 0.0, gate.confidence) / count)
    rng = np.random.default_rng(_SEED)
    times = np.rint(_LATENCY_NS * rng.lognormal(0, _SPREAD, count * each)).astype(np.int64)
    costs = rng.lognormal(0, _SPREAD_OF_SESSIONS, count)
    sessions = tuple(
        Session(
            index=index,
            started_utc="",
            load_ns=round(_LOAD_NS * cost),
            first_ns=round(_FIRST_NS * cost),
            peak_rss_bytes=round(_MEMORY_BYTES * cost),
            model_rss_bytes=None,
            calls=each,
            warmup_calls=0,
            samples="",
            timing=_TIMING,
            coverage="9000 of 10000 nodes",
            steady_rss_bytes=round(_MEMORY_BYTES * cost),
        )
        for index, cost in enumerate(costs)
    )
    soaks = (_soak(gate, rng),) if gate.quantity is Quantity.SUSTAINED else ()
    return LatencySamples(times, np.repeat(np.arange(count), each), times[:0], soaks), sessions


def _soak(gate: Gate, rng: np.random.Generator) -> Soak:
    """Return sustained load of two windows, each with four times the calls that the percentile needs."""
    each = _calls_of((gate.question.percent or 0.0) / 100, gate.confidence)
    times = np.rint(_LATENCY_NS * rng.lognormal(0, _SPREAD, 2 * each)).astype(np.int64)
    starts = np.cumsum(times) - times
    return Soak(starts, times, window_s=float(starts[-1]) / 2e9 + 1e-9)


def _calls_of(q: float, confidence: float) -> int:
    most = max(*QUANTILES.values(), q)
    return int(min(max(2000, 4 * needed_calls(most, confidence)), _MOST_CALLS))


def _workloads(gate: Gate) -> Workloads:
    """Return as many runs as a median of theirs needs: of a thousand samples with their energy, of loads."""
    rng = np.random.default_rng(_SEED)
    process = Process("", int(_LOAD_NS), int(_FIRST_NS), None, None, None, None, _TIMING)
    costs = rng.lognormal(0, _SPREAD_OF_SESSIONS, max(8, 2 * needed_calls(0.5, gate.confidence)))
    runs = []
    for index, cost in enumerate(costs):
        elapsed = round(1000 * _LATENCY_NS * cost)
        energy = Energy(_JOULES * 1000 * cost, elapsed, "made up")
        runs.append(ThroughputRun(process, index, 1000, 1000, elapsed, "", energy))
    loads = [
        LoadRun(replace(process, load_ns=round(_LOAD_NS * cost)), cache, index, float(cache is Cache.WARM))
        for index, cost in enumerate(costs)
        for cache in Cache
    ]
    return Workloads(throughput=tuple(runs), loads=tuple(loads))
