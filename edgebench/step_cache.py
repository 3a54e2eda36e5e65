"""Steps cached by content: what was made once from the same inputs is not made again."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from edgebench import __version__
from edgebench.errors import StorageError
from edgebench.progress import Progress
from edgebench.storage import cache_folder, encode_json, sha256_bytes, storage_errors, write_json


def environment() -> dict[str, str]:
    """Return the versions of Python, this tool and the packages that results depend on."""
    import importlib.metadata
    import platform

    names: tuple[str, ...] = (
        "numpy",
        "onnx",
        "onnxruntime",
        "ai-edge-litert",
        "ai-edge-quantizer",
        "litert-torch",
        "torch",
    )
    names += ("tensorflow-cpu", "tensorflow", "tf2onnx", "onnxscript", "pandas", "matplotlib")
    versions = {
        "python": platform.python_version(),
        "edgebench": __version__,
        "platform": platform.platform(),
    }
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def cached_step(
    what: str, key: Mapping[str, object], make: Callable[[Path], None], *, fresh: bool, progress: Progress
) -> Path:
    """Return the folder that `make` filled for `key`: from the cache, or made now.

    The folder appears under its content address only when `make` has returned, so a killed step
    leaves nothing that could be taken for a finished one.
    """
    digest = sha256_bytes(encode_json({"what": what, "environment": environment(), **key}))
    folder = cache_folder() / "steps" / digest[:2] / digest
    if folder.exists() and not fresh:
        progress(f"{what}: from the cache")
        return folder
    progress(what)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        working = folder.with_name(f".{digest[:16]}.{os.getpid()}.{secrets.token_hex(3)}")
        working.mkdir()
    try:
        make(working)
        write_json(working / "key.json", {"what": what, **key})
        _publish(working, folder)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return folder


def _publish(working: Path, folder: Path) -> None:
    if folder.exists():  # made meanwhile by another run, or by this one before `fresh`
        shutil.rmtree(folder, ignore_errors=True)
    try:
        working.rename(folder)
    except OSError as err:
        if not folder.exists():
            raise StorageError(f"{folder}: cannot be written ({err.strerror})") from err
