"""The agent's other jobs: streams of queries, Poisson arrivals, loading from a cold or warm cache, profiles.

    python agent_workloads.py job.json      run a job; agent.py lies beside this file

The job and the result are those of agent.py, with these modes. Beside what every job has:

stream: queries in a row. warmup_s, min_warmup_calls, calls_per_query, min_queries, duration_s (both are
reached), max_s (then it ends in any case), watch (files of the system that are read between blocks of
calls), keep (at most so many queries of a block are kept, evenly spaced; all where it is absent). Gives
latency_ns int64[kept]; block_ns int64[blocks, 4], each block's start since the first one's, its duration, its
queries, and how many of them are kept; watch_ns int64[k], when files were read, with meta `watched`, their
texts.

server: queries that arrive by a Poisson process, one sample each, answered one at a time. qps, duration_s,
min_queries, bound_ns, seed. Gives latency_ns int64[queries], from the arrival to the answer. Where qps is
null it is searched for: meta `qps`, and `trials`, each [qps, queries, over].

load: cache (cold, warm). Gives meta `resident_share`; what loading took is in every job's meta.

profile: calls. Gives call, operator int32[n], operator_ns int64[n], one row per operator and call;
plain_ns, profiled_ns, run_ns int64[calls]; meta `tool`, `resolution_ns`, `operators`, each [name, type].
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import mmap
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

# On a device this file may be a link into a cache, whose folder Python would search in place of this one.
sys.path.insert(0, str(Path(__file__).absolute().parent))
agent = importlib.import_module("agent")

BLOCK = 1 << 15
BLOCK_NS = 250_000_000
"""Calls are timed in blocks of at most so many and about so long; what is done between them is not timed."""

NEVER = 1 << 62
SPIN_NS = 200_000
"""A sleeping process is woken late; the last of the wait for an arrival is spent awake."""

GIVE_UP_NS = 5_000_000_000
SEARCH_STEPS = 7
COMMON = ("runtime", "model", "inputs", "threads")
WARM = ("warmup_s", "min_warmup_calls")
REQUIRED = {
    "stream": (*COMMON, *WARM, "calls_per_query", "min_queries", "duration_s", "max_s"),
    "server": (*COMMON, *WARM, "qps", "duration_s", "min_queries", "bound_ns", "seed", "percentile"),
    "load": (*COMMON, "cache"),
    "profile": (*COMMON, *WARM, "calls"),
}


def _feeds(runtime: Any, columns: List[Any]) -> List[Any]:
    """Return each row ready for its call."""
    return [runtime.prepare([np.array(column[row]) for column in columns]) for row in range(len(columns[0]))]


# --- streams ------------------------------------------------------------------------------------


def stream(runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return the nanoseconds of every query, each issued when the one before is answered."""
    feeds, per_query = _feeds(runtime, columns), int(job["calls_per_query"])
    measured = runtime if per_query == 1 else _Grouped(runtime, per_query)
    queries = feeds if per_query == 1 else measured.queries(feeds)
    watch = _Watch(job.get("watch") or [])
    chunks, blocks, buffer = [], [], [0] * BLOCK  # type: Tuple[List[Any], List[Tuple[int, int, int, int]], List[int]]
    enough, limit = int(float(job["duration_s"]) * 1e9), int(float(job["max_s"]) * 1e9)
    clock, done, count, keep = time.perf_counter_ns, 0, 0, int(job.get("keep") or BLOCK)
    gc.collect()
    gc.disable()
    agent._warm_up(runtime, feeds, job, limit)
    watch.look()
    begin = end = clock()
    while end - begin < limit and (end - begin < enough or count < int(job["min_queries"])):
        queries = queries[done % len(queries) :] + queries[: done % len(queries)]
        start = clock()
        done = measured.measure(queries, buffer, start + BLOCK_NS)
        end = clock()
        seen = buffer[: done : -(-done // keep)]
        chunks.append(np.array(seen, np.int64))
        blocks.append((start - begin, end - start, done, len(seen)))
        count += done
        watch.look()
    gc.enable()
    meta["watched"] = watch.texts
    if per_query > 1:
        meta["timed"] = "%d calls in a row, the copying of their inputs included: %s" % (
            per_query,
            meta["timed"],
        )
    arrays = {"latency_ns": np.concatenate(chunks), "block_ns": np.array(blocks, np.int64)}
    return dict(arrays, watch_ns=np.array(watch.times, np.int64) - begin)


class _Grouped:
    """A runtime whose query is several calls in a row."""

    def __init__(self, runtime: Any, size: int) -> None:
        self._measure, self._size, self._spare = runtime.measure, size, [0] * size

    def queries(self, feeds: List[Any]) -> List[List[Any]]:
        """Return the calls of each query, going round the feeds."""
        count = len(feeds)
        return [
            [feeds[(query * self._size + place) % count] for place in range(self._size)]
            for query in range(count)
        ]

    def measure(self, queries: List[List[Any]], latency: List[int], deadline: int) -> int:
        """Fill `latency` as a runtime does; a query lasts from before its first input to its last answer."""
        measure, spare, clock, count, done = self._measure, self._spare, time.perf_counter_ns, len(queries), 0
        for done in range(len(latency)):
            start = clock()
            measure(queries[done % count], spare, NEVER)
            end = clock()
            latency[done] = end - start
            if end >= deadline:
                break
        return done + 1


class _Watch:
    """Reads small files of the system between blocks of calls, a few times a second at most."""

    def __init__(self, paths: List[str]) -> None:
        self._paths, self.times, self.texts = paths, [], []  # type: Tuple[List[str], List[int], List[List[Optional[str]]]]

    def look(self) -> None:
        """Read them all, and note when."""
        if self._paths:
            self.times.append(time.perf_counter_ns())
            self.texts.append([_text(path) for path in self._paths])


def _text(path: str) -> Optional[str]:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


# --- arrivals -----------------------------------------------------------------------------------


def server(runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return the nanoseconds from each arrival to its answer, or the highest rate that holds the bound."""
    feeds = _feeds(runtime, columns)
    gc.collect()
    gc.disable()
    warm = agent._warm_up(runtime, feeds, job, NEVER)
    if job["qps"] is None:
        meta["qps"], meta["trials"] = _search(runtime, feeds, job, float(np.mean(warm[len(warm) // 2 :])))
        latency = np.zeros(0, np.int64)
    else:
        start = time.perf_counter_ns()
        latency, meta["ended_by"] = _serve(runtime, feeds, job, float(job["qps"]), NEVER)
        meta["elapsed_ns"] = time.perf_counter_ns() - start
    meta["timed"] = "from a query's arrival to its answer, its waiting included: %s" % meta["timed"]
    gc.enable()
    return {"latency_ns": latency}


def _search(
    runtime: Any, feeds: List[Any], job: Dict[str, Any], call_ns: float
) -> Tuple[float, List[List[float]]]:
    """Return the highest rate, by bisection, at which few enough queries are late, and all that was tried.

    Every trial has the same arrivals but for their scale, so that chance does not turn their order round.
    """
    held, lost, trials = 0.0, 1e9 / call_ns, []  # type: Tuple[float, float, List[List[float]]]
    for _ in range(SEARCH_STEPS):
        qps = (held + lost) / 2
        again = dict(job, seed=int(job["seed"]) + 1)
        count = len(_arrivals(again, qps))
        allowed = int(count * (1 - float(job["percentile"])))
        latency, _ = _serve(runtime, feeds, again, qps, allowed)
        over = int((latency > int(job["bound_ns"])).sum())
        trials.append([qps, len(latency), over])
        if over <= allowed and len(latency) == count:
            held = qps
        else:
            lost = qps
    return held, trials


def _arrivals(job: Dict[str, Any], qps: float) -> List[int]:
    """Return when the queries arrive, nanoseconds: for as long as was asked, and no fewer than were."""
    duration_ns, least = float(job["duration_s"]) * 1e9, int(job["min_queries"])
    expected = qps * float(job["duration_s"])
    gaps = np.random.default_rng(int(job["seed"])).exponential(
        1e9 / qps, int(expected + 6 * expected**0.5) + least + 9
    )
    due = np.cumsum(gaps).astype(np.int64)
    return list(due[: max(least, int(np.searchsorted(due, duration_ns)) + 1)].tolist())


def _serve(runtime: Any, feeds: List[Any], job: Dict[str, Any], qps: float, allowed: int) -> Tuple[Any, str]:
    """Return the latencies of one run, and what ended it; it is broken off where all hope is lost.

    allowed: how many queries may be late before it is.
    """
    due, clock, sleep = _arrivals(job, qps), time.perf_counter_ns, time.sleep
    latency, one, bound = [0] * len(due), [0], int(job["bound_ns"])
    rows, over = [[feed] for feed in feeds], 0
    hopeless, measure, kinds = max(GIVE_UP_NS, 20 * bound), runtime.measure, len(feeds)
    begin = clock()
    for index, after in enumerate(due):
        arrival = begin + after
        left = arrival - clock()
        if left > SPIN_NS + SPIN_NS // 2:
            sleep((left - SPIN_NS) / 1e9)
        while clock() < arrival:
            pass
        measure(rows[index % kinds], one, 0)
        late = latency[index] = clock() - arrival
        if late > bound:
            over += 1
            if over > allowed or late > hopeless:
                return np.array(latency[: index + 1], np.int64), "backlog"
    return np.array(latency, np.int64), "time"


# --- loading ------------------------------------------------------------------------------------


def settle_cache(job: Dict[str, Any]) -> Dict[str, Any]:
    """Drop the model file's pages from the page cache, or read them all, and return how many are there.

    Dropping is posix_fadvise(POSIX_FADV_DONTNEED) after fsync, which needs no rights: the kernel lets go of
    clean pages that no process has mapped. It does nothing on a file system that lives in memory.
    """
    with Path(job["model"]).open("rb") as stream:
        if job["cache"] == "warm":
            while stream.read(1 << 20):
                pass
        elif hasattr(os, "posix_fadvise"):
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return {"resident_share": _resident(stream.fileno())}


def _resident(handle: int) -> Optional[float]:
    """Return which share of a file's pages lies in memory, by mincore(2); None where it cannot be told."""
    with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as mapped:
        content = np.frombuffer(mapped, np.uint8)
        size, address = content.size, content.ctypes.data
        del content
        pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
        try:
            failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages)
        except (OSError, AttributeError):
            return None
    return None if failed else float(np.mean(np.frombuffer(bytes(pages), np.uint8) & 1))


# --- profiles -----------------------------------------------------------------------------------


def profile(runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return what the runtime's profiler says of each operator, plain and profiled calls in turns."""
    if job["runtime"] == "litert":
        return _profile_litert(runtime, columns, job, meta)
    feeds, calls = _feeds(runtime, columns), int(job["calls"])
    twin, session = _profiled_twin(runtime, job)
    bound = _feeds(twin, columns)
    agent._warm_up(runtime, feeds, job, NEVER)
    twin.measure(bound, [0] * len(bound), NEVER)
    plain, profiled, step = [], [], len(feeds)  # type: Tuple[List[int], List[int], int]
    while len(profiled) < calls:
        for side, ready, times in ((runtime, feeds, plain), (twin, bound, profiled)):
            block = [0] * min(step, calls - len(times))
            side.measure(ready, block, NEVER)
            times.extend(block)
    events = Path(session.end_profiling())
    try:
        arrays = _operators(json.loads(events.read_text(encoding="utf-8")), len(feeds), meta)
    finally:
        events.unlink()
    meta.update(tool="ONNX Runtime's profiler", resolution_ns=1000)
    return dict(arrays, plain_ns=np.array(plain, np.int64), profiled_ns=np.array(profiled, np.int64))


def _profile_litert(
    runtime: Any, columns: List[Any], job: Dict[str, Any], meta: Dict[str, Any]
) -> Dict[str, Any]:
    """Return the profile of a model in LiteRT; its plain calls are those of CompiledModel."""
    litert = importlib.import_module("agent_litert")
    if not isinstance(runtime, agent.runtimes.CompiledLiteRt) or len(columns) > 1:
        raise agent.runtimes.JobError(
            "profile", "LiteRT's profiler is used for models of one input in CompiledModel alone"
        )
    feeds, plain = _feeds(runtime, columns), [0] * int(job["calls"])
    agent._warm_up(runtime, feeds, job, NEVER)
    runtime.measure(feeds, plain, NEVER)
    rows = [[np.array(column[row]) for column in columns] for row in range(len(columns[0]))]
    try:
        arrays = litert.profile(job["model"], int(job["threads"]), rows, int(job["calls"]))
    except litert.ProfilerError as err:
        raise agent.runtimes.JobError("profile", str(err)) from err
    meta.update(tool="LiteRT's profiler", resolution_ns=1000, operators=arrays.pop("operators"))
    return dict(arrays, plain_ns=np.array(plain, np.int64))


def _profiled_twin(runtime: Any, job: Dict[str, Any]) -> Tuple[Any, Any]:
    """Return the same runtime around a session of its own that profiles, and that session."""
    import onnxruntime

    options = runtime._session.get_session_options()
    options.enable_profiling = True
    options.profile_file_prefix = job["result"] + ".profile"
    session = onnxruntime.InferenceSession(job["model"], options, providers=runtime._session.get_providers())
    twin = object.__new__(type(runtime))
    twin._session, twin._names, twin._outputs = session, runtime._names, runtime._outputs
    return twin, session


def _operators(events: List[Dict[str, Any]], skipped: int, meta: Dict[str, Any]) -> Dict[str, Any]:
    """Return the nodes' times of every run after the first `skipped`; meta gets the nodes' names.

    Nodes inside another node's time, the bodies of If and Loop, are part of that node. Times are cut to
    microseconds each by itself, so that a run may seem to end before its last node begins: a node belongs to
    the last run that began before it.
    """
    events = sorted((e for e in events if "dur" in e), key=lambda event: (event["ts"], -event["dur"]))
    runs = [event for event in events if event["name"] == "model_run"]
    begins, busy = np.array([run["ts"] for run in runs]), 0
    names, rows = {}, []  # type: Tuple[Dict[Tuple[str, str], int], List[Tuple[int, int, int]]]
    for event in events:
        if event.get("cat") != "Node" or event["ts"] < busy:
            continue
        busy = event["ts"] + event["dur"]
        run = int(np.searchsorted(begins, event["ts"], side="right")) - 1 - skipped
        if run >= 0:
            key = (event["name"].replace("_kernel_time", ""), str(event["args"].get("op_name")))
            rows.append((run, names.setdefault(key, len(names)), event["dur"] * 1000))
    meta["operators"] = [list(key) for key in names]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return {
        "call": table[:, 0].astype(np.int32),
        "operator": table[:, 1].astype(np.int32),
        "operator_ns": table[:, 2],
        "run_ns": np.array([run["dur"] * 1000 for run in runs[skipped:]], np.int64),
    }


def main(argv: List[str]) -> int:
    """Run the job that argv names with the agent, which learns these modes."""
    agent.REQUIRED.update(REQUIRED)
    agent.MODES.update(stream=stream, server=server, load=lambda *_: {}, profile=profile)
    agent.BEFORE["load"] = settle_cache
    return int(agent.main(argv))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
