"""LiteRT's own profiler, which its Python interface does not offer: the C interface, through ctypes.

The interface is that of the headers under litert/c of google-ai-edge/LiteRT, as from release 2.1.6; the
options go as the runtime writes them itself, a name with lines of TOML. What a profiled event looks like in
memory has changed before, so every event is looked at before it is believed.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

_POINTER = ctypes.c_void_p
_CPU, _WRITE = 1, 1
_WORDS = 13
"""Of 8 bytes, in one event: tag, type, begin, duration (µs), memory before and after, three more."""

_ROOM = 64
"""Words that are kept free for each event, should it be longer."""

_OPERATORS = (2, 4, 8)
_KINDS = tuple(1 << place for place in range(9))
_LONGEST_US = 1 << 40


class ProfilerError(Exception):
    """The profiler cannot be reached here, and why."""


class _Layout(ctypes.Structure):
    _fields_ = [("bits", ctypes.c_uint), ("dims", ctypes.c_int32 * 8), ("strides", ctypes.c_uint32 * 8)]


class _Ranked(ctypes.Structure):
    _fields_ = [("element", ctypes.c_int), ("layout", _Layout)]


class LiteRtProfiler:
    """One model in LiteRT with its profiler on. Raises ProfilerError where that cannot be had."""

    def __init__(self, model: str, threads: int) -> None:
        self._library = _library()
        self._free = ctypes.CDLL(None).free
        self._environment = self._made("CreateEnvironment", 0, None)
        self._model = self._made("CreateModelFromFile", self._environment, model.encode())
        options = self._made("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, _CPU)
        self._add(options, b"xnnpack", b"num_threads = %d\n" % threads)
        self._add(options, b"runtime_options_string", b"enable_profiling = true\n")
        self._compiled = self._made("CreateCompiledModel", self._environment, self._model, options)
        self._profiler = self._made("CompiledModelGetProfiler", self._compiled)
        if not self._profiler:
            raise ProfilerError("this release of LiteRT gives no profiler for a model on the processor")
        self._signature = self._made("GetModelSignature", self._model, ctypes.c_size_t(0))
        self._inputs, self._outputs = self._buffers("Input"), self._buffers("Output")

    def write(self, arrays: List[Any]) -> None:
        """Copy a call's inputs into their buffers, in the order of the signature."""
        if len(arrays) != len(self._inputs):
            raise ProfilerError("the model takes %d inputs, given %d" % (len(self._inputs), len(arrays)))
        for buffer, array in zip(self._inputs, arrays):
            address = _POINTER()
            self._call("LockTensorBuffer", _POINTER(buffer), ctypes.byref(address), _WRITE)
            ctypes.memmove(address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
            self._call("UnlockTensorBuffer", _POINTER(buffer))

    def run(self) -> int:
        """Call the model once and return its nanoseconds."""
        given, taken = len(self._inputs), len(self._outputs)
        inputs, outputs = (_POINTER * given)(*self._inputs), (_POINTER * taken)(*self._outputs)
        start = time.perf_counter_ns()
        self._call(
            "RunCompiledModel",
            self._compiled,
            ctypes.c_size_t(0),
            ctypes.c_size_t(given),
            inputs,
            ctypes.c_size_t(taken),
            outputs,
        )
        return time.perf_counter_ns() - start

    def profiled(self) -> Tuple[int, int, List[Tuple[str, int]]]:
        """Call the model once; return its nanoseconds, those of the graph in it, and the operators.

        An operator is its name and its microseconds. What lies between the call and the graph is LiteRT's
        handling of the buffers, and the profiler's own.
        """
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        took = self.run()
        self._call("StopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("GetNumProfilerEvents", self._profiler, ctypes.byref(count))
        words = np.zeros(max(1, count.value) * _ROOM, np.uint64)
        if count.value:
            self._call("GetProfilerEvents", self._profiler, count, words.ctypes.data_as(_POINTER))
        events = words[: count.value * _WORDS].reshape(-1, _WORDS)
        operators = _operators(events)
        return took, _graph_ns(events) or took, operators

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            failed = int(getattr(self._library, "LiteRt" + name)(*arguments))
        except AttributeError as err:
            raise ProfilerError("this release of LiteRT has no LiteRt%s" % name) from err
        if failed:
            raise ProfilerError("LiteRt%s ended with error %d" % (name, failed))

    def _made(self, name: str, *arguments: Any) -> Any:
        made = _POINTER()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _add(self, options: Any, name: bytes, toml: bytes) -> None:
        copied = ctypes.CDLL(None).strdup
        copied.restype = _POINTER
        free = ctypes.cast(self._free, _POINTER)
        self._call(
            "AddOpaqueOptions", options, self._made("CreateOpaqueOptions", name, _POINTER(copied(toml)), free)
        )

    def _buffers(self, kind: str) -> List[int]:
        """Return a buffer for each input or output of the signature."""
        count = ctypes.c_size_t()
        self._call("GetNumSignature%ss" % kind, self._signature, ctypes.byref(count))
        return [self._buffer(kind, index) for index in range(count.value)]

    def _buffer(self, kind: str, index: int) -> int:
        place, ranked = ctypes.c_size_t(index), _Ranked()
        tensor = self._made("GetSignature%sTensorByIndex" % kind, self._signature, place)
        self._call("GetRankedTensorType", tensor, ctypes.byref(ranked))
        rank = ranked.layout.bits & 0x7F
        if min(list(ranked.layout.dims)[:rank], default=1) < 1:
            raise ProfilerError("LiteRT's profiler is used for models of fixed shapes alone")
        needs = self._made(
            "GetCompiledModel%sBufferRequirements" % kind, self._compiled, ctypes.c_size_t(0), place
        )
        made = self._made(
            "CreateManagedTensorBufferFromRequirements", self._environment, ctypes.byref(ranked), needs
        )
        return int(made.value)


def _library() -> Any:
    found = importlib.util.find_spec("ai_edge_litert")
    folder = list(found.submodule_search_locations or []) if found else []
    path = Path(folder[0]) / "libLiteRt.so" if folder else None
    if path is None or not path.exists():
        raise ProfilerError("there is no libLiteRt.so in ai_edge_litert here")
    return ctypes.CDLL(str(path))


def _operators(events: Any) -> List[Tuple[str, int]]:
    """Return the operators among events. Raises ProfilerError where they do not look like events."""
    kinds, durations = (events[:, 1] & 0xFFFFFFFF).tolist(), events[:, 3].tolist()
    found = []
    for event, kind, duration in zip(events, kinds, durations):
        if kind not in _KINDS or not event[0] or duration > _LONGEST_US:
            raise ProfilerError("this release of LiteRT lays its events out in another way")
        if kind in _OPERATORS:
            found.append((ctypes.string_at(int(event[0])).decode("utf-8", "replace"), int(duration)))
    inner = [one for one in found if "delegate" not in one[0].lower()]
    return inner or found


def _graph_ns(events: Any) -> int:
    """Return the nanoseconds of the event that the graph as a whole is, 0 where there is none."""
    for event in events:
        if int(event[1]) & 0xFFFFFFFF == 1 and ctypes.string_at(int(event[0])) == b"Invoke":
            return int(event[3]) * 1000
    return 0


def profile(model: str, threads: int, rows: List[List[Any]], calls: int) -> Dict[str, Any]:
    """Return the columns of a profile: call, operator, operator_ns, run_ns, profiled_ns, and the names."""
    profiler = LiteRtProfiler(model, threads)
    names, table = {}, []  # type: Tuple[Dict[Tuple[str, str], int], List[Tuple[int, int, int]]]
    whole, graphs = [], []  # type: Tuple[List[int], List[int]]
    for index in range(-len(rows), calls):  # the first ones warm up
        profiler.write(rows[index % len(rows)])
        took, graph, operators = profiler.profiled()
        if index < 0:
            continue
        whole.append(took)
        graphs.append(graph)
        for place, (tag, duration) in enumerate(operators):
            key = ("%d %s" % (place, tag), tag.split(" (")[0])
            table.append((index, names.setdefault(key, len(names)), duration * 1000))
    if not table:
        raise ProfilerError("LiteRT's profiler told of no operator")
    columns = np.array(table, np.int64)
    return {
        "call": columns[:, 0].astype(np.int32),
        "operator": columns[:, 1].astype(np.int32),
        "operator_ns": columns[:, 2],
        "run_ns": np.array(graphs, np.int64),
        "profiled_ns": np.array(whole, np.int64),
        "operators": [list(key) for key in names],
    }
