"""What runs jobs on a device: the agent in its Python, or the native runner."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edgebench.benchmark.native.build import SOURCES
from edgebench.benchmark.native.bundle import Bundle, fetch_bundle, open_bundle, target_of
from edgebench.benchmark.native.libraries import PACKAGES
from edgebench.devices.remote_device import RemoteDevice
from edgebench.errors import ConfigError, DeviceError
from edgebench.progress import Progress, silent
from edgebench.storage import scratch_folder, sha256_bytes, sha256_path

if TYPE_CHECKING:
    from edgebench.devices.device import Device
    from edgebench.devices.transport import Completed

AGENT = Path(__file__).with_name("agent.py")
AGENT_RUNTIMES = AGENT.with_name("agent_runtimes.py")
CONDUCTOR = AGENT.with_name("conductor.py")
_FILES = (AGENT, AGENT_RUNTIMES, CONDUCTOR)
"""What a device with Python is sent: the agent, what it needs beside it, and who starts several."""
NATIVE_RUNNER = "native runner"
"""Among a program's packages: by which compiler it was built."""

_START_S = 60.0
_BARE_PYTHON = "python3"


class Runner(enum.StrEnum):
    """Who runs the jobs. AUTO: the native runner on phones whose Python nobody names, else Python."""

    AUTO = "auto"
    PYTHON = "python"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Program:
    """What runs jobs on a device. command: what stands before a job's path. conductor: before a conductor's.

    packages: what it runs on, with versions. sha256: of its source. bundle: of the native runner, whose jobs
    name a library.
    """

    command: tuple[str, ...]
    conductor: tuple[str, ...]
    packages: Mapping[str, str]
    sha256: str
    bundle: Bundle | None = None


def open_program(device: Device, workspace: PurePosixPath, runner: Runner = Runner.AUTO) -> Program:
    """Return what runs jobs on a device, sent into its workspace and tried.

    Raises DeviceError where it does not start there, ConfigError where it cannot be built here.
    """
    native = runner is Runner.NATIVE or (runner is Runner.AUTO and _has_no_python(device))
    return _native(device, workspace) if native else _python(device, workspace)


def set_up_native(
    device: Device, *, wheels: Path | None = None, progress: Progress = silent
) -> tuple[str, ...]:
    """Build the native runner for a device, fetch what it needs, try it there; return what it consists of.

    wheels: a folder of wheels, in place of the package index. Raises ConfigError where no compiler for it is
    here, DeviceError where no wheel fits or the runner does not start there.
    """
    bundle = fetch_bundle(target_of(device.facts()), wheels=wheels, progress=progress)
    with device.lease(progress), scratch_folder() as folder:
        workspace = device.workspace(folder)
        try:
            progress(f"trying it on {device.uri}")
            program = _native(device, workspace)
        finally:
            device.clear(workspace)
    through = f", started through {Path(program.command[0]).name}" if len(program.command) > 1 else ""
    libraries = (f"{library.path.name} {library.version}" for library in bundle.libraries.values())
    return (f"runner by {bundle.compiler}{through}", *libraries)


def parse_runner(text: str) -> Runner:
    """Return the runner of a word. Raises ConfigError for any other word."""
    try:
        return Runner(text)
    except ValueError as err:
        raise ConfigError(f"{text!r} is no runner", hint=f"one of {', '.join(Runner)}") from err


def last_words(completed: Completed, lines: int = 3) -> str:
    """Return the last lines of what a command said on standard error, ready to follow a message."""
    said = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    return f": {' / '.join(said[-lines:])}" if said else ""


def _has_no_python(device: Device) -> bool:
    """Return whether a device is a phone of which nobody says that it has a Python."""
    if not isinstance(device, RemoteDevice) or not device.uri.startswith("adb:"):
        return False
    return device.named_python is None and device.python == _BARE_PYTHON


def _python(device: Device, workspace: PurePosixPath) -> Program:
    for path in _FILES:
        device.deploy(path, workspace / path.name)
    command = (device.python, str(workspace / AGENT.name))
    completed = device.run([*command, "--probe"], timeout_s=_START_S)
    try:
        # old phones send warnings before it
        answer = json.loads(completed.stdout.strip().rpartition("\n")[2])
        packages = {str(name): str(version) for name, version in answer["packages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise DeviceError(
            f"{device.uri}: the agent does not start{last_words(completed)}",
            hint="it needs Python 3.8 or later with numpy: over a link, `edgebench devices setup` brings "
            "numpy and the runtimes, and ?python=/path names another interpreter",
        ) from err
    packages["python"] = str(answer.get("python"))
    conductor = (device.python, str(workspace / CONDUCTOR.name))
    return Program(command, conductor, packages, sha256_bytes(b"".join(path.read_bytes() for path in _FILES)))


def _native(device: Device, workspace: PurePosixPath) -> Program:
    bundle = open_bundle(target_of(device.facts()))
    runner = workspace / "runner"
    deploy_executable(device, bundle.runner, runner)
    command: tuple[str, ...] = (str(runner),)
    if _probe(device, command).returncode != 0:
        command = _through_loader(device, workspace, bundle, runner)
    packages = {PACKAGES[runtime]: library.version for runtime, library in bundle.libraries.items()}
    packages[NATIVE_RUNNER] = bundle.compiler
    sources = "".join(sha256_path(path) for path in sorted(SOURCES.glob("*.[ch]")))
    return Program(command, (*command, "--conduct"), packages, sha256_bytes(sources.encode()), bundle)


def _through_loader(
    device: Device, workspace: PurePosixPath, bundle: Bundle, runner: PurePosixPath
) -> tuple[str, ...]:
    """Return the command that starts the runner on a machine whose C library is another or too old."""
    files = bundle.c_library()
    for path in files:
        device.deploy(path, workspace / path.name)
    loader = workspace / files[0].name
    deploy_executable(device, files[0], loader)
    command = (str(loader), "--library-path", str(workspace), str(runner))
    completed = _probe(device, command)
    if completed.returncode != 0:
        raise DeviceError(f"{device.uri}: the native runner does not start{last_words(completed)}")
    return command


def deploy_executable(device: Device, local: Path, remote: PurePosixPath) -> None:
    """Give a device a program, and the right to run it."""
    device.deploy(local, remote)
    device.run(["chmod", "755", str(remote)], timeout_s=_START_S)


def _probe(device: Device, command: tuple[str, ...]) -> Completed:
    return device.run([*command, "--probe"], timeout_s=_START_S)
