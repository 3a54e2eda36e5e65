"""What the worker is given to do in its tests: ways of ending that converters have shown."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgebench.errors import ModelError


def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments."""
    return arguments


def refuse(arguments: dict[str, Any]) -> None:
    """Raise an error of edgebench's own."""
    raise ModelError(f"{arguments['model']}: is broken", hint="mend it")


def fail(_: dict[str, Any]) -> None:
    """Raise what no converter should."""
    raise ZeroDivisionError("converter's own words")


def abort(_: dict[str, Any]) -> None:
    """End as C++ does at a failed check."""
    sys.stderr.write("Check failed: rank == 4\n")
    sys.stderr.flush()
    os.abort()


def kill(_: dict[str, Any]) -> None:
    """End as the kernel ends a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(_: dict[str, Any]) -> None:
    """Read from where nothing is."""
    ctypes.string_at(0)


def leave(_: dict[str, Any]) -> None:
    """Call exit in the middle of the work."""
    os._exit(3)


def eat(_: dict[str, Any]) -> None:
    """Ask for more memory than a process may have."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
    bytearray(1 << 33)


def fill(_: dict[str, Any]) -> None:
    """Write onto a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/model.bin")


def chatter(arguments: dict[str, Any]) -> None:
    """Print lines of a number of bytes in all, a progress bar, colours and binary, then fail."""
    out = sys.stdout.buffer
    for _ in range(arguments["size"] // 100):
        out.write(b"x" * 99 + b"\n")
    out.write(b"\r  1 %\r100 %\n\x1b[31mred\x1b[0m\n\xff\xfe\0\n" + b"y" * 10_000 + b"\nlast words\n")
    out.flush()
    os._exit(9)


def hang(arguments: dict[str, Any]) -> None:
    """Start a process of its own, say who runs, and never end."""
    child = subprocess.Popen(["sleep", "300"])
    Path(arguments["pids"]).write_text(f"{os.getpid()} {child.pid}")
    while True:
        time.sleep(1)


def litter(arguments: dict[str, Any]) -> str:
    """Leave a process behind that goes on after the work is done."""
    child = subprocess.Popen(["sleep", "300"])
    Path(arguments["pids"]).write_text(str(child.pid))
    return "done"


def stdin(_: dict[str, Any]) -> str:
    """Ask the user."""
    return sys.stdin.read()


def temporary(_: dict[str, Any]) -> str:
    """Return where temporary files go."""
    return os.environ["TMPDIR"]
