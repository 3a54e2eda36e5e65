"""What is measured beyond single calls, held against what must be true of it whatever the machine.

Offline gives at least the samples a second of single-stream; a batch of 16 at least those of single samples,
on a network whose weights do not fit the caches; the highest rate found for the server holds in a run of its
own; a cold load takes at least as long as a warm one, and the kernel says that the file was out of memory, or
in it; the operators of a profile fill the call that they were measured in; what lies between two calls of a
stream is short. A soak that another program disturbs halfway is said to slow down, by others.

Everything is measured as users do, by `edgebench.benchmark.runner.benchmark`, the figures read back from the
evidence. Rates of several processes are compared by their best: a disturbance makes a process slower, never
faster. The perf tool of ONNX Runtime is not part of its Python package; `fidelity.py` compares with bare
loops and with `litert-benchmark`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench import Goal, arguments, finish, machine, table

from edgebench.benchmark.evidence import Measurement
from edgebench.benchmark.raw_files import read_columns
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.workloads import mlperf
from edgebench.benchmark.workloads.asked import WorkloadsAsked
from edgebench.benchmark.workloads.profiles import operator_times
from edgebench.benchmark.workloads.records import ScenarioRun
from edgebench.benchmark.workloads.soaking import slowdown, soak_windows
from edgebench.exporters.inspect import adopt
from edgebench.reports.workload_text import workloads_text
from edgebench.workload_options import parse_workloads

NOISE = 0.05
"""Two rates of one thing differ by so much on a machine that others use."""

BURNERS = 8
"""Each in a session of its own, between which Linux shares a core first."""

_BURN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


def write_network(path: Path, width: int, layers: int) -> Path:
    """Write dense layers of `width` with ReLU between, a free batch, random weights; return the path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    source = np.random.default_rng(0)
    nodes, constants, last = [], [], "x"
    for layer in range(layers):
        weight = source.normal(scale=width**-0.5, size=(width, width)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"], name=f"dense{layer}"))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"], name=f"relu{layer}"))
        last = f"r{layer}"
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in ("x", last)
    ]
    graph = helper.make_graph(nodes, "dense", values[:1], values[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def measure(path: Path, out: Path, asked: WorkloadsAsked, **settings: object) -> Measurement:
    """Return one model's measurement."""
    given = {"sessions": 1, "calls": 20, "warmup_s": 0.05, **settings}
    request = BenchmarkRequest(((adopt(path), path),), out, workloads=asked, **given)  # type: ignore[arg-type]
    measured = benchmark(request).measurements[0]
    if measured.failure is not None:
        sys.exit(f"{path}: {measured.failure}")
    return measured


def best_rate(runs: tuple[ScenarioRun, ...], scenario: str) -> float:
    """Return the highest samples a second of the runs of a scenario."""
    return max(
        1e9 * run.queries * run.samples_per_query / run.elapsed_ns for run in runs if run.scenario == scenario
    )


def between_us(out: Path, run: ScenarioRun) -> float:
    """Return what lies between two calls of a stream where it was disturbed least, microseconds.

    Known by blocks of a quarter of a second: their time less that of their calls.
    """
    columns = read_columns(out / run.raw, ("start_ns", "latency_ns"))
    gaps = np.diff(columns["start_ns"]) - columns["latency_ns"][:-1]
    return float(np.quantile(gaps, 0.05)) / 1e3


@contextlib.contextmanager
def disturbed(seconds: float, core: int) -> Iterator[None]:
    """Keep a core busy from `seconds` on, until the block ends."""
    processes: list[subprocess.Popen[bytes]] = []
    stop = threading.Event()

    def begin() -> None:
        if not stop.wait(seconds):
            command = [sys.executable, "-c", _BURN, str(core)]
            processes.extend(subprocess.Popen(command, start_new_session=True) for _ in range(BURNERS))

    thread = threading.Thread(target=begin)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for process in processes:
            process.kill()
            process.wait()


def streams(folder: Path, *, quick: bool) -> list[Goal]:
    """Measure throughput, scenarios, loading and a profile of a dense network; return what must be true."""
    path, out = write_network(folder / "dense.onnx", 1536, 3), folder / "streams"
    asked = parse_workloads(
        batches="1,16",
        scenario=["single-stream", "multi-stream", "offline", "server=50ms"],
        profile=True,
        duration="500ms" if quick else "10s",
    )
    measured = measure(path, out, asked, sessions=1 if quick else 5)
    print(workloads_text(out), "\n")
    found, goals = measured.workloads, []
    rates = {run.process.timing.batch: 0.0 for run in found.throughput}
    for run in found.throughput:
        batch = run.process.timing.batch
        rates[batch] = max(rates[batch], 1e9 * run.samples / run.elapsed_ns)
    goals.append(at_least("batch 16 over batch 1, samples/s", rates[16] / rates[1], 1 - NOISE))
    ratio = best_rate(found.scenarios, "offline") / best_rate(found.scenarios, "single-stream")
    goals.append(at_least("offline over single-stream, samples/s", ratio, 1 - NOISE))
    goals += [held(out, run) for run in found.scenarios if run.scenario == "server"]
    profile = found.profiles[0]
    columns = read_columns(out / profile.raw, ("call", "operator", "type", "duration_ns"))
    covered = operator_times(columns).covered
    goals.append(Goal("operators' share of the profiled call", covered, "0.9 to 1", 0.9 <= covered <= 1))
    return goals


def held(out: Path, run: ScenarioRun) -> Goal:
    """Return whether the rate that was found for the server holds in the run that counts."""
    latency = read_columns(out / run.raw, ("latency_ns",))["latency_ns"]
    found = mlperf.outcome(run, latency)
    name = f"server run {run.index + 1}: {run.qps:.0f} queries/s under 50 ms, late"
    return Goal(name, float(found.late or 0), "holds at 99 %", found.held is True)


def loads(folder: Path, *, quick: bool) -> list[Goal]:
    """Load a network of 38 MB from a cold and a warm cache; return whether they are what they are called."""
    path, out = write_network(folder / "large.onnx", 1536, 4), folder / "loads"
    measured = measure(path, out, parse_workloads(load="cold,warm"), sessions=4 if quick else 12)
    print(workloads_text(out), "\n")
    runs = {cache: [r for r in measured.workloads.loads if r.cache == cache] for cache in ("cold", "warm")}
    quickest = {cache: min(run.process.load_ns for run in of) for cache, of in runs.items()}
    shares = {cache: [run.resident_share for run in of] for cache, of in runs.items()}
    resident = max(share or 0.0 for share in shares["cold"])
    return [
        at_least("cold over warm load, the quickest of each", quickest["cold"] / quickest["warm"], 1 - NOISE),
        Goal("file in memory before a cold load, share", resident, "<= 0.01", resident <= 0.01),
        at_least("file in memory before a warm load, share", min(s or 0.0 for s in shares["warm"]), 0.99),
    ]


def soak(folder: Path, *, quick: bool) -> list[Goal]:
    """Soak a small network on one core that is taken halfway; return whether that is told, and by whom."""
    core, seconds = min(os.sched_getaffinity(0)), 8 if quick else 60
    path, out = write_network(folder / "small.onnx", 256, 2), folder / "soak"
    calm = measure(path, folder / "calm", parse_workloads(scenario=["single-stream"], duration="2s"))
    gap = between_us(folder / "calm", calm.workloads.scenarios[0])
    window_s = seconds / 8
    asked = parse_workloads(soak=f"{seconds}s", soak_window=f"{window_s:g}s")
    with disturbed(seconds / 2 + 1.5, core):
        run = measure(path, out, asked, affinity=str(core)).workloads.soaks[0]
    print(workloads_text(out), "\n")
    columns = read_columns(out / run.raw, ("start_ns", "latency_ns"))
    found = slowdown(soak_windows(run, columns["start_ns"], columns["latency_ns"]))
    begin = -1.0 if found is None else found.begin_s
    latest = seconds / 2 + 3 * window_s
    waited = 0.0 if found is None else found.waited_share or 0.0
    return [
        Goal("between two calls of a stream, µs", gap, "<= 2", gap <= 2),
        Goal(
            f"slower from, s (a program takes the core at about {seconds / 2:g} s)",
            begin,
            f"<= {latest:g}",
            0 < begin <= latest,
        ),
        at_least("share of that time that the thread waited", waited, 0.5),
    ]


def at_least(name: str, value: float, bound: float) -> Goal:
    """Return a goal with a floor."""
    return Goal(name, value, f">= {bound:g}", value >= bound)


def main() -> None:
    """Measure, print the tables, exit by the goals."""
    options = arguments(__doc__).parse_args()
    print(f"{machine()}; load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as name:
        parts = (streams, loads, soak)
        goals = [goal for part in parts for goal in part(Path(name), quick=options.quick)]
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if load > cores:
        print(f"load {load:.1f} on {cores} cores: others hold them, and a goal may be broken by that alone\n")
    rows = [[goal.name, f"{goal.value:.4g}", goal.bound] for goal in goals]
    print(table(["what must be true", "found", "bound"], rows), "\n", sep="")
    finish("scenarios", {goal.name: goal.value for goal in goals}, goals, options.json)


if __name__ == "__main__":
    main()
