"""A machine that measures: a transport, and what the runner needs to know of what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from edgebench.devices.transport import Completed, Transport
from edgebench.progress import Progress

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts


class Device(Transport, Protocol):
    """A machine that runs commands, holds files, and measures with the agent."""

    @property
    def python(self) -> str:
        """Return the interpreter there that runs the agent."""
        ...

    def run_job(self, argv: Sequence[str], workspace: PurePosixPath, *, timeout_s: float) -> Completed:
        """Run a command to its end as `run` does; where there is a link, it goes on when that breaks.

        The next call for the same command on the same files, in another process, gives the end that it
        had. Raises DeviceTimeoutError where it did not end in its time, DeviceError.
        """
        ...

    def facts(self) -> DeviceFacts:
        """Return what the machine is. Raises DeviceError where it does not answer."""
        ...

    def workspace(self, run_folder: Path) -> PurePosixPath:
        """Return an existing folder there for the files of the run in `run_folder`."""
        ...

    def lease(self, progress: Progress, *, wait_s: float | None = None) -> AbstractContextManager[None]:
        """Hold the machine for one measurement at a time; wait where another one runs.

        wait_s: how long, None for as long as it takes. Raises DeviceBusyError, DeviceError.
        """
        ...

    def deploy(self, local: Path, remote: PurePosixPath) -> None:
        """Give `remote` the content of `local`, sent only where the machine lacks it. Raises DeviceError."""
        ...

    def clear(self, workspace: PurePosixPath) -> None:
        """Remove a workspace with all that is in it, if the machine still answers."""
        ...
