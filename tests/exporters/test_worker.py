"""Workers: whatever a converter does to its process, the tool says one thing and goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import small_disk, wait_until

from edgebench.errors import EdgebenchError, ExportError, ModelError, StorageError
from edgebench.exporters.worker import in_parallel, run_worker

TESTS = Path(__file__).parents[1]
MAIN = """
import json, signal, sys
from edgebench.exporters.worker import in_parallel, run_worker
jobs = json.loads(sys.argv[1])
def job(pids):
    print("started", flush=True)
    run_worker("exporters.worker_jobs:hang", {"pids": pids}, what="hanging")
try:
    in_parallel(job, jobs) if len(jobs) > 1 else job(jobs[0])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let workers find the tests' jobs; nothing is left in the folder of temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def work(name: str, *, timeout_s: float = 60, **arguments: object) -> object:
    """Return what a job returns."""
    return run_worker(f"exporters.worker_jobs:{name}", arguments, what=f"doing {name}", timeout_s=timeout_s)


def failure(name: str, *, timeout_s: float = 60, **arguments: object) -> EdgebenchError:
    """Return the error that a job ends in."""
    with pytest.raises(EdgebenchError) as caught:
        work(name, timeout_s=timeout_s, **arguments)
    return caught.value


def alive(*pids: int) -> bool:
    """Return whether one of the processes runs; a dead one that nobody has asked for does not."""
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            return True
    return False


def pids_in(path: Path) -> list[int]:
    """Return the process ids that a job has written, once it has."""
    assert wait_until(lambda: path.exists() and bool(path.read_text()), seconds=60)
    return [int(word) for word in path.read_text().split()]


def test_arguments_and_answers_are_plain_data() -> None:
    """What JSON holds goes in and comes back."""
    given = {"text": "größe \0", "numbers": [1, 2.5, None], "deep": {"a": [True]}}
    assert work("echo", **given) == given


def test_the_jobs_own_error_comes_back_as_it_is() -> None:
    """An error of edgebench keeps its kind, message and hint across the process."""
    error = failure("refuse", model="m.onnx")
    assert type(error) is ModelError
    assert (error.message, error.hint) == ("m.onnx: is broken", "mend it")


def test_an_unknown_exception_is_shown_from_the_log() -> None:
    """Whatever a converter raises is one error with the exception in its last line."""
    error = failure("fail")
    assert type(error) is ExportError
    assert error.message.startswith("doing fail failed: its process raised an error\n")
    assert error.message.endswith("  | ZeroDivisionError: converter's own words")


@pytest.mark.parametrize(
    ("name", "words"),
    [("abort", "SIGABRT"), ("kill", "SIGKILL"), ("segfault", "SIGSEGV"), ("leave", "exit code 3")],
)
def test_a_dead_process_is_an_error_that_names_its_end(name: str, words: str) -> None:
    """Abort, kill, a memory fault and an exit in the middle are errors that say which it was."""
    error = failure(name)
    assert type(error) is ExportError
    assert words in error.message.splitlines()[0]


def test_a_failed_check_is_repeated() -> None:
    """What a converter said before it aborted stands in the message."""
    assert "  | Check failed: rank == 4" in failure("abort").message


def test_killed_by_the_system_suggests_memory() -> None:
    """A killed worker's hint is about memory."""
    assert "memory" in str(failure("kill").hint)


def test_exhausted_memory_is_said() -> None:
    """A job that gets no more memory ends in an error that says so."""
    error = failure("eat")
    assert "out of memory" in error.message


def test_a_full_disk_is_said() -> None:
    """A job that meets a full disk ends in a StorageError with the file's name."""
    error = failure("fill")
    assert type(error) is StorageError
    assert error.message == "/somewhere/model.bin: the disk is full"


def test_a_worker_that_can_write_nothing_at_all_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no byte free in the folder of temporary files, the error names it and the variable."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        (disk / "filler").write_bytes(b"0" * (48 << 10))
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        error = failure("chatter", size=1 << 20)
    assert type(error) is StorageError
    assert str(disk) in error.message
    assert "TMPDIR" in str(error.hint)


