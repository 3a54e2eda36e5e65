"""The native conductor: runners that are all alive, and time their calls in turn, block by block."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fidelity_models import Network, write_onnx, write_tflite
from processes import wait_until

from edgebench.benchmark.agent_run import AgentResult, decode_result
from edgebench.benchmark.native.libraries import installed_library

NETWORK = Network("tiny", side=6, channels=2, layers=2)
Orders = Callable[..., Path]


@pytest.fixture
def orders(native_runner: Path, tmp_path: Path) -> Orders:
    """Return a maker of a conductor's job for an ONNX and a TFLite model; what jobs say overrides."""

    def make(*overrides: dict[str, Any], **conductor: Any) -> Path:
        write_onnx(NETWORK, tmp_path / "onnxruntime.model")
        write_tflite(NETWORK, tmp_path / "litert.model")
        jobs = []
        for index, override in enumerate(overrides or ({}, {"runtime": "litert"})):
            runtime = override.get("runtime", "onnxruntime")
            shape = (4, 1, 6, 6, 2) if runtime == "litert" else (4, 1, 2, 6, 6)
            np.save(tmp_path / f"{index}.npy", np.ones(shape, np.float32))
            job = {
                "schema": 1,
                "mode": "turns",
                "runtime": runtime,
                "library": str(installed_library(runtime).path),
                "model": str(tmp_path / f"{runtime}.model"),
                "inputs": [str(tmp_path / f"{index}.npy")],
                "threads": 1,
                "warmup_s": 0.01,
                "min_warmup_calls": 5,
                "max_s": 20,
                "result": str(tmp_path / f"{index}.result"),
                **override,
            }
            jobs.append(tmp_path / f"turns {index}.json")
            jobs[-1].write_text(json.dumps(job))
        content = {
            "command": [str(native_runner)],
            "jobs": [str(path) for path in jobs],
            "results": [str(tmp_path / f"{index}.result") for index in range(len(jobs))],
            "calls": 200,
            "seed": "0.0",
            "turn_s": 30,
            "result": str(tmp_path / "conductor.result"),
            **conductor,
        }
        (tmp_path / "conductor.json").write_text(json.dumps(content))
        return tmp_path / "conductor.json"

    return make


def result(folder: Path, index: int) -> AgentResult:
    """Return what an agent gave."""
    return decode_result((folder / f"{index}.result").read_bytes())


