"""What `benchmark_model` prints: TFLite's of old, LiteRT 2's, and what `litert-benchmark` prints.

The forms are those of `BenchmarkLoggingListener::OnBenchmarkEnd` in tflite/tools/benchmark/
benchmark_model.cc (microseconds, one line of `Inference timings`) and in litert/tools/
benchmark_litert_model.h (milliseconds, a block of `BENCHMARK RESULTS`). All print a summary and never the
single calls. A log may hold several runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgebench.benchmark.evidence import NOT_TOLD, Span, Summary, Timing
from edgebench.benchmark.importers.litert_benchmark import TIMED
from edgebench.benchmark.importers.log import NS, Told, ToolLog, file_name, one_time, whole_number
from edgebench.benchmark.importers.text import Part, open_text
from edgebench.errors import InputError


@dataclass(frozen=True, slots=True)
class _Program:
    """One of the programs, and what it times by which clock."""

    tool: str
    timed: str
    clock: str = "whole microseconds"


_CLASSIC = _Program(
    "benchmark_model of TFLite", "Interpreter::Invoke: inputs set before the clock starts, outputs not read"
)
_LITERT = _Program(
    "benchmark_model of LiteRT 2",
    "CompiledModel::Run: inputs written before the clock starts, outputs not read",
)
_PYTHON = _Program("litert-benchmark (printed)", TIMED, "perf_counter")
_ENDING = re.compile(
    rb"(?:Average inference|Inference) timings in us: (?P<line>[^\r\n]*)|BENCHMARK RESULTS(?P<block>)"
)
_SIGNS = (b"nference timings in us: ", b"BENCHMARK RESULTS", b"Running benchmark for at least")
_FIGURE = re.compile(
    rb"(Init|First inference|Warmup(?: \(avg\))?|Inference(?: \(avg\))?|no stats): ?([^,\s]+)"
)
_COUNT = re.compile(rb"count=\d+[^\r\n]*")
_PAIR = re.compile(rb"(\w+)=([^\s]+)")
_OF_PROFILE = (b"(microseconds)", b"(bytes)")
_ROW = re.compile(
    rb"(Model initialization|Warmup \(first\)|Inference \(\w+\)): +(\S+)(?: ms)?(?: \((\d+) runs\))?"
)
_BLOCK_BYTES = 4096

_GRAPH = re.compile(
    rb"(?:Graph: \[|Loaded model |Loading model from: |benchmark_litert_model: Model: +)([^\]\r\n]+)"
)
_THREADS = re.compile(
    rb"(?:#threads used for CPU inference: \[|Num threads: \[|Num threads: +)(\d+)(?=\]|\s)"
)
_SIZE_MB = re.compile(rb"The input model file size \(MB\): (\d[\d.]*)")
_DELEGATED = re.compile(rb"Replacing (\d+) out of (\d+) node\(s\) with delegate \(([^)]*)\)")
_PROFILED = re.compile(rb"(?:Enable op profiling|Use profiler): \[(?:1|true)\]")


class BenchmarkModel:
    """Reads what benchmark_model prints."""

    def recognises(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Return whether the log tells of a benchmark that began or ended as benchmark_model's do."""
        whole = open_text(path)
        return any(whole.holds(sign) for sign in _SIGNS)

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return a summary for each run. Raises InputError."""
        logs = tuple(_as_log(part, ending, told, path) for part, ending in _runs(open_text(path)))
        if not logs:
            raise InputError(
                f"{path}: breaks off before benchmark_model tells its results",
                hint="did it end, and were both its output and its errors kept (2>&1)?",
            )
        return tuple(log for log in logs if log.model is None or told.wants(log.model))


def _runs(whole: Part) -> Iterator[tuple[Part, re.Match[bytes]]]:
    """Yield each run's stretch of the log, up to its results, and the match with which they begin."""
    start = 0
    for ending in whole.all(_ENDING):
        end = ending.end() if ending["line"] is not None else min(ending.end() + _BLOCK_BYTES, whole.end)
        yield whole.since(start).until(end), ending
        start = ending.end()