def test_a_flood_of_output_ends_in_its_last_lines() -> None:
    """10 MB of output, progress bars, colours and bytes that are no text become a few short clean lines."""
    error = failure("chatter", size=10_000_000)
    lines = error.message.splitlines()
    assert len(lines) <= 9
    assert max(map(len, lines)) < 400
    assert lines[-1] == "  | last words"
    assert "  | 100 %" in lines
    assert "  | red" in lines
    assert error.message.replace("\n", "").isprintable()


def test_a_hanging_worker_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """When its time is over, a worker and its own children are gone, and the error says how long it had."""
    started = time.monotonic()
    error = failure("hang", timeout_s=3, pids=str(tmp_path / "pids"))
    assert "took longer than 3 s" in error.message
    assert time.monotonic() - started < 20
    assert wait_until(lambda: not alive(*pids_in(tmp_path / "pids")))


def test_what_a_finished_worker_leaves_running_is_ended(tmp_path: Path) -> None:
    """A job that returns while its own child runs on leaves no process."""
    assert work("litter", pids=str(tmp_path / "pids")) == "done"
    assert wait_until(lambda: not alive(*pids_in(tmp_path / "pids")))


def test_a_worker_has_no_standard_input() -> None:
    """A converter that asks the user gets the end of the file at once."""
    assert work("stdin") == ""


def test_temporary_files_go_where_they_are_swept(place: Path) -> None:
    """A worker's temporary files lie in its own scratch folder, which goes with it."""
    assert Path(str(work("temporary"))).parent.parent == place


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_die_with_their_program(count: int, number: signal.Signals, tmp_path: Path) -> None:
    """However the program is killed, its workers and what they had started are gone."""
    with _main(tmp_path, count) as process:
        files = [tmp_path / f"pids{index}" for index in range(count)]
        pids = [pid for file in files for pid in pids_in(file)]
        assert alive(*pids)
        process.send_signal(number)
    assert process.returncode == -number
    assert wait_until(lambda: not alive(*pids))
    work("echo")  # which sweeps the scratch folder of the killed program


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_interrupt_ends_all_workers_at_once(count: int, tmp_path: Path) -> None:
    """Ctrl-C in the middle of parallel work: no worker is left, none is begun, within seconds."""
    with _main(tmp_path, count) as process:
        pids = [pid for index in range(min(count, 2)) for pid in pids_in(tmp_path / f"pids{index}")]
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = process.stdout.read()
        process.wait(60)
    assert time.monotonic() - sent < 3
    assert said.splitlines()[-1] == "interrupted"
    assert process.returncode == 0
    assert not alive(*pids)
    assert not (tmp_path / "pids2").exists()


def _main(folder: Path, count: int) -> subprocess.Popen[str]:
    jobs = json.dumps([str(folder / f"pids{index}") for index in range(count)])
    return subprocess.Popen([sys.executable, "-c", MAIN, jobs], stdout=subprocess.PIPE, text=True)


def test_parallel_results_come_in_order_and_errors_after_all_have_ended() -> None:
    """Results stand in the order of the items; one failure is raised when the others are done."""
    assert in_parallel(lambda x: x * 2, [3, 1, 2]) == [6, 2, 4]
    done = []

    def slow(item: int) -> None:
        if item == 0:
            raise ModelError("first")
        time.sleep(0.3)
        done.append(item)

    with pytest.raises(ModelError, match="first"):
        in_parallel(slow, [0, 1, 2])
    assert sorted(done) == [1, 2]


def test_parallel_calls_may_call_in_parallel() -> None:
    """Formats run side by side, and each may run its own work side by side."""
    met = threading.Barrier(2, timeout=60)

    def inner(item: int) -> int:
        met.wait()  # passes only where two calls are under way at once
        return item + 1

    assert in_parallel(lambda x: in_parallel(inner, [x, x]), [1, 2]) == [[2, 2], [3, 3]]