@pytest.fixture
def conducted(native_runner: Path, orders: Orders) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a conductor's job; its standard input stays open meanwhile."""

    def run(*overrides: dict[str, Any], **conductor: Any) -> dict[str, Any]:
        job = orders(*overrides, **conductor)
        reading, writing = os.pipe()
        try:
            done = subprocess.run(
                [native_runner, "--conduct", job],
                stdin=reading,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
        finally:
            os.close(reading)
            os.close(writing)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(job.with_name("conductor.result").read_text())
        return told

    return run


def test_calls_are_taken_in_turn(conducted: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Each model has its 200 calls in blocks; no two blocks share a turn; cold calls begin each turn."""
    told = conducted()
    assert (told["together"], told["block_calls"]) == (True, 20)
    assert [agent["status"] for agent in told["agents"]] == [0, 0]
    assert told["cpu_s"] > 0
    turns = []
    for index in range(2):
        found = result(tmp_path, index)
        latency, block, turn, cold = (found.arrays[name] for name in ("latency_ns", "block", "turn", "cold"))
        assert latency.shape == block.shape == turn.shape == cold.shape
        assert cold.dtype == np.bool_
        assert (~cold).sum() == 200
        assert np.bincount(block[~cold]).tolist() == [20] * 10
        assert all(cold[np.flatnonzero(turn == number)[0]] for number in np.unique(turn))
        assert found.arrays["warmup_ns"].size >= 5
        assert found.meta["ended_by"] == "calls"
        assert found.meta["wall_s"] > latency.sum() / 1e9
        turns += np.unique(turn).tolist()
    assert sorted(turns) == list(range(20))


def test_a_seed_is_an_order(conducted: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """The same seed gives the same order of turns, and another one another."""

    def order(seed: str) -> list[int]:
        conducted(seed=seed)
        return sorted(set(result(tmp_path, 0).arrays["turn"].tolist()))

    first = order("7.0")
    assert order("7.0") == first
    assert any(order(f"8.{index}") != first for index in range(3))


def test_time_that_is_spent_ends_an_agent(conducted: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """An agent whose time is over stops, and says so; the other one has all its calls."""
    conducted({"max_s": 0.05}, {"runtime": "litert"}, calls=20_000)
    spent, other = result(tmp_path, 0), result(tmp_path, 1)
    assert spent.meta["ended_by"] == "time"
    assert (~spent.arrays["cold"]).sum() < 20_000
    assert (~other.arrays["cold"]).sum() == 20_000


def test_a_model_that_fails_leaves_the_others(
    conducted: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A model that cannot be loaded ends its agent alone, with status 1 and its words in the result."""
    (tmp_path / "noise").write_bytes(b"noise" * 99)
    told = conducted({"model": str(tmp_path / "noise")}, {"runtime": "litert"})
    assert [agent["status"] for agent in told["agents"]] == [1, 0]
    assert "the model cannot be loaded" in told["agents"][0]["said"]
    assert result(tmp_path, 0).meta["kind"] == "model"
    assert (~result(tmp_path, 1).arrays["cold"]).sum() == 200


def agent_of(tmp_path: Path, body: str) -> str:
    """Return a program that does `body` before the first job, and then is the runner."""
    path = tmp_path / "agent"
    path.write_text(f'#!/bin/sh\ncase "$2" in *"turns 0.json") {body};; esac\nexec "$1" "$2"\n')
    path.chmod(0o755)
    return str(path)


def test_an_agent_that_hangs_is_ended(
    conducted: Callable[..., dict[str, Any]], native_runner: Path, tmp_path: Path
) -> None:
    """One that gives no answer within its time is killed and has no status; the other one goes on."""
    command = [agent_of(tmp_path, "exec sleep 60"), str(native_runner)]
    told = conducted(command=command, turn_s=1.5)
    assert [agent["status"] for agent in told["agents"]] == [None, 0]


def test_short_memory_takes_them_one_by_one(
    conducted: Callable[..., dict[str, Any]], native_runner: Path, tmp_path: Path
) -> None:
    """An agent that is killed, as for want of memory, makes each go alone, and that is told."""
    once = tmp_path / "was here"
    body = f'[ -e "{once}" ] || {{ : >"{once}"; kill -9 $$; }}'
    told = conducted(command=[agent_of(tmp_path, body), str(native_runner)])
    assert told["together"] is False
    assert [agent["status"] for agent in told["agents"]] == [0, 0]
    assert [(~result(tmp_path, index).arrays["cold"]).sum() for index in range(2)] == [200, 200]


@pytest.mark.parametrize("end", ["stdin", "kill"])
def test_no_agent_outlives_its_conductor(native_runner: Path, orders: Orders, end: str) -> None:
    """SIGKILL to the conductor, or its standard input's end, ends the agents too, and leaves no result."""
    job = orders(calls=10**8)
    with subprocess.Popen([native_runner, "--conduct", job], stdin=subprocess.PIPE) as conductor:
        listed = Path(f"/proc/{conductor.pid}/task/{conductor.pid}/children")
        assert wait_until(lambda: len(listed.read_text().split()) == 2)
        agents = [Path("/proc") / pid for pid in listed.read_text().split()]
        time.sleep(0.5)
        if end == "stdin":
            assert conductor.stdin is not None
            conductor.stdin.close()
        else:
            conductor.send_signal(signal.SIGKILL)
        assert conductor.wait(10) == (125 if end == "stdin" else -signal.SIGKILL)
    assert wait_until(lambda: not any(lives(agent) for agent in agents))
    assert not list(job.parent.glob("*.result"))


def lives(process: Path) -> bool:
    """Return whether a process is there and not a zombie."""
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except OSError:
        return False
