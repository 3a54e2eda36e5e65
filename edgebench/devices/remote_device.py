"""A machine behind a link as a device: its facts, its cache, and the Python that measures there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.devices.clusters import with_clusters
from edgebench.devices.facts import ASK, as_facts, parse_answer
from edgebench.devices.jobs import Jobs
from edgebench.devices.lease import LEASE, await_turn, owner
from edgebench.devices.remote import SHORT_S, Held, RemoteTransport
from edgebench.devices.remote_cache import RemoteCache
from edgebench.devices.transport import Completed
from edgebench.devices.uri import DeviceUri, check_options
from edgebench.errors import ConfigError, DeviceError
from edgebench.progress import Progress

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts

OPTIONS = ("python", "cache")
"""What a remote machine's name may carry: its interpreter, and the folder for its files."""


@dataclass(slots=True)
class RemoteDevice:
    """A machine behind a transport.

    named_python: its interpreter; None for that of `edgebench devices setup`, or else python3. folder:
    for its files; None chooses one.
    """

    transport: RemoteTransport
    named_python: str | None = None
    folder: PurePosixPath | None = None
    _cache: RemoteCache | None = field(default=None, init=False)
    _held: list[Held] = field(default_factory=list, init=False)
    _jobs: Jobs | None = field(default=None, init=False)
    _python: str | None = field(default=None, init=False)

    @property
    def python(self) -> str:
        """Return the interpreter there that runs the agent. Raises DeviceError."""
        if self._python is None:
            self._python = self.named_python or self._find_python()
        return self._python

    @property
    def uri(self) -> str:
        """Return the machine's name as the user gave it, without options."""
        return self.transport.uri

    def facts(self) -> DeviceFacts:
        """Return what the machine is, asked now. Raises DeviceError."""
        return with_clusters(as_facts(self._ask(), self.uri), self)

    def workspace(self, run_folder: Path) -> PurePosixPath:
        """Return an existing folder there for the files of the run in `run_folder`."""
        return self.cache().workspace(run_folder)

    def deploy(self, local: Path, remote: PurePosixPath) -> None:
        """Give `remote` the content of `local`, sent only where the machine lacks it."""
        self.jobs().note(local, remote, self.cache().deploy(local, remote))

    @contextlib.contextmanager
    def lease(self, progress: Progress, *, wait_s: float | None = None) -> Iterator[None]:
        """Hold the machine for one measurement; wait, and say for whom, where another one runs.

        Raises DeviceBusyError where that takes longer than `wait_s`, DeviceError where the link is lost.
        """
        lock = self.cache().root / "lock"
        argv = ["sh", "-c", LEASE, "sh", str(lock), owner()]
        self.run(["true"], timeout_s=SHORT_S)  # a phone that comes back from a cut is awaited here
        with self.held(argv, step="holding the device") as lines:
            await_turn(lines, self.uri, progress, wait_s)
            yield

    @contextlib.contextmanager
    def held(self, argv: Sequence[str], *, step: str) -> Iterator[Iterator[str]]:
        """Yield the lines of a command that must run as long as the block does.

        Where it ended before, the machine may be another's, or what it holds has gone back: `run` and
        `run_job` raise DeviceError then.
        """
        with self.transport.held(argv, step=step) as held:
            self._held.append(held)
            try:
                yield held.lines
            finally:
                self._held.remove(held)

    def clear(self, workspace: PurePosixPath) -> None:
        """Remove a workspace, if the machine still answers; else a later run's end removes it."""
        with contextlib.suppress(DeviceError):
            self.cache().clear(workspace, alone=self._is_alone())

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> Completed:
        """Run a command to its end, as `Transport` says."""
        with self._holding():
            return self.transport.run(argv, timeout_s=timeout_s, stdin=stdin)

    def run_job(self, argv: Sequence[str], workspace: PurePosixPath, *, timeout_s: float) -> Completed:
        """Run a command that outlives the link, or give the end that it had; see `Device`."""
        with self._holding():
            return self.jobs().run(argv, workspace, timeout_s=timeout_s)

    def push(self, local: Path, remote: PurePosixPath) -> None:
        """Copy a file to the machine, whole or not at all."""
        self.jobs().note(local, remote, self.transport.push(local, remote))

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from the machine, whole or not at all."""
        self.transport.pull(remote, local)

    def cache(self) -> RemoteCache:
        """Return the folder for edgebench's files there. Raises DeviceError."""
        if self._cache is None:
            self._cache = RemoteCache(self.transport, (self.folder or self._choose()) / "edgebench")
        return self._cache

    def jobs(self) -> Jobs:
        """Return the jobs that run there. Raises DeviceError."""
        if self._jobs is None:
            self._jobs = Jobs(self.transport, self.cache().root / "lock.job")
        return self._jobs

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        """Raise DeviceError, before the block or after it, where a command that is held has ended."""
        self._check_held()
        yield
        self._check_held()

    def _is_alone(self) -> bool:
        """Return whether the machine is held, and still is."""
        with contextlib.suppress(DeviceError):
            self._check_held()
            return bool(self._held)
        return False

    def _check_held(self) -> None:
        for held in self._held:
            held.check()

    def _find_python(self) -> str:
        own = str(launcher(self.cache().root))
        there = self.run(["sh", "-c", '[ -x "$1" ]', "sh", own], timeout_s=SHORT_S).returncode == 0
        return own if there else "python3"

    def _choose(self) -> PurePosixPath:
        told = self._ask()
        return PurePosixPath(told.get("phone_folder", told["home"]))

    def _ask(self) -> dict[str, str]:
        return parse_answer(self.run(["sh", "-c", ASK], timeout_s=SHORT_S).stdout, self.uri)


def launcher(root: PurePosixPath) -> PurePosixPath:
    """Return where the interpreter of `edgebench devices setup` stands."""
    return root / "python" / "bin" / "python3"


def remote_device(uri: DeviceUri, transport: RemoteTransport) -> RemoteDevice:
    """Return the device with the options of its name. Raises ConfigError."""
    check_options(uri, OPTIONS)
    cache = uri.options.get("cache")
    if cache is not None and not cache.startswith("/"):
        raise ConfigError(f"{uri.name}: cache={cache} is not a path from the root, as in ?cache=/data")
    folder = None if cache is None else PurePosixPath(cache)
    return RemoteDevice(transport, uri.options.get("python"), folder)
