"""What a machine needs to run the native runner: the program, a runtime's library, at times a C library."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark.native.build import Target, build, find_compiler, run_compiler
from edgebench.benchmark.native.libraries import (
    PACKAGES,
    Library,
    fetch_library,
    fetched_library,
    installed_library,
)
from edgebench.devices.process import text
from edgebench.errors import DeviceError, EdgebenchError, MissingExtraError
from edgebench.progress import Progress

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import DeviceFacts

_C_LIBRARY = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
    *("libstdc++.so.6", "libgcc_s.so.1"),
)
_LOADERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """The native runner for one kind of machine. compiler: its version, in words.

    libraries: by runtime, those that are here. lacking: by runtime, why one is not.
    """

    target: Target
    runner: Path
    compiler: str
    libraries: Mapping[str, Library] = field(default_factory=dict)
    lacking: Mapping[str, EdgebenchError] = field(default_factory=dict)

    def library(self, runtime: str) -> Library:
        """Return a runtime's library. Raises what says why it is not here."""
        if runtime in self.libraries:
            return self.libraries[runtime]
        raise self.lacking[runtime]

    def c_library(self) -> tuple[Path, ...]:
        """Return the loader and the C and C++ libraries of the compiler, for machines without glibc.

        The loader is the first. Raises DeviceError where this compiler has none, ConfigError where it hangs.
        """
        compiler = find_compiler(self.target)
        names = [_LOADERS.get(self.target.architecture, "ld.so"), *_C_LIBRARY]
        found = [_file_of(compiler.argv, name) for name in names]
        absent = next((name for name, path in zip(names, found, strict=True) if path is None), None)
        if absent is not None:
            raise DeviceError(
                f"{compiler.argv[0]} has no {absent} for {self.target.name}",
                hint=f"apt-get install gcc-{self.target.architecture.replace('_', '-')}-linux-gnu",
            )
        return tuple(path for path in found if path is not None)


def _file_of(compiler: tuple[str, ...], name: str) -> Path | None:
    """Return where a compiler has a library; it gives the bare name back where it has none."""
    path = Path(text(run_compiler([*compiler, f"-print-file-name={name}"]).stdout).strip())
    return path if path.is_absolute() and path.exists() else None


def target_of(facts: DeviceFacts) -> Target:
    """Return what kind of machine a device is; programs for glibc serve on Android too."""
    return Target(facts.extra.get("architecture", platform.machine()))


def open_bundle(target: Target) -> Bundle:
    """Return the bundle for a kind of machine, the runner built where the cache does not have it.

    Raises ConfigError where no compiler for it is here.
    """
    libraries: dict[str, Library] = {}
    lacking: dict[str, EdgebenchError] = {}
    for runtime in PACKAGES:
        try:
            libraries[runtime] = _library(runtime, target)
        except EdgebenchError as err:
            lacking[runtime] = err
    return Bundle(target, build(target), find_compiler(target).version, libraries, lacking)


def fetch_bundle(target: Target, *, wheels: Path | None, progress: Progress) -> Bundle:
    """Return the bundle for a kind of machine, with libraries fetched for it where it is not this one's kind.

    wheels: a folder to take them from. Raises ConfigError without a compiler, DeviceError without a wheel.
    """
    progress(f"the native runner for {target.name}")
    build(target)
    if target.architecture == platform.machine():
        progress(f"the packages that are installed here serve on {target.name}")
    else:
        for runtime in PACKAGES:
            fetch_library(runtime, target.architecture, wheels, progress)
    return open_bundle(target)


def _library(runtime: str, target: Target) -> Library:
    if target.architecture == platform.machine():
        return installed_library(runtime)
    if fetched := fetched_library(runtime, target.architecture):
        return fetched
    raise MissingExtraError(
        f"there is no {PACKAGES[runtime]} for {target.name} here",
        hint="edgebench devices setup NAME --native fetches it",
    )
