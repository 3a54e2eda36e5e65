"""How much longer the first calls of a block take, since another process had the caches meanwhile.

Copies of a model are timed in turn as `edgebench benchmark` does. Each call's time is held against the median
of the later half of its block: the first call, the second, the first of those that are measured, which begin
a quarter of a millisecond after the turn's first, and the median of all that are measured.

Goal: the median of a block's measured calls is at most 1 % above that of their later half.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from bench import Goal, arguments, finish, machine, table
from fidelity_models import Network, write_onnx, write_tflite

from edgebench.benchmark.evidence import Session
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.exporters.inspect import open_artifact

WRITERS = {"onnx": write_onnx, "tflite": write_tflite}
NETWORKS = (
    Network("tiny", side=6, channels=2, layers=2),
    Network("small", side=16, channels=8, layers=4),
    Network("middle", side=32, channels=24, layers=8),
    Network("large", side=48, channels=64, layers=8),
)
MOST = 1.01


def profile(out: Path, session: Session) -> tuple[float, list[float]]:
    """Return the session's median in nanoseconds, and the four ratios, each the median over its blocks."""
    columns = pq.read_table(out / session.samples).to_pydict()
    latency, block, warmup = (np.array(columns[name]) for name in ("latency_ns", "block", "warmup"))
    ratios = []
    for index in range(session.blocks or 0):
        inside = block == index
        calls, warm = latency[inside].astype(np.float64), latency[inside & ~warmup].astype(np.float64)
        if len(warm) >= 4:
            later = np.median(warm[len(warm) // 2 :])
            ratios.append(np.array([calls[0], calls[1], warm[0], np.median(warm)]) / later)
    return float(np.median(latency[~warmup])), np.median(ratios, axis=0).tolist()


def measured(folder: Path, form: str, network: Network, copies: int, calls: int) -> tuple[float, list[float]]:
    """Return the median latency and the four ratios of one model beside its copies."""
    path = folder / f"{network.name}.{form}"
    WRITERS[form](network, path)
    artifact = open_artifact(path, None)
    named = tuple((replace(artifact, path=f"{index}.{path.name}"), path) for index in range(copies))
    out = folder / f"{form}.{network.name}.{copies}"
    evidence = benchmark(BenchmarkRequest(artifacts=named, out=out, sessions=1, calls=calls, warmup_s=0.05))
    found = [profile(out, measurement.sessions[0]) for measurement in evidence.measurements]
    return float(np.median([one[0] for one in found])), np.median([one[1] for one in found], axis=0).tolist()


def main() -> None:
    """Measure all cases, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    networks, counts, calls = (NETWORKS[1:3], (2,), 200) if options.quick else (NETWORKS, (2, 4), 400)
    rows, figures, goals = [], {}, []
    print(f"{machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for form in WRITERS:
            for network in networks:
                for copies in counts:
                    name = f"{form} {network.name}, {copies} in turn"
                    median, ratios = measured(Path(folder), form, network, copies, calls)
                    rows.append([name, f"{median / 1000:,.1f} µs", *(f"{ratio:.3f}" for ratio in ratios)])
                    figures[name] = {"median_ns": median, "ratios": ratios}
                    goals.append(Goal(name, ratios[3], f"<= {MOST}", ratios[3] <= MOST))
    header = ["", "median", "1st call", "2nd call", "1st measured", "all measured"]
    print(table(header, rows) + "\n")
    finish("cold_calls", figures, goals, options.json)


if __name__ == "__main__":
    main()
