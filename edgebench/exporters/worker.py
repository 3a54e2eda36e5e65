"""Heavy work in a process of its own: a converter that dies is an error message, not a dead tool.

The child runs one function on JSON-able arguments. Its output goes to a log; its answer, or its
EdgebenchError, comes back through a file. It dies with its parent, whatever kills that.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from edgebench import errors
from edgebench.errors import EdgebenchError, ExportError

TIMEOUT_S = 1800.0
_LOG_LINES = 8
_AT_ONCE = 2
_PR_SET_PDEATHSIG = 1
_BUG = 70
"""The child's exit code for an exception that is not an EdgebenchError; sysexits.h calls it EX_SOFTWARE."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()


def in_parallel(call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `call` of each item, two at a time, in threads that wait for workers.

    Where one fails, the others come to their end before its error is raised. An interrupt ends all
    workers at once.
    """
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            for future in futures:
                future.exception()
        except BaseException:
            for future in futures:
                future.cancel()
            end_workers()
            raise
        return [future.result() for future in futures]


def end_workers() -> None:
    """End every worker of this process and what it started."""
    with _running_lock:
        for process in _running:
            _kill_group(process)


def run_worker(function: str, arguments: dict[str, Any], *, what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Return what `module:function` returns for `arguments`, run in a fresh process.

    arguments and result: plain data, as JSON holds it. what: the work in words, for messages. Raises
    the function's own EdgebenchError, or ExportError with the log's last lines where the process
    aborts, is killed, runs out of memory or of time.
    """
    with tempfile.TemporaryDirectory(prefix="edgebench-worker-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps({"function": function, "arguments": arguments}))
        with (folder / "log.txt").open("wb") as log:
            returncode = _run(folder, log.fileno(), timeout_s, what)
        return _answer(folder, returncode, what)


def _run(folder: Path, log: int, timeout_s: float, what: str) -> int:
    command = [sys.executable, "-m", "edgebench.exporters.worker", str(folder), str(os.getpid())]
    environment = {
        **os.environ,
        "ORT_DISABLE_TELEMETRY": "1",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
    ) as process:
        with _running_lock:
            _running.add(process)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired as err:
            raise ExportError(
                f"{what} failed: it took longer than {timeout_s:.0f} s{_tail(folder)}",
                hint="try a smaller model",
            ) from err
        finally:
            _kill_group(process)
            process.wait()
            with _running_lock:
                _running.discard(process)


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
    lines = (folder / "log.txt").read_text(errors="replace").splitlines()
    shown = [line for line in lines if line.strip()][-_LOG_LINES:]
    return "".join(f"\n  | {line[:300]}" for line in shown)


def main(folder: Path, parent: int) -> int:
    """Run the job in `folder`; the child's side of `run_worker`."""
    die_with_parent(parent)
    job = json.loads((folder / "job.json").read_text())
    module, _, function = job["function"].partition(":")
    try:
        with _memory_errors(module):
            result = getattr(importlib.import_module(module), function)(job["arguments"])
    except EdgebenchError as err:
        traceback.print_exc()
        record = {"kind": type(err).__name__, "message": err.message, "hint": err.hint}
        _write(folder / "error.json", record)
        return 1
    except Exception:  # noqa: BLE001 - whatever a converter raises is shown from the log
        traceback.print_exc()
        return _BUG
    _write(folder / "answer.json", result)
    return 0


@contextlib.contextmanager
def _memory_errors(module: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as err:
        raise ExportError(
            f"{module}: out of memory", hint="close other programs, or use a smaller model"
        ) from err


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent dies; end it now if that happened already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _write(path: Path, record: object) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
