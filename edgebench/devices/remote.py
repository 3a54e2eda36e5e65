"""What ssh and adb share: a transport writes one command line and two copies, the rest is done here."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgebench.devices import shell
from edgebench.devices.following import Following
from edgebench.devices.process import Ended, run_process, started, text
from edgebench.devices.stopping import check_stop
from edgebench.devices.transport import Completed
from edgebench.errors import DeviceError, DeviceTimeoutError
from edgebench.storage import arriving_path, sha256_path

SHORT_S = 60.0
"""For commands that only look, move or remove."""

SLOWEST_BYTES_PER_S = 1 << 18
"""A copy that is slower than this is taken for one that hangs."""

LARGEST_BYTES = 1 << 32
"""What a copy is taken for whose size is told on its way."""

AWAY_S = 15.0
"""How long a machine may be away before a command: adb has a phone back in 1 s, or 10 s later."""

_TICK_S = 1.0
_BLOCK = 4096

NOT_FOUND = 127
"""The shell's exit code where there is no such command."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy between `local` and `remote`. size: in bytes. step: its name in messages.

    name: a symbolic link to `remote` that is made with it; None for none.
    """

    local: Path
    remote: PurePosixPath
    size: int
    step: str
    name: PurePosixPath | None = None

    @property
    def timeout_s(self) -> float:
        """Return the seconds that it may take."""
        return copy_limit_s(self.size)


class Reason(NamedTuple):
    """Why a client did not connect: a pattern in its words, the message, and what to do."""

    pattern: str
    message: str
    hint: str | None = None


class Held(NamedTuple):
    """A command that runs as long as a block does.

    lines: what it says; each second that it says nothing gives an empty one. They raise DeviceError where
    the link is lost. check: raises DeviceError where it has ended, the link's end being its own.
    """

    lines: Iterator[str]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class RemoteTransport(ABC):
    """A machine reached through a client program. uri: its name for messages and evidence."""

    uri: str

    @abstractmethod
    def _client(self, line: str) -> list[str]:
        """Return the command that has the machine's shell run a line."""

    @abstractmethod
    def _put(self, copy: Copy, part: PurePosixPath, digest: Callable[[], str]) -> None:
        """Copy a file, its folder made, to `part`; rename it where its SHA-256 is `digest`, and link it.

        digest: may have to be waited for.

        Raises DeviceError.
        """

    @abstractmethod
    def _get(self, local: Path, remote: PurePosixPath, step: str) -> str:
        """Copy a file from the machine; return the SHA-256 that it has there.

        Raises DeviceFileError where it cannot be read, DeviceError.
        """

    @abstractmethod
    def _reasons(self) -> Sequence[Reason]:
        """Return what the client says where it cannot connect, most telling first."""

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> Completed:
        """Run a command to its end, as `Transport` says."""
        step = f"running {PurePosixPath(argv[0]).name}"
        return self._command(argv, timeout_s=timeout_s, step=step, feed=stdin)

    def push(
        self,
        local: Path,
        remote: PurePosixPath,
        *,
        digest: str | None = None,
        name: PurePosixPath | None = None,
    ) -> str:
        """Copy a file to the machine: to a `.part`, its hash checked there, then renamed; return its SHA-256.

        digest: the same, where it is known; else it is found while the file is on its way. name: of a
        symbolic link to it, made in the same breath.
        """
        step = f"sending {local.name}"
        part = remote.with_name(f".{remote.name[:60]}.{shell.new_nonce()}.part")
        with ThreadPoolExecutor(1) as pool:
            hashed = pool.submit(lambda: digest or sha256_path(local))
            try:
                self._put(Copy(local, remote, local.stat().st_size, step, name), part, hashed.result)
            except DeviceError:
                with contextlib.suppress(DeviceError):
                    self.sh('rm -f "$1"', part, timeout_s=SHORT_S, step=step)
                raise
            except OSError as err:
                raise DeviceError(f"{local}: cannot be sent ({err.strerror})") from err
            return hashed.result()

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from the machine; it takes its place only with the hash that it has there."""
        step = f"fetching {remote.name}"
        with arriving_path(local) as temporary, Following(temporary) as arriving:
            digest = self._get(temporary, remote, step)
            if arriving.digest() != digest and sha256_path(temporary) != digest:
                raise DeviceError(f"{self.uri}: {step}: it did not arrive as it was sent")

    @contextlib.contextmanager
    def held(self, argv: Sequence[str], *, step: str) -> Iterator[Held]:
        """Yield a command that runs until the block ends, whichever way that is, or the link."""
        nonce = shell.new_nonce()
        client = self._client(shell.watched(argv, nonce, timeout_s=None))
        with started(client) as process:
            try:
                yield Held(self._lines(process, step), partial(self._check_held, process, step))
            finally:
                process.terminate()  # not its group: a connection that others share may be in it
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SHORT_S)

    def _lines(self, process: subprocess.Popen[bytes], step: str) -> Iterator[str]:
        """Yield what a held command says, line by line as it comes; an empty one while it says nothing."""
        rest = b""
        while process.stdout is not None:
            if not select.select([process.stdout], [], [], _TICK_S)[0]:
                check_stop()
                yield ""
                continue
            data = os.read(process.stdout.fileno(), _BLOCK)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            yield from (text(line).rstrip("\r") for line in lines)
        process.wait()
        self._check_held(process, step)

    def _check_held(self, process: subprocess.Popen[bytes], step: str) -> None:
        if process.poll() is not None:
            said = process.stderr.read() if process.stderr else b""
            raise self._lost(Ended(process.returncode, b"", said), step)

    def sh(self, script: str, *arguments: object, timeout_s: float, step: str) -> Completed:
        """Run a POSIX shell script that finds its arguments from $1 on."""
        argv = ["sh", "-c", script, "sh", *map(str, arguments)]
        return self._command(argv, timeout_s=timeout_s, step=step)

    def _command(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        step: str,
        feed: bytes | Path | None = None,
    ) -> Completed:
        """Return how a command ended there."""
        nonce = shell.new_nonce()
        line = (shell.watched if feed is None else shell.fed)(argv, nonce, timeout_s=timeout_s)
        ended = self._client_run(self._client(line), timeout_s=timeout_s, step=step, feed=feed)
        answer = shell.unwrap(ended.stdout, nonce)
        if answer is None:
            raise self._lost(ended, step)
        return Completed(answer[1], text(answer[0]), text(ended.stderr))

    def _command_into(self, argv: Sequence[str], local: Path, *, step: str) -> Completed:
        """Return how a command ended there whose output, in `local`, has the size that its stderr tells."""
        nonce, limit = shell.new_nonce(), copy_limit_s(LARGEST_BYTES)
        client = self._client(shell.watched_file(argv, nonce, timeout_s=limit))
        ended = self._client_run(client, timeout_s=limit, step=step, stdout=local)
        told = re.search(rb"size=\s*(\d+)", ended.stderr)
        status = shell.unwrap_file(local, nonce, int(told[1]) if told else 0)
        if status is None:
            raise self._lost(ended, step)
        return Completed(status, "", text(ended.stderr))

    def _is_away(self, ended: Ended) -> bool:  # noqa: ARG002 a transport that reconnects looks at it
        """Return whether the client did not begin, for the machine is away and may be back soon."""
        return False

    def _client_run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        step: str,
        feed: bytes | Path | None = None,
        stdout: Path | None = None,
    ) -> Ended:
        deadline = time.monotonic() + AWAY_S
        try:
            while True:
                ended = run_process(argv, timeout_s=timeout_s, feed=feed, stdout=stdout)
                if not self._is_away(ended) or time.monotonic() > deadline:
                    return ended
                time.sleep(0.2)
        except subprocess.TimeoutExpired as err:
            raise DeviceTimeoutError(
                f"{self.uri}: {step} did not end within {timeout_s:g} s",
                hint="is the device overloaded, or the model too slow for these settings?",
            ) from err
        except OSError as err:
            raise DeviceError(f"{argv[0]}: cannot be started ({err.strerror})") from err

    def _lost(self, ended: Ended, step: str) -> DeviceError:
        """Return what happened to a client that came back without the device's last line."""
        said = text(ended.stderr + b"\n" + ended.stdout[-2000:])
        for reason in self._reasons():
            if re.search(reason.pattern, said):
                return DeviceError(f"{self.uri}: connecting: {reason.message}", hint=reason.hint)
        lines = (line.strip() for line in text(ended.stderr).splitlines())
        words = [line for line in lines if line and not find_hash(line) and not line.startswith("size=")]
        ending = f" ({words[-1]})" if words else ""
        return DeviceError(
            f"{self.uri}: {step}: the link broke off{ending}",
            hint="is the device still powered and connected? What was measured is kept; run the same again",
        )

    def _check(
        self, completed: Completed, step: str, otherwise: str, *, kind: type[DeviceError] = DeviceError
    ) -> None:
        """Raise DeviceError where a command of a copy failed."""
        if completed.returncode == 0:
            return
        said = completed.stderr.strip() or completed.stdout.strip()
        if "No space left on device" in said:
            raise DeviceError(
                f"{self.uri}: {step}: the device's disk is full", hint="free some space there, and run again"
            )
        if completed.returncode == NOT_FOUND:
            hint = "a POSIX shell with coreutils, toybox or busybox is enough"
            raise DeviceError(f"{self.uri}: {step}: it lacks a tool ({said})", hint=hint)
        ending = f" ({said.splitlines()[-1]})" if said else ""
        raise kind(f"{self.uri}: {step}: {otherwise}{ending}")


def copy_limit_s(size: int) -> float:
    """Return the seconds that a copy of `size` bytes may take."""
    return SHORT_S + size / SLOWEST_BYTES_PER_S


def find_hash(said: str) -> str:
    """Return the SHA-256 that was told, empty where there is none."""
    told = re.search(r"\b[0-9a-f]{64}\b", said)
    return told[0] if told else ""


def find_program(name: str, hint: str) -> str:
    """Return the path of a client program. Raises DeviceError with `hint` where PATH has none."""
    path = shutil.which(name)
    if path is None:
        raise DeviceError(f"{name} is not on PATH", hint=hint)
    return path
