"""What is left of a benchmark that is broken: at each call of a client, by bytes, by time, and on the device.

The machine at the other end is this one, behind a real sshd and behind the tests' phone; the clients are
the real ones. Broken are the link (at each step of the protocol, after so many bytes, after a time), the
host (kill -9), the agent (kill -9), the device (all of its processes end and the link with them; its clock
jumps a year; its disk is full: that needs root), and the link is slow. Each point has a cache of its own, so
that every step happens. This machine itself is broken where there is no link to break.

Goals: every run ends complete, or with exit code 4 and a message that names device and step, or, where the
agent alone was killed, with that artifact's failure in words; the same run again completes with the
answers and the records of an unbroken run; then no process is left on the device, and no file outside of
the cache's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench import Goal, arguments, finish, machine, table
from device_fault_points import (
    Fault,
    Whole,
    local_points,
    ours_there,
    points,
    sampled,
)
from device_links import Linked, linked_machines
from models.small_onnx import save_classifier
from processes import remount, running_in, small_disk, wait_until

from edgebench import api
from edgebench.benchmark.evidence_files import load_answers
from edgebench.errors import DeviceError, EdgebenchError, StorageError
from edgebench.storage import to_plain

SESSION = {"sessions": 2, "calls": 5_000}
GONE_S = 20.0
"""How long the device may take to notice that nobody waits any more."""

STEP = re.compile(
    r"(running|sending|fetching|connecting|waiting|holding|preparing|removing) ?.*:|"
    r".*cannot be written there"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault led to. said: how the broken run ended. wrong: the goals that it missed, in words."""

    transport: str
    fault: str
    said: str
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bed:
    """Model and data, for runs over a link or, without one, here."""

    folder: Path
    model: Path
    data: Path

    def run(self, uri: str | None, place: Path, out: str = "run") -> Path:
        """Benchmark the device at `uri`, its cache and its run's folder in `place`; return the latter."""
        name = "local:cpu" if uri is None else f"{uri}?python={sys.executable}&cache={place}/there"
        return api.benchmark([self.model], device=name, data=str(self.data), out=place / out, **SESSION)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which points are taken. count: at most so many, one of each kind first. kind: of this one alone."""

    count: int | None
    kind: str | None

    def of(self, known: Sequence[Fault]) -> list[int]:
        """Return the places of the points that are taken."""
        order = range(len(known)) if self.count is None else sampled(known, self.count)
        return [place for place in order if self.kind in (None, known[place].kind)]


def make_bed(folder: Path) -> Bed:
    """Return model and data."""
    model, data = save_classifier(folder / "model.onnx", width=400), folder / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(data, x=rng.normal(size=(64, 16)).astype(np.float32), y=rng.integers(0, 4, 64))
    return Bed(folder, model, data)


def findings(run: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Return what a run's evidence says apart from timings and sensors, and the logits."""
    evidence = api.read_evidence(run)
    (measured,) = evidence.measurements
    answers = load_answers(run, measured)
    facts = {
        "artifact": measured.artifact,
        "device": measured.device,
        "failure": measured.failure,
        "accuracy": measured.accuracy,
        "sessions": [(session.index, session.timing, session.samples) for session in measured.sessions],
        "environment": evidence.environment,
        "baseline": evidence.baseline,
        "notes": evidence.notes,
    }
    return to_plain(facts), np.empty(0) if answers is None else answers.logits


@dataclass(frozen=True, slots=True)
class Ground:
    """What every point of one transport shares. far: None for this machine itself."""

    bed: Bed
    far: Linked | None
    steps: Path
    facts: dict[str, Any]
    logits: np.ndarray

    @property
    def uri(self) -> str | None:
        """Return the device's name for --device."""
        return None if self.far is None else self.far.uri

    @property
    def kind(self) -> str:
        """Return the transport's name."""
        return "local" if self.far is None else self.far.kind

    def suffer(self, fault: Fault, place: Path) -> Outcome:
        """Return what a fault led to, in the run that it broke and in the one that takes it up."""
        disk = place / ("there" if self.far else "run")
        disk.mkdir(parents=True)
        shutil.rmtree(os.environ["XDG_STATE_HOME"], ignore_errors=True)
        self.steps.unlink(missing_ok=True)
        with contextlib.ExitStack() as undone:
            if fault.disk is not None:
                undone.enter_context(small_disk(disk, f"{fault.disk}k"))
            said = self.killed(fault, place) if fault.kills_host else self.broken(fault, place)
            fault.end()
            if fault.disk is not None:
                remount(disk, "size=256m")
            return self.taken_up(fault, place, said)

    def taken_up(self, fault: Fault, place: Path, said: str) -> Outcome:
        """Return the outcome after the same run was asked for once more, where the first was not whole."""
        wrong = [said] if said.startswith("wrong") else []
        out = "again" if said.startswith("failure") else "run"
        if said != "complete":
            try:
                self.bed.run(self.uri, place, out)
            except EdgebenchError as err:
                wrong.append(f"does not go on: {err.message}")
                return Outcome(self.kind, f"{fault.kind}: {fault.name}", said, tuple(wrong))
        facts, logits = findings(place / out)
        differ = [key for key, value in self.facts.items() if facts[key] != value]
        wrong += [f"other {', '.join(differ)}"] if differ else []
        wrong += [] if np.array_equal(logits, self.logits) else ["other answers"]
        wrong += self.left(place)
        return Outcome(self.kind, f"{fault.kind}: {fault.name}", said, tuple(wrong))

    def left(self, place: Path) -> list[str]:
        """Return what is left on the device's side that should not be, in words."""
        wrong = []
        if self.far is None:
            if not wait_until(lambda: not running_in(place), GONE_S):
                wrong.append(f"{len(running_in(place))} processes left")
            strays = [
                path for path in place.rglob("*") if path.name.endswith(".part") or path.name == ".work"
            ]
        else:
            if not wait_until(lambda: not ours_there(place), GONE_S):
                wrong.append(f"{len(ours_there(place))} processes left: {list(ours_there(place).values())}")
            there = [p for p in (place / "there").rglob("*") if p.is_file() or p.is_symlink()]
            ours = [p for p in there if p.parent.name == "files" or p.name.partition(".")[0] == "lock"]
            strays = [p for p in there if p not in ours or p.name.endswith(".part")]
        return wrong + ([f"left there: {', '.join(path.name for path in strays)}"] if strays else [])

    def broken(self, fault: Fault, place: Path) -> str:
        """Return how a run ends that meets a fault."""
        fault.begin()
        try:
            run = self.bed.run(self.uri, place)
        except (DeviceError, StorageError) as err:
            words = err.message.removeprefix(f"{self.uri}: ")
            named = self.far is None or (self.far.uri in err.message and STEP.match(words) is not None)
            return f"{'' if named and err.exit_code == 4 else 'wrong: '}{words}"
        failure = api.read_evidence(run).measurements[0].failure
        if failure is not None:
            expected = fault.kind == "agent killed" and "SIGKILL" in failure
            return f"failure: {failure}" if expected else f"wrong: {failure}"
        return "complete"

    def killed(self, fault: Fault, place: Path) -> str:
        """Return how a run ends whose host is killed."""
        words = f"{str(self.bed.folder)!r}, {self.uri!r}, {str(place)!r}"
        code = f"import device_faults; device_faults.in_child({words})"
        paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **paths}) as host:
            wait_until((place / "run" / ".lock").exists, 60)
            fault.begin()
            host.send_signal(signal.SIGKILL)
        return "complete" if (place / "run" / "evidence.json").exists() else "host killed"


