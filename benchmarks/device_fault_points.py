"""Where and how a run is broken: the points of `device_faults.py`."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from device_links import Linked
from processes import running_in, wait_until

_YEAR_S = 365 * 86400.0
_DISK_NEEDS_ROOT = os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Whole:
    """An unbroken run. steps: calls of the client. volume: bytes on the link. seconds: it took."""

    steps: int
    volume: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong once. begin: makes it happen, or sets it up; end: undoes it.

    kind: what sort of thing. disk: kilobytes of a disk of its own for the device's files.
    """

    kind: str
    name: str
    begin: Callable[[], object] = lambda: None
    end: Callable[[], object] = lambda: None
    kills_host: bool = False
    disk: int | None = None


@dataclass(slots=True)
class Trigger:
    """Acts once when a condition holds, unless it is called off before."""

    holds: Callable[[], bool]
    act: Callable[[], object]
    _off: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Act no more."""
        self._off.set()

    def _watch(self) -> None:
        while not self._off.wait(0.005):
            if self.holds():
                if not self._off.is_set():
                    self.act()
                return


def points(far: Linked, whole: Whole, steps: Path, place: Path) -> Iterator[Fault]:
    """Yield every fault for one link. place: of this point's files on the device's side, seen from here."""
    for number in spread(whole.steps, 24):
        yield _at(
            "cut at a step",
            f"call {number} of {whole.steps}",
            lambda number=number: _size(steps) >= number,
            partial(_cut_soon, far),
        )
    for count in spread(whole.volume, 14):
        yield Fault(
            "cut after bytes",
            f"{count:,} bytes",
            partial(far.link.cut_after, count),
            partial(far.link.cut_after, 1 << 40),
        )
    later = partial(_after, whole)
    for share in (0.5, 0.8):
        yield _at("cut after a time", f"{share:.0%}", later(share), far.link.cut)
    for share in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8):
        pause = partial(time.sleep, share * whole.seconds)
        yield Fault("host killed", f"after {share:.0%}", pause, kills_host=True)
    for share in (0.3, 0.5, 0.8):
        yield _at("agent killed", f"after {share:.0%}", later(share), partial(kill_agent, place))
    for share in (0.3, 0.5, 0.7, 0.85):
        yield _at("restart", f"after {share:.0%}", later(share), partial(restart, far, place))
    for share in (0.5, 0.8):
        yield _at("clock jumps a year", f"after {share:.0%}", later(share), partial(jump, far, place))
    yield Fault("slow link", "100 kB/s", partial(_speed, far, 1e5), partial(_speed, far, None))
    for room in (40, 100, 250, 500) if _DISK_NEEDS_ROOT else ():
        yield Fault("disk full", f"{room} kB", disk=room)


def local_points(whole: Whole, place: Path) -> Iterator[Fault]:
    """Yield the faults that can meet this machine itself. place: of the run's folder."""
    for share in np.linspace(0.03, 0.97, 24):
        pause = partial(time.sleep, share * whole.seconds)
        yield Fault("host killed", f"after {share:.0%}", pause, kills_host=True)
    for share in np.linspace(0.05, 0.95, 18):
        yield _at("agent killed", f"after {share:.0%}", _after(whole, share), partial(kill_agent, place))
    for room in range(60, 460, 40) if _DISK_NEEDS_ROOT else ():
        yield Fault("disk full", f"{room} kB", disk=room)


def sampled(faults: Sequence[Fault], count: int) -> list[int]:
    """Return the places of `count` faults: one of each kind as far as that goes, then others, at random."""
    order = random.Random(time.time_ns()).sample(range(len(faults)), len(faults))  # noqa: S311 no secret
    kinds = list({faults[place].kind: place for place in order}.values())
    return [*kinds, *(place for place in order if place not in kinds)][:count]


def spread(total: int, count: int) -> list[int]:
    """Return at most `count` numbers from 1 to `total`, evenly."""
    return sorted({max(1, round((place + 0.5) * total / count)) for place in range(min(count, total))})


def ours_there(place: Path) -> dict[int, str]:
    """Return the processes on the device's side of a point: those of its folder but our clients.

    A process belongs to it by its words, by where it works, or by a file that it holds open there.
    """
    clients = ("/usr/bin/ssh ", "/bin/sh /", "ssh ", "adb ", f"{sys.executable} -c")
    found = {**running_in(place / "there"), **_holding(place / "there")}.items()
    return {
        pid: line
        for pid, line in found
        if not line.startswith(clients) and "adb -s" not in line and " ssh -" not in line[:200]
    }


def _holding(folder: Path) -> dict[int, str]:
    """Return the processes but this one that hold a file below `folder` open, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()).startswith(f"{folder}/") for fd in (entry / "fd").iterdir()):
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = words.decode(errors="replace")
    return found


def kill_agent(place: Path) -> None:
    """Kill the agent that runs, as a machine short of memory does; wait for one where none does yet."""

    def agents() -> list[int]:
        lines = running_in(place).items()
        return [pid for pid, line in lines if line.startswith(sys.executable) and "agent.py" in line]

    if wait_until(lambda: bool(agents()), 5):
        for pid in agents():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def restart(far: Linked, place: Path) -> None:
    """End everything on the device's side, also what begins meanwhile, and the link with it."""
    far.link.cut()
    while running := ours_there(place):
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def jump(far: Linked, place: Path) -> None:
    """Make everything there a year old, as a clock does that is set right; then the link breaks."""
    then = time.time() - _YEAR_S
    for path in (place / "there").rglob("*"):
        with contextlib.suppress(OSError):
            os.utime(path, (then, then), follow_symlinks=False)
    far.link.cut()


def _cut_soon(far: Linked) -> None:
    """Break the link when the call has begun: before, a client finds the link broken, and makes another."""
    time.sleep(0.004)
    far.link.cut()


def _at(kind: str, name: str, holds: Callable[[], bool], act: Callable[[], object]) -> Fault:
    trigger = Trigger(holds, act)
    return Fault(kind, name, trigger.start, trigger.stop)


def _after(whole: Whole, share: float) -> Callable[[], bool]:
    """Return whether that share of an unbroken run's time is over since the first time it was asked."""
    begun: list[float] = []

    def holds() -> bool:
        begun[:] = begun or [time.monotonic()]
        return time.monotonic() - begun[0] >= share * whole.seconds

    return holds


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _speed(far: Linked, bytes_per_s: float | None) -> None:
    far.link.bytes_per_s = bytes_per_s
