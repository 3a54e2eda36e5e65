"""The runtimes' shared libraries, as their wheels hold them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebench.errors import MissingExtraError

PACKAGES = {"onnxruntime": "onnxruntime", "litert": "ai-edge-litert"}
"""Runtime, as jobs call it → the package whose wheel has its library."""

_PATTERNS: Mapping[str, str] = {
    "onnxruntime": "onnxruntime/capi/libonnxruntime.so*",
    "litert": "ai_edge_litert/libLiteRt.so",
}


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
    library = find_library(runtime, Path(str(distribution.locate_file(""))))
    if library is None:
        raise MissingExtraError(
            f"{package} {distribution.version} brings no shared library of its own",
            hint=f"{hint} --upgrade: later releases do",
        )
    return Library(runtime, library, distribution.version)


def find_library(runtime: str, site: Path) -> Path | None:
    """Return a runtime's library in an unpacked wheel or a folder of packages, None where it has none."""
    return min(site.glob(_PATTERNS[runtime]), default=None)
