"""Running the real program in tests: in a folder and cache of its own, killed where a test wants it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TIMEOUT_S = 300


@dataclass(frozen=True)
class Ended:
    """How a program ended. seconds: from the signal to the end of the program; 0 where it was not sent."""

    returncode: int
    stderr: str
    seconds: float


def environment(cwd: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with a cache below `cwd`."""
    return {**os.environ, "EDGEBENCH_CACHE": str(cwd / "cache"), "PYTHONUNBUFFERED": "1", **more}


def edgebench(*argv: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `edgebench argv…` in `cwd` to its end."""
    command = [sys.executable, "-m", "edgebench", *argv]
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment(cwd, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def fails(cwd: Path, *argv: str, words: str, code: int = 2) -> str:
    """Run the program, require the exit code, the words on stderr and no traceback."""
    done = edgebench(*argv, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def start(*argv: str, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """Start `edgebench argv…` in `cwd`, in a process group of its own, its stderr in a pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "edgebench", *argv],
        cwd=cwd,
        env=environment(cwd, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def edgebench_until(
    *argv: str, cwd: Path, reached: Callable[[str], bool], send: signal.Signals
) -> tuple[int, str]:
    """Run `edgebench argv…` until a line of its stderr satisfies `reached`, then signal its group.

    Returns the exit code and stderr. The group gets the signal, as a terminal's Ctrl-C does.
    """
    ended = broken_off(*argv, cwd=cwd, reached=reached, send=lambda pid: os.killpg(pid, send))
    return ended.returncode, ended.stderr


def broken_off(
    *argv: str,
    cwd: Path,
    reached: Callable[[str], bool],
    send: Callable[[int], None],
    after_s: float = 0.0,
    **more: str,
) -> Ended:
    """Run `edgebench argv…` until a line of its stderr satisfies `reached`, then call `send` on its pid.

    after_s: how long after that line, so that the work it announces is under way.
    """
    with start(*argv, cwd=cwd, **more) as process:
        assert process.stderr is not None
        seen, sent = [], 0.0
        for line in process.stderr:
            seen.append(line)
            if reached(line):
                time.sleep(after_s)
                sent = time.monotonic()
                send(process.pid)
                break
        seen += process.stderr.readlines()
        process.wait(TIMEOUT_S)
        seconds = time.monotonic() - sent if sent else 0.0
    return Ended(process.returncode, "".join(seen), seconds)


def interrupt(pid: int) -> None:
    """Send SIGINT to the process group, as a terminal's Ctrl-C does."""
    os.killpg(pid, signal.SIGINT)


def kill_parent(pid: int) -> None:
    """Kill the program itself and nothing that it has started."""
    os.kill(pid, signal.SIGKILL)


def kill_all(pid: int) -> None:
    """Kill the program and everything that it has started."""
    for victim in [pid, *descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def processes_of(session: Path) -> list[str]:
    """Return the command lines of running processes that mention the folder `session`."""
    return list(running_in(session).values())


def running_in(session: Path) -> dict[int, str]:
    """Return those processes' numbers, each with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = (entry / "cwd").readlink()
        except OSError:
            continue
        if line and (str(session) in line or cwd == session):
            found[int(entry.name)] = line
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether a condition came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Yield `folder` as a file system of its own of `size`, such as `64k`; skip where that needs root."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root: run the tests as root to enable this one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    """Change a small disk: `size=64m`, `ro`, `rw`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True, capture_output=True)
