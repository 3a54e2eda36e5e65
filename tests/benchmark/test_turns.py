"""Sessions in blocks: all artifacts alive, timed in turn, and what happens when one of them fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from edgebench.artifact import Artifact, Format
from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.programs import AGENT, CONDUCTOR
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.devices.local import LocalDevice

QUICK = {"sessions": 1, "calls": 40, "warmup_s": 0.01, "min_warmup_calls": 3}
Made = tuple[Artifact, Path]


def measured(out: Path, *artifacts: Made, script: str = "", **settings: Any) -> Evidence:
    """Return the evidence of a quick benchmark; script: what a shell does in the interpreter's place."""
    device = LocalDevice()
    if script:
        wrapper = out.parent / "python"
        wrapper.write_text(f'#!/bin/sh\n{script}\nexec {device.python} "$@"\n')
        wrapper.chmod(0o755)
        device = LocalDevice(python=str(wrapper))
    request = BenchmarkRequest(artifacts=artifacts, out=out, **{**QUICK, **settings})
    return benchmark(request, device=device)


def turns(out: Path, evidence: Evidence, session: int = 0) -> list[tuple[int, int, str]]:
    """Return (turn, block, artifact) of each turn of a session, in the order they were taken."""
    found = set()
    for measurement in evidence.measurements:
        table = pq.read_table(out / measurement.sessions[session].samples)
        pairs = zip(table["turn"].to_pylist(), table["block"].to_pylist(), strict=True)
        found |= {(turn, block, measurement.artifact.id) for turn, block in pairs if turn >= 0}
    return sorted(found)


