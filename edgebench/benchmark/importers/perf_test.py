"""onnxruntime_perf_test: its file of results, and what it prints.

The forms are those of `PerformanceResult::DumpToFile` and `PerformanceRunner::Run` in ONNX Runtime's
onnxruntime/test/perftest/performance_runner.cc. The file of results (the second positional argument)
has a row for each call: model, seconds, peak memory, processor use, number; several runs follow each
other in one file, each from number 0. What is printed has the calls with `-v` alone, else a summary.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.evidence import NOT_TOLD, Span, Summary, Timing
from edgebench.benchmark.importers.log import (
    NS,
    IntArray,
    Told,
    ToolLog,
    nanoseconds,
    one_time,
    whole_number,
)
from edgebench.benchmark.importers.text import Part, Pattern, open_text
from edgebench.errors import InputError

FloatArray = NDArray[np.float64]

_TOOL = "onnxruntime_perf_test"
_TIMED = "Session.Run on the CPU's clock: inputs ready in memory before it starts; outputs allocated inside"
_LONGEST_LINE = 4096
_ROW = re.compile(rb"^[^,\n]*,[-+.\w]+,\d+,-?\d+,\d+\r?$", re.MULTILINE)
_STATISTIC = re.compile(r"(Min|Max|P\d+) Latency(:| is) ?\S+ ?s(ec)?")
_COLUMNS = ("model", "seconds", "peak", "cpu", "index")
_CALL = re.compile(rb"iteration:\d+,time_cost:(\S+)")
_CALLS = re.compile(rb"(?:Total inference requests: ?|Total iterations: ?|Runs: ?)(\d+)")
_MEAN_MS = re.compile(rb"Average (?:inference )?time cost(?: total)?: ?(\S+) ms")
_SIGNS = (b"Average inference time cost", b"Average time cost:", b"time_cost:")
_LOAD_S = re.compile(rb"Session creation time cost: ?(\S+) s")
_FIRST_MS = re.compile(rb"First inference time cost: ?(\S+) ms")
_PEAK = re.compile(rb"Peak working set size: ?(\d+)")
_THREADS = re.compile(rb"Setting intra_op_num_threads to (\d+)")
_LEAST_S = re.compile(rb"Min Latency(?:: ?| is ?)(\d\S*?) ?s(?:ec)?\b")
_MOST_S = re.compile(rb"Max Latency(?:: ?| is ?)(\d\S*?) ?s(?:ec)?\b")


class PerfTest:
    """Reads what onnxruntime_perf_test prints and what it writes."""

    def recognises(self, head: bytes, path: Path) -> bool:
        """Return whether the log begins with rows of results, or holds a line that it prints."""
        if _ROW.match(head):
            return True
        whole = open_text(path)
        return any(whole.holds(sign) for sign in _SIGNS)

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return a log for each run that the file holds. Raises InputError."""
        with path.open("rb") as stream:
            if _ROW.match(stream.readline(_LONGEST_LINE).rstrip(b"\n")):
                return _from_rows(path, told)
        return (_from_print(open_text(path), path, told),)


def _timing(told: Told, threads: int | None, path: Path) -> Timing:
    return Timing(
        runtime="onnxruntime",
        runtime_version=told.runtime_version,
        provider=told.provider or NOT_TOLD,
        batch=told.batch,
        threads=told.threads_of(threads, path),
        affinity=(),
        timed=_TIMED,
        process="one onnxruntime_perf_test process",
        clock="std::chrono::high_resolution_clock",
        span=told.span_of([Span.CALL], path),
    )


# --- the file of results -------------------------------------------------------------------------


def _from_rows(path: Path, told: Told) -> tuple[ToolLog, ...]:
    _check_text(path)
    seconds, index, peaks, names = _read_rows(path)
    starts = np.flatnonzero(index == 0)
    _check_numbers(index, starts, path)
    times = nanoseconds(seconds, NS["s"], path)
    runs = zip(starts.tolist(), [*starts[1:].tolist(), len(index)], strict=True)
    return tuple(
        ToolLog(
            tool=f"{_TOOL} (file of results)",
            model=names[start] or None,
            timing=_timing(told, None, path),
            latency_ns=times[start:end],
            peak_rss_bytes=int(peaks[start]) or None,
        )
        for start, end in runs
        if told.wants(names[start])
    )


