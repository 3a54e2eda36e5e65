"""The file of `litert-benchmark --result_json`: a summary in milliseconds with two decimals.

The form is that of `run_benchmark` in ai_edge_litert/tools/benchmark_litert_model.py of LiteRT 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgebench.benchmark.evidence import Span, Summary, Timing
from edgebench.benchmark.importers.log import NS, Told, ToolLog, file_name, load_json, one_time, whole_number
from edgebench.errors import InputError

_TOOL = "litert-benchmark --result_json"
TIMED = "CompiledModel.run_by_name: inputs written before the clock starts, outputs not read"
_STEP = 0.005 * 2**20
"""Half of the last decimal of a size in MiB, in bytes."""


class LitertBenchmark:
    """Reads the file of `litert-benchmark --result_json`."""

    def recognises(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Return whether the log is the program's record."""
        return head.lstrip().startswith(b"{") and b'"latency"' in head and b'"accelerators"' in head

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return the one summary. Raises InputError."""
        record = load_json(path)
        try:
            log = _as_log(record, told, path)
        except (KeyError, TypeError, ValueError) as err:
            raise InputError(f"{path}: lacks what {_TOOL} writes: {err!r}") from err
        return (log,) if told.wants(str(log.model)) else ()


def _as_log(record: dict[str, Any], told: Told, path: Path) -> ToolLog:
    latency = record["latency"]

    def figure(name: str) -> float:
        return one_time(latency[name], NS["ms"], name, path)

    calls = whole_number(latency["num_runs"], "num_runs", path)
    if not calls:
        raise InputError(f"{path}: no call was timed", hint="run litert-benchmark with --num_runs")
    size = float(record["model_size_mb"]) * 2**20
    return ToolLog(
        tool=_TOOL,
        model=file_name(str(record["model"])),
        timing=Timing(
            runtime="litert",
            runtime_version=told.runtime_version,
            provider=told.provider or ",".join(map(str, record["accelerators"])),
            batch=told.batch,
            threads=told.threads_of(whole_number(record["num_threads"], "num_threads", path), path),
            affinity=(),
            timed=TIMED,
            process="one litert-benchmark process",
            clock="perf_counter",
            span=told.span_of([Span.CALL], path),
        ),
        summary=Summary(
            tool=_TOOL,
            calls=calls,
            mean_ns=figure("avg_ms"),
            least_ns=figure("min_ms"),
            most_ns=figure("max_ms"),
            median_ns=figure("median_ms"),
            std_ns=figure("std_ms"),
        ),
        load_ns=round(figure("init_ms")),
        first_ns=round(figure("warmup_first_ms")) if latency["num_warmup_runs"] else None,
        model_bytes=(size - _STEP, size + _STEP),
        coverage="fully accelerated" if record["fully_accelerated"] else "not fully accelerated",
    )
