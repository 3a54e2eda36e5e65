"""Others at work while a model is timed: a real one, on the very core."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgebench.benchmark.evidence import Evidence, Validity
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.verdict import Decision, Verdict

CORE = max(os.sched_getaffinity(0))
SESSION_S = 1.5
IDLE = 0.9
BURNER = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


def _measured(out: Path, made: object) -> tuple[Evidence, Verdict]:
    """Return the evidence of one session on one core, that lasts by time, and its verdict."""
    request = BenchmarkRequest(
        artifacts=(made,),  # type: ignore[arg-type]
        out=out,
        sessions=1,
        calls=10_000_000,
        max_session_s=SESSION_S,
        warmup_s=0.05,
        affinity=str(CORE),
    )
    evidence = benchmark(request)
    key = (evidence.measurements[0].artifact.id, "local:cpu")
    samples = {key: load_samples(out, evidence.measurements[0])}
    return evidence, judge(evidence, [parse_gate("p50 <= 1s")], samples, {})


@contextlib.contextmanager
def _burner_halfway(out: Path) -> Iterator[list[float]]:
    """Keep the core busy from the middle of the timed calls on; yield when it began."""
    began: list[float] = []
    stop = threading.Event()

    def burn() -> None:
        job = out / ".work" / "latency.job.json"
        while not job.exists() and not stop.is_set():
            time.sleep(0.01)
        time.sleep(SESSION_S / 2 + 0.3)  # a process and its runtime take some tenths of a second to start
        with subprocess.Popen([sys.executable, "-c", BURNER, str(CORE)]) as burner:
            began.append(time.monotonic())
            stop.wait(60)
            burner.kill()

    thread = threading.Thread(target=burn)
    thread.start()
    try:
        yield began
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def model(linear: Callable[..., object]) -> object:
    """Return a model of which a call takes some tenths of a millisecond."""
    return linear(weight=np.ones((1000, 1000), np.float32))


def test_a_burner_halfway_is_no_go(tmp_path: Path, model: object) -> None:
    """A process that burns the same core from halfway on: not VALID, named, and GO for no gate on a time."""
    with _burner_halfway(tmp_path) as began:
        evidence, verdict = _measured(tmp_path, model)
    measured = evidence.measurements[0]
    assert began
    assert measured.validity in {Validity.DEGRADED, Validity.INVALID}
    assert any("others" in reason for reason in measured.disturbances), measured.validity_reasons
    assert verdict.decision is Decision.INCONCLUSIVE


def _free_share(before: str, after: str) -> float:
    """Return the share of its time that the core was idle, from two lines of /proc/stat."""
    first, last = ([int(word) for word in line.split()[1:9]] for line in (before, after))
    passed = [end - begin for begin, end in zip(first, last, strict=True)]
    return sum(passed[3:5]) / max(sum(passed), 1)


def _core_line() -> str:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"cpu{CORE} "))


def test_without_a_burner_nobody_is_blamed(tmp_path: Path, model: object) -> None:
    """The same run alone is GO, and its core was its own; skipped where others do hold the core."""
    for attempt in range(3):
        before = _core_line()
        time.sleep(0.5)
        free = _free_share(before, _core_line())
        evidence, verdict = _measured(tmp_path / str(attempt), model)
        if not evidence.measurements[0].disturbances:
            break
        if free < IDLE:
            pytest.skip(f"core {CORE} was idle for {free:.0%} before: run this on a machine that is free")
    assert evidence.measurements[0].disturbances == ()
    assert evidence.measurements[0].validity is not Validity.INVALID
    assert verdict.decision is Decision.GO
