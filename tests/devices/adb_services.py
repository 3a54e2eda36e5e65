"""What the test's phone does on a stream: shell commands, old and new, and copies of files.

After SHELL-v2 (shell_protocol.h) and SYNC.TXT of AOSP's packages/modules/adb.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from devices.adb_wire import LinkGoneError, Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
BLOCK = 1 << 16


def run_shell_v2(stream: Stream, argv: list[str], environment: Mapping[str, str]) -> None:
    """Run a command with its streams in packets of their own, and its exit code at the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, **pipes, env=environment, cwd="/", start_new_session=True) as process:  # type: ignore[call-overload]
        threads = [
            threading.Thread(
                target=_forward, args=(pipe, lambda data, kind=kind: stream.write(_frame(kind, data)))
            )
            for kind, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]
        threading.Thread(target=_feed_frames, args=(stream, process), daemon=True).start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = process.wait()
    stream.write(_frame(EXIT, bytes([code if code >= 0 else 128 - code])))


def run_old_shell(stream: Stream, argv: list[str], environment: Mapping[str, str]) -> None:
    """Run a command on a terminal, as phones before Android 7 do: one stream, CRLF, no exit code."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd="/", start_new_session=True
    )
    os.close(theirs)
    hung_up, hang_up = os.pipe()

    def feed() -> None:
        with contextlib.suppress(LinkGoneError):
            while True:
                os.write(ours, stream.read_some())
        os.write(hang_up, b"!")

    threading.Thread(target=feed, daemon=True).start()
    with contextlib.suppress(OSError, LinkGoneError):  # a terminal that all have left gives EIO
        while hung_up not in select.select([ours, hung_up], [], [])[0]:
            stream.write(os.read(ours, BLOCK))
    if stream.gone.is_set():
        _hang_up(process)
    os.close(ours)
    process.wait()


def _frame(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


def _forward(source: IO[bytes], write: Callable[[bytes], None]) -> None:
    with contextlib.suppress(LinkGoneError):
        while data := os.read(source.fileno(), BLOCK):
            write(data)


def _feed_frames(stream: Stream, process: subprocess.Popen[bytes]) -> None:
    """Give a command its input until that ends; tell it to end where the link has."""
    assert process.stdin is not None
    try:
        while True:
            kind, size = struct.unpack("<BI", stream.read(5))
            data = stream.read(size)
            with contextlib.suppress(OSError, ValueError):
                if kind == CLOSE_STDIN:
                    process.stdin.close()
                elif kind == STDIN:
                    process.stdin.write(data)
                    process.stdin.flush()
    except LinkGoneError:
        _hang_up(process)
        with contextlib.suppress(OSError, ValueError):
            process.stdin.close()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Send the one process that adbd knows what a terminal sends that is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGHUP)


def sync(stream: Stream, room: Callable[[], int | None]) -> None:
    """Copy files until the host has enough. room: bytes that the disk has left; None for plenty."""
    while True:
        request, size = struct.unpack("<4sI", stream.read(8))
        if request == b"QUIT":
            return
        path = stream.read(size).decode(errors="surrogateescape")
        if request == b"STAT":
            stream.write(b"STAT" + _state(path))
        elif request == b"RECV":
            _give(stream, path)
        elif request == b"SEND":
            _take(stream, path, room())


def _state(path: str) -> bytes:
    try:
        state = Path(path).stat()
    except OSError:
        return bytes(12)
    return struct.pack("<3I", state.st_mode, state.st_size & 0xFFFFFFFF, int(state.st_mtime))


def _give(stream: Stream, path: str) -> None:
    try:
        with Path(path).open("rb") as source:
            while data := source.read(BLOCK):
                stream.write(struct.pack("<4sI", b"DATA", len(data)) + data)
        stream.write(struct.pack("<4sI", b"DONE", 0))
    except OSError as err:
        _fail(stream, f"open failed: {err.strerror}")


def _take(stream: Stream, path_and_mode: str, room: int | None) -> None:
    """Write a file where its name says, as it comes: what is cut off stays there, as on a phone."""
    path, _, mode = path_and_mode.rpartition(",")
    failure, taken = "", 0
    with contextlib.ExitStack() as held:
        try:
            target = held.enter_context(Path(path).open("wb", buffering=0))
        except OSError as err:
            failure = f"couldn't create file: {err.strerror}"
        while True:
            kind, size = struct.unpack("<4sI", stream.read(8))
            if kind == b"DONE":
                break
            data = stream.read(size)
            taken += size
            if room is not None and taken > room:
                failure = failure or "couldn't write: No space left on device"
            failure = failure or _written(target, data)
    if failure:
        Path(path).unlink(missing_ok=True)
        _fail(stream, failure)
        return
    Path(path).chmod(stat.S_IMODE(int(mode)) | 0o600)
    stream.write(struct.pack("<4sI", b"OKAY", 0))


def _written(target: IO[bytes], data: bytes) -> str:
    """Write a block; return why that failed, empty where it did not."""
    try:
        while data:
            data = data[target.write(data) :]
    except OSError as err:
        return f"couldn't write: {err.strerror}"
    return ""


def _fail(stream: Stream, message: str) -> None:
    stream.write(struct.pack("<4sI", b"FAIL", len(message)) + message.encode())
