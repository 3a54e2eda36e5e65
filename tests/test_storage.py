"""Files that are whole or absent."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgebench.errors import InputError, StorageError
from edgebench.reports.verdict import Interval
from edgebench.storage import (
    atomic_path,
    cache_folder,
    folder_lock,
    from_plain,
    read_json,
    sha256_path,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    """When writing breaks off, the file is as it was, and nothing temporary is left."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with contextlib.suppress(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_records_survive_json(tmp_path: Path) -> None:
    """A frozen record read back from its file equals the one written."""
    write_json(tmp_path / "i.json", Interval(1.5, None))
    assert read_json(tmp_path / "i.json", Interval) == Interval(1.5, None)


@pytest.mark.parametrize("content", [b"", b"{", b'{"lower": "x", "upper": 1}', b"\xff\xfe"])
def test_a_broken_record_names_its_file(tmp_path: Path, content: bytes) -> None:
    """Truncated, mistyped or binary JSON is an InputError that names the file."""
    path = tmp_path / "i.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"i\.json"):
        read_json(path, Interval)
    with pytest.raises(InputError, match="here"):
        from_plain(Interval, {"lower": "x"}, what="here")


def test_a_full_disk_is_an_error_that_says_so() -> None:
    """ENOSPC, provoked on the system's own full device, becomes a StorageError with a hint."""
    from edgebench.storage import storage_errors

    full = Path("/dev/full")
    with (
        pytest.raises(StorageError, match="disk is full"),
        storage_errors(full),
        full.open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    """Writing below a plain file is a StorageError naming the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "x")


def test_two_processes_cannot_hold_one_folder(tmp_path: Path) -> None:
    """While another process holds a folder, taking it is a StorageError; after its death it is free."""
    code = (
        "import sys, time; from pathlib import Path; from edgebench.storage import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError, match="another edgebench run"), folder_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while True:
        try:
            with folder_lock(tmp_path):
                return
        except StorageError:
            assert time.monotonic() < deadline


def test_a_folder_hash_sees_names_and_contents(tmp_path: Path) -> None:
    """Renaming or changing a file changes its folder's hash; writing the same again does not."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    first = sha256_path(tmp_path / "d")
    (tmp_path / "d" / "a").write_text("1")
    assert sha256_path(tmp_path / "d") == first
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert sha256_path(tmp_path / "d") != first


def test_the_cache_follows_its_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$EDGEBENCH_CACHE wins over $XDG_CACHE_HOME, which wins over ~/.cache."""
    monkeypatch.delenv("EDGEBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "edgebench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "edgebench"
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
