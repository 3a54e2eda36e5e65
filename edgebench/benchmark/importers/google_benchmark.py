"""The JSON of Google Benchmark (`--benchmark_out` or `--benchmark_format=json`).

The form is that of src/json_reporter.cc. A repetition's time is the mean over its iterations: it is one
call's time only where a repetition is one iteration (`->Iterations(1)->Repetitions(n)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebench.benchmark.evidence import NOT_TOLD, Span, Summary, Timing
from edgebench.benchmark.importers.log import (
    NS,
    Told,
    ToolLog,
    load_json,
    nanoseconds,
    one_time,
    whole_number,
)
from edgebench.errors import InputError

_TOOL = "Google Benchmark"
_SERIES = {Span.CALL: "real_time", Span.PROCESSOR: "cpu_time"}
Row = dict[str, Any]


class GoogleBenchmark:
    """Reads the JSON of Google Benchmark."""

    def recognises(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Return whether the log is Google Benchmark's."""
        return head.lstrip().startswith(b"{") and (b'"context"' in head or b'"benchmarks"' in head)

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return a log for each benchmark: its repetitions where they are single calls, else a summary.

        Raises InputError.
        """
        record = load_json(path)
        try:
            context = record.get("context", {})
            benchmarks = _by_name(record["benchmarks"], path)
            if told.runtime is None:
                raise InputError(
                    f"{path}: {_TOOL} does not say what ran the model",
                    hint="name it with --runtime, or the model file with --artifact",
                )
            wanted = {name: rows for name, rows in benchmarks.items() if told.wants(name)}
            if not wanted:
                names = ", ".join(benchmarks) or "none"
                raise InputError(f"{path}: no benchmark is called {told.only!r}", hint=f"it holds: {names}")
            return tuple(_as_log(name, rows, context, told, path) for name, rows in wanted.items())
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise InputError(f"{path}: lacks what {_TOOL} writes: {err!r}") from err


def _by_name(rows: Sequence[Row], path: Path) -> dict[str, list[Row]]:
    """Return the rows of each benchmark. Raises InputError for two that are called alike."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row.get("run_name", row["name"])), []).append(row)
    for name, own in found.items():
        repeated = [row.get("repetition_index", 0) for row in own if _is_repetition(row)]
        if len(set(repeated)) < len(repeated):
            raise InputError(f"{path}: two benchmarks are called {name}", hint="import one file for each")
    if not found:
        raise InputError(f"{path}: holds no benchmark", hint="did its filter match any?")
    return found


def _is_repetition(row: Row) -> bool:
    return str(row.get("run_type", "iteration")) == "iteration"


def _as_log(name: str, rows: Sequence[Row], context: Row, told: Told, path: Path) -> ToolLog:
    for row in rows:
        if row.get("error_occurred") or row.get("skipped"):
            why = row.get("error_message") or row.get("skip_message") or "no reason was given"
            raise InputError(f"{path}: {name} failed: {why}", hint="choose others with --only")
    span = told.span_of(_SERIES, path)
    repetitions = [row for row in rows if _is_repetition(row)]
    single = bool(repetitions) and all(row["iterations"] == 1 for row in repetitions)
    times = np.array([_time(row, span, path) for row in repetitions], np.float64)
    return ToolLog(
        tool=_TOOL,
        model=name,
        timing=_timing(rows[0], context, told, span, path),
        latency_ns=nanoseconds(times, 1, path) if single else np.zeros(0, np.int64),
        summary=None if single else _summary(rows, repetitions, span, path),
        started=str(context.get("date", "")),
        doubts=tuple(_doubts(context)),
    )


def _time(row: Row, span: Span, path: Path) -> float:
    unit = NS[str(row.get("time_unit", "ns"))]
    return one_time(row[_SERIES[span]], unit, f"{_SERIES[span]} of {row['name']}", path)


def _timing(row: Row, context: Row, told: Told, span: Span, path: Path) -> Timing:
    threads = whole_number(row.get("threads", 1), "threads", path)
    beside = f", by {threads} threads at once" if threads > 1 else ""
    version = context.get("library_version", "")
    return Timing(
        runtime=told.runtime or NOT_TOLD,
        runtime_version=told.runtime_version,
        provider=told.provider or NOT_TOLD,
        batch=told.batch,
        threads=told.threads_of(None, path),
        affinity=(),
        timed=f"{_SERIES[span]} of the benchmark's loop{beside}",
        process=" ".join(filter(None, ("one process of a Google Benchmark", str(version)))),
        clock="Google Benchmark's",
        span=span,
    )


def _summary(rows: Sequence[Row], repetitions: Sequence[Row], span: Span, path: Path) -> Summary:
    """Return the mean over all iterations; of the repetitions' means, or of the aggregates alone."""
    if repetitions:
        calls = [whole_number(row["iterations"], "iterations", path) for row in repetitions]
        means = [_time(row, span, path) for row in repetitions]
        return Summary(_TOOL, sum(calls), float(np.average(means, weights=calls)))
    told = {str(row.get("aggregate_name")): row for row in rows}
    return Summary(
        _TOOL, whole_number(told["mean"]["repetitions"], "repetitions", path), _time(told["mean"], span, path)
    )


def _doubts(context: Row) -> list[str]:
    """Return what Google Benchmark itself warns of."""
    doubts = []
    if context.get("cpu_scaling_enabled"):
        doubts.append("Google Benchmark found the processor's frequency scaling on")
    if str(context.get("library_build_type", "")).lower() == "debug":
        doubts.append("the benchmark library was built for debugging")
    load, cores = (context.get("load_avg") or [0])[0], context.get("num_cpus", 0)
    if cores and load > cores:
        doubts.append(f"others held the cores as it began: a load of {load:g} on {cores} processors")
    return doubts
