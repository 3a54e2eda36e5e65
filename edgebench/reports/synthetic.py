"""Evidence made from nothing: a small model in every form, measured so well that any gate can answer."""

from __future__ import annotations

import math
import re

import numpy as np

from edgebench.artifact import Artifact, Format, Precision, SourceRecord
from edgebench.benchmark.evidence import (
    AccuracyRecord,
    Answers,
    DeviceFacts,
    Evidence,
    LatencySamples,
    Measurement,
    Session,
    Timing,
)
from edgebench.benchmark.statistics import needed_calls
from edgebench.reports.gates import Gate
from edgebench.reports.injections import Case
from edgebench.reports.quantities import QUANTILES
from edgebench.reports.units import Dimension

_URI = "made:up"
_DEVICE = DeviceFacts(_URI, "made up", "none", cores=1, memory_bytes=0, system="none")
_TIMING = Timing("none", "", "none", batch=1, threads=1, affinity=(), timed="nothing: made from nothing")
_SEED = 0

_LATENCY_NS, _LOAD_NS, _FIRST_NS, _MEMORY_BYTES = 10e6, 50e6, 20e6, 100e6
_SIZES = {Precision.FP32: 4_000_000, Precision.FP16: 2_000_000}
_SMALL = 1_000_000
"""An int8 file, a quarter of the fp32 one."""

_SPREAD, _SPREAD_OF_SESSIONS = 0.02, 0.005
_CLASSES, _WRONG = 10, 10  # every tenth answer is wrong
_LEAST_SAMPLES, _MOST_SAMPLES = 2000, 200_000
_DOUBT_A_SAMPLE = 4
"""A share that n samples never saw is below about 3/n at 95 %, ln(1/0.05)/n; this is somewhat more."""


def synthetic_cases(gate: Gate) -> tuple[Case, ...]:
    """Return a run of a model of 10 ms and 1 MB in every format and precision, a case for each.

    It has as many calls, sessions and samples as the gate's confidence and bound ask for, and an
    artifact that the gate's pattern matches. The same gate gives the same run.
    """
    artifacts = _artifacts(gate)
    samples, sessions = _timings(gate)
    answers = _answers(_samples_for(gate))
    record = AccuracyRecord("made up", "", len(answers.labels), _CLASSES, "")
    evidence = Evidence(
        name="gates check",
        created_utc="",
        tool_version="",
        measurements=tuple(Measurement(a, _DEVICE, sessions, record) for a in artifacts),
        baseline=artifacts[0].id,
    )
    keys = [(artifact.id, _URI) for artifact in artifacts]
    return tuple(
        Case(evidence, dict.fromkeys(keys, samples), dict.fromkeys(keys, answers), key) for key in keys
    )


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
    each = math.ceil(max(2000, 4 * needed_calls(max(QUANTILES.values()), gate.confidence)) / count)
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
        )
        for index, cost in enumerate(costs)
    )
    return LatencySamples(times, np.repeat(np.arange(count), each), times[:0]), sessions


def _samples_for(gate: Gate) -> int:
    """Return how many samples the gate's bound needs, where it lies near a share's end."""
    if gate.quantity.dimension not in (Dimension.SHARE, Dimension.DIFFERENCE):
        return _LEAST_SAMPLES
    bound = abs(gate.stored_bound) / 100
    near = min(bound, abs(1 - bound)) or 1.0
    wanted = _DOUBT_A_SAMPLE * math.log(1 / (1 - gate.confidence)) / near
    return int(np.clip(wanted, _LEAST_SAMPLES, _MOST_SAMPLES))


def _answers(count: int) -> Answers:
    """Return answers of which nine in ten are right, and whose label is among the best five always."""
    labels = np.arange(count, dtype=np.int64) % _CLASSES
    wrong = np.random.default_rng(_SEED).permutation(count) < count // _WRONG
    eye = np.eye(_CLASSES, dtype=np.float32)
    return Answers(eye[(labels + wrong) % _CLASSES] * 2 + eye[labels], labels)
