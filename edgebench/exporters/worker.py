"""Heavy work in a process of its own: a converter that dies is an error message, not a dead tool.

A worker runs one function on JSON-able arguments. Its output goes to a log; its answer, or its
EdgebenchError, comes back through a file. It is two processes: one works, the other waits for it and
for the end of standard input, which comes when the program that asked dies, whatever kills that. Then
it ends the whole process group, and with it whatever the work had started in its turn.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

from edgebench import errors
from edgebench.errors import EdgebenchError, ExportError, StorageError
from edgebench.storage import is_full, scratch_folder, storage_errors

TIMEOUT_S = 1800.0
_LOG_LINES = 8
_LOG_BYTES = 1 << 16
_LINE = 300
_AT_ONCE = 2
_BUG = 70
"""The worker's exit code for an exception that is not an EdgebenchError; sysexits.h: EX_SOFTWARE."""
_FULL = 74
"""The worker's exit code where the disk is too full even to say so; sysexits.h: EX_IOERR."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Crew:
    """The workers that end together: those of one `in_parallel` and of the calls inside it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._dismissed = False

    @contextlib.contextmanager
    def worker(self, folder: Path, log: BinaryIO) -> Iterator[subprocess.Popen[bytes]]:
        """Yield a running worker on the job in `folder`; its process group is ended afterwards."""
        with self._lock:
            if self._dismissed:
                raise ExportError("the work was interrupted")
            process = _start(folder, log)
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
            _end(process)

    def dismiss(self) -> None:
        """End all workers; no other one starts."""
        with self._lock:
            self._dismissed = True
            for process in self._running:
                _kill_group(process)


class _Here(threading.local):
    """The crew that this thread's workers belong to."""

    crew: _Crew | None = None


_here = _Here()


def in_parallel(call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `call` of each item, two at a time, in threads that wait for workers.

    Where one fails, the others come to their end before its error is raised. An interrupt ends all
    workers at once, those of calls inside a call too.
    """
    crew = _here.crew or _Crew()

    def enlist() -> None:
        _here.crew = crew

    with ThreadPoolExecutor(max_workers=_AT_ONCE, initializer=enlist) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            wait(futures)
        except BaseException:
            for future in futures:
                future.cancel()
            crew.dismiss()
            raise
        return [future.result() for future in futures]


def run_worker(function: str, arguments: dict[str, Any], *, what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Return what `module:function` returns for `arguments`, run in a fresh process.

    arguments and result: plain data, as JSON holds it. what: the work in words, for messages. Raises
    the function's own EdgebenchError, StorageError where a disk is full, or ExportError with the
    log's last lines where the process aborts, is killed, runs out of memory or of time.
    """
    with scratch_folder() as folder, storage_errors(folder):
        (folder / "job.json").write_text(json.dumps({"function": function, "arguments": arguments}))
        with (folder / "log.txt").open("wb") as log:
            returncode = _run(folder, log, timeout_s, what)
        return _answer(folder, returncode, what)


def _run(folder: Path, log: BinaryIO, timeout_s: float, what: str) -> int:
    with (_here.crew or _Crew()).worker(folder, log) as process:
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired as err:
            raise ExportError(
                f"{what} failed: it took longer than {timeout_s:g} s{_tail(folder)}",
                hint="try a smaller model",
            ) from err


def _start(folder: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "edgebench.exporters.worker", str(folder)]
    (folder / "tmp").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(folder / "tmp"),  # so that what a killed worker leaves is swept with the rest
        "ORT_DISABLE_TELEMETRY": "1",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill_group(process)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the worker and everything it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _answer(folder: Path, returncode: int, what: str) -> Any:
    answer = folder / "answer.json"
    if returncode == 0 and answer.exists():
        return json.loads(answer.read_text())
    error = folder / "error.json"
    if error.exists():
        record = json.loads(error.read_text())
        raise getattr(errors, record["kind"])(record["message"], hint=record["hint"])
    if returncode == _FULL:
        raise StorageError(
            f"{folder}: the disk is full",
            hint="free some space, or choose another folder with the environment variable TMPDIR",
        )
    raise ExportError(f"{what} failed: {_ending(returncode)}{_tail(folder)}", hint=_remedy(returncode))


def _ending(returncode: int) -> str:
    if returncode == _BUG:
        return "its process raised an error"
    if returncode < 0:
        return f"its process was ended by {signal.Signals(-returncode).name}"
    return f"its process ended with exit code {returncode}"


def _remedy(returncode: int) -> str | None:
    if returncode == -signal.SIGKILL:
        return "the system probably ran out of memory: close other programs, or use a smaller model"
    return None


def _tail(folder: Path) -> str:
    """Return the log's last lines, ready to follow a message; a progress bar's last state counts."""
    with (folder / "log.txt").open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_BYTES))
        text = stream.read().decode(errors="replace")
    lines = [_CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip() for line in text.split("\n")]
    return "".join(f"\n  | {line[:_LINE]}" for line in [line for line in lines if line][-_LOG_LINES:])


# --- the worker's side ----------------------------------------------------------------------------


def main(folder: Path) -> int:
    """Do the job in `folder` and return the exit code, watched over by a process that forks this one."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    child = os.fork()
    if child:
        _watch_over(child)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    return _work(folder)


def _watch_over(child: int) -> NoReturn:
    """End as `child` ends; end the whole process group as soon as standard input is at its end."""

    def listen() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=listen, daemon=True).start()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL has no other way than its own
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _work(folder: Path) -> int:
    job = json.loads((folder / "job.json").read_text())
    module, _, function = job["function"].partition(":")
    try:
        with _system_errors(folder, module):
            result = getattr(importlib.import_module(module), function)(job["arguments"])
            _write(folder / "answer.json", result)
    except EdgebenchError as err:
        return _confess(folder, err)
    except Exception:  # noqa: BLE001 - whatever a converter raises is shown from the log
        traceback.print_exc()
        return _BUG
    return 0


@contextlib.contextmanager
def _system_errors(folder: Path, module: str) -> Iterator[None]:
    """Turn exhausted memory and full disks into errors that say so."""
    try:
        yield
    except MemoryError as err:
        raise ExportError(
            f"{module}: out of memory", hint="close other programs, or use a smaller model"
        ) from err
    except OSError as err:
        if not is_full(err):
            raise
        with storage_errors(Path(err.filename or folder)):
            raise


def _confess(folder: Path, error: EdgebenchError) -> int:
    record = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    try:
        _write(folder / "error.json", record)
    except OSError as err:
        return _FULL if is_full(err) else _BUG
    return 1


def _write(path: Path, record: object) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
