"""A run's folder: found or made, held by one program at a time, and what it says of itself."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from edgebench import __version__
from edgebench.errors import InputError
from edgebench.progress import Progress
from edgebench.step_cache import environment
from edgebench.storage import (
    folder_lock,
    read_json,
    sha256_path,
    storage_errors,
    sweep_parts,
    write_json,
    write_text,
)

RUN_SCHEMA = 1
"""1: the first."""
_MANIFEST = "manifest.json"
_NOT_RESULTS = (_MANIFEST, ".lock")


@dataclass(frozen=True, slots=True)
class RunManifest:
    """What a run folder is: which configuration it runs, and whether it came to its end."""

    name: str
    config_sha256: str
    created_utc: str
    tool_version: str
    finished: bool = False
    files: dict[str, str] | None = None
    schema: int = RUN_SCHEMA


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What makes two runs the same. config: the resolved configuration as YAML. sha256: of all of it."""

    name: str
    config: str
    sha256: str


@contextlib.contextmanager
def held_run(runs: Path, identity: RunIdentity, *, fresh: bool, progress: Progress) -> Iterator[Path]:
    """Yield a run's folder, held for this program: the newest unfinished one of `identity`, or a new one.

    runs: the folder of this pipeline's runs. fresh: a new one in any case. A run whose manifest cannot
    be read is left alone, and said so. Raises StorageError where another program holds the run that
    would be taken up, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        folder = None if fresh else _take_up(runs, identity, stack, progress)
        yield folder or _create(runs, identity, stack)


def new_run_folder(runs: Path) -> Path:
    """Return a name for a new run in `runs`: the time in UTC, and a short id of its own."""
    return runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def finish(folder: Path) -> None:
    """Write into the run's manifest that it came to its end, with the SHA-256 of each of its files."""
    manifest = read_json(folder / _MANIFEST, RunManifest)
    files = {
        path.relative_to(folder).as_posix(): sha256_path(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _NOT_RESULTS
    }
    write_json(folder / _MANIFEST, replace(manifest, finished=True, files=files))


def _take_up(
    runs: Path, identity: RunIdentity, stack: contextlib.ExitStack, progress: Progress
) -> Path | None:
    for path in sorted(runs.glob(f"*/{_MANIFEST}"), reverse=True):
        if not _unfinished(path, identity, progress):
            continue
        with contextlib.ExitStack() as held:
            held.enter_context(folder_lock(path.parent))
            if not _unfinished(path, identity, progress):  # the one that held it has finished it meanwhile
                continue
            stack.push(held.pop_all())
        progress(f"taking up {path.parent}")
        shutil.rmtree(path.parent / ".work", ignore_errors=True)
        sweep_parts(path.parent)
        return path.parent
    return None


def _unfinished(path: Path, identity: RunIdentity, progress: Progress) -> bool:
    try:
        record = read_json(path, RunManifest)
    except InputError as err:
        progress(f"note: {err.message}; that run is left alone")
        return False
    return record.config_sha256 == identity.sha256 and not record.finished


def _create(runs: Path, identity: RunIdentity, stack: contextlib.ExitStack) -> Path:
    folder = new_run_folder(runs)
    with storage_errors(folder):
        folder.mkdir(parents=True)
    stack.enter_context(folder_lock(folder))
    write_text(folder / "config.resolved.yaml", identity.config)
    write_json(folder / "env.json", environment())
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / _MANIFEST, RunManifest(identity.name, identity.sha256, created, __version__))
    return folder
