"""What is left of a benchmark whose link is cut, host killed or disk filled, at points all over its course.

The machine at the other end is this one, behind a real sshd and behind the tests' phone; the clients are
the real ones. Each point has a cache of its own, so that every step happens: what the device is asked,
agent, model and inputs on their way, jobs, results. Goals: every run ends complete, or with a DeviceError
that names the device; the same run again completes, keeps what was measured, and gives the answers of an
unbroken run; no process is left on the device, and no file outside of the cache's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from bench import Goal, arguments, finish, machine, table
from device_links import Linked, linked_machines
from models.small_onnx import save_classifier
from processes import processes_of, wait_until

from edgebench import api
from edgebench.benchmark.evidence_files import load_answers
from edgebench.errors import DeviceError

SESSION = {"sessions": 2, "calls": 5_000}
GONE_S = 20.0
"""How long the device may take to notice that nobody waits any more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong once. begin: makes it happen, or sets it up; end: undoes it."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None] = lambda: None
    kills_host: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault led to. said: how the broken run ended. wrong: the goals that it missed, in words."""

    transport: str
    fault: str
    said: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bed:
    """Model, data and the answers of an unbroken run."""

    folder: Path
    model: Path
    data: Path
    answers: np.ndarray

    def run(self, far: Linked, place: Path) -> Path:
        """Benchmark over a link, its cache and its run's folder in `place`; return the latter."""
        name = f"{far.uri}?python={sys.executable}&cache={place}/there"
        return api.benchmark([self.model], device=name, data=str(self.data), out=place / "run", **SESSION)


def make_bed(folder: Path) -> Bed:
    """Return model and data, and what this machine answers without a link."""
    model, data = save_classifier(folder / "model.onnx", width=400), folder / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(data, x=rng.normal(size=(64, 16)).astype(np.float32), y=rng.integers(0, 4, 64))
    run = api.benchmark([model], data=str(data), sessions=1, calls=10, out=folder / "here")
    return Bed(folder, model, data, answers_of(run))


def answers_of(run: Path) -> np.ndarray:
    """Return the logits of a run's one artifact."""
    answers = load_answers(run, api.read_evidence(run).measurements[0])
    return np.empty(0) if answers is None else answers.logits


