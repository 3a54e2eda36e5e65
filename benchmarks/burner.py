"""A measurement on one core, and a process that burns that core, or another, from its middle on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edgebench.artifact import Artifact
from edgebench.benchmark.evidence import Measurement
from edgebench.benchmark.evidence_files import load_samples
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.judge import judge
from edgebench.reports.verdict import Decision

CORE = max(os.sched_getaffinity(0))
GATE = "p50 <= 1s"
SESSION_S = 1.5
_START_S = 0.3
"""A process and its runtime take some tenths of a second before calls are timed."""

_BURN = (
    "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nos.nice(int(sys.argv[2]))\nwhile True: pass"
)


def measured(
    out: Path, artifact: Artifact, model: Path, affinity: str | None = str(CORE)
) -> tuple[Measurement, Decision]:
    """Return one session of `SESSION_S` seconds, and the decision by a gate that it keeps.

    affinity: the cores that it is bound to; None for any.
    """
    request = BenchmarkRequest(
        artifacts=((artifact, model),),
        out=out,
        sessions=1,
        calls=10_000_000,
        max_session_s=SESSION_S,
        warmup_s=0.05,
        affinity=affinity,
    )
    evidence = benchmark(request)
    (measurement,) = evidence.measurements
    samples = {(artifact.id, measurement.device.uri): load_samples(out, measurement)}
    return measurement, judge(evidence, [parse_gate(GATE)], samples, {}).decision


@contextlib.contextmanager
def burner_halfway(out: Path, *, core: int = CORE, nice: int = 0) -> Iterator[threading.Event]:
    """Keep a core busy from the middle of the calls that are timed into `out`; yield whether it has begun."""
    begun, stop = threading.Event(), threading.Event()

    def burn() -> None:
        while not list((out / ".work").glob("*.job.json")) and not stop.is_set():
            time.sleep(0.01)
        stop.wait(SESSION_S / 2 + _START_S)
        with subprocess.Popen([sys.executable, "-c", _BURN, str(core), str(nice)]) as burner:
            begun.set()
            stop.wait()
            burner.kill()

    thread = threading.Thread(target=burn)
    thread.start()
    try:
        yield begun
    finally:
        stop.set()
        thread.join()


def idle_share(core: int = CORE, *, over_s: float = 0.5) -> float:
    """Return the share of the next half second in which a core has nothing to do, 0–1."""
    first = _ticks(core)
    time.sleep(over_s)
    passed = [end - begin for begin, end in zip(first, _ticks(core), strict=True)]
    return sum(passed[3:5]) / max(sum(passed), 1)


def _ticks(core: int) -> list[int]:
    lines = Path("/proc/stat").read_text().splitlines()
    return [int(word) for line in lines if line.startswith(f"cpu{core} ") for word in line.split()[1:9]]
