"""What a command and a copy cost over edgebench's transports beside the bare clients, interleaved.

The machine at the other end is this one: a real sshd on loopback, and the tests' phone, which speaks the
ADB protocol to the real adb. What is copied is a new file at the other end, as in edgebench's cache. Bare is
`ssh` over a shared connection, `adb shell`, `cat >file` through ssh and `adb push`, none of which checks that
anything arrived; edgebench's copies are hashed on both sides.
Goal: at most 1.5 times, for a command and for a copy of 50 MB. Beside it stands the floor of a copy that is
checked: the bare client's time, and that of the two hashes one after the other, by openssl.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from bench import Goal, arguments, finish, machine, table
from device_links import linked_machines

from edgebench.devices.adb import AdbTransport
from edgebench.devices.registry import open_device
from edgebench.devices.remote_device import RemoteDevice
from edgebench.devices.ssh import SshTransport

LIMIT = 1.5
SIZE = 50_000_000
Way = SshTransport | AdbTransport


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work by the bare client and by edgebench. makes: a file that is not there before."""

    name: str
    bare: Callable[[], object]
    ours: Callable[[], object]
    rounds: int
    makes: Path | None = None


def run(argv: list[str], source: Path | None = None, target: Path | None = None) -> None:
    """Run a bare client to its end."""
    with (source or Path(os.devnull)).open("rb") as stdin, (target or Path(os.devnull)).open("wb") as stdout:
        subprocess.run(argv, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL, check=True, timeout=300)


def pairs(way: Way, folder: Path, rounds: int) -> Iterator[Pair]:
    """Yield what is compared over one transport."""
    sent, back, there = folder / "sent", folder / "back", folder / "there"
    sent.write_bytes(os.urandom(SIZE))
    remote = PurePosixPath(there)
    if isinstance(way, SshTransport):
        client = way._client("true")[:-1]  # noqa: SLF001 the same options, without what edgebench adds
        quoted = shlex.quote(str(there))
        push = partial(run, [*client, f"cat >{quoted}"], source=sent)
        pull = partial(run, [*client, f"cat {quoted}"], target=back)
    else:
        client = [way.adb, "-s", way.serial, "shell"]
        push = partial(run, [*client[:-1], "push", str(sent), str(there)])
        pull = partial(run, [*client[:-1], "pull", str(there), str(back)])
    kind = way.uri.partition(":")[0]
    yield Pair(
        f"{kind}: `true`", lambda: run([*client, "true"]), lambda: way.run(["true"], timeout_s=60), rounds
    )
    copies = max(rounds // 10, 3)
    yield Pair(f"{kind}: send 50 MB", push, lambda: way.push(sent, remote), copies, makes=there)
    yield Pair(f"{kind}: fetch 50 MB", pull, lambda: way.pull(remote, back), copies, makes=back)


def seconds(pair: Pair, hashes: Callable[[], object]) -> tuple[list[float], list[float], list[float]]:
    """Return the wall seconds of either, and of two hashes, in turn; a first round of each is not counted."""
    taken: tuple[list[float], list[float], list[float]] = ([], [], [])
    works = (pair.bare, pair.ours, hashes if "MB" in pair.name else lambda: None)
    for index in range(pair.rounds + 1):
        for times, work in zip(taken, works, strict=True):
            if pair.makes is not None and work is not works[-1]:
                pair.makes.unlink(missing_ok=True)
            start = time.perf_counter()
            work()
            if index:
                times.append(time.perf_counter() - start)
    return taken


def hash_twice(path: Path) -> None:
    """Hash a file as both ends of a copy do."""
    for _ in range(2):
        run(["openssl", "dgst", "-sha256", "-r", str(path)])


def transport_to(uri: str) -> Way:
    """Return the transport of a device's name."""
    device = open_device(uri)
    if not isinstance(device, RemoteDevice) or not isinstance(device.transport, SshTransport | AdbTransport):
        raise TypeError(f"{uri} is not behind a link")
    return device.transport


def main() -> None:
    """Compare both transports with their clients, print the table, exit by the goal."""
    options = arguments(__doc__).parse_args()
    rounds = 20 if options.quick else 60
    rows, figures, goals = [], {}, []
    with tempfile.TemporaryDirectory() as made, linked_machines(Path(made)) as found:
        for pair in (p for far in found for p in pairs(transport_to(far.uri), Path(made), rounds)):
            bare, ours, hashes = seconds(pair, partial(hash_twice, Path(made) / "sent"))
            floor = statistics.median((a + h) / a for a, h in zip(bare, hashes, strict=True))
            ratio = statistics.median(b / a for a, b in zip(bare, ours, strict=True))
            medians = [statistics.median(times) for times in (bare, ours)]
            rate = [f"{SIZE / 1e6 / median:.0f} MB/s" if "MB" in pair.name else "" for median in medians]
            rows.append(
                [
                    pair.name,
                    *(
                        f"{median * 1e3:.1f} ms {text}".strip()
                        for median, text in zip(medians, rate, strict=True)
                    ),
                    f"{ratio:.2f}",
                    f"{floor:.2f}" if "MB" in pair.name else "",
                ]
            )
            figures[pair.name] = {"bare_s": bare, "edgebench_s": ours, "two_hashes_s": hashes}
            goals.append(Goal(pair.name, ratio, f"<= {LIMIT}", ratio <= LIMIT))
    print(f"{machine()}; medians of {rounds} interleaved commands, {max(rounds // 10, 3)} copies\n")
    print(table(["", "bare client", "edgebench", "times", "floor"], rows), "\n")
    finish("transport", figures, goals, options.json)


if __name__ == "__main__":
    main()
