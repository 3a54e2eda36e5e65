"""What a step's result depends on, as hashes: the key under which the step is cached."""

from __future__ import annotations

import functools
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from edgebench.storage import encode_json, sha256_bytes, sha256_path
from edgebench.user_code import names_function, source_path

_LOCATION = b"location"
"""The key under which an ONNX file names a file of weights."""
_MAKERS = ("compression", "exporters", "calibration")
_CODE = ("*.py", "*.txt")
"""Code, and the pinned packages of the environments that converters have of their own."""


@functools.cache
def tool_sha256() -> str:
    """Return a hash of this tool's own code that makes models: its exact version, of a checkout too."""
    package = Path(__file__).parent
    rooms = (package / room for room in _MAKERS)
    return _files_sha256(package, sorted(f for room in rooms for kind in _CODE for f in room.rglob(kind)))


def model_sha256(spec: str, base: Path) -> str | None:
    """Return a hash of all that a model's spec string stands for; None where there is no such thing.

    A file or folder: its content, with the files that an ONNX file keeps its weights in. A function:
    the Python files of its outermost package, or of its file's folder and the folders of Python files
    below, because it may import any of them.
    """
    path = base / spec
    if names_function(spec, base):
        code = source_path(spec, base=base)
        return None if code is None else _files_sha256(*_code_of(code))
    return file_sha256(path) if path.exists() else None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a model's file or folder; with weights in files beside an ONNX file, of all."""
    beside = _external_data(path) if path.suffix.lower() == ".onnx" else []
    return _files_sha256(path.parent, [path, *beside]) if beside else sha256_path(path)


def _files_sha256(folder: Path, files: list[Path]) -> str:
    return sha256_bytes(encode_json([(str(file.relative_to(folder)), sha256_path(file)) for file in files]))


def _code_of(file: Path) -> tuple[Path, list[Path]]:
    """Return the Python files that a function in `file` may import as its own, and the folder of all."""
    folder = file.parent
    while (folder / "__init__.py").exists() and (folder.parent / "__init__.py").exists():
        folder = folder.parent
    installed = any(folder == Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))
    return folder, [file] if installed else sorted(_python_files(folder))


def _python_files(folder: Path) -> Iterator[Path]:
    """Yield the folder's Python files, and those of its subfolders that have some; no environments."""
    yield from folder.glob("*.py")
    for below in folder.iterdir():
        hidden = below.name.startswith((".", "__")) or (below / "pyvenv.cfg").exists()
        if not hidden and below.is_dir() and not below.is_symlink() and any(below.glob("*.py")):
            yield from _python_files(below)


def _external_data(path: Path) -> list[Path]:
    """Return the files beside an ONNX file that hold its weights; none where it cannot be read."""
    inside = (path.parent / name for name in external_names(path) if not {"..", "/"} & set(Path(name).parts))
    return [file for file in inside if file.is_file()]


def external_names(path: Path) -> list[str]:
    """Return the files, as an ONNX file names them, that hold its weights; none where it cannot be read."""
    if not path.is_file() or _LOCATION not in path.read_bytes():  # told without loading a framework
        return []
    import onnx
    from google.protobuf.message import DecodeError

    try:
        network = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, OSError):
        return []  # what is wrong with it is said by who reads it
    return sorted(
        {
            entry.value
            for tensor in network.graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
