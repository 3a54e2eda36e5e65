"""The agent: runs one job on the device and writes one result file. Numpy and the runtime only.

    python agent.py job.json         run a job; agent_runtimes.py lies beside this file
    python agent.py --probe          print what is here, as JSON

It needs Python 3.8 or later and runs wherever numpy and ONNX Runtime or LiteRT are. It knows no data
sets, no preprocessing and no statistics: the host prepares the inputs, one row per call, and judges.

A job is JSON: schema 1, runtime (onnxruntime, litert), model, inputs (one .npy per model input, each
[rows, *shape of one call], in the order of `input_names` where given), mode (latency, turns, accuracy),
threads, affinity (list of cores or null), warmup_s, min_warmup_calls, calls, max_s, result,
watch_stdin (end when standard input ends, so that no agent outlives its host), avoid (why LiteRT's
CompiledModel is not to be used for this model; absent where it may be).

In turns mode, which conductor.py starts for each artifact, the calls come in blocks: after its warm-up the
agent says `{"ready": …}` in a line on standard output, and then takes from standard input one order a line,
`{"block": 0, "turn": 0, "calls": 20}`, answered by `{"calls": 20, "spent": false}`, until `{"end": true}`.
Between its turns it waits in a read and takes no time from the others.

A result is .npz, written whole or not at all: latency_ns and warmup_ns int64[n] in latency and turns mode, in
the latter with block, turn int64[n] and cold bool[n] for each call beside its latency; output_0… [rows,
*shape] as the model gave them in accuracy mode, and `meta`, JSON as uint8[n]. After an
error meta has `error` and `kind` (model, input, runtime_missing, affinity, memory, storage, job), and
the exit status is 1.
"""

from __future__ import annotations

import os

# Before numpy: its BLAS would start a thread per core, which the job has no use for.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import ctypes
import gc
import importlib
import json
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple  # noqa: F401 - Callable in type comments

import numpy as np

# On a device this file may be a link into a cache, whose folder Python would search in place of this one.
sys.path.insert(0, str(Path(__file__).absolute().parent))
runtimes = importlib.import_module("agent_runtimes")

