"""Medians measured by edgebench beside those of the runtimes' own loops, interleaved in one run.

Goal: within 3 % of `litert-benchmark`, which ai-edge-litert ships, and of a bare ONNX Runtime loop
(onnxruntime_loop.py), for a model of tens of microseconds and one of milliseconds.

edgebench measures as its users do: `edgebench.benchmark.runner.benchmark` with one session, the samples
read back from the evidence. Its peer runs next to it, in an order drawn by lot, and each such round
gives one ratio of medians; the goal is held against the median of the ratios. Both sides get a fresh
process, one thread, no affinity, random inputs of −1…1, a warm-up of the same length and as many calls.

All time the same: `CompiledModel.run_by_name` for TFLite, the inputs in the runtime's buffers before
the clock starts; `InferenceSession.run(None, feed)` for ONNX, the outputs' allocation and release
inside. One difference is meant: the peers call with one input over and over, edgebench goes round 16,
so that no cache or branch learns one by heart, and writes each into the buffer before its call. On an
AMD EPYC (Zen 3) and a model of 30 to 50 µs, that costs 0.2 µs a call with ONNX Runtime and 0.3 µs with
LiteRT, and edgebench's whole loop 0.3 to 0.5 µs; all of it is in the ratios here.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bench import Goal, arguments, finish, machine, table
from fidelity_models import Network, write_onnx, write_tflite

from edgebench.artifact import Artifact, Format
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.runner import BenchmarkRequest, benchmark
from edgebench.benchmark.statistics import quantile_interval
from edgebench.exporters.inspect import adopt

LIMIT = 0.03
THREADS = 1
NETWORKS = (Network("small", 16, 16, 2), Network("large", 32, 32, 14))
ASSETS = (
    "mlperf_tiny_ic/models/pretrainedResnet.tflite",
    "mobilenet_v1_025/mobilenet_v1_0.25_224_1_default_1.tflite",
    "mnist/models/cntk_mnist.onnx",
)
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Effort:
    """How long everything takes. budget_s: rounds end when it is over, `least_rounds` in any case."""

    rounds: int
    least_rounds: int
    budget_s: float
    warmup_s: float
    timed_s: float


FULL = Effort(rounds=25, least_rounds=15, budget_s=480, warmup_s=0.25, timed_s=0.4)
QUICK = Effort(rounds=7, least_rounds=3, budget_s=42, warmup_s=0.15, timed_s=0.2)


@dataclass(slots=True)
class Case:
    """A model and what both sides found, medians in milliseconds, round by round."""

    artifact: Artifact
    path: Path
    edgebench_ms: list[float] = field(default_factory=list)
    peer_ms: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> np.ndarray:
        """What edgebench found over what its peer found, one per round."""
        return np.array(self.edgebench_ms) / np.array(self.peer_ms)

    @property
    def peer(self) -> str:
        """The name of what edgebench is held against."""
        return "litert-benchmark" if self.artifact.format is Format.TFLITE else "bare loop"


def made(folder: Path) -> list[Case]:
    """Return the models that this benchmark writes itself, each for both runtimes."""
    cases = []
    for network in NETWORKS:
        for write, ending in ((write_onnx, "onnx"), (write_tflite, "tflite")):
            path = folder / f"{network.name}.{ending}"
            write(network, path)
            cases.append(Case(adopt(path), path))
    return cases


def real() -> list[Case]:
    """Return the real models beside the repository, none where they are absent."""
    folder = Path(os.environ.get("EDGEBENCH_ASSETS", HERE.parents[1] / "shared" / "assets"))
    return [Case(adopt(folder / name), folder / name) for name in ASSETS if (folder / name).exists()]


def measure(case: Case, out: Path, *, calls: int, warmup_s: float, seed: int) -> float:
    """Return the median that edgebench finds in one session, milliseconds."""
    request = BenchmarkRequest(
        artifacts=((case.artifact, case.path),),
        out=out,
        sessions=1,
        calls=calls,
        warmup_s=warmup_s,
        threads=THREADS,
        seed=seed,
    )
    measurement = benchmark(request).measurements[0]
    if measurement.failure is not None:
        sys.exit(f"{case.path}: {measurement.failure}")
    return float(np.median(load_samples(out, measurement).latency_ns)) / 1e6


def litert_benchmark(case: Case, out: Path, *, calls: int, warmup: int) -> float:
    """Return the median that `litert-benchmark` finds, milliseconds."""
    result = out.with_suffix(".json")
    printed = _output(
        HERE / "litert_unrounded.py",
        *("--model", case.path, "--num_threads", THREADS, "--num_runs", calls),
        *("--warmup_runs", warmup, "--result_json", result),
    )
    median = float(json.loads(result.read_text())["latency"]["median_ms"])
    found = re.search(r"Inference \(median\): +([\d.]+) ms", printed)
    if found is None or abs(float(found[1]) - median) > 0.0051:
        sys.exit(f"litert-benchmark printed {printed!r}, its JSON says {median} ms")
    return median


def bare_loop(case: Case, *, calls: int, warmup: int) -> float:
    """Return the median that a bare ONNX Runtime loop finds, milliseconds."""
    return float(_output(HERE / "onnxruntime_loop.py", case.path, THREADS, warmup, calls))


def _output(script: Path, *arguments: object) -> str:
    command = [sys.executable, str(script), *(str(word) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script.name} failed:\n{done.stderr}")
    return done.stdout


def one_round(case: Case, folder: Path, effort: Effort, estimate_ms: float, order: random.Random) -> None:
    """Add one median of each side to the case, in an order drawn by lot."""
    index = len(case.edgebench_ms)
    out = folder / f"{case.path.name}.{index}"
    calls = max(int(effort.timed_s * 1e3 / estimate_ms), 20)
    warmup = max(int(effort.warmup_s * 1e3 / estimate_ms), 5)
    for side in order.sample(("edgebench", "peer"), 2):
        if side == "edgebench":
            median = measure(case, out, calls=calls, warmup_s=effort.warmup_s, seed=index)
            case.edgebench_ms.append(median)
        elif case.artifact.format is Format.TFLITE:
            case.peer_ms.append(litert_benchmark(case, out, calls=calls, warmup=warmup))
        else:
            case.peer_ms.append(bare_loop(case, calls=calls, warmup=warmup))


def run(cases: Sequence[Case], folder: Path, effort: Effort) -> None:
    """Go round all cases until the rounds or the budget are used up."""
    begin, order = time.monotonic(), random.Random(0)  # noqa: S311 - an order, not a secret
    estimates = [measure(c, folder / f"{c.path.name}.pilot", calls=50, warmup_s=0.1, seed=0) for c in cases]
    for index in range(effort.rounds):
        if index >= effort.least_rounds and time.monotonic() - begin > effort.budget_s:
            break
        for case, estimate in zip(cases, estimates, strict=True):
            one_round(case, folder, effort, estimate, order)


def row(case: Case) -> list[str]:
    """Return a case's line of the table: the medians of the round in the middle, the median of all ratios.

    The interval of that median is exact, from order statistics, at 95 %.
    """
    bounds = quantile_interval(case.ratios, 0.5, 0.95)
    known = bounds.lower is not None and bounds.upper is not None
    interval = f"{bounds.lower:.4f}–{bounds.upper:.4f}" if known else "too few rounds"
    middle = int(np.argsort(case.ratios)[(len(case.ratios) - 1) // 2])
    medians = (column[middle] * 1e3 for column in (case.edgebench_ms, case.peer_ms))
    ratio = f"{np.median(case.ratios):.4f}"
    return [case.path.name, case.peer, *(f"{m:.2f}" for m in medians), ratio, interval]


def goal(case: Case) -> Goal:
    """Return whether edgebench's median lies within the limit of its peer's."""
    off = abs(float(np.median(case.ratios)) - 1)
    return Goal(f"{case.path.name}: edgebench / {case.peer}, off 1 by", off, f"<= {LIMIT}", off <= LIMIT)


def main() -> None:
    """Measure every model with both sides in turn, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = made(folder) + ([] if options.quick else real())
        run(cases, folder, effort)
    rounds = len(cases[0].edgebench_ms)
    load = os.getloadavg()[0]
    print(f"{machine()}; {THREADS} thread, {rounds} interleaved rounds; load {load:.1f}\n")
    header = ["model", "peer", "edgebench µs", "peer µs", "ratio", "95 % interval"]
    print(table(header, [row(case) for case in cases]), "\n", sep="")
    figures = {
        "rounds": rounds,
        "load_average": load,
        "medians_ms": {c.path.name: {"edgebench": c.edgebench_ms, c.peer: c.peer_ms} for c in cases},
    }
    finish("fidelity", figures, [goal(case) for case in cases], options.json)


if __name__ == "__main__":
    main()
