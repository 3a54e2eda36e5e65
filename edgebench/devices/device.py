"""A machine that runs commands and holds files: the one contract of every transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended by itself. returncode is negative where a signal ended it."""

    returncode: int
    stdout: str
    stderr: str


class Device(Protocol):
    """A machine that runs commands and holds files."""

    @property
    def uri(self) -> str:
        """Return the name the user gave it."""
        ...

    @property
    def python(self) -> str:
        """Return the interpreter there that runs the agent."""
        ...

    def facts(self) -> DeviceFacts:
        """Return what the machine is."""
        ...

    def workspace(self, run_folder: Path) -> PurePosixPath:
        """Return an existing folder there for the files of the run in `run_folder`."""
        ...

    def clear(self, workspace: PurePosixPath) -> None:
        """Remove a workspace with all that is in it."""
        ...

    def run(self, argv: Sequence[str], *, timeout_s: float) -> Completed:
        """Run a command to its end. Raises DeviceError where the time is over or the link is lost."""
        ...

    def push(self, local: Path, remote: PurePosixPath) -> None:
        """Copy a file to the device, whole or not at all. Raises DeviceError."""
        ...

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from the device, whole or not at all. Raises DeviceError."""
        ...
