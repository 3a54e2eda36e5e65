"""Medians measured by edgebench beside those of loops in C and of the runtimes' own, interleaved in one run.

Each round measures every model by four sides, in an order drawn by lot, each in a fresh process with one
thread, no affinity, inputs of −1…1, a warm-up of the same length and as many calls:

- edgebench by its agent in Python, and by its native runner: `edgebench.benchmark.runner.benchmark` with one
  session, as users call it, the samples read back from the evidence;
- C: fidelity_loop.c, which shares nothing with edgebench and calls the same shared library in the same way,
  going round the 16 inputs that edgebench goes round too;
- a peer: `litert-benchmark`, which ai-edge-litert ships, or a bare Python loop (onnxruntime_loop.py). These
  call with one input over and over, which costs them 0.2 µs less with ONNX Runtime and 0.3 µs with LiteRT.

Goals, each on the median over the rounds: the native runner within 1 % of C; the Python agent within 1 % of
its peer, and within 3 % for models so short that 1 % of a call is less than what a Python interface takes; on
these, less than 2 µs above C. --quick takes five rounds, which tell 10 % apart and no less, and so do its
limits.

What the Python agent has above C on a short model is the interface's: reading the clock from Python 0.1
µs, the rest the runtimes' Python methods around their C calls. Longer models take 1 to 2 % more in a
Python process, whoever calls: on a model of 344 µs in C, ONNX Runtime's C interface called by ctypes
takes 348 µs, its Python interface 350, and a bare Python loop what edgebench's agent takes. A model has
two latencies, that of a C program and that of a Python program; edgebench names which one was measured,
and never compares the two.
"""

from __future__ import annotations

import json
import os
import platform
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
from edgebench.benchmark.agent_run import RUNTIMES
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.inputs import random_tensors
from edgebench.benchmark.native.build import Target, find_compiler
from edgebench.benchmark.native.libraries import installed_library
from edgebench.benchmark.programs import Runner
from edgebench.benchmark.runner import BenchmarkRequest, benchmark
from edgebench.benchmark.statistics import quantile_interval
from edgebench.exporters.inspect import adopt

PEER_LIMIT, C_LIMIT, OVERHEAD_US = 0.03, 0.01, 2.0
SHORT_MS = OVERHEAD_US / C_LIMIT / 1e3
"""Below it 1 % of a call is less than what a Python interface takes."""
THREADS, ROWS = 1, 16
SIDES = ("python", "native", "c", "peer")
NETWORKS = (Network("small", 16, 16, 2), Network("medium", 24, 24, 4), Network("large", 32, 32, 14))
ASSETS = (
    "mlperf_tiny_ic/models/pretrainedResnet.tflite",
    "mobilenet_v1_025/mobilenet_v1_0.25_224_1_default_1.tflite",
    "mnist/models/cntk_mnist.onnx",
)
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Effort:
    """How long everything takes. budget_s: rounds end when it is over, `least_rounds` in any case.

    tells: what so many rounds tell apart, as a share of a median; no limit is narrower.
    """

    rounds: int
    least_rounds: int
    budget_s: float
    warmup_s: float
    timed_s: float
    tells: float = 0.0


FULL = Effort(rounds=25, least_rounds=15, budget_s=600, warmup_s=0.25, timed_s=0.4)
QUICK = Effort(rounds=5, least_rounds=2, budget_s=36, warmup_s=0.1, timed_s=0.15, tells=0.1)


