"""Steps cached by content: whole or absent, shared by runs at once, and never stale."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import environment, wait_until

from edgebench.errors import StorageError
from edgebench.progress import silent
from edgebench.step_cache import cached_step
from edgebench.step_cache import environment as versions

SCRIPT = """
import sys, time
from pathlib import Path
from edgebench.progress import silent
from edgebench.step_cache import cached_step
def make(folder):
    (folder / "big.bin").write_bytes(b"x" * 1000)
    print("working", flush=True)
    time.sleep(float(sys.argv[1]))
    (folder / "answer.txt").write_text(sys.argv[2])
print(cached_step("work", {"n": 1}, make, fresh=False, progress=silent), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache's folder of this test."""
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Fills a folder, and counts how often."""

    def __init__(self, text: str = "made") -> None:
        self.calls = 0
        self.text = text

    def __call__(self, folder: Path) -> None:
        """Write two files, one of them in a folder."""
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "größe.bin").write_bytes(b"0" * 10)
        (folder / "answer.txt").write_text(f"{self.text} {self.calls}")


def step(make: Callable[[Path], None], *, fresh: bool = False, what: str = "work", **key: object) -> Path:
    """Run a cached step."""
    return cached_step(what, key or {"n": 1}, make, fresh=fresh, progress=silent)


def rest(cache: Path) -> list[str]:
    """Return what lies in the cache beside finished steps."""
    return [path.name for path in cache.rglob(".*")]


def test_what_was_made_is_not_made_again(cache: Path) -> None:
    """The second call returns the first one's folder and files, and says that it is from the cache."""
    make, said = Maker(), list[str]()
    first = step(make)
    second = cached_step("work", {"n": 1}, make, fresh=False, progress=lambda m, **_: said.append(m))
    assert first == second
    assert make.calls == 1
    assert (second / "answer.txt").read_text() == "made 1"
    assert said == ["work: from the cache"]
    assert first.is_relative_to(cache)
    assert not rest(cache)


@pytest.mark.parametrize(
    "key", [{"n": 2}, {"n": "1"}, {"m": 1}, {"n": 1, "m": None}, {"n": [1]}, {"n": 1.5}, {"n": None}]
)
def test_another_key_is_another_step(key: dict[str, object]) -> None:
    """Any change of a name, value or type makes the step anew."""
    make = Maker()
    assert step(make, n=1) != step(make, **key)
    assert make.calls == 2


def test_another_step_of_the_same_key_is_another_step() -> None:
    """What is done belongs to the address."""
    make = Maker()
    assert step(make, what="prune") != step(make, what="finetune")


def test_the_key_stands_beside_the_result() -> None:
    """key.json says what was made, from what, and which files belong to it."""
    folder = step(Maker(), sha256="ab", epochs=3)
    record = json.loads((folder / "key.json").read_text())
    assert record["what"] == "work"
    assert record["key"] == {"sha256": "ab", "epochs": 3}
    assert record["files"] == {"answer.txt": 6, "deep/größe.bin": 10}


def test_fresh_makes_it_anew(cache: Path) -> None:
    """`fresh` replaces the step, and later calls get the new one."""
    make = Maker()
    step(make)
    assert (step(make, fresh=True) / "answer.txt").read_text() == "made 2"
    assert (step(make) / "answer.txt").read_text() == "made 2"
    assert make.calls == 2
    assert not rest(cache)


@pytest.mark.parametrize("damage", ["gone", "shorter", "no record", "broken record", "one more"])
def test_a_step_that_lost_files_is_made_anew(damage: str, cache: Path) -> None:
    """A cleaner of old files, or a full disk, that took a part of a step does not leave half a step."""
    make = Maker()
    folder = step(make)
    if damage == "gone":
        (folder / "deep" / "größe.bin").unlink()
    elif damage == "shorter":
        (folder / "deep" / "größe.bin").write_bytes(b"0")
    elif damage == "no record":
        (folder / "key.json").unlink()
    elif damage == "broken record":
        (folder / "key.json").write_bytes(b'{"files": ')
    else:
        (folder / "stray").touch()
    again = step(make)
    assert again == folder
    assert make.calls == 2
    assert (folder / "deep" / "größe.bin").read_bytes() == b"0" * 10
    assert not (folder / "stray").exists()
    assert not rest(cache)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), StorageError("full")])
def test_a_step_that_fails_leaves_nothing(error: BaseException, cache: Path) -> None:
    """Whatever ends a step, Ctrl-C too, goes on as it is, and nothing is left of the work."""

    def make(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        step(make)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert not rest(cache)
    assert step(Maker()).exists()


def test_a_killed_step_is_no_finished_one_and_is_swept_away(cache: Path) -> None:
    """SIGKILL in the middle: no folder under the address; the next run makes it and sweeps the rest."""
    argv = [sys.executable, "-c", SCRIPT, "60", "never"]
    with subprocess.Popen(argv, env=environment(cache.parent), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGKILL)
    assert len(rest(cache)) == 1
    assert not list(cache.rglob("key.json"))
    folder = step(Maker("after"))
    assert (folder / "answer.txt").read_text() == "after 1"
    assert not rest(cache)


def test_two_processes_at_once_share_one_result(cache: Path) -> None:
    """Two runs of one step end with one whole folder, the same for both, and none loses its files."""
    argv = [[sys.executable, "-c", SCRIPT, "0.4", name] for name in ("first", "second")]
    started = [
        subprocess.Popen(a, env=environment(cache.parent), stdout=subprocess.PIPE, text=True) for a in argv
    ]
    said = [process.communicate(timeout=60)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert said[0][-1] == said[1][-1]
    folder = Path(said[0][-1])
    assert (folder / "answer.txt").read_text() in ("first", "second")
    assert (folder / "big.bin").stat().st_size == 1000
    assert not rest(cache)


def test_a_finished_step_is_not_taken_from_under_another_run(cache: Path) -> None:
    """The slower of two keeps what the quicker has published: its readers lose nothing."""
    quick, folders = Maker("quick"), list[Path]()

    def slow(folder: Path) -> None:
        (folder / "answer.txt").write_text("slow")
        thread = threading.Thread(target=lambda: folders.append(step(quick)))
        thread.start()
        thread.join()
        folders[0].joinpath("answer.txt").stat()

    made = step(slow)
    inode = folders[0].stat().st_ino
    assert made == folders[0]
    assert made.stat().st_ino == inode
    assert (made / "answer.txt").read_text() == "quick 1"
    assert not rest(cache)


def test_work_under_way_is_not_swept(cache: Path) -> None:
    """A run that sweeps leaves the working folder of a living process alone."""
    argv = [sys.executable, "-c", SCRIPT, "1.5", "alive"]
    with subprocess.Popen(argv, env=environment(cache.parent), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        assert (step(Maker("other")) / "answer.txt").read_text() == "other 1"
        assert len(rest(cache)) == 1
        said = process.stdout.read()
    assert process.returncode == 0
    assert (Path(said.strip()) / "answer.txt").read_text() == "other 1"
    assert wait_until(lambda: not rest(cache))


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of the cache is a StorageError with its path."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StorageError, match="file/cache"):
        step(Maker())


def test_versions_belong_to_the_address() -> None:
    """Python, edgebench, the platform and the installed frameworks are part of every key."""
    found = versions()
    assert {"python", "edgebench", "platform", "numpy", "onnx", "onnxruntime"} <= found.keys()
    assert all(found.values())
