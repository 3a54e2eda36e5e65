"""Logs of ten million lines: every call is taken over, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.benchmark.tool_logs import perf_test_print, trtexec

LINES = 10_000_000
BLOCK = 100_000
SECONDS = 240
BYTES = 1.5e9
"""Two noisy cores read the slowest of them in 21 s and 1.0 GB, of which the mapped file is 0.4."""


def rows(start: int, times: np.ndarray) -> str:
    """Return rows of onnxruntime_perf_test's file of results."""
    return "".join(f"resnet50,{t:.6g},271122432,11,{start + i}\n" for i, t in enumerate(times))


def printed(start: int, times: np.ndarray) -> str:
    """Return what onnxruntime_perf_test prints of calls with -v."""
    return "".join(f"iteration:{start + i + 1},time_cost:{t:.6g}\n" for i, t in enumerate(times))


ENDING = perf_test_print([0.01], verbose=False).replace("requests: 1\n", f"requests: {LINES}\n")


@pytest.mark.acceptance
@pytest.mark.acceptance
@pytest.mark.parametrize(("block", "ending"), [(rows, ""), (printed, ENDING)], ids=["rows", "print"])
def test_ten_million_lines(block: Callable[[int, np.ndarray], str], ending: str, tmp_path: Path) -> None:
    """All 10,000,000 calls stand in the evidence after four minutes at the most and in under 1.5 GB."""
    rng = np.random.default_rng(0)
    log = tmp_path / "log"
    with log.open("w") as stream:
        for start in range(0, LINES, BLOCK):
            stream.write(block(start, rng.lognormal(-4.6, 0.1, BLOCK)))
        stream.write(ending)
    argv = [
        sys.executable,
        "-m",
        "edgebench",
        "import",
        str(log),
        "--device-name",
        "d",
        "-o",
        "run",
        "--json",
    ]
    began = time.monotonic()
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=2 * SECONDS)
    took = time.monotonic() - began
    (session,) = json.loads(done.stdout)["measurements"][0]["sessions"]
    assert session["calls"] == LINES
    assert took < SECONDS
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < BYTES


@pytest.mark.acceptance
def test_a_million_queries(tmp_path: Path) -> None:
    """An --exportTimes file of 1,000,000 queries, a quarter of a gigabyte, in less memory than itself."""
    log = tmp_path / "times.json"
    text = trtexec([30.0 + i % 1000 / 1000 for i in range(BLOCK)])
    body = text.strip().removeprefix("[").removesuffix("]").strip()
    log.write_text("[\n  " + "\n, ".join([body] * (LINES // BLOCK // 10)) + "\n]\n")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edgebench.benchmark.importers import read_log\n"
        "from edgebench.benchmark.importers.log import Told\n"
        "(log,) = read_log(Path(sys.argv[1]), Told())\n"
        "status = Path('/proc/self/status').read_text()\n"  # ru_maxrss would hold the parent's peak too
        "print(log.latency_ns.size, 1024 * int(status.split('VmHWM:')[1].split()[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(log)], capture_output=True, text=True, check=True, timeout=SECONDS
    )
    calls, peak = map(int, done.stdout.split())
    assert calls == LINES // 10
    assert peak < log.stat().st_size
