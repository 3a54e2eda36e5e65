"""What a device lacks before a benchmark can run there, found step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from edgebench.benchmark.agent_run import open_host
from edgebench.benchmark.programs import NATIVE_RUNNER
from edgebench.device_state import examine_state
from edgebench.devices.device import Device
from edgebench.devices.quarantine import lift
from edgebench.devices.registry import open_device
from edgebench.devices.remote_device import RemoteDevice
from edgebench.doctor import RUNTIMES, Finding
from edgebench.errors import EdgebenchError
from edgebench.storage import scratch_folder

TOOLS = ("sha256sum", "setsid", "find", "du", "touch", "ln")
"""What the shell there is asked for, besides the simplest commands."""

_RUNTIME_NAMES = {names.partition("|")[0] for names in RUNTIMES}
_LOOK = 'for tool; do command -v "$tool" >/dev/null || echo "$tool"; done'


def examine_device(uri: str) -> tuple[Finding, ...]:
    """Return what a benchmark needs of a device and whether it is there, up to the first step that fails.

    The last finding says whether a benchmark can run; where it can, a quarantine is lifted. Nothing but
    the agent in the cache stays on the device. Raises ConfigError for what names no device.
    """
    device = open_device(uri)
    with scratch_folder() as folder:
        found = tuple(_steps(device, folder))
    runs = any(finding.present and finding.name in _RUNTIME_NAMES for finding in found)
    freed = runs and lift(device.uri)
    detail = f"can run here{'; out of quarantine' * freed}" if runs else "cannot run here yet"
    return (*found, Finding("benchmark", runs, detail))


def _steps(device: Device, folder: Path) -> Iterator[Finding]:
    step = "connection"
    try:
        facts = device.facts()
        yield Finding(step, present=True, detail=f"{facts.name}: {facts.processor}, {facts.system}")
        if facts.emulated:
            by = facts.extra.get("emulated_by", "software")
            yield Finding("hardware", present=False, detail=f"emulated by {by}: its latencies prove nothing")
        step = "shell tools"
        yield _tools(device)
        step = "sensors"
        yield from examine_state(device)
        step = "folder"
        workspace = device.workspace(folder)
        yield Finding(step, present=True, detail=f"{workspace.parent} can be written")
        step = "what runs jobs"
        packages = _packages(device, folder, workspace)
        yield _runs_jobs(device, packages)
        for names, purpose in RUNTIMES.items():
            remedy = _remedy(device, names.partition("|")[0])
            yield _runtime(names, purpose, packages, remedy)
    except EdgebenchError as err:
        yield Finding(step, present=False, detail=err.message, remedy=err.hint)


def _runs_jobs(device: Device, packages: Mapping[str, str]) -> Finding:
    """Return what runs jobs there: an interpreter, or the native runner."""
    if NATIVE_RUNNER in packages:
        return Finding(NATIVE_RUNNER, present=True, detail=f"it starts; built by {packages[NATIVE_RUNNER]}")
    versions = f"{packages['python']} with numpy {packages.get('numpy', 'of unknown version')}"
    return Finding("python", present=True, detail=f"{device.python}: {versions}")


def _packages(device: Device, folder: Path, workspace: PurePosixPath) -> Mapping[str, str]:
    """Return what the interpreter there has, as the agent tells. Raises DeviceError."""
    try:
        return open_host(device, folder).packages
    finally:
        device.clear(workspace)


def _tools(device: Device) -> Finding:
    lacking = device.run(["sh", "-c", _LOOK, "sh", *TOOLS], timeout_s=60).stdout.split()
    detail = f"without {', '.join(lacking)}" if lacking else "a POSIX shell with all that is asked of it"
    remedy = "coreutils and util-linux, toybox or busybox have them" if lacking else None
    return Finding("shell tools", not lacking, detail, remedy)


def _remedy(device: Device, package: str) -> str:
    """Return the command that brings a package to a device."""
    if isinstance(device, RemoteDevice):
        return f"edgebench devices setup {device.uri}"
    return f"pip install {package}"


def _runtime(names: str, purpose: str, packages: Mapping[str, str], remedy: str) -> Finding:
    """Return whether the interpreter there has one of the packages that `names` lists."""
    found = [f"{name} {packages[name]}" for name in names.split("|") if name in packages]
    first = names.partition("|")[0]
    if found:
        return Finding(first, present=True, detail=f"{', '.join(found)}: {purpose}")
    return Finding(first, present=False, detail=purpose, remedy=remedy)
