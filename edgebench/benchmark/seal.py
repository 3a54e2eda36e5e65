"""The seal on evidence: the SHA-256 of every file of raw numbers, and of evidence.json without the seal.

It shows what was edited, cut off or exchanged since. It is no signature: who edits may seal anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgebench.errors import InputError
from edgebench.storage import encode_json, sha256_bytes, sha256_path

SEALED_FROM = 3
"""The first schema of evidence that has a seal."""

_NAMES_A_FILE = ("samples", "outputs", "raw")
_SHOWN = 16
_HINT = "bring back the file as it was, or measure anew in another folder"


def sealed(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return evidence as plain data with its seal; files that it names and are not there are left out."""
    files = {name: sha256_path(folder / name) for name in named_files(content) if (folder / name).is_file()}
    return {**content, "seal": {"files": files, "sha256": _own(content, files)}}


def check_seal(path: Path, content: Mapping[str, Any]) -> None:
    """Raise InputError where evidence, as plain data, is not what was sealed.

    path: of evidence.json, for the message. Evidence of earlier schemas has no seal.
    """
    if int(content.get("schema", 0)) < SEALED_FROM:
        return
    files, told = _seal(path, content)
    bare = {key: value for key, value in content.items() if key != "seal"}
    if (found := _own(bare, files)) != told:
        raise InputError(
            f"{path}: was edited after the measurement: its SHA-256 is {found[:_SHOWN]}…, and its seal says "
            f"{told[:_SHOWN]}…",
            hint=_HINT,
        )


def check_files(folder: Path, path: Path, content: Mapping[str, Any]) -> None:
    """Raise InputError, naming the file, where a file of raw numbers is not the one that was sealed."""
    if int(content.get("schema", 0)) < SEALED_FROM:
        return
    files, _ = _seal(path, content)
    for name in named_files(content):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: is missing, and {path.name} names it", hint=_HINT)
        found, told = sha256_path(folder / name), files.get(name, "nothing")
        if found != told:
            raise InputError(
                f"{folder / name}: is not the file that was measured: its SHA-256 is {found[:_SHOWN]}…, and "
                f"{path.name} says {told[:_SHOWN]}…",
                hint=_HINT,
            )


def named_files(content: Mapping[str, Any]) -> list[str]:
    """Return the paths, relative to its folder, of the files of raw numbers that evidence names."""
    return sorted(set(_files(content)))


def _seal(path: Path, content: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    seal = content.get("seal")
    if not isinstance(seal, dict) or not isinstance(seal.get("files"), dict) or "sha256" not in seal:
        raise InputError(f"{path}: has lost its seal: was it edited?", hint=_HINT)
    return seal["files"], str(seal["sha256"])


def _own(content: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return sha256_bytes(encode_json({**content, "files": files}))


def _files(content: object) -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key in _NAMES_A_FILE and isinstance(value, str) and value:
                yield value
            elif key != "seal":
                yield from _files(value)
    elif isinstance(content, list | tuple):
        for item in content:
            yield from _files(item)
