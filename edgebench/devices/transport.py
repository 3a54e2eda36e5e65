"""How commands and files reach a machine: one contract for this machine, ssh and adb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself. returncode: 0–255; 128 + n where signal n ended it.

    earlier: whether it had been begun before it was asked for, by a process or over a link that is gone.
    """

    returncode: int
    stdout: str
    stderr: str
    earlier: bool = False


class Transport(Protocol):
    """A way to run commands and copy files, on one machine."""

    @property
    def uri(self) -> str:
        """Return the machine's name as the user gave it."""
        ...

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> Completed:
        """Run a command to its end; what it leaves in its process group ends with it.

        stdin: without it the command's standard input stays open and empty, and the command is killed
        when this process or the link ends. A command that does not exist ends with 127. Where the
        transport cannot tell them apart, stderr is in stdout. Raises DeviceTimeoutError, the command
        killed, where the time is over, and DeviceError where the link is lost.
        """
        ...

    def push(self, local: Path, remote: PurePosixPath) -> None:
        """Copy a file to the machine, whole or not at all, its folder made. Raises DeviceError."""
        ...

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from the machine, whole or not at all.

        Raises DeviceFileError where it cannot be read there, DeviceError where the link is lost.
        """
        ...