SCHEMA = 1
PACKAGES = ("onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "tflite-runtime", "numpy")
PR_SET_PDEATHSIG = 1
COLD_NS = 250000
"""The calls of a turn that start so early are cold, the first one always. Measured with two and four models
of 3 µs to 12 ms in turn: the first call takes 1.01 to 9.4 times a warm one, the second up to 1.6 times; after
250 µs what is left is under 1 %, but for models of 8 µs (3 %)."""
REQUIRED = {
    "turns": ("runtime", "model", "inputs", "threads", "warmup_s", "min_warmup_calls", "max_s"),
    "accuracy": ("runtime", "model", "inputs", "threads"),
    "latency": ("runtime", "model", "inputs", "threads", "warmup_s", "min_warmup_calls", "calls", "max_s"),
}


# --- the job ------------------------------------------------------------------------------------


def run_job(job: Dict[str, Any]) -> Dict[str, Any]:
    """Return a result's arrays, `meta` among them as JSON bytes. Raises JobError."""
    if job.get("schema") != SCHEMA:
        known = "the job has schema %r, this agent knows %d" % (job.get("schema"), SCHEMA)
        raise runtimes.JobError("job", known)
    if job.get("mode") not in REQUIRED:
        raise runtimes.JobError("job", "unknown mode %r" % job.get("mode"))
    missing = [key for key in REQUIRED[job["mode"]] if key not in job]
    if missing:
        raise runtimes.JobError("job", "the job lacks %s" % ", ".join(missing))
    before = _usage()
    affinity = _bind(job.get("affinity"))
    columns = [np.load(path, mmap_mode="r", allow_pickle=False) for path in job["inputs"]]
    if len({len(column) for column in columns}) != 1:
        raise runtimes.JobError("input", "the inputs have %s rows" % [len(column) for column in columns])
    found = BEFORE[job["mode"]](job) if job["mode"] in BEFORE else {}
    runtime, meta = _load(job, columns)
    meta.update(found, affinity=affinity)
    arrays = MODES[job["mode"]](runtime, columns, job, meta)
    meta["steady_rss_bytes"] = _status("VmRSS")
    strain = _strain(before, _usage(), meta.pop("idle", {}))
    meta.update(strain, peak_rss_bytes=_status("VmHWM"), system=platform.platform())
    meta["python"] = platform.python_version()
    return dict(arrays, meta=_as_array(meta))


def _load(job: Dict[str, Any], columns: List[Any]) -> Tuple[Any, Dict[str, Any]]:
    """Return the runtime with the model in it, and what that cost."""
    names, shapes = list(job.get("input_names") or []), [column.shape[1:] for column in columns]
    makers = runtimes.makers(job["runtime"], job.get("avoid"))
    for index, make in enumerate(makers):
        rss, start = _status("VmRSS"), time.perf_counter_ns()
        try:
            runtime = make(job["model"], int(job["threads"]))
            load_ns = time.perf_counter_ns() - start
            runtime.arrange(names, shapes)
        except runtimes.UnsupportedError:
            if index + 1 == len(makers):
                raise
            continue
        except MemoryError:
            raise
        except Exception as err:  # native runtimes raise types of their own
            raise runtimes.JobError("model", "the model cannot be loaded: %s" % runtimes.words(err)) from err
        break
    if runtime.inputs() != len(columns):
        given = "the model takes %d inputs, given %d" % (runtime.inputs(), len(columns))
        raise runtimes.JobError("input", given)
    first_ns = _first_call(runtime, [column[0] for column in columns])
    after = _status("VmRSS")
    meta = {
        "load_ns": load_ns,
        "first_ns": first_ns,
        "model_rss_bytes": None if after is None or rss is None else max(after - rss, 0),
        "runtime_version": runtime.version,
        "provider": runtime.provider + ("; %s" % job["avoid"] if job.get("avoid") else ""),
        "coverage": runtime.coverage,
        "timed": runtime.timed,
        "threads": int(job["threads"]),
        "rows": len(columns[0]),
    }
    return runtime, meta


def _first_call(runtime: Any, arrays: List[Any]) -> int:
    try:
        ready, latency = [runtime.prepare([np.array(array) for array in arrays])], [0]
        runtime.measure(ready, latency, 0)
    except MemoryError:
        raise
    except Exception as err:  # native runtimes raise types of their own
        kind = "input" if type(err).__name__ in ("InvalidArgument", "ValueError") else "model"
        raise runtimes.JobError(kind, "the model's first call failed: %s" % runtimes.words(err)) from err
    return latency[0]


def _answer(runtime: Any, columns: List[Any]) -> Dict[str, Any]:
    """Return the model's outputs for every row."""
    answers = {}  # type: Dict[str, Any]
    rows = len(columns[0])
    for row in range(rows):
        ready = runtime.prepare([np.array(column[row]) for column in columns])
        for index, output in enumerate(runtime.answers(ready)):
            name = "output_%d" % index
            if name not in answers:
                answers[name] = np.empty((rows, *output.shape), output.dtype)
            answers[name][row] = output
    return answers


def _time(runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return the nanoseconds of every call; warm-up ends after enough calls and enough time."""
    timer = _Timer(runtime, columns, job)
    done = timer.measure(int(job["calls"]))
    gc.enable()
    meta["ended_by"] = "calls" if len(done) == int(job["calls"]) else "time"
    return {"latency_ns": np.array(done, np.int64), "warmup_ns": np.array(timer.warmup, np.int64)}


def _take_turns(
    runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]
) -> Dict[str, Any]:
    """Return every call's nanoseconds, block and turn, and whether it was cold; blocks as ordered."""
    timer, replies, rows = _Timer(runtime, columns, job), job["replies"], []  # type: Tuple[_Timer, int, List[Any]]
    idle = dict.fromkeys(("wall", "waited", "total", "stolen"), 0.0)
    answer = {"ready": True, "median_ns": int(np.median(timer.warmup or [meta["first_ns"]]))}  # type: Dict[str, Any]
    while True:
        since = _usage()
        os.write(replies, json.dumps(answer).encode() + b"\n")
        order = json.loads(sys.stdin.readline() or '{"gone": true}')
        for key, value in _usage().items():
            idle[key] += _difference(since[key], value) or 0.0
        if "calls" not in order:
            break
        cold, warm = timer.block(int(order["calls"]))
        rows += [(latency, order["block"], order["turn"], True) for latency in cold]
        rows += [(latency, order["block"], order["turn"], False) for latency in warm]
        answer = {"calls": len(warm), "spent": timer.left_ns <= 0}
    gc.enable()
    if "gone" in order:
        raise runtimes.JobError("job", "the conductor is gone")
    meta.update(idle=idle, ended_by="time" if timer.left_ns <= 0 else "calls")
    table = np.array(rows, np.int64).reshape(-1, 4)
    columns_of = dict(zip(("latency_ns", "block", "turn"), table.T.copy()))
    return dict(columns_of, cold=table[:, 3].astype(bool), warmup_ns=np.array(timer.warmup, np.int64))


class _Timer:
    """A runtime that is warm, and how much of the session's time is left for its calls.

    The timings go into lists made beforehand, and the garbage collector rests: storing them in a numpy
    array makes the next call of a 46 µs model 0.3 µs slower.
    """

    def __init__(self, runtime: Any, columns: List[Any], job: Dict[str, Any]) -> None:
        self._runtime = runtime
        self._rows = [
            runtime.prepare([np.array(column[row]) for column in columns]) for row in range(len(columns[0]))
        ]
        self.left_ns = int(float(job["max_s"]) * 1e9)
        gc.collect()
        gc.disable()
        self.warmup = _warm_up(runtime, self._rows, job, self.left_ns)

    def measure(self, calls: int) -> List[int]:
        """Return the nanoseconds of so many calls, fewer where the time is over, one at least."""
        latency, start = [0] * calls, time.perf_counter_ns()
        done = self._runtime.measure(self._rows, latency, start + self.left_ns)
        self.left_ns -= time.perf_counter_ns() - start
        return latency[:done]

    def block(self, calls: int) -> Tuple[List[int], List[int]]:
        """Return the nanoseconds of the cold calls at a turn's beginning, and of so many warm ones."""
        start = time.perf_counter_ns()
        cold = [0] * 1000
        cold = cold[: self._runtime.measure(self._rows, cold, start + COLD_NS)]
        self.left_ns -= time.perf_counter_ns() - start
        return cold, self.measure(calls)


BEFORE = {}  # type: Dict[str, Callable[[Dict[str, Any]], Dict[str, Any]]]
"""What a mode does before the model is loaded, and tells in `meta`; filled by agent_workloads.py."""

MODES = {
    "accuracy": lambda runtime, columns, *_: _answer(runtime, columns),
    "latency": _time,
    "turns": _take_turns,
}  # type: Dict[str, Callable[[Any, List[Any], Dict[str, Any], Dict[str, Any]], Dict[str, Any]]]


def _warm_up(runtime: Any, rows: List[Any], job: Dict[str, Any], limit_ns: int) -> List[int]:
    """Return the nanoseconds of calls that take `warmup_s`, and then of what `min_warmup_calls` lacks."""
    begin, warmup = time.perf_counter_ns(), []  # type: Tuple[int, List[int]]
    enough = begin + min(int(float(job["warmup_s"]) * 1e9), limit_ns)
    while time.perf_counter_ns() < enough:
        block = [0] * len(rows)
        warmup += block[: runtime.measure(rows, block, enough)]
    lacking = [0] * (int(job["min_warmup_calls"]) - len(warmup))
    if lacking and time.perf_counter_ns() < begin + limit_ns:
        warmup += lacking[: runtime.measure(rows, lacking, begin + limit_ns)]
    return warmup


# --- the process and its machine ----------------------------------------------------------------


def _bind(cores: Optional[List[int]]) -> List[int]:
    """Bind this process to `cores`, and return the cores that it may use."""
    if cores:
        try:
            os.sched_setaffinity(0, cores)
        except OSError as err:
            message = "cannot be bound to cores %s: %s" % (cores, err.strerror)
            raise runtimes.JobError("affinity", message) from err
    return sorted(os.sched_getaffinity(0))


def _status(key: str) -> Optional[int]:
    """Return a size from /proc/self/status in bytes, None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")]
    return sizes[0] if sizes else None


def _usage() -> Dict[str, Optional[float]]:
    """Return seconds of wall and of waiting for a core; the cores' total and stolen time in ticks."""
    total, stolen = None, None  # type: Tuple[Optional[float], Optional[float]]
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        total, stolen = float(sum(ticks[:8])), float(ticks[7])
    return {"wall": time.perf_counter(), "waited": _waited(), "total": total, "stolen": stolen}


def _waited() -> Optional[float]:
    """Return the seconds that this process's threads stood ready without a core."""
    waited = 0.0
    try:
        for task in Path("/proc/self/task").iterdir():
            waited += int((task / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
    return waited


def _strain(
    before: Dict[str, Optional[float]], after: Dict[str, Optional[float]], idle: Dict[str, float]
) -> Dict[str, Any]:
    """Return which share of the time others took: while this process waited, and from the machine.

    idle: what of each passed between turns, which is not this process's time.
    """
    wall, waited, total, stolen = (
        None if spent is None else spent - idle.get(key, 0.0)
        for key in ("wall", "waited", "total", "stolen")
        for spent in [_difference(before[key], after[key])]
    )
    return {
        "wait_share": None if waited is None or not wall else waited / wall,
        "steal_share": None if not total or stolen is None else stolen / total,
        "cpu_s": time.process_time(),
        "load_average": os.getloadavg()[0],
        "wall_s": wall,
    }


def _difference(before: Optional[float], after: Optional[float]) -> Optional[float]:
    return None if before is None or after is None else after - before


def probe() -> Dict[str, Any]:
    """Return what the device has, without loading a runtime."""
    versions = {name: runtimes.package_version(name) for name in PACKAGES}
    return {
        "schema": SCHEMA,
        "python": platform.python_version(),
        "packages": {name: version for name, version in versions.items() if version != "unknown"},
    }


def _as_array(meta: Dict[str, Any]) -> Any:
    return np.frombuffer(json.dumps(dict(meta, schema=SCHEMA)).encode(), np.uint8)


def _write(path: str, arrays: Dict[str, Any]) -> None:
    """Write the result whole or not at all."""
    temporary = Path("%s.%d.part" % (path, os.getpid()))
    try:
        with temporary.open("wb") as stream:
            np.savez(stream, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _die_with_parent(watch_stdin: bool) -> None:
    """End this process when its parent dies; by standard input's end where there is a link between."""
    with suppress(OSError, AttributeError):  # not Linux: standard input remains
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not watch_stdin:
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(125)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: List[str]) -> int:
    """Run the job that argv names and return the exit status: 0, or 1 where the result says an error."""
    if argv[1:] == ["--probe"]:
        print(json.dumps(probe()))
        return 0
    job = json.loads(Path(argv[1]).read_text(encoding="utf-8"))
    turns = job.get("mode") == "turns"
    _die_with_parent(bool(job.get("watch_stdin")) and not turns)
    if turns:  # what a runtime prints must not be taken for an answer
        job["replies"] = os.dup(1)
        os.dup2(2, 1)
    try:
        _write(job["result"], run_job(job))
    except runtimes.JobError as err:
        kind, message = err.kind, str(err)
    except MemoryError:
        kind, message = "memory", "the device's memory is exhausted"
    except OSError as err:
        kind, message = "storage", "%s: %s" % (err.filename or job["result"], err.strerror or err)
    except (ValueError, TypeError, RuntimeError) as err:
        kind, message = "input", runtimes.words(err)
    else:
        return 0
    print("%s: %s" % (kind, message), file=sys.stderr)
    if turns:
        os.write(job["replies"], json.dumps({"error": message, "kind": kind}).encode() + b"\n")
    with suppress(OSError):  # where not even this can be written, the line above has said why
        _write(job["result"], {"meta": _as_array({"error": message, "kind": kind})})
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
