"""Running the real program in tests: in a folder and cache of its own, killed where a test wants it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 300


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


def edgebench_until(
    *argv: str, cwd: Path, reached: Callable[[str], bool], send: signal.Signals
) -> tuple[int, str]:
    """Run `edgebench argv…` until a line of its stderr satisfies `reached`, then signal its group.

    Returns the exit code and stderr. The group gets the signal, as a terminal's Ctrl-C does.
    """
    command = [sys.executable, "-m", "edgebench", *argv]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(cwd),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if reached(line):
                os.killpg(process.pid, send)
                break
        seen += process.stderr.readlines()
    return process.returncode, "".join(seen)


def processes_of(session: Path) -> list[str]:
    """Return the command lines of running processes that mention the folder `session`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = (entry / "cwd").readlink()
        except OSError:
            continue
        if line and (str(session) in line or cwd == session):
            found.append(line)
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Return whether a condition came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