def _check_text(path: Path) -> None:
    """Refuse bytes that are no text; the reader of rows would print a traceback of its own."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        try:
            while block := stream.read(1 << 20):
                decoder.decode(block)
        except UnicodeDecodeError as err:
            raise InputError(f"{path}: holds bytes that are not text: {err.reason}") from err


def _read_rows(path: Path) -> tuple[FloatArray, IntArray, IntArray, dict[int, str]]:
    """Return seconds, numbers and peaks of all rows, and the model's name at each number 0."""
    import pyarrow as pa
    from pyarrow import csv

    foreign: list[str] = []

    def pass_over(row: csv.InvalidRow) -> str:
        if not _STATISTIC.fullmatch(row.text.strip()):
            foreign.append(row.text)
        return "skip"

    kinds = dict(zip(_COLUMNS, (pa.string(), pa.float64(), pa.int64(), pa.int64(), pa.int64()), strict=True))
    names: dict[int, str] = {}
    parts, done = [], 0
    try:
        with csv.open_csv(
            path,
            read_options=csv.ReadOptions(column_names=list(_COLUMNS)),
            parse_options=csv.ParseOptions(invalid_row_handler=pass_over, quote_char=False),
            convert_options=csv.ConvertOptions(column_types=kinds, null_values=[]),
        ) as reader:
            for batch in reader:
                index = batch["index"].to_numpy()
                firsts = np.flatnonzero(index == 0)
                names |= {done + int(i): str(batch["model"][int(i)]) for i in firsts}
                parts.append((batch["seconds"].to_numpy(), index, batch["peak"].to_numpy()))
                done += len(index)
    except pa.ArrowInvalid as err:
        raise InputError(f"{path}: is not a whole file of results: {str(err).splitlines()[0]}") from err
    if foreign:
        raise InputError(f"{path}: {foreign[0].strip()[:60]!r} is not a row of results", hint=_CUT_OFF)
    seconds, index, peaks = (np.concatenate(column) for column in zip(*parts, strict=True))
    return seconds, index, peaks, names


_CUT_OFF = "did onnxruntime_perf_test end, and was all of its file copied?"


def _check_numbers(index: IntArray, starts: IntArray, path: Path) -> None:
    """Refuse a file whose runs do not count from 0 on: rows are missing, repeated or cut off."""
    runs = np.searchsorted(starts, np.arange(len(index)), side="right") - 1
    if not starts.size or starts[0] != 0:
        raise InputError(f"{path}: begins with call {index[0]}, not 0: its beginning is missing")
    wrong = np.flatnonzero(index != np.arange(len(index)) - starts[runs])
    if wrong.size:
        at = int(wrong[0])
        raise InputError(
            f"{path}: call {index[at]} stands where call {at - int(starts[runs[at]])} is due", hint=_CUT_OFF
        )


# --- what is printed -----------------------------------------------------------------------------


def _from_print(whole: Part, path: Path, told: Told) -> ToolLog:
    head, tail = whole.ends_of_log()
    mean, calls = tail.words(_MEAN_MS), _count(tail, _CALLS, path)
    if mean is None:
        raise InputError(f"{path}: lacks the line of the average time: the run did not end", hint=_CUT_OFF)
    if len(list(whole.all(_MEAN_MS))) > 1:
        raise InputError(f"{path}: holds the output of several runs", hint="import a file for each")
    single = np.array([match[1] for match in whole.all(_CALL)], dtype=np.bytes_)
    times = nanoseconds(_floats(single, path), NS["s"], path)
    if calls is not None and len(times) not in (0, calls):
        raise InputError(f"{path}: tells of {calls:,} calls and holds {len(times):,}", hint=_CUT_OFF)
    if calls is None and not len(times):
        raise InputError(f"{path}: does not say how many calls were timed", hint="import the file of results")
    load, first = tail.words(_LOAD_S), tail.words(_FIRST_MS)
    return ToolLog(
        tool=f"{_TOOL} (printed)",
        timing=_timing(told, _count(head, _THREADS, path), path),
        latency_ns=times,
        summary=None if len(times) else _summary(tail, int(calls or 0), mean, path),
        load_ns=None if load is None else round(one_time(load, NS["s"], "session creation", path)),
        first_ns=None if first is None else round(one_time(first, NS["ms"], "the first inference", path)),
        peak_rss_bytes=_count(tail, _PEAK, path),
    )


def _count(part: Part, pattern: Pattern, path: Path) -> int | None:
    """Return the number that a line tells, None where there is no such line."""
    found = part.first(pattern)
    return None if found is None else whole_number(found[1], found[0].decode(errors="replace"), path)


def _floats(words: NDArray[np.bytes_], path: Path) -> FloatArray:
    try:
        return words.astype(np.float64)
    except ValueError as err:
        raise InputError(f"{path}: a call's time_cost is not a number: {err}") from err


def _summary(tail: Part, calls: int, mean: str, path: Path) -> Summary:
    ends = [tail.words(pattern) for pattern in (_LEAST_S, _MOST_S)]
    least, most = (None if end is None else one_time(end, NS["s"], "a latency", path) for end in ends)
    return Summary(_TOOL, calls, one_time(mean, NS["ms"], "the average time", path), least, most)
