"""The runtimes' shared libraries, as their wheels hold them: of this machine's packages, or fetched."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebench.devices.setup import Interpreter, fetch_wheel
from edgebench.errors import DeviceError, MissingExtraError
from edgebench.progress import Progress
from edgebench.storage import atomic_path, cache_folder, scratch_folder

PACKAGES: Mapping[str, str] = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}
"""Runtime, as jobs call it → the package whose wheel has its library."""

_PLACES: Mapping[str, tuple[str, str]] = {
    "onnxruntime": ("onnxruntime/capi", "libonnxruntime.so"),
    "litert": ("ai_edge_litert", "libLiteRt.so"),
}
"""Folder in the wheel, and how the library's name begins."""

_GLIBC = 28
"""The C library that both packages' wheels are made for, 2.28."""


@dataclass(frozen=True, slots=True)
class Library:
    """A runtime's shared library. version: of the package it comes from."""

    runtime: str
    path: Path
    version: str


def installed_library(runtime: str) -> Library:
    """Return the library of the package that is installed here. Raises MissingExtraError."""
    package = PACKAGES[runtime]
    hint = f"pip install {package}"
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError as err:
        raise MissingExtraError(f"{package} is not installed here", hint=hint) from err
    folder, name = _PLACES[runtime]
    found = min(Path(str(distribution.locate_file(folder))).glob(f"{name}*"), default=None)
    if found is None:
        raise MissingExtraError(
            f"{package} {distribution.version} brings no shared library of its own",
            hint=f"{hint} --upgrade: later releases do",
        )
    return Library(runtime, found, distribution.version)


def fetched_library(runtime: str, architecture: str) -> Library | None:
    """Return the library for another architecture that was fetched last, None where none was."""
    found = sorted(_shelf(runtime, architecture).glob("*/*.so*"), key=lambda path: path.stat().st_mtime)
    return Library(runtime, found[-1], found[-1].parent.name) if found else None


def fetch_library(runtime: str, architecture: str, wheels: Path | None, progress: Progress) -> Library:
    """Return the library for another architecture, fetched now into the cache.

    wheels: a folder to take it from, in place of the package index. Raises DeviceError where there is none.
    """
    package = PACKAGES[runtime]
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    progress(f"{package} for {architecture}")
    with scratch_folder() as folder:
        interpreter = Interpreter("", version, architecture, _GLIBC)
        said = fetch_wheel(package, interpreter, wheels, folder, "--no-deps")
        wheel = next(folder.glob("*.whl"), None)
        if wheel is None:
            raise DeviceError(
                f"no wheel of {package} for {architecture}: {said}",
                hint="without a network here, --wheels takes a folder of .whl files",
            )
        return _unpack(wheel, runtime, architecture)


def _shelf(runtime: str, architecture: str) -> Path:
    return cache_folder() / "native" / "libraries" / architecture / runtime


def _unpack(wheel: Path, runtime: str, architecture: str) -> Library:
    """Return the library that a wheel holds, in the cache. Raises DeviceError where it holds none."""
    folder, name = _PLACES[runtime]
    version = wheel.name.split("-")[1]
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = min(entry for entry in archive.namelist() if entry.startswith(f"{folder}/{name}"))
            target = _shelf(runtime, architecture) / version / Path(found).name
            with atomic_path(target) as temporary:
                temporary.write_bytes(archive.read(found))
    except (ValueError, zipfile.BadZipFile) as err:
        raise DeviceError(f"{wheel.name}: it brings no {name}", hint="a later release does") from err
    return Library(runtime, target, version)
