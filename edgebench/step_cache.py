"""Steps cached by content: what was made once from the same inputs is not made again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
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
    names += ("tensorflow-cpu", "tensorflow", "keras", "tf_keras", "tf2onnx", "onnxscript")
    names += ("pandas", "matplotlib")
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
    leaves nothing that could be taken for a finished one. A folder that has lost files since is made
    anew, and what killed steps left is swept away. fresh: make it anew in any case. Raises StorageError
    where the cache cannot be written, and whatever `make` raises.
    """
    digest = sha256_bytes(encode_json({"what": what, "environment": environment(), **key}))
    folder = cache_folder() / "steps" / digest[:2] / digest
    if not fresh and _is_whole(folder):
        progress(f"{what}: from the cache")
        return folder
    progress(what)
    with _working_folder(folder) as working:
        make(working)
        record = {"what": what, "key": dict(key), "files": _sizes(working)}
        write_json(working / _RECORD, record)
        _publish(working, folder, fresh=fresh)
    return folder


_RECORD = "key.json"


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file of a step in bytes, by its path in the folder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def _is_whole(folder: Path) -> bool:
    """Return whether a finished step lies in `folder` with all the files that it was published with."""
    import json

    try:
        record = json.loads((folder / _RECORD).read_bytes())
        found = _sizes(folder)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("files") == {
        name: size for name, size in found.items() if name != _RECORD
    }


@contextlib.contextmanager
def _working_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, locked while this process lives and gone afterwards."""
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        working, handle = _locked_folder(folder)
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)
        os.close(handle)


def _locked_folder(folder: Path) -> tuple[Path, int]:
    while True:
        working = folder.with_name(f".{folder.name[:16]}.{secrets.token_hex(6)}")
        working.mkdir()
        handle = os.open(working, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(handle, fcntl.LOCK_EX)
        if working.exists():  # else another run swept it before it was locked
            return working, handle
        os.close(handle)


def _sweep(bucket: Path) -> None:
    """Remove working folders whose process is dead: the kernel has freed their locks."""
    for left in bucket.glob(".*"):
        with contextlib.suppress(OSError):  # held by a living run, or swept by another
            handle = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def _publish(working: Path, folder: Path, *, fresh: bool) -> None:
    """Rename `working` to `folder`; what another run has finished there meanwhile stays in its place."""
    if folder.exists() and (fresh or not _is_whole(folder)):
        old = folder.with_name(f".{folder.name[:16]}.{secrets.token_hex(6)}")
        with contextlib.suppress(OSError):  # another run was quicker
            folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)
    try:
        working.rename(folder)
    except OSError as err:
        if not folder.exists():
            raise StorageError(f"{folder}: cannot be written ({err.strerror})") from err