def in_child(folder: str, uri: str | None, place: str) -> None:
    """Run the benchmark in this process, which is going to be killed."""
    base = Path(folder)
    Bed(base, base / "model.onnx", base / "data.npz").run(uri, Path(place))


def measure(bed: Bed, far: Linked | None, steps: Path, choice: Choice) -> list[Outcome]:
    """Return what every fault that is chosen led to, over one link or here."""
    kind = "local" if far is None else far.kind
    place, room = bed.folder / kind, 1 << 40
    (place / "whole" / "there").mkdir(parents=True)
    if far is not None:
        bed.run(far.uri, place / "whole", "first")  # connections and imports are warm
        shutil.rmtree(place / "whole" / "there" / "edgebench")
        far.link.cut_after(room)
    steps.unlink(missing_ok=True)
    start = time.perf_counter()
    facts, logits = findings(bed.run(None if far is None else far.uri, place / "whole"))
    seconds = time.perf_counter() - start
    whole = Whole(steps.stat().st_size if far else 0, room - far.link.left() if far else 0, seconds)
    print(f"{kind}: unbroken: {whole.steps} calls, {whole.volume:,} bytes, {seconds:.1f} s", flush=True)
    ground, outcomes = Ground(bed, far, steps, facts, logits), []
    for index in choice.of(_points(far, whole, steps, place)):
        own = place / str(index)
        fault = _points(far, whole, steps, own)[index]
        outcomes.append(ground.suffer(fault, own))
        said = outcomes[-1]
        print(f"{kind} {len(outcomes):3} {said.fault}: {said.said} {said.wrong or ''}", flush=True)
    return outcomes


def _points(far: Linked | None, whole: Whole, steps: Path, place: Path) -> list[Fault]:
    return list(local_points(whole, place) if far is None else points(far, whole, steps, place))


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return how the broken runs ended, counted by what was broken."""
    counts: dict[tuple[str, str, str], int] = {}
    for outcome in outcomes:
        said = re.split(r":|;| \(", outcome.said)[0]
        key = (outcome.transport, outcome.fault.partition(":")[0], said)
        counts[key] = counts.get(key, 0) + 1
    rows = [[f"{kind}: {fault}", said, str(count)] for (kind, fault, said), count in sorted(counts.items())]
    return table(["broken", "the run ended", "times"], rows)


def main() -> None:
    """Break runs here and over both links, print what came of it, exit by the goals."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--points", type=int, help="so many of each transport's points, one of each kind first"
    )
    parser.add_argument("--kind", metavar="WORDS", help="only points of this kind, such as 'disk full'")
    parser.add_argument("--only", choices=("local", "ssh", "adb"), help="this transport alone")
    options = parser.parse_args()
    count = 2 if options.quick and options.points is None else options.points
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        steps = folder / "steps"
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        with linked_machines(folder, steps) as machines:
            bed = make_bed(folder)
            kinds = {"local": None, **{far.kind: far for far in machines}}
            asked = [options.only] if options.only else list(kinds)
            choice = Choice(count, options.kind)
            outcomes = [o for kind in asked for o in measure(bed, kinds[kind], steps, choice)]
    print(f"\n{machine()}\n\n{summary(outcomes)}\n")
    goals = []
    for kind in asked:
        own = [outcome for outcome in outcomes if outcome.transport == kind]
        bad = [f"{outcome.fault}: {', '.join(outcome.wrong)}" for outcome in own if outcome.wrong]
        goals.append(Goal(f"{kind}: points that missed a goal, of {len(own)}", len(bad), "0", not bad))
        print("".join(f"{kind}: {line}\n" for line in bad), end="")
    finish("device_faults", {"outcomes": [repr(outcome) for outcome in outcomes]}, goals, options.json)


if __name__ == "__main__":
    main()
