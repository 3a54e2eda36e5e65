"""Files that are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import remount, small_disk

from edgebench.errors import InputError, StorageError
from edgebench.reports.verdict import Interval
from edgebench.storage import (
    atomic_path,
    cache_folder,
    folder_lock,
    from_plain,
    read_json,
    scratch_folder,
    sha256_path,
    storage_errors,
    sweep_parts,
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


def test_a_broken_manifest_of_any_kind_is_an_input_error(tmp_path: Path) -> None:
    """A folder in the place of a record is an InputError with its path, not a traceback."""
    (tmp_path / "i.json").mkdir()
    with pytest.raises(InputError, match=r"i\.json: cannot be read"):
        read_json(tmp_path / "i.json", Interval)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENAMETOOLONG, errno.EIO, errno.EDQUOT])
def test_the_systems_refusals_name_the_path_and_the_option(number: int, tmp_path: Path) -> None:
    """Each way of being refused is a StorageError with the path and how to choose another."""
    with pytest.raises(StorageError, match="here") as caught, storage_errors(tmp_path / "here"):
        raise OSError(number, os.strerror(number))
    assert "-o" in str(caught.value.hint)


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    """A file name that no file system takes is a StorageError, not a traceback."""
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / ("n" * 300) / "a.txt", "x")


def test_a_full_cache_is_moved_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint for a path in the cache names EDGEBENCH_CACHE, not -o."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(StorageError) as caught, storage_errors(tmp_path / "cache" / "steps"):
        raise OSError(errno.ENOSPC, "full")
    assert "EDGEBENCH_CACHE" in str(caught.value.hint)


def test_numpy_on_a_full_disk_is_recognised(tmp_path: Path) -> None:
    """Numpy's error of a full disk carries no number, and is a StorageError all the same."""
    array = np.zeros(1 << 20, np.uint8)
    with (
        small_disk(tmp_path / "disk", "64k") as disk,
        pytest.raises(StorageError, match="disk is full"),
        storage_errors(disk),
        (disk / "a.npy").open("wb") as stream,
    ):
        np.save(stream, array)


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    """Nothing can be written to a disk that is mounted read-only; reading goes on."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        write_text(disk / "a.txt", "a")
        remount(disk, "ro")
        with pytest.raises(StorageError, match=r"disk/a\.txt: cannot be written"):
            write_text(disk / "a.txt", "b")
        assert (disk / "a.txt").read_text() == "a"
        with pytest.raises(StorageError, match="disk/new"), folder_lock(disk / "new"):
            pass


SCRATCH = """
import sys, time
from edgebench.storage import scratch_folder
with scratch_folder() as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_scratch_is_gone_afterwards_and_swept_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scratch folder goes with its block, a killed program's with the next one; a living one's stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    argv = [sys.executable, "-c", SCRATCH]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        with scratch_folder() as own:
            assert own.parent == held.parent == tmp_path
            assert held.exists()
        assert not own.exists()
        holder.send_signal(signal.SIGKILL)
    assert held.exists()
    with scratch_folder():
        assert not held.exists()
    assert not list(tmp_path.iterdir())


def test_scratch_sweeps_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link or a file of such a name is not followed and not removed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name in ("tmp", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "tmp" / "edgebench-scratch-link").symlink_to(tmp_path / "mine")
    (tmp_path / "tmp" / "edgebench-scratch-file").touch()
    with scratch_folder():
        pass
    assert (tmp_path / "mine" / "file").exists()
    assert len(list((tmp_path / "tmp").iterdir())) == 2


def test_what_killed_writes_left_is_swept(tmp_path: Path) -> None:
    """Half-written files are removed, at any depth, and nothing else is."""
    with contextlib.suppress(KeyboardInterrupt), atomic_path(tmp_path / "deep" / "a.bin") as temporary:
        left = temporary.with_name(temporary.name + "x.part")
        temporary.rename(left)
        raise KeyboardInterrupt
    for name in ("b.part", ".hidden", "c.bin"):
        (tmp_path / name).touch()
    assert left.exists()
    sweep_parts(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "b.part", ".hidden", "c.bin"}
