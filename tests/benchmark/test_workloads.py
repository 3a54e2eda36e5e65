"""Measurements beyond single calls, on small models: throughput, scenarios, loading, profiles, soaking."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from fidelity_models import Network, write_onnx, write_tflite

from edgebench.benchmark import agent_litert
from edgebench.benchmark.evidence import Measurement
from edgebench.benchmark.evidence_files import read_evidence
from edgebench.benchmark.raw_files import read_columns
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.workloads.asked import WorkloadsAsked
from edgebench.benchmark.workloads.measuring import AGENT_LITERT, AGENT_WORKLOADS
from edgebench.benchmark.workloads.profiles import operator_times
from edgebench.exporters.inspect import adopt
from edgebench.workload_options import parse_workloads

QUICK = {"sessions": 1, "calls": 20, "warmup_s": 0.01, "min_warmup_calls": 3}
NETWORK = Network("small", side=12, channels=8, layers=2)
Measure = Callable[..., Measurement]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Return a function that measures a small network as asked, ONNX or TFLite."""

    def call(asked: WorkloadsAsked, *, tflite: bool = False, **settings: object) -> Measurement:
        path = tmp_path / ("small.tflite" if tflite else "small.onnx")
        (write_tflite if tflite else write_onnx)(NETWORK, path)
        request = BenchmarkRequest(
            artifacts=((adopt(path), path),),
            out=tmp_path / "run",
            workloads=asked,
            **{**QUICK, **settings},  # type: ignore[arg-type]
        )
        evidence = benchmark(request)
        assert read_evidence(tmp_path / "run") == evidence
        assert evidence.measurements[0].failure is None
        return evidence.measurements[0]

    return call


def test_throughput_is_calls_over_their_time(tmp_path: Path, linear: Callable[..., object]) -> None:
    """Each batch and thread count is a run of its own, whose raw times fill nearly all of its time."""
    asked = parse_workloads(batches="1,4", throughput_threads="1,2", duration="300ms")
    artifact, path = linear()  # type: ignore[misc]
    out = tmp_path / "linear"
    request = BenchmarkRequest(((artifact, path),), out, workloads=asked, **{**QUICK, "sessions": 2})  # type: ignore[arg-type]
    runs = benchmark(request).measurements[0].workloads.throughput
    found = {(run.process.timing.batch, run.process.timing.threads, run.index) for run in runs}
    assert found == {(b, t, i) for b in (1, 4) for t in (1, 2) for i in (0, 1)}
    for run in runs:
        columns = read_columns(out / run.raw, ("start_ns", "latency_ns"))
        starts, latency = columns["start_ns"], columns["latency_ns"]
        assert run.calls == latency.size
        assert run.samples == run.calls * (run.process.timing.batch or 0)
        assert 0.3e9 <= run.elapsed_ns < 3e9
        assert 0.3 < latency.sum() / run.elapsed_ns <= 1
        assert starts[0] >= 0
        assert (np.diff(starts) >= latency[:-1]).all()


def test_a_fixed_batch_is_measured_alone(measure: Measure) -> None:
    """A file that takes 1 sample a call has no throughput at 4, and the evidence says why."""
    workloads = measure(parse_workloads(batches="1,4", duration="100ms"), tflite=True).workloads
    assert [run.process.timing.batch for run in workloads.throughput] == [1]
    assert ("throughput at batch 4, 1 thread", "the model takes 1 sample a call") in [
        (one.what, one.why) for one in workloads.unavailable
    ]


@pytest.mark.parametrize("tflite", [False, True])
def test_queries_come_as_the_scenario_says(measure: Measure, tflite: bool, tmp_path: Path) -> None:
    """One sample a query in single-stream, eight in multi-stream; eight calls take eight times as long."""
    asked = parse_workloads(scenario=["single-stream", "multi-stream", "offline"], duration="300ms")
    runs = measure(asked, tflite=tflite).workloads.scenarios
    assert [run.samples_per_query for run in runs] == [1, 8, 1]
    assert [run.queries >= least for run, least in zip(runs, (64, 300, 13), strict=True)] == [True] * 3
    single, multi = (
        read_columns(tmp_path / "run" / run.raw, ("latency_ns",))["latency_ns"] for run in runs[:2]
    )
    assert 5 < np.median(multi) / np.median(single) < 14
    assert runs[1].process.timing.timed.startswith("8 calls in a row")


def test_arrivals_are_poisson_and_waiting_counts(measure: Measure, tmp_path: Path) -> None:
    """At a rate that is given as many queries come as its time holds, and none is quicker than its call."""
    asked = parse_workloads(scenario=["server=200ms@600qps"], duration="1s")
    run = measure(asked).workloads.scenarios[0]
    assert (run.qps, run.bound_ns, run.trials) == (600.0, 200_000_000, ())
    assert run.process.timing.timed.startswith("from a query's arrival to its answer")
    expected = np.random.default_rng(0).exponential(1 / 600, 900).cumsum()
    assert run.queries == int(np.searchsorted(expected, 1.0)) + 1 > 459
    assert read_columns(tmp_path / "run" / run.raw, ("latency_ns",))["latency_ns"].min() > 1_000


def test_the_highest_rate_is_found_and_tried_again(measure: Measure) -> None:
    """Without a rate the highest that holds is looked for, by bisection, and run in a process of its own."""
    run = measure(parse_workloads(scenario=["server=300ms"], duration="300ms")).workloads.scenarios[0]
    assert len(run.trials) >= 7
    assert run.qps is not None
    assert run.qps <= max(trial.qps for trial in run.trials if not trial.over)
    assert run.queries >= 459


