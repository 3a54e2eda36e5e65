"""The agent: runs one job on the device and writes one result file. One file, numpy and the runtime only.

    python agent.py job.json         run a job
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
import json
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

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


class JobError(Exception):
    """The job cannot be done; kind says whose business it is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


# --- runtimes ---------------------------------------------------------------------------------
# Each has prepare (what can be done for an input long before its call), measure (calls in a row, inputs
# placed before the clock starts) and answers (one call, its outputs copied). `measure` is written out in each
# class, for what runs between two calls pushes the runtime's code and data out of the nearest caches, and
# then the next call pays: a shared loop with a function for one call took 0.25 µs more of a 46 µs model.


class OnnxRuntime:
    """ONNX Runtime on the CPU, its inputs and outputs bound beforehand.

    On a model of 27 µs `session.run(None, feed)` takes 4 µs more than the C interface's Run, most of it for
    the names and for making arrays of the outputs; `run_with_iobinding` takes 1.3 µs more.
    """

    timed = (
        "InferenceSession.run_with_iobinding: input arrays bound before the clock starts; the outputs' "
        "allocation and the last ones' release are inside"
    )

    def __init__(self, model: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.version = onnxruntime.__version__
        self.provider = ",".join(self._session.get_providers())
        self.coverage = "every node"

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:  # noqa: ARG002
        """Take the inputs in the order of `names` where the model has them all."""
        given = [spec.name for spec in self._session.get_inputs()]
        self._names = names if names and set(names) <= set(given) else given
        self._outputs = [spec.name for spec in self._session.get_outputs()]

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._names)

    def prepare(self, arrays: List[Any]) -> Tuple[Any, Dict[str, Any]]:
        """Return the binding of a call on `arrays`, and what it binds."""
        binding, feed = self._session.io_binding(), dict(zip(self._names, arrays))
        for name, array in feed.items():
            binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name)
        return binding, feed

    def measure(self, bound: List[Tuple[Any, Dict[str, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `bound`; return how many they are.

        deadline: on the clock perf_counter_ns; the call in which it comes is the last.
        """
        run, clock, count, done = self._session.run_with_iobinding, time.perf_counter_ns, len(bound), 0
        try:
            for done in range(len(latency)):
                binding = bound[done % count][0]
                start = clock()
                run(binding)
                end = clock()
                latency[done] = end - start
                if end >= deadline:
                    break
        except RuntimeError:  # whatever is wrong; `run` tells by the type of its error whose fault it is
            self._session.run(None, bound[done % count][1])
            raise
        return done + 1

    def answers(self, bound: Tuple[Any, Dict[str, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        return [np.array(output) for output in self._session.run(None, bound[1])]


class CompiledLiteRt:
    """LiteRT through CompiledModel, the interface that LiteRT 2 recommends and its benchmark times.

    On a model of 24 µs `run_by_index` takes 1.6 µs more than the C interface's call, `run_by_name` 2.0 µs.
    """

    timed = (
        "CompiledModel.run_by_index: inputs written into the runtime's buffers before the clock starts, "
        "outputs read out of them after it stops"
    )
    provider = "CompiledModel CPU (XNNPACK)"

    def __init__(self, model: str, threads: int) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads)
        )
        self._path = model
        self._model = CompiledModel.from_file(model, options=options)
        self.version = _package_version("ai-edge-litert")
        full = self._model.is_fully_accelerated()
        self.coverage = "every node" if full else "part of the nodes, the others by built-in kernels"

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:
        """Make the buffers, in the order of the host's arrays. Raises UnsupportedError."""
        signatures = self._model.get_signature_list()
        key = next(iter(signatures))
        inputs, outputs = listed = signatures[key]["inputs"], signatures[key]["outputs"]
        if len(inputs) > 1 or len(outputs) > 1:
            inputs, outputs = _tensor_order(self._path, names, inputs, outputs)
        taken = self._model.get_input_tensor_details(key)
        for name, shape in zip(inputs, shapes):
            if min(taken[name]["shape"], default=1) < 1:
                self._model.resize_input_tensor_by_name(key, name, list(shape))
        self._taken = _specs(self._model.get_input_tensor_details(key), inputs)
        self._given = _specs(self._model.get_output_tensor_details(key), outputs)
        self._in = {name: self._model.create_input_buffer_by_name(key, name) for name in inputs}
        self._out = {name: self._model.create_output_buffer_by_name(key, name) for name in outputs}
        self._index = self._model.get_signature_index(key)
        self._takes, self._gives = (
            [self._in[name] for name in listed[0]],
            [self._out[name] for name in listed[1]],
        )

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._in)

    def prepare(self, arrays: List[Any]) -> List[Tuple[Any, Any]]:
        """Return which array a call writes into which buffer. Raises ValueError where one does not fit."""
        for array, (shape, dtype) in zip(arrays, self._taken):
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    "the input is %s%s, the model takes %s%s" % (array.dtype, array.shape, dtype, shape)
                )
        return list(zip(self._in.values(), arrays))

    def measure(self, writes: List[List[Tuple[Any, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `writes`; return how many they are."""
        run, index, taken, given = self._model.run_by_index, self._index, self._takes, self._gives
        clock, count, done = time.perf_counter_ns, len(writes), 0
        for done in range(len(latency)):
            for buffer, array in writes[done % count]:
                buffer.write(array)
            start = clock()
            run(index, taken, given)
            end = clock()
            latency[done] = end - start
            if end >= deadline:
                break
        return done + 1

    def answers(self, writes: List[Tuple[Any, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        self.measure([writes], [0], 0)
        return [
            buffer.read(int(np.prod(shape)), dtype.type).reshape(shape)
            for buffer, (shape, dtype) in zip(self._out.values(), self._given)
        ]


class InterpreterLiteRt:
    """LiteRT or tflite-runtime through Interpreter, where CompiledModel does not exist or not serve."""

    timed = "Interpreter.invoke: inputs set before the clock starts, outputs read after it stops"
    coverage = "not told by this runtime"

    def __init__(self, model: str, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter

            package = "ai-edge-litert"
        except ImportError:
            from tflite_runtime.interpreter import Interpreter

            package = "tflite-runtime"
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self.version = _package_version(package)
        self.provider = "Interpreter CPU (%s, default delegate)" % package

    def arrange(self, names: List[str], shapes: List[Tuple[int, ...]]) -> None:
        """Find the tensors, in the order of the host's arrays, and give free dimensions their size."""
        details = _in_order(self._interpreter.get_input_details(), names)
        self._in = [detail["index"] for detail in details]
        free = [shape for detail, shape in zip(details, shapes) if -1 in detail["shape_signature"]]
        if free:
            for index, shape in zip(self._in, shapes):
                self._interpreter.resize_tensor_input(index, list(shape))
            self._interpreter.allocate_tensors()
        self._out = [detail["index"] for detail in self._interpreter.get_output_details()]

    def inputs(self) -> int:
        """Return how many arrays a call takes."""
        return len(self._in)

    def prepare(self, arrays: List[Any]) -> List[Tuple[int, Any]]:
        """Return which array a call copies into which tensor."""
        return list(zip(self._in, arrays))

    def measure(self, writes: List[List[Tuple[int, Any]]], latency: List[int], deadline: int) -> int:
        """Fill `latency` with the nanoseconds of calls, going round `writes`; return how many they are."""
        interpreter, clock, count, done = self._interpreter, time.perf_counter_ns, len(writes), 0
        for done in range(len(latency)):
            for index, array in writes[done % count]:
                interpreter.set_tensor(index, array)
            start = clock()
            interpreter.invoke()
            end = clock()
            latency[done] = end - start
            if end >= deadline:
                break
        return done + 1

    def answers(self, writes: List[Tuple[int, Any]]) -> List[Any]:
        """Return the outputs of one call."""
        self.measure([writes], [0], 0)
        return [self._interpreter.get_tensor(index) for index in self._out]


class UnsupportedError(Exception):
    """This interface does not serve this model."""


def _specs(details: Dict[str, Any], names: List[str]) -> List[Tuple[Tuple[int, ...], np.dtype]]:
    """Return shape and dtype of each tensor; CompiledModel's buffers take no others than these dtypes."""
    served = ("float32", "float16", "int32", "int8", "uint8", "bool")
    for name in names:
        if details[name]["dtype"] not in served:
            raise UnsupportedError("CompiledModel has no buffers of %s" % details[name]["dtype"])
    return [(tuple(details[name]["shape"]), np.dtype(details[name]["dtype"])) for name in names]


def _in_order(details: List[Dict[str, Any]], names: List[str]) -> List[Dict[str, Any]]:
    if names and set(names) == {detail["name"] for detail in details}:
        return sorted(details, key=lambda detail: names.index(detail["name"]))
    return details


def _tensor_order(
    model: str, names: List[str], inputs: List[str], outputs: List[str]
) -> Tuple[List[str], List[str]]:
    """Return a signature's inputs in the order of `names`, and its outputs in the tensors' order.

    CompiledModel lists them as the signature does; the host names tensors, or the signature's inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    if not interpreter.get_signature_list():
        return (list(names) if set(names) == set(inputs) else inputs), outputs
    runner = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    name_in = {detail["index"]: name for name, detail in runner.get_input_details().items()}
    name_out = {detail["index"]: name for name, detail in runner.get_output_details().items()}
    tensors = _in_order(interpreter.get_input_details(), names)
    ordered = [name_in[detail["index"]] for detail in tensors]
    if names and set(names) == set(inputs):
        ordered = list(names)
    return ordered, [name_out[detail["index"]] for detail in interpreter.get_output_details()]


# --- the job ------------------------------------------------------------------------------------


def run_job(job: Dict[str, Any]) -> Dict[str, Any]:
    """Return a result's arrays, `meta` among them as JSON bytes. Raises JobError."""
    if job.get("schema") != SCHEMA:
        raise JobError("job", "the job has schema %r, this agent knows %d" % (job.get("schema"), SCHEMA))
    if job.get("mode") not in REQUIRED:
        raise JobError("job", "unknown mode %r" % job.get("mode"))
    missing = [key for key in REQUIRED[job["mode"]] if key not in job]
    if missing:
        raise JobError("job", "the job lacks %s" % ", ".join(missing))
    before = _usage()
    affinity = _bind(job.get("affinity"))
    columns = [np.load(path, mmap_mode="r", allow_pickle=False) for path in job["inputs"]]
    if len({len(column) for column in columns}) != 1:
        raise JobError("input", "the inputs have %s rows" % [len(column) for column in columns])
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
    makers = _makers(job["runtime"], job.get("avoid"))
    for index, make in enumerate(makers):
        rss, start = _status("VmRSS"), time.perf_counter_ns()
        try:
            runtime = make(job["model"], int(job["threads"]))
            load_ns = time.perf_counter_ns() - start
            runtime.arrange(names, shapes)
        except UnsupportedError:
            if index + 1 == len(makers):
                raise
            continue
        except MemoryError:
            raise
        except Exception as err:  # native runtimes raise types of their own
            raise JobError("model", "the model cannot be loaded: %s" % _words(err)) from err
        break
    if runtime.inputs() != len(columns):
        raise JobError("input", "the model takes %d inputs, given %d" % (runtime.inputs(), len(columns)))
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


def _makers(name: str, avoid: Optional[str]) -> List[Callable[[str, int], Any]]:
    """Return the interfaces to try, imported, so that importing is not part of loading a model."""
    try:
        if name == "onnxruntime":
            import onnxruntime  # noqa: F401

            return [OnnxRuntime]
        if name != "litert":
            raise JobError("job", "unknown runtime %r" % name)
        try:
            import ai_edge_litert.compiled_model  # noqa: F401
        except ImportError:
            if _package_version("ai-edge-litert") == "unknown":
                import tflite_runtime.interpreter  # noqa: F401
            return [InterpreterLiteRt]
    except ImportError as err:
        raise JobError("runtime_missing", "%s is not installed here: %s" % (name, err)) from err
    return [InterpreterLiteRt] if avoid else [CompiledLiteRt, InterpreterLiteRt]


def _first_call(runtime: Any, arrays: List[Any]) -> int:
    try:
        ready, latency = [runtime.prepare([np.array(array) for array in arrays])], [0]
        runtime.measure(ready, latency, 0)
    except MemoryError:
        raise
    except Exception as err:  # native runtimes raise types of their own
        kind = "input" if type(err).__name__ in ("InvalidArgument", "ValueError") else "model"
        raise JobError(kind, "the model's first call failed: %s" % _words(err)) from err
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
        raise JobError("job", "the conductor is gone")
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
            raise JobError("affinity", "cannot be bound to cores %s: %s" % (cores, err.strerror)) from err
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


def _package_version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _words(err: BaseException) -> str:
    """Return an exception's text in one line, without the paths inside the runtime."""
    return " ".join((str(err) or type(err).__name__).split())[:600]


def probe() -> Dict[str, Any]:
    """Return what the device has, without loading a runtime."""
    versions = {name: _package_version(name) for name in PACKAGES}
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
    except JobError as err:
        kind, message = err.kind, str(err)
    except MemoryError:
        kind, message = "memory", "the device's memory is exhausted"
    except OSError as err:
        kind, message = "storage", "%s: %s" % (err.filename or job["result"], err.strerror or err)
    except (ValueError, TypeError, RuntimeError) as err:
        kind, message = "input", _words(err)
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