def test_artifacts_are_timed_in_turn(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """Three artifacts share every block, each once, in an order of its own that the seed repeats."""
    made = [linear(f"{name}.onnx") for name in "abc"]
    out = tmp_path / "run"
    evidence = measured(out, *made, sessions=2)
    taken = turns(out, evidence)
    assert [turn for turn, _, _ in taken] == list(range(30))
    assert [block for _, block, _ in taken] == [turn // 3 for turn in range(30)]
    orders = [tuple(name for _, block, name in taken if block == index) for index in range(10)]
    assert all(sorted(order) == ["a.onnx", "b.onnx", "c.onnx"] for order in orders)
    assert len(set(orders)) > 2
    assert taken != turns(out, evidence, session=1)
    assert taken == turns(tmp_path / "again", measured(tmp_path / "again", *made))
    assert taken != turns(tmp_path / "other", measured(tmp_path / "other", *made, seed=1))
    session = evidence.measurements[0].sessions[0]
    assert (session.blocks, session.beside, session.calls) == (10, ("b.onnx", "c.onnx"), 40)


def test_the_cold_calls_of_a_block_are_warm_up(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """Each block's first call at least is kept as warm-up, and every other one is measured."""
    out = tmp_path / "run"
    evidence = measured(out, linear("a.onnx"), linear("b.onnx"))
    (one, _) = evidence.measurements
    table = pq.read_table(out / one.sessions[0].samples).to_pydict()
    block, warmup = np.array(table["block"]), np.array(table["warmup"])
    first = np.searchsorted(block, np.arange(10))
    assert warmup[block < 0].all()
    assert warmup[first].all()
    assert [np.count_nonzero(~warmup[block == index]) for index in range(10)] == [4] * 10
    samples = load_samples(out, one)
    assert samples.block.tolist() == [index // 4 for index in range(40)]
    assert samples.latency_ns.size + samples.warmup_ns.size == block.size


def test_one_artifact_alone_has_blocks_too(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """A single artifact goes the same way: its calls are in blocks, beside nobody."""
    session = measured(tmp_path / "run", linear()).measurements[0].sessions[0]
    assert (session.blocks, session.beside, session.calls) == (10, (), 40)


def when_agent(place: int, then: str) -> str:
    """Return a line of shell that does `then` in the place of one agent of a session."""
    return f'case "$2" in *turns_{place}.job.json) {then};; esac'


def test_an_artifact_that_crashes_leaves_the_others_their_turns(
    tmp_path: Path, linear: Callable[..., Made]
) -> None:
    """One agent that dies by a signal is a failure by that name; the other has all its calls."""
    script = when_agent(0, "kill -ABRT $$")
    bad, good = measured(tmp_path / "run", linear("a.onnx"), linear("b.onnx"), script=script).measurements
    assert bad.failure == "the agent was ended by signal SIGABRT"
    assert (good.failure, good.sessions[0].calls) == (None, 40)


def test_an_agent_that_ends_between_its_turns_is_a_failure(
    tmp_path: Path, linear: Callable[..., Made]
) -> None:
    """An agent that says it is ready and then is gone gave no result; the other goes on."""
    script = when_agent(1, """echo '{"ready": true, "median_ns": 1000}'; read line; echo gone >&2; exit 0""")
    good, bad = measured(tmp_path / "run", linear("a.onnx"), linear("b.onnx"), script=script).measurements
    assert bad.failure == "the agent gave no result (exit status 0): gone"
    assert (good.failure, good.sessions[0].calls) == (None, 40)


def test_an_agent_that_hangs_is_ended(
    tmp_path: Path, linear: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that does not answer in its time is killed and named so; the other has its calls."""
    monkeypatch.setattr("edgebench.benchmark.conducting._STARTING_S", 5.0)
    script = when_agent(0, "exec sleep 600")
    made = linear("a.onnx"), linear("b.onnx")
    bad, good = measured(tmp_path / "run", *made, script=script, max_session_s=3.0).measurements
    assert "the agent did not answer within 8 s" in str(bad.failure)
    assert (good.failure, good.sessions[0].calls) == (None, 40)


def test_models_that_do_not_fit_together_are_timed_one_after_the_other(
    tmp_path: Path, linear: Callable[..., Made]
) -> None:
    """Where the second agent is killed for want of memory, both are timed alone, and the record says so."""
    alone = f'exec 9>{tmp_path}/lock; flock -n 9 || kill -KILL $$; exec {sys.executable} "$@"'
    script = f'case "$2" in *turns_*) {alone};; esac'
    out = tmp_path / "run"
    first, second = measured(out, linear("a.onnx"), linear("b.onnx"), script=script).measurements
    assert (first.failure, second.failure) == (None, None)
    for one in (first, second):
        assert (one.sessions[0].beside, one.sessions[0].blocks, one.sessions[0].calls) == ((), 10, 40)


def test_a_session_is_kept_whole_or_taken_again(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """Files of two moments are not put together: where one is missing, all of that session are anew."""
    made = linear("a.onnx"), linear("b.onnx")
    out = tmp_path / "run"
    first = measured(out, *made, sessions=2)
    before = [load_samples(out, one).latency_ns for one in first.measurements]
    (out / first.measurements[1].sessions[0].samples).unlink()
    again = measured(out, *made, sessions=2)
    for one, old in zip(again.measurements, before, strict=True):
        new = load_samples(out, one).latency_ns
        assert (new[:40] != old[:40]).any()
        np.testing.assert_array_equal(new[40:], old[40:])
    starts = [[session.started_utc for session in one.sessions] for one in again.measurements]
    assert starts[0] == starts[1]


def test_a_failure_is_kept_with_its_session(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """A run taken up again keeps what a finished session says of an artifact that failed in it."""
    broken, path = linear("broken.onnx")
    path.write_bytes(path.read_bytes()[:40])
    out = tmp_path / "run"
    first = measured(out, (broken, path), linear("good.onnx"))
    before = load_samples(out, first.measurements[1]).latency_ns
    again = measured(out, (broken, path), linear("good.onnx"))
    assert again.measurements[0].failure == first.measurements[0].failure
    np.testing.assert_array_equal(load_samples(out, again.measurements[1]).latency_ns, before)


def test_a_tflite_model_without_a_runtime_does_not_stop_the_others(
    tmp_path: Path, described: Callable[..., Artifact], linear: Callable[..., Made]
) -> None:
    """Random bytes beside a good model: one failure in a sentence, one measurement."""
    path = tmp_path / "noise.tflite"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    noise = described(path, (1, 4), (1, 4), form=Format.TFLITE), path
    bad, good = measured(tmp_path / "run", noise, linear()).measurements
    assert "cannot be loaded" in str(bad.failure)
    assert good.sessions[0].beside == ("noise.tflite",)


def test_a_killed_conductor_takes_its_agents_with_it(tmp_path: Path, linear: Callable[..., Made]) -> None:
    """SIGKILL to the conductor in the middle of a session: no agent outlives it."""
    _, model = linear()
    np.save(tmp_path / "x.npy", np.zeros((4, 1, 4), np.float32))
    job = {"schema": 1, "mode": "turns", "runtime": "onnxruntime", "model": str(model), "threads": 1}
    job |= {"inputs": [str(tmp_path / "x.npy")], "warmup_s": 0.01, "min_warmup_calls": 3, "max_s": 60}
    paths = [tmp_path / f"turns_{index}.json" for index in range(2)]
    for path in paths:
        path.write_text(json.dumps({**job, "result": f"{path}.result"}))
    orders = {"command": [sys.executable, str(AGENT)], "jobs": list(map(str, paths))}
    orders |= {"results": [], "calls": 10**8, "seed": "0", "turn_s": 60, "result": str(tmp_path / "result")}
    (tmp_path / "job.json").write_text(json.dumps(orders))
    command = [sys.executable, str(CONDUCTOR), str(tmp_path / "job.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as conductor:
        agents = _wait(lambda: _children(conductor.pid), 2)
        time.sleep(1)
        os.kill(conductor.pid, signal.SIGKILL)
    assert _wait(lambda: [pid for pid in agents if not _lives(pid)], 2) == agents
    assert not (tmp_path / "result").exists()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _wait(look: Callable[[], list[int]], count: int) -> list[int]:
    """Return what `look` finds once it is so many."""
    limit = time.monotonic() + 30
    while len(found := look()) < count:
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found