def test_a_bound_that_no_rate_holds_is_told(measure: Measure) -> None:
    """A bound shorter than the call itself is not available, and the reason names it."""
    workloads = measure(parse_workloads(scenario=["server=0.001ms"], duration="100ms")).workloads
    assert workloads.scenarios == ()
    assert "no rate of arrivals holds 0.001 ms" in workloads.unavailable[0].why


def test_a_cold_load_reads_the_file_again(measure: Measure) -> None:
    """Before a cold load none of the file lies in the page cache, before a warm one all of it."""
    runs = measure(parse_workloads(load="cold,warm"), sessions=2).workloads.loads
    assert [(run.cache, run.index) for run in runs] == [("cold", 0), ("warm", 0), ("cold", 1), ("warm", 1)]
    shares = {run.cache: run.resident_share for run in runs}
    if shares["cold"] == 1.0:
        pytest.skip("this file system lives in memory: nothing can be dropped from its cache")
    assert shares == {"cold": 0.0, "warm": 1.0}
    assert all(run.process.load_ns > 0 and run.process.first_ns > 0 for run in runs)


def test_operators_add_up_to_their_calls(measure: Measure, tmp_path: Path) -> None:
    """The profile names every operator once a call, and together they fill the profiled call."""
    run = measure(parse_workloads(profile=True)).workloads.profiles[0]
    columns = read_columns(tmp_path / "run" / run.raw, ("call", "operator", "type", "duration_ns"))
    whole = columns["type"] == "call"
    assert run.calls == whole.sum() == 200
    assert "Conv" in set(columns["type"])
    assert (~whole).sum() == run.operators * run.calls
    assert 0.3 < operator_times(columns).covered <= 1
    assert run.plain_ns < run.profiled_ns


def test_litert_is_profiled_through_its_c_interface(measure: Measure, tmp_path: Path) -> None:
    """Each operator of a TFLite file has its time, convolutions the most, and all fit into the calls."""
    run = measure(parse_workloads(profile=True), tflite=True).workloads.profiles[0]
    columns = read_columns(tmp_path / "run" / run.raw, ("call", "operator", "type", "duration_ns"))
    times = operator_times(columns)
    assert run.tool == "LiteRT's profiler"
    assert run.calls == 200
    assert times.operators[0].type == "Convolution"
    assert 0 < times.covered <= 1


def test_a_model_that_cannot_be_profiled_says_why(tmp_path: Path) -> None:
    """A model of two inputs has no profile with LiteRT; the reason is told and its sessions are measured."""
    path = tmp_path / "two.tflite"
    _write_two_inputs(path)
    asked = parse_workloads(profile=True)
    request = BenchmarkRequest(((adopt(path), path),), tmp_path / "run", workloads=asked, **QUICK)  # type: ignore[arg-type]
    measured = benchmark(request).measurements[0]
    assert measured.sessions
    absent = [(one.what, "one input" in one.why) for one in measured.workloads.unavailable]
    assert absent == [("profile of the operators", True)]


def _write_two_inputs(path: Path) -> None:
    """Write a TFLite file that adds two vectors of four numbers."""
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = []
    for name in ("a", "b", "sum"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, [1, 4], schema.TensorType.FLOAT32, 0
        graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    graph.inputs, graph.outputs, graph.operators = [0, 1], [2], [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    model.subgraphs, model.operatorCodes = [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


@pytest.mark.parametrize(("kind", "tag"), [(3, 1), (8, 0)])
def test_events_of_another_layout_are_not_believed(kind: int, tag: int) -> None:
    """An event whose type is none, or whose name lies nowhere, ends the profile with that reason."""
    events = np.zeros((1, 13), np.uint64)
    events[0, :2] = tag, kind
    with pytest.raises(agent_litert.ProfilerError, match="another way"):
        agent_litert._operators(events)


def test_what_was_measured_is_kept(measure: Measure, tmp_path: Path) -> None:
    """A run that was killed before its end measures nothing again that lies there whole."""
    asked = parse_workloads(batches="1", load="warm", duration="100ms")
    first = measure(asked)
    (tmp_path / "run" / "evidence.json").unlink()
    assert measure(asked).workloads == first.workloads


@pytest.mark.parametrize("path", [AGENT_WORKLOADS, AGENT_LITERT], ids=lambda path: path.name)
def test_the_agents_other_files_are_for_old_pythons_and_stand_alone(path: Path) -> None:
    """They parse as Python 3.8 and import the standard library, numpy and agent.py alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"numpy"}


def test_energy_is_told_or_the_reason_why_not(measure: Measure) -> None:
    """A run has its joules and their meter, or the evidence says that the machine has no meter to read."""
    workloads = measure(parse_workloads(batches="1", duration="600ms")).workloads
    energy = workloads.throughput[0].energy
    if energy is None:
        assert "no meter to read" in next(one.why for one in workloads.unavailable if one.what == "energy")
    else:
        assert energy.joules > 0
        assert energy.source


def test_memory_after_the_last_call_is_told(measure: Measure) -> None:
    """Every process says its peak and what it had in the end, which is not more."""
    measured = measure(parse_workloads(batches="1", duration="100ms"))
    for process in (measured.sessions[0], measured.workloads.throughput[0].process):
        assert 10e6 < (process.steady_rss_bytes or 0) <= (process.peak_rss_bytes or 0)