def faults(far: Linked, volume: int, seconds: float, count: int) -> Iterator[Fault]:
    """Yield `count` cuts by bytes, cuts by time, killed hosts, and full disks where they can be had.

    volume, seconds: what an unbroken run sends, and takes.
    """
    for place in np.linspace(0, volume, count + 1)[:-1] + 200:
        yield Fault(f"cut after {int(place):,} bytes", partial(far.link.cut_after, int(place)))
    times = np.linspace(0.1, 0.95, max(count // 5, 2)) * seconds
    for moment in times:
        timer = threading.Timer(float(moment), far.link.cut)
        yield Fault(f"cut after {moment:.1f} s", timer.start, timer.cancel)  # or it cuts the next point's run
    for moment in times[:: max(len(times) // 4, 1)]:
        yield Fault(f"host killed after {moment:.1f} s", partial(time.sleep, float(moment)), kills_host=True)
    if far.phone is not None:
        for room in (0, 20_000):
            yield Fault(
                f"disk full after {room:,} bytes",
                partial(setattr, far.phone, "room", room),
                partial(setattr, far.phone, "room", None),
            )


def suffer(bed: Bed, far: Linked, fault: Fault, place: Path) -> Outcome:
    """Return what a fault led to, in the run that it broke and in the one that takes it up."""
    (place / "there").mkdir(parents=True)
    wrong: list[str] = []
    said = (killed if fault.kills_host else broken)(bed, far, fault, place)
    if said.startswith("wrong"):
        wrong.append(said)
    fault.end()
    far.link.cut_after(1 << 40)
    if not wait_until(lambda: not agents(place), GONE_S):
        wrong.append(f"{len(agents(place))} processes left")
    if said != "complete":
        kept = len(list((place / "run").glob("samples/*")))
        try:
            run = bed.run(far, place)
        except DeviceError as err:
            return Outcome(far.kind, fault.name, said, (*wrong, f"does not go on: {err.message}"))
        said += f"; {kept} sessions kept"
    else:
        run = place / "run"
    measured = api.read_evidence(run).measurements[0]
    if measured.failure or len(measured.sessions) != SESSION["sessions"]:
        wrong.append(f"incomplete: {measured.failure}")
    elif not np.array_equal(answers_of(run), bed.answers):
        wrong.append("other answers")
    left = [path for path in (place / "there").rglob("*") if path.is_file() or path.is_symlink()]
    ours = [path for path in left if path.parent.name == "files" or path.name.partition(".")[0] == "lock"]
    strays = [path.name for path in left if path not in ours or path.name.endswith(".part")]
    if strays:
        wrong.append(f"left there: {', '.join(strays)}")
    return Outcome(far.kind, fault.name, said, tuple(wrong))


def broken(bed: Bed, far: Linked, fault: Fault, place: Path) -> str:
    """Return how a run ends that meets a fault."""
    fault.begin()
    try:
        bed.run(far, place)
    except DeviceError as err:
        named = far.uri in err.message and err.exit_code == 4
        return f"{'' if named else 'wrong: '}{err.message.removeprefix(far.uri + ': ')}"
    return "complete"


def killed(bed: Bed, far: Linked, fault: Fault, place: Path) -> str:
    """Return how a run ends whose host is killed."""
    words = f"{str(bed.folder)!r}, {far.uri!r}, {str(place)!r}"
    code = f"import device_faults; device_faults.in_child({words})"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **paths}) as host:
        fault.begin()
        host.send_signal(signal.SIGKILL)
    return "complete" if (place / "run" / "evidence.json").exists() else "host killed"


def in_child(folder: str, uri: str, place: str) -> None:
    """Run the benchmark in this process, which is going to be killed."""
    base = Path(folder)
    api.benchmark(
        [base / "model.onnx"],
        device=f"{uri}?python={sys.executable}&cache={place}/there",
        data=str(base / "data.npz"),
        out=Path(place) / "run",
        **SESSION,
    )


def agents(place: Path) -> list[str]:
    """Return the processes on the device's side."""
    return [line for line in processes_of(place / "there") if "device_faults" not in line]


def measure(bed: Bed, far: Linked, folder: Path, count: int) -> list[Outcome]:
    """Return what every fault led to over one link."""
    place = folder / far.kind
    (place / "whole" / "there").mkdir(parents=True)
    room, start = 1 << 40, time.perf_counter()
    far.link.cut_after(room)
    bed.run(far, place / "whole")
    seconds, volume = time.perf_counter() - start, room - far.link.left()
    print(f"{far.kind}: an unbroken run sends {volume:,} bytes and takes {seconds:.1f} s", flush=True)
    outcomes = []
    for index, fault in enumerate(faults(far, volume, seconds, count)):
        outcomes.append(suffer(bed, far, fault, place / str(index)))
        print(f"{index + 1:3} {fault.name}: {outcomes[-1].said} {outcomes[-1].wrong or ''}", flush=True)
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return how the broken runs ended, counted."""
    counts: dict[tuple[str, str], int] = {}
    for outcome in outcomes:
        key = (outcome.transport, outcome.said.partition(":")[0].partition(" (")[0].partition(";")[0])
        counts[key] = counts.get(key, 0) + 1
    rows = [[f"{kind}: {said}", str(count)] for (kind, said), count in sorted(counts.items())]
    return table(["the broken run ended", "times"], rows)


def main() -> None:
    """Break runs over both links, print what came of it, exit by the goals."""
    parser = arguments(__doc__)
    parser.add_argument("--points", type=int, default=40, help="cuts by bytes; others come on top")
    options = parser.parse_args()
    count = 3 if options.quick else options.points
    with tempfile.TemporaryDirectory() as made, linked_machines(Path(made)) as machines:
        bed = make_bed(Path(made))
        outcomes = [outcome for far in machines for outcome in measure(bed, far, Path(made), count)]
    print(f"\n{machine()}\n\n{summary(outcomes)}\n")
    goals = []
    for kind in ("ssh", "adb"):
        points = [outcome for outcome in outcomes if outcome.transport == kind]
        bad = [f"{outcome.fault}: {', '.join(outcome.wrong)}" for outcome in points if outcome.wrong]
        goals.append(Goal(f"{kind}: points that missed a goal, of {len(points)}", len(bad), "0", not bad))
        print("".join(f"{kind}: {line}\n" for line in bad), end="")
    finish("device_faults", {"outcomes": [repr(outcome) for outcome in outcomes]}, goals, options.json)


if __name__ == "__main__":
    main()