@dataclass(slots=True)
class Case:
    """A model and the medians of all sides, milliseconds, round by round."""

    artifact: Artifact
    path: Path
    medians: dict[str, list[float]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def ratio(self, side: str, other: str) -> np.ndarray:
        """Return what one side found over what another one found, one per round."""
        return np.array(self.medians[side]) / np.array(self.medians[other])

    @property
    def overhead_us(self) -> np.ndarray:
        """What a call takes more by the agent in Python than from C, microseconds, one per round."""
        return (np.array(self.medians["python"]) - np.array(self.medians["c"])) * 1e3

    @property
    def is_short(self) -> bool:
        """Whether 1 % of a call is less than a Python interface may take."""
        return float(np.median(self.medians["c"])) < SHORT_MS

    @property
    def peer(self) -> str:
        """The name of what edgebench's Python agent is held against."""
        return "litert-benchmark" if self.artifact.format is Format.TFLITE else "bare loop"


def made(folder: Path, networks: Sequence[Network]) -> list[Case]:
    """Return the models that this benchmark writes itself, each for both runtimes."""
    cases = []
    for network in networks:
        for write, ending in ((write_onnx, "onnx"), (write_tflite, "tflite")):
            path = folder / f"{network.name}.{ending}"
            write(network, path)
            cases.append(Case(adopt(path), path))
    return cases


def real() -> list[Case]:
    """Return the real models beside the repository, none where they are absent."""
    folder = Path(os.environ.get("EDGEBENCH_ASSETS", HERE.parents[1] / "shared" / "assets"))
    return [Case(adopt(folder / name), folder / name) for name in ASSETS if (folder / name).exists()]


def measure(case: Case, out: Path, runner: Runner, *, calls: int, warmup_s: float, seed: int) -> float:
    """Return the median that edgebench finds in one session by a runner, milliseconds."""
    request = BenchmarkRequest(
        artifacts=((case.artifact, case.path),),
        out=out,
        sessions=1,
        calls=calls,
        warmup_s=warmup_s,
        threads=THREADS,
        seed=seed,
        runner=runner,
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


def c_loop(case: Case, program: Path, out: Path, *, calls: int, warmup: int, seed: int) -> float:
    """Return the median that the loop in C finds, milliseconds."""
    rows = out.with_suffix(".rows")
    (tensor,) = random_tensors(case.artifact, ROWS * max(case.artifact.inputs[0].shape[0], 1), seed)
    tensor.tofile(rows)
    runtime = RUNTIMES[case.artifact.format]
    shape = [max(size, 1) for size in case.artifact.inputs[0].shape]
    command = [
        program,
        runtime,
        installed_library(runtime).path,
        case.path,
        rows,
        THREADS,
        warmup,
        calls,
        *shape,
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program.name} failed:\n{done.stderr}")
    return float(np.median([int(line) for line in done.stdout.split()])) / 1e6


def build_loop(folder: Path) -> Path:
    """Return the loop in C, compiled."""
    program = folder / "fidelity_loop"
    compiler = find_compiler(Target(platform.machine()))
    flags = ["-std=gnu11", "-O2", "-w", "-o", str(program)]
    subprocess.run([*compiler.argv, *flags, str(HERE / "fidelity_loop.c"), "-ldl"], check=True)
    return program


def _output(script: Path, *arguments: object) -> str:
    command = [sys.executable, str(script), *(str(word) for word in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{script.name} failed:\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Rounds:
    """What measures. program: the loop in C."""

    folder: Path
    program: Path
    effort: Effort
    order: random.Random

    def take(self, cases: Sequence[Case]) -> None:
        """Go round all cases until the rounds or the budget are used up."""
        begin, effort = time.monotonic(), self.effort
        pilots = [self.folder / f"{case.path.name}.pilot" for case in cases]
        estimates = [
            c_loop(case, self.program, pilot, calls=50, warmup=50, seed=0)
            for case, pilot in zip(cases, pilots, strict=True)
        ]
        for index in range(effort.rounds):
            if index >= effort.least_rounds and time.monotonic() - begin > effort.budget_s:
                break
            for case, estimate_ms in zip(cases, estimates, strict=True):
                self._one(case, index, estimate_ms)

    def _one(self, case: Case, index: int, estimate_ms: float) -> None:
        """Add one median of each side to a case, in an order drawn by lot."""
        calls = max(int(self.effort.timed_s * 1e3 / estimate_ms), 20)
        warmup = max(int(self.effort.warmup_s * 1e3 / estimate_ms), 5)
        for side in self.order.sample(SIDES, len(SIDES)):
            out = self.folder / f"{case.path.name}.{side}.{index}"
            if side in ("python", "native"):
                runner, warmup_s = Runner(side), self.effort.warmup_s
                median = measure(case, out, runner, calls=calls, warmup_s=warmup_s, seed=index)
            elif side == "c":
                median = c_loop(case, self.program, out, calls=calls, warmup=warmup, seed=index)
            elif case.artifact.format is Format.TFLITE:
                median = litert_benchmark(case, out, calls=calls, warmup=warmup)
            else:
                median = bare_loop(case, calls=calls, warmup=warmup)
            case.medians[side].append(median)


def _with_interval(values: np.ndarray, form: str) -> str:
    """Return a median and its exact 95 % interval, from order statistics."""
    bounds = quantile_interval(values, 0.5, 0.95)
    known = bounds.lower is not None and bounds.upper is not None
    interval = f"{bounds.lower:{form}}–{bounds.upper:{form}}" if known else "too few rounds"
    return f"{np.median(values):{form}} ({interval})"


def row(case: Case) -> list[str]:
    """Return a case's line of the table: each side's median over the rounds, and the comparisons."""
    medians = (float(np.median(case.medians[side])) * 1e3 for side in SIDES)
    return [
        case.path.name,
        *(f"{median:.2f}" for median in medians),
        _with_interval(case.ratio("native", "c"), ".4f"),
        _with_interval(case.overhead_us, ".2f"),
        f"{np.median(case.ratio('python', 'c')):.4f}",
        _with_interval(case.ratio("python", "peer"), ".4f"),
    ]


def goals(case: Case, tells: float) -> list[Goal]:
    """Return whether each side lies within its limit, or within what the rounds tell apart."""

    def near(side: str, other: str, least: float) -> Goal:
        limit = max(least, tells)
        off = abs(float(np.median(case.ratio(side, other))) - 1)
        name = f"{case.path.name}: {side} / {case.peer if other == 'peer' else 'C'}, off 1 by"
        return Goal(name, off, f"<= {limit}", off <= limit)

    found = [near("native", "c", C_LIMIT), near("python", "peer", PEER_LIMIT if case.is_short else C_LIMIT)]
    if case.is_short:
        over = float(np.median(case.overhead_us))
        name = f"{case.path.name}: python above C, µs"
        found.append(Goal(name, over, f"< {OVERHEAD_US}", over < OVERHEAD_US))
    return found


def main() -> None:
    """Measure every model by all sides in turn, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    effort = QUICK if options.quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = made(folder, NETWORKS[:2]) if options.quick else made(folder, NETWORKS) + real()
        Rounds(folder, build_loop(folder), effort, random.Random(0)).take(cases)  # noqa: S311 - an order, not a secret
    rounds = len(cases[0].medians["c"])
    load = os.getloadavg()[0]
    print(f"{machine()}; {THREADS} thread, {rounds} interleaved rounds; load {load:.1f}\n")
    header = [
        "model",
        "python µs",
        "native µs",
        "C µs",
        "peer µs",
        "native / C",
        "python − C µs",
        "python / C",
        "python / peer",
    ]
    print(table(header, [row(case) for case in cases]), "\n", sep="")
    figures = {
        "rounds": rounds,
        "load_average": load,
        "medians_ms": {case.path.name: {"peer_is": case.peer, **case.medians} for case in cases},
    }
    finish("fidelity", figures, [goal for case in cases for goal in goals(case, effort.tells)], options.json)


if __name__ == "__main__":
    main()
