"""Numpy and the runtimes on a device that has nothing but Python: wheels from here, into a private folder.

The device needs no network, no pip and no root. Its own interpreter unpacks the wheels beside the cache and
finds them by PYTHONPATH; a launcher stands for the two, and benchmarks take it where no other is named.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgebench.devices.process import run_process, text
from edgebench.devices.remote_device import RemoteDevice, launcher
from edgebench.errors import ConfigError, DeviceError, StorageError
from edgebench.progress import Progress, silent
from edgebench.storage import scratch_folder, sha256_bytes, sha256_path, write_text

PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert")
"""What the agent runs on; the first is needed, of the others one."""

_DOWNLOAD_S = 1800.0
_UNPACK_S = 600.0
_OLDEST_GLIBC = 17
_ASK = "import platform, sys; print(*sys.version_info[:2], platform.machine(), platform.libc_ver()[1])"
_UNPACK = """
import os, shutil, sys, zipfile
target, part = sys.argv[1], sys.argv[1] + ".part"
if os.path.isdir(target):
    sys.exit()
shutil.rmtree(part, ignore_errors=True)
for wheel in sys.argv[2:]:
    zipfile.ZipFile(wheel).extractall(part)
for data in [name for name in os.listdir(part) if name.endswith(".data")]:
    for kind in ("purelib", "platlib"):
        if os.path.isdir(os.path.join(part, data, kind)):
            shutil.copytree(os.path.join(part, data, kind), part, dirs_exist_ok=True)
os.rename(part, target)
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A device's Python. glibc: the minor version of its C library, 2.<this>."""

    path: str
    version: str
    architecture: str
    glibc: int

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the platform tags whose wheels run there, newest first (PEP 600)."""
        newer = (
            f"manylinux_2_{minor}_{self.architecture}" for minor in range(self.glibc, _OLDEST_GLIBC - 1, -1)
        )
        return (*newer, f"manylinux2014_{self.architecture}")


def set_up(
    device: RemoteDevice,
    *,
    wheels: Path | None = None,
    packages: Sequence[str] = PACKAGES,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Give a device what the agent runs on; return the names of the wheels that are there now.

    wheels: a folder to take them from, in place of the package index. packages: the first is needed; of
    the others those are left out that have no wheel for this device. Raises DeviceError where it has no
    Python, or no wheel fits it.
    """
    interpreter = ask_interpreter(device)
    with device.lease(progress), scratch_folder() as folder:
        found = _download(interpreter, wheels, packages, folder, progress)
        workspace = device.workspace(folder)
        try:
            _install(device, interpreter, found, workspace, progress)
        finally:
            device.clear(workspace)
    return tuple(path.name for path in found)


def ask_interpreter(device: RemoteDevice) -> Interpreter:
    """Return what Python a device has itself. Raises DeviceError where there is none."""
    path = device.named_python or "python3"
    done = device.run([path, "-c", _ASK], timeout_s=60)
    words = done.stdout.strip().rpartition("\n")[2].split()
    if done.returncode != 0 or len(words) < 4:  # noqa: PLR2004 the four that were asked for
        said = done.stderr.strip().splitlines()
        reason = f" ({said[-1]})" if said else " (is its C library glibc?)"
        raise DeviceError(
            f"{device.uri}: {path} does not run{reason}",
            hint="install Python 3.8 or later there: apt-get install python3",
        )
    return Interpreter(path, f"{words[0]}.{words[1]}", words[2], int(words[3].split(".")[1]))


def _download(
    interpreter: Interpreter, wheels: Path | None, packages: Sequence[str], folder: Path, progress: Progress
) -> list[Path]:
    said: str | None = ""
    for index, package in enumerate(packages):
        progress(
            f"{package} for Python {interpreter.version} on {interpreter.architecture}",
            done=index,
            total=len(packages),
        )
        said = fetch_wheel(package, interpreter, wheels, folder / "wheels")
        if said is not None:
            if index == 0:
                break
            progress(f"{package} is left out: {said}")
    found = sorted((folder / "wheels").glob("*.whl"))
    if not found or not any(path.name.startswith(packages[0].replace("-", "_")) for path in found):
        raise DeviceError(
            f"no wheel of {packages[0]} for Python {interpreter.version}, {interpreter.architecture}: {said}",
            hint="without a network here, --wheels takes a folder of .whl files",
        )
    return found


def fetch_wheel(
    package: str, interpreter: Interpreter, wheels: Path | None, folder: Path, *options: str
) -> str | None:
    """Put the wheel of `package` that fits an interpreter into `folder`; return None, or why there is none.

    wheels: a folder to take it from, in place of the package index. options: of `pip download`, in addition.
    Raises ConfigError where `wheels` is no folder, StorageError where it takes too long.
    """
    if wheels is not None and not wheels.is_dir():
        raise ConfigError(f"{wheels}: no such folder", hint="--wheels takes a folder of .whl files")
    source = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    platforms = [word for tag in interpreter.platforms for word in ("--platform", tag)]
    argv = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", interpreter.version),
        *(*platforms, *source, "--dest", str(folder), package),
    ]
    try:
        ended = run_process(argv, timeout_s=_DOWNLOAD_S)
    except subprocess.TimeoutExpired as err:
        raise StorageError(f"pip download {package} did not end within {_DOWNLOAD_S:g} s") from err
    return None if ended.returncode == 0 else text(ended.stderr).strip().rpartition("\n")[2]


def _install(
    device: RemoteDevice,
    interpreter: Interpreter,
    wheels: Sequence[Path],
    workspace: PurePosixPath,
    progress: Progress,
) -> None:
    root = device.cache().root / "python"
    digest = sha256_bytes("".join(sha256_path(path) for path in wheels).encode())[:16]
    site, sent = root / f"{interpreter.version}-{digest}", []
    for index, path in enumerate(wheels):
        progress(f"sending {path.name}", done=index, total=len(wheels))
        device.deploy(path, workspace / path.name)
        sent.append(str(workspace / path.name))
    _run(device, ["mkdir", "-p", str(root)])
    _run(device, [interpreter.path, "-c", _UNPACK, str(site), *sent])
    with scratch_folder() as folder:
        lines = ["#!/bin/sh", f"PYTHONPATH='{site}' exec '{interpreter.path}' \"$@\"", ""]
        write_text(folder / "python3", "\n".join(lines))
        device.push(folder / "python3", launcher(device.cache().root))
    _run(device, ["chmod", "755", str(launcher(device.cache().root))])


def _run(device: RemoteDevice, argv: Sequence[str]) -> None:
    done = device.run(argv, timeout_s=_UNPACK_S)
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2]
        raise DeviceError(f"{device.uri}: unpacking the wheels: {said}", hint="is the device's disk full?")
