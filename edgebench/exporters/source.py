"""The model that a user names, found and recognised without loading any framework."""

from __future__ import annotations

import enum
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgebench.artifact import SourceRecord
from edgebench.errors import InputError, ModelError
from edgebench.step_content import file_sha256
from edgebench.storage import sha256_path
from edgebench.user_code import names_function, resolve_function_spec, source_path

KNOWN = (
    "edgebench reads .onnx, .tflite, .keras, .h5, a SavedModel folder, .pt2, and "
    "file.py:factory with --weights"
)
_LFS = b"version https://git-lfs"


class SourceKind(enum.StrEnum):
    """What a source is."""

    TORCH = "torch"
    PT2 = "pt2"
    KERAS = "keras"
    SAVED_MODEL = "saved_model"
    ONNX = "onnx"
    TFLITE = "tflite"


_BY_SUFFIX = {
    ".pt2": SourceKind.PT2,
    ".keras": SourceKind.KERAS,
    ".h5": SourceKind.KERAS,
    ".hdf5": SourceKind.KERAS,
    ".onnx": SourceKind.ONNX,
    ".tflite": SourceKind.TFLITE,
}
_WEIGHTS = {".pt", ".pth", ".th", ".safetensors", ".ckpt", ".bin"}


@dataclass(frozen=True, slots=True)
class Source:
    """A model to export. path: its file or folder, absolute; None for a factory in a module.

    factory: `module:factory` or `/absolute/file.py:factory`. input_shapes: as the user gave them, one
    per input; empty where they are to be discovered.
    """

    model: str
    kind: SourceKind
    path: Path | None
    factory: str | None
    weights: Path | None
    record: SourceRecord
    input_shapes: tuple[tuple[int, ...], ...] = ()


def open_source(
    model: str,
    *,
    weights: Path | None = None,
    input_shapes: Sequence[Sequence[int]] = (),
    base: Path | None = None,
) -> Source:
    """Return the model that a user named; relative paths are taken from `base`.

    Cheap: looks at names, sizes, first bytes and hashes. Raises InputError where there is no such
    model or it is not of a known kind, ModelError where a file is damaged.
    """
    folder = base or Path.cwd()
    path = (folder / model).resolve()
    if weights is not None:
        weights = (folder / weights).resolve()
        check_readable(weights)
    shapes = tuple(tuple(shape) for shape in input_shapes)
    if names_function(model, folder):
        return _factory(model, folder, weights, shapes)
    kind = _kind(path, model)
    if weights is not None:
        raise InputError(
            f"--weights {weights}: {path.name} carries its own weights", hint="leave out --weights"
        )
    record = SourceRecord(model=model, kind=kind, sha256=file_sha256(path))
    return Source(model, kind, path, None, None, record, shapes)


def _factory(model: str, base: Path, weights: Path | None, shapes: tuple[tuple[int, ...], ...]) -> Source:
    factory = resolve_function_spec(model, base=base)
    code = source_path(model, base=base)
    if code is None:
        raise InputError(f"{model}: no such module", hint="as in model.py:build or package.module:build")
    record = SourceRecord(model=model, kind=SourceKind.TORCH, sha256=sha256_path(code))
    if weights is not None:
        record = replace(record, weights=weights.name, weights_sha256=sha256_path(weights))
    return Source(model, SourceKind.TORCH, None, factory, weights, record, shapes)


def _kind(path: Path, model: str) -> SourceKind:
    if not path.exists():
        raise InputError(f"{path}: no such file", hint=KNOWN)
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return SourceKind.SAVED_MODEL
        raise InputError(f"{path}: a folder without saved_model.pb", hint=KNOWN)
    if path.suffix.lower() in _WEIGHTS:
        raise InputError(
            f"{path}: holds weights and no network",
            hint=f"name the network: file.py:factory --weights {model}",
        )
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path}: is not a model of a known kind", hint=KNOWN)
    check_readable(path)
    _check_content(path, kind)
    return kind


def check_readable(path: Path) -> None:
    """Raise ModelError where a file is absent, empty, or a Git LFS pointer instead of its content."""
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    with path.open("rb") as stream:
        head = stream.read(len(_LFS))
    if not head:
        raise ModelError(f"{path}: the file is empty")
    if head == _LFS:
        raise ModelError(f"{path}: is a Git LFS pointer, not the model", hint="run git lfs pull")


def _check_content(path: Path, kind: SourceKind) -> None:
    with path.open("rb") as stream:
        head = stream.read(8)
    if kind is SourceKind.TFLITE and head[4:8] != b"TFL3":
        raise ModelError(f"{path}: is not a TFLite file: its identifier is missing", hint="download it again")
    zipped = kind is SourceKind.PT2 or path.suffix.lower() == ".keras"
    if zipped and not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: is not a {path.suffix} archive, or it is cut off", hint="save it again")
    if path.suffix.lower() in (".h5", ".hdf5") and not head.startswith(b"\x89HDF"):
        raise ModelError(f"{path}: is not an HDF5 file", hint="save it again")
