"""Files that are whole or absent: atomic writes, hashes, the JSON form of records, folder locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, TypeVar

from edgebench.errors import InputError, StorageError

Record = TypeVar("Record")


_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_REFUSED |= {errno.ENAMETOOLONG, errno.ELOOP, errno.EFBIG, errno.EIO, errno.ENOLCK, errno.ENOTSUP}
_SCRATCH = "edgebench-scratch-"


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals around `path` into a StorageError that names it."""
    try:
        yield
    except OSError as err:
        if is_full(err):
            raise StorageError(
                f"{path}: the disk is full", hint=f"free some space, or choose another folder {_by(path)}"
            ) from err
        if err.errno in _REFUSED:
            raise StorageError(
                f"{path}: cannot be written ({os.strerror(err.errno)})",
                hint=f"choose a folder you may write to {_by(path)}",
            ) from err
        raise


def is_full(err: OSError) -> bool:
    """Return whether an error of the operating system says that a disk is full.

    numpy drops the number of the error: `64 requested and 0 written` is what it says of a full disk.
    """
    return err.errno in _FULL or (err.errno is None and " requested and " in str(err))


def _by(path: Path) -> str:
    """Return how the folder that `path` lies in is chosen."""
    if any(part.startswith(_SCRATCH) for part in path.parts):
        return "with the environment variable TMPDIR"
    inside = path.absolute().is_relative_to(cache_folder().absolute())
    return "with the environment variable EDGEBENCH_CACHE" if inside else "with -o"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it over `path`.

    A crash at any moment leaves `path` as it was. Raises StorageError where the disk is full or
    the folder is not writable.
    """
    with storage_errors(path):
        with arriving_path(path) as temporary:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        _sync_folder(path.parent)


@contextlib.contextmanager
def arriving_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it over `path`, without waiting for the disk.

    For what can be fetched again: a crash of the machine may leave it empty. Raises StorageError.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:60]}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all. Raises StorageError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all. Raises StorageError."""
    write_bytes(path, content.encode())


def write_json(path: Path, record: object) -> None:
    """Write a dataclass, or plain data, as indented JSON, whole or not at all."""
    write_bytes(path, encode_json(record))


def encode_json(record: object) -> bytes:
    """Return a dataclass, or plain data, as indented UTF-8 JSON with a final newline."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(record, enc_hook=_encode_path), indent=2) + b"\n"


def to_plain(record: object) -> Any:
    """Return a dataclass as dicts, lists, strings and numbers, ready for JSON or YAML."""
    import msgspec

    return msgspec.to_builtins(record, enc_hook=_encode_path)


def from_plain(kind: type[Record], data: object, *, what: str) -> Record:
    """Return plain data as a record of type `kind`.

    Raises InputError, naming `what` and the field, where the data does not have that form.
    """
    import msgspec

    try:
        return msgspec.convert(data, kind, dec_hook=_decode_path)
    except msgspec.ValidationError as err:
        raise InputError(f"{what}: {err}") from err


def _encode_path(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _decode_path(kind: type, value: object) -> object:
    if issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"{kind.__name__} has no JSON form")


def read_json(path: Path, kind: type[Record]) -> Record:
    """Return the record of type `kind` that `path` holds.

    Raises InputError where the file is absent, is not JSON, or has another form.
    """
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err.strerror})") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise InputError(f"{path}: not a valid {kind.__name__} file: {err}") from err


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_path(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's names and contents, in hexadecimal."""
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_path(file)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process until the block ends; the kernel frees it after a crash.

    Raises StorageError where another process holds it.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a+")
    with stream:
        try:
            with storage_errors(folder):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise StorageError(
                f"{folder}: another edgebench run is writing here",
                hint="wait for it, or choose another folder with -o",
            ) from err
        yield


def sweep_parts(folder: Path) -> None:
    """Remove what writes that were killed left in a folder that this process holds."""
    for left in folder.rglob(".*.part"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder for what is thrown away, gone afterwards; $TMPDIR says where.

    What killed programs left there is swept away: the kernel has freed their locks. Raises
    StorageError where no such folder can be made.
    """
    place = Path(tempfile.gettempdir())
    with storage_errors(place / _SCRATCH):
        _sweep_scratch(place)
        folder, handle = _locked_scratch(place)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _locked_scratch(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=place))
        with contextlib.suppress(FileNotFoundError):  # another program swept it before it was locked
            handle = os.open(folder, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
                fcntl.flock(handle, fcntl.LOCK_EX)
            if folder.exists():
                return folder, handle
            os.close(handle)


def _sweep_scratch(place: Path) -> None:
    for left in place.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):  # another user's, held by a living program, or gone by now
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def cache_folder() -> Path:
    """Return the cache's folder: $EDGEBENCH_CACHE, $XDG_CACHE_HOME/edgebench or ~/.cache/edgebench."""
    if chosen := os.environ.get("EDGEBENCH_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgebench"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
