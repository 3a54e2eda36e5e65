"""How long it takes to load ten thousand stored runs into a table, and one run of ten million calls.

The runs are made on disk with edgebench's own writers: each of the many is judged evidence of two artifacts
in three sessions, copied under its own name and time; the large one has ten million calls in five sessions,
correlated as calls in a row are. They are loaded with its own calls: `edgebench.api.results_frame`, and
`read_run` with the rows of its table, percentiles and their intervals from the raw timings included.

Each load is a process of its own, imports included; the best of several counts, since a first one waits for
the disk and any for others at work here. Goals: 10,000 runs in under 5 s, ten million calls in under 2 s.
Peak memory and the processor's time are stated.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench import Goal, arguments, finish, machine, table

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
from edgebench.benchmark.evidence_files import calls_in_a_row, write_answers, write_evidence, write_session
from edgebench.reports.gate_words import DEFAULT_GATES
from edgebench.reports.report import write_report
from edgebench.storage import encode_json, read_json

RUNS, CALLS, SESSIONS = 10_000, 10_000_000, 5
TABLE_S, CALLS_S = 5.0, 2.0
TIMING = Timing("onnxruntime", "1.32.0", "CPUExecutionProvider", 1, 1, (), "run")
DEVICE = DeviceFacts("local:cpu", "bench", "made up", cores=2, memory_bytes=8 << 30, system="Linux")

LOADERS = {
    "runs": (
        "from pathlib import Path; from edgebench import api; "
        "found = api.results_frame([Path(sys.argv[1])]); rows = len(found)"
    ),
    "calls": (
        "from pathlib import Path; from edgebench.reports.report import read_run; "
        "from edgebench.reports.subjects import subjects; "
        "from edgebench.reports.results import subject_rows; "
        "rows = len([r for s in subjects(*read_run(Path(sys.argv[1]))) for r in subject_rows(s)])"
    ),
}


def artifact(name: str, precision: Precision, size: int) -> Artifact:
    """Return the manifest of a file that is not there: its size is a fact of the evidence."""
    source = SourceRecord("made up", "none", "")
    path = f"{name}.{precision}.onnx"
    return Artifact(name, path, Format.ONNX, precision, "ab" * 32, size, inputs=(), outputs=(), source=source)


def write_sessions(
    folder: Path, stem: str, count: int, calls: int, rng: np.random.Generator
) -> tuple[Session, ...]:
    """Write sessions of log-normal calls around 1 ms, each a little like the one before it; return them."""
    sessions = []
    for index in range(count):
        noise = rng.normal(0, 1, calls + 1)
        latency = np.rint(1e6 * np.exp(0.05 * (noise[1:] + 0.3 * noise[:-1]))).astype(np.int64)
        samples = f"samples/{stem}.s{index}.parquet"
        session = Session(index, "", 4_000_000 + index, 2_000_000, 64 << 20, None, calls, 20, samples, TIMING)
        raw = LatencySamples(latency, np.full(calls, index, np.int64), latency[:20])
        write_session(folder, session, calls_in_a_row(raw), job="made")
        sessions.append(session)
    return tuple(sessions)


def make_small_run(folder: Path) -> None:
    """Write one judged run of an fp32 and an int8 file, 3 × 100 calls and 200 answers each."""
    rng, measurements = np.random.default_rng(0), []
    labels = np.arange(200, dtype=np.int64) % 10
    for one in (artifact("net", Precision.FP32, 652_000), artifact("net", Precision.W8A8, 175_000)):
        logits = np.eye(10, dtype=np.float32)[labels]
        record = AccuracyRecord("made up", "34" * 32, len(labels), 10, f"outputs/{one.id}.npz")
        write_answers(folder, record, Answers(logits, labels), job="made")
        measurements.append(Measurement(one, DEVICE, write_sessions(folder, one.id, 3, 100, rng), record))
    write_evidence(folder, Evidence("net", "", "0.1.0", tuple(measurements), measurements[0].artifact.id))
    write_report(folder, DEFAULT_GATES)


def make_runs(root: Path, count: int) -> None:
    """Write a judged run, and its results under other names and times, as a year of nights leaves."""
    from edgebench.reports.results import Results

    first = root / "run-00000"
    make_small_run(first)
    results = read_json(first / "results.json", Results)
    for index in range(1, count):
        folder = root / f"run-{index:05}"
        folder.mkdir()
        at = f"2026-{1 + index % 12:02}-{1 + index % 28:02}T03:00:00+00:00"
        (folder / "results.json").write_bytes(
            encode_json(replace(results, name=f"net-{index}", created_utc=at))
        )


def make_large_run(folder: Path, calls: int) -> None:
    """Write the evidence of one artifact with so many calls."""
    one = artifact("large", Precision.FP32, 652_000)
    sessions = write_sessions(folder, one.id, SESSIONS, calls // SESSIONS, np.random.default_rng(1))
    write_evidence(folder, Evidence("large", "", "0.1.0", (Measurement(one, DEVICE, sessions),), one.id))


def load(kind: str, place: Path) -> dict[str, float]:
    """Load in a fresh process; return seconds of processor and wall, peak memory in MB, and rows."""
    report = (
        "import json, resource, sys; {load}; "
        "print(json.dumps([rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    )
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    argv = [sys.executable, "-c", report.format(load=LOADERS[kind]), str(place)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    rows, peak_kib = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak_kib / 1000, "rows": rows}


def best(kind: str, place: Path, rounds: int) -> dict[str, float]:
    """Return the load that took least time."""
    return min((load(kind, place) for _ in range(rounds)), key=lambda found: found["wall_s"])


def main() -> None:
    """Make the runs, load them, print the table, exit by the goals."""
    options = arguments(__doc__).parse_args()
    runs, calls = (RUNS // 10, CALLS // 10) if options.quick else (RUNS, CALLS)
    root = Path(tempfile.mkdtemp(prefix="edgebench-big-runs-"))
    try:
        make_runs(root / "many", runs)
        make_large_run(root / "large", calls)
        stored = {
            name: sum(f.stat().st_size for f in (root / name).rglob("*.*") if f.is_file())
            for name in ("many", "large")
        }
        rounds = 2 if options.quick else 5
        found = {"runs": best("runs", root / "many", rounds), "calls": best("calls", root / "large", rounds)}
    finally:
        shutil.rmtree(root)
    print(f"{machine()}; the best of {rounds} processes each, imports included\n")
    rows = [
        [
            label,
            f"{size / 1e6:.0f}",
            f"{one['rows']:,}",
            f"{one['cpu_s']:.2f}",
            f"{one['wall_s']:.2f}",
            f"{one['peak_mb']:.0f}",
        ]
        for label, size, one in (
            (f"{runs:,} runs as one table", stored["many"], found["runs"]),
            (f"a run of {calls:,} calls", stored["large"], found["calls"]),
        )
    ]
    print(table(("loaded", "MB on disk", "rows", "CPU s", "wall s", "peak MB"), rows), end="\n\n")
    share = (
        0.1 if options.quick else 1.0
    )  # imports are the same for a tenth of the runs: the goal is not eased
    figures: dict[str, Any] = {"share_of_full_size": share, "stored_bytes": stored, **found}
    goals = [
        Goal(
            f"{runs:,} runs into a table, s",
            found["runs"]["wall_s"],
            f"< {TABLE_S:g}",
            found["runs"]["wall_s"] < TABLE_S,
        ),
        Goal(
            f"{calls:,} calls, s",
            found["calls"]["wall_s"],
            f"< {CALLS_S:g}",
            found["calls"]["wall_s"] < CALLS_S,
        ),
    ]
    finish("big_runs", figures, goals, options.json)


if __name__ == "__main__":
    main()