def _as_log(part: Part, ending: re.Match[bytes], told: Told, path: Path) -> ToolLog:
    classic = ending["line"] is not None
    figures = _line(ending["line"], path) if classic else _block(part.since(ending.end()), path)
    counted = _counted(part.until(ending.start()))
    delegates = [f"{m[1].decode()} of {m[2].decode()} nodes on {_text(m[3])}" for m in part.all(_DELEGATED)]
    graph = part.words(_GRAPH)
    profiled = part.first(_PROFILED) is not None
    program = _CLASSIC if classic else _PYTHON if "median" in figures else _LITERT
    return ToolLog(
        tool=program.tool,
        model=None if graph is None else file_name(graph),
        timing=Timing(
            runtime="litert",
            runtime_version=told.runtime_version,
            provider=told.provider or _provider(part),
            batch=told.batch,
            threads=told.threads_of(_threads(part, path), path),
            affinity=(),
            timed=program.timed,
            process=f"one {program.tool.split()[0]} process",
            clock=program.clock,
            span=told.span_of([Span.CALL], path),
        ),
        summary=_summary(program.tool, figures, counted, path),
        load_ns=_rounded(figures.get("load")),
        first_ns=_rounded(figures.get("first")),
        model_bytes=_size(part.words(_SIZE_MB)),
        coverage="; ".join(delegates),
        doubts=("operators were profiled while it was timed",) if profiled else (),
    )


def _line(line: bytes, path: Path) -> dict[str, float]:
    """Return the classic figures in nanoseconds: load, first where it is told, mean."""
    names = {b"Init": "load", b"First inference": "first", b"no stats": "mean"}
    names |= {b"Inference": "mean", b"Inference (avg)": "mean"}
    found = {
        names[name]: one_time(value, NS["us"], name.decode(), path)
        for name, value in _FIGURE.findall(line)
        if name in names
    }
    if "mean" not in found:
        raise InputError(f"{path}: the line of inference timings breaks off", hint="was all of it copied?")
    return found


def _block(part: Part, path: Path) -> dict[str, float]:
    """Return LiteRT 2's figures in nanoseconds, and the calls."""
    names = {"Model initialization": "load", "Warmup (first)": "first", "Inference (avg)": "mean"}
    names |= {f"Inference ({name})": name for name in ("min", "max", "median", "std")}
    found: dict[str, float] = {}
    for row in part.all(_ROW):
        name = row[1].decode()
        if name in names and names[name] not in found:
            found[names[name]] = one_time(row[2], NS["ms"], name, path)
            if row[3] and name == "Inference (avg)":
                found["calls"] = float(whole_number(row[3], "the number of runs", path))
    if not {"mean", "calls"} <= found.keys():
        raise InputError(f"{path}: the block of results breaks off", hint="was all of it copied?")
    return found


def _counted(part: Part) -> dict[str, str]:
    """Return the last line of the calls' statistics, `count=50 first=… min=…`, as its names and values."""
    lines = [
        match[0]
        for match in part.all(_COUNT)
        if not any(word in part.line_before(match.start()) for word in _OF_PROFILE)
    ]
    return {_text(name): _text(value) for name, value in _PAIR.findall(lines[-1])} if lines else {}


def _summary(tool: str, figures: dict[str, float], counted: dict[str, str], path: Path) -> Summary:
    of_counted = whole_number(counted.get("count", 0), "count", path)
    calls = int(figures.get("calls", 0)) or _calls_of(figures["mean"], of_counted, counted, path)
    if calls < 1:
        raise InputError(f"{path}: no call was timed, or its log does not say how many were")
    if of_counted != calls:
        counted = {}
    same = counted.get("curr") if "min" not in counted else None

    def figure(name: str) -> float | None:
        told = counted.get(name, same if name in ("min", "max", "median") else None)
        return figures.get(name) if told is None else one_time(told, NS["us"], name, path)

    return Summary(
        tool=tool,
        calls=calls,
        mean_ns=figures["mean"],
        least_ns=figure("min"),
        most_ns=figure("max"),
        median_ns=figure("median"),
        std_ns=figure("std"),
    )


def _calls_of(mean_ns: float, calls: int, counted: dict[str, str], path: Path) -> int:
    """Return how many calls the mean is of; 0 where the line that counts them is another's: warm-up's."""
    mean = one_time(counted.get("avg", counted.get("curr", 0)), NS["us"], "avg", path)
    return calls if abs(mean - mean_ns) <= _SAME * mean_ns else 0


_SAME = 1e-3
"""Two prints of one mean, each rounded to six digits or to whole microseconds, agree to this share."""


def _threads(part: Part, path: Path) -> int | None:
    found = part.first(_THREADS)
    return None if found is None else whole_number(found[1], "the number of threads", path)


def _provider(part: Part) -> str:
    """Return the delegates that took nodes, as the log names them."""
    names = dict.fromkeys(_text(match[3]) for match in part.all(_DELEGATED))
    return ", ".join(names) or NOT_TOLD


def _size(megabytes: str | None) -> tuple[float, float] | None:
    """Return between which sizes, in bytes, a file lies whose MB were printed with six digits."""
    size = float(megabytes or 0) * 1e6
    return (size * (1 - 1e-5), size * (1 + 1e-5)) if size else None


def _text(words: bytes) -> str:
    return words.decode(errors="replace")


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
