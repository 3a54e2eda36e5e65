"""Child processes with a deadline; their standard input is a dead man's switch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from edgebench.devices.stopping import waiting


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended. returncode: negative where a signal ended it. stdout: empty if a file took it."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run_process(
    argv: Sequence[str], *, timeout_s: float, feed: bytes | Path | None = None, stdout: Path | None = None
) -> Ended:
    """Run a program to its end and return what it said.

    feed: its standard input, bytes or a file; without one it stays open and empty until the program ends,
    or this process does. stdout: a file that takes the output, for large ones. Raises
    subprocess.TimeoutExpired, its whole process group killed, and OSError where it cannot be started.
    """
    with started(argv, feed=feed, stdout=stdout) as process:
        return communicate(process, timeout_s=timeout_s, feed=feed)


@contextlib.contextmanager
def started(
    argv: Sequence[str], *, feed: bytes | Path | None = None, stdout: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a child in a process group of its own; kill the group if the block ends early."""
    with contextlib.ExitStack() as held:
        process = subprocess.Popen(
            list(argv),
            stdin=held.enter_context(_stdin(feed)),
            stdout=subprocess.PIPE if stdout is None else held.enter_context(stdout.open("wb")),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                kill_group(process.pid)
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


def communicate(
    process: subprocess.Popen[bytes], *, timeout_s: float, feed: bytes | Path | None = None
) -> Ended:
    """Return how a started process ended. Raises subprocess.TimeoutExpired."""
    content = feed if isinstance(feed, bytes) else None
    with waiting(partial(kill_group, process.pid)):
        stdout, stderr = process.communicate(content, timeout=timeout_s)
    return Ended(process.returncode, stdout or b"", stderr or b"")


def end_group_with(process: subprocess.Popen[bytes]) -> None:
    """End what a process leaves in its group as soon as it ends itself, so that no pipe stays open."""

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        kill_group(process.pid)

    threading.Thread(target=wait, daemon=True).start()


def text(content: bytes) -> str:
    """Return what a program said, as text; what is not UTF-8 is replaced."""
    return content.decode(errors="replace")


def kill_group(pid: int) -> None:
    """Kill a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@contextlib.contextmanager
def _stdin(feed: bytes | Path | None) -> Iterator[int | IO[bytes]]:
    """Yield what a child reads: a file, a pipe to be filled, or one whose other end stays open here only."""
    if isinstance(feed, bytes):
        yield subprocess.PIPE
    elif feed is not None:
        with feed.open("rb") as stream:
            yield stream
    else:
        reading, writing = os.pipe()
        try:
            yield reading
        finally:
            os.close(reading)
            os.close(writing)
