"""What a measurement says of others at work: alone, and with a process that burns a core from halfway on.

Goal: no run is GO that is bound to the core that is burnt, or bound to none. Beside it, for orientation: a
burner that gives way (nice 10), one on another core than the run is bound to, and runs alone, with how idle
the core was right before each; on a machine with other users those are disturbed too, and rightly so. Last,
what reading the sensors costs.

One session of 1.5 s, of four convolutions, against a gate that it keeps by far. On more than four cores one
burner is too little to disturb a run that is bound to none.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import Goal, arguments, finish, machine, table
from burner import CORE, burner_halfway, idle_share, measured
from fidelity_models import Network, write_onnx

from edgebench.artifact import Artifact
from edgebench.benchmark.evidence import Measurement
from edgebench.devices.local import LocalDevice
from edgebench.devices.sensors import read_sensors
from edgebench.exporters.inspect import open_artifact
from edgebench.reports.verdict import Decision

OTHER = min(os.sched_getaffinity(0))
BOUND = str(CORE)


@dataclass(frozen=True, slots=True)
class Case:
    """affinity: of the run. burner: where from halfway on. goal: whether no such run may be GO."""

    affinity: str | None = BOUND
    burner: Mapping[str, int] | None = None
    goal: bool = False


CASES = {
    "alone": Case(),
    "alone, unbound": Case(None),
    "burner on its core": Case(burner={"core": CORE}, goal=True),
    "burner, run unbound": Case(None, {"core": CORE}, goal=len(os.sched_getaffinity(0)) <= 4),
    "burner that gives way": Case(burner={"core": CORE, "nice": 10}),
    "burner on another core": Case(burner={"core": OTHER}),
}


def one(case: str, artifact: Artifact, model: Path) -> tuple[float, Measurement, Decision]:
    """Return how idle the core was before, and one measurement with its decision."""
    idle, burner, affinity = idle_share(), CASES[case].burner, CASES[case].affinity
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        if burner is None:
            return idle, *measured(out, artifact, model, affinity)
        with burner_halfway(out, **burner):
            return idle, *measured(out, artifact, model, affinity)


def row(case: str, found: list[tuple[float, Measurement, Decision]]) -> list[str]:
    """Return a case's line of the table."""
    waits = [measurement.sessions[0].wait_share or 0.0 for _, measurement, _ in found]
    marked = sum(bool(measurement.disturbances) for _, measurement, _ in found)
    go = sum(decision is Decision.GO for _, _, decision in found)
    idle = statistics.median(share for share, _, _ in found)
    cells = [f"{idle:.0%}", f"{statistics.median(waits):.1%}", f"{marked}/{len(found)}", f"{go}/{len(found)}"]
    return [case, *cells]


def reading_ms(times: int) -> float:
    """Return the median milliseconds of reading this machine's sensors."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        read_sensors(LocalDevice())
        spent.append((time.perf_counter() - start) * 1e3)
    return statistics.median(spent)


def main() -> None:
    """Measure the cases in turn, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    rounds = 3 if options.quick else 20
    found: dict[str, list[tuple[float, Measurement, Decision]]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "net.onnx"
        write_onnx(Network("net", 32, 32, 4), model)
        artifact = open_artifact(model, None)
        for _ in range(rounds):
            for case in CASES:
                found[case].append(one(case, artifact, model))
    print(machine())
    header = ["one session", "core idle before", "waited", "disturbed", "GO"]
    print(table(header, [row(case, runs) for case, runs in found.items()]))
    cost = reading_ms(20)
    print(f"reading the sensors here: {cost:.1f} ms, twice a session, outside of what is timed")
    go = sum(
        decision is Decision.GO for case, runs in found.items() if CASES[case].goal for _, _, decision in runs
    )
    figures = {case: row(case, runs)[1:] for case, runs in found.items()}
    goal = Goal("runs with a burner on a core of theirs that are GO", go, "0", go == 0)
    finish("disturbed", {**figures, "reading_ms": cost}, [goal], options.json)


if __name__ == "__main__":
    main()
