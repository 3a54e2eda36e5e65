"""This machine as a device: commands are child processes that never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.devices.clusters import with_clusters
from edgebench.devices.emulation import emulation
from edgebench.devices.facts import fingerprint, instructions
from edgebench.devices.process import communicate, end_group_with, started, text
from edgebench.devices.transport import Completed
from edgebench.devices.uri import check_options, parse_uri
from edgebench.errors import ConfigError, DeviceError, DeviceFileError, DeviceTimeoutError
from edgebench.progress import Progress
from edgebench.storage import atomic_path, storage_errors

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts


_SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """The CPU of this machine. python: the interpreter that runs the agent."""

    uri: str = "local:cpu"
    python: str = field(default_factory=lambda: sys.executable)

    def facts(self) -> DeviceFacts:
        """Return what this machine is; cores and memory are those that this process may use."""
        from edgebench.benchmark.evidence import DeviceFacts

        facts = DeviceFacts(
            uri=self.uri,
            name=platform.node(),
            processor=processor_name(),
            cores=_cores(),
            memory_bytes=_memory_bytes(),
            system=f"{platform.system()} {platform.release()}",
            emulated=bool(emulated_by := _emulation(Path("/"))),
            extra={
                **_extra(Path("/")),
                **({"emulated_by": emulated_by} if emulated_by else {}),
                "fingerprint": _fingerprint(Path("/")),
            },
        )
        return with_clusters(facts, self)

    def workspace(self, run_folder: Path) -> PurePosixPath:
        """Return a folder for the device's files of one run; here a hidden one inside the run's."""
        folder = run_folder.resolve() / ".work"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return PurePosixPath(folder)

    def lease(
        self,
        progress: Progress,  # noqa: ARG002 nobody is waited for
        *,
        wait_s: float | None = None,  # noqa: ARG002 likewise
    ) -> contextlib.nullcontext[None]:
        """Hold nothing: who measures on a machine that others use sees it in the validity."""
        return contextlib.nullcontext()

    def deploy(self, local: Path, remote: PurePosixPath) -> None:
        """Copy a file to `remote`, as push does: here nothing is sent."""
        self.push(local, remote)

    def clear(self, workspace: PurePosixPath) -> None:
        """Remove a workspace with all that is in it."""
        shutil.rmtree(workspace, ignore_errors=True)

    def run(self, argv: Sequence[str], *, timeout_s: float, stdin: bytes | None = None) -> Completed:
        """Run a command to its end, as `Transport` says: a child in a process group of its own."""
        try:
            with started(_found(argv), feed=stdin) as process:
                end_group_with(process)
                ended = communicate(process, timeout_s=timeout_s, feed=stdin)
        except subprocess.TimeoutExpired as err:
            raise DeviceTimeoutError(
                f"{self.uri}: {Path(argv[0]).name} did not end within {timeout_s:g} s",
                hint="is the machine overloaded, or the model too slow for these settings?",
            ) from err
        except (FileNotFoundError, NotADirectoryError, PermissionError) as err:
            absent = isinstance(err, FileNotFoundError)
            return Completed(127 if absent else 126, "", f"{argv[0]}: {err.strerror}")
        except OSError as err:
            raise DeviceError(f"{self.uri}: {argv[0]}: cannot be started ({err.strerror})") from err
        status = ended.returncode if ended.returncode >= 0 else 128 - ended.returncode
        return Completed(status, text(ended.stdout), text(ended.stderr))

    def run_job(
        self,
        argv: Sequence[str],
        workspace: PurePosixPath,  # noqa: ARG002 there is no link that could break
        *,
        timeout_s: float,
    ) -> Completed:
        """Run a command to its end; it ends with this process, as `run` says."""
        return self.run(argv, timeout_s=timeout_s)

    def push(self, local: Path, remote: PurePosixPath) -> None:
        """Copy a file to `remote`, whole or not at all; nothing happens where that is the same file."""
        _copy(local, Path(remote))

    def pull(self, remote: PurePosixPath, local: Path) -> None:
        """Copy a file from `remote`, whole or not at all; nothing happens where that is the same file."""
        _copy(Path(remote), local)


def _found(argv: Sequence[str]) -> Sequence[str]:
    """Return the command with the system's own shell where it asks for `sh`, whatever PATH says."""
    return [_SHELL, *argv[1:]] if argv[0] == "sh" else argv


def open_local(uri: str) -> LocalDevice:
    """Return the device of a name such as `local:cpu`. Raises ConfigError for any other processor."""
    parsed = parse_uri(uri)
    check_options(parsed, ())
    if parsed.place != "cpu":
        raise ConfigError(f"{uri}: not in this version", hint="local:cpu is this machine's processor")
    return LocalDevice("local:cpu")


def processor_name(root: Path = Path("/")) -> str:
    """Return the processor's name as Linux tells it, or else the architecture's."""
    with contextlib.suppress(OSError):
        board = (root / "proc/device-tree/model").read_text().strip("\0 \n")
        if board:
            return board
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _extra(root: Path) -> dict[str, str]:
    """Return what bears on timings and can be told: instruction sets, the clock's governor."""
    extra = {"architecture": platform.machine()}
    with contextlib.suppress(OSError):
        words = set((root / "proc/cpuinfo").read_text().split())
        extra["instructions"] = instructions(words)
        if "hypervisor" in words:
            extra["virtual"] = "yes: other guests may take time"
    with contextlib.suppress(OSError):
        governor = root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
        extra["governor"] = governor.read_text().strip()
    return extra


def _emulation(root: Path) -> str:
    """Return by what this machine's processor is emulated, empty where it is not."""
    told = {"architecture": platform.machine()}
    names = {"vendor_id": "vendor", "CPU implementer": "implementer", "model name": "cpu"}
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                told.setdefault(names[name.strip()], value.strip())
    return emulation(told)


def _fingerprint(root: Path) -> str:
    identity = platform.node()
    with contextlib.suppress(OSError):
        identity = (root / "etc/machine-id").read_text().strip() or identity
    return fingerprint(identity, processor_name(root), platform.machine(), _cores(), _memory_bytes())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and source.samefile(target):
        return
    try:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    except FileNotFoundError as err:
        raise DeviceFileError(f"{source}: no such file") from err
