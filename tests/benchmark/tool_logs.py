"""Logs as other benchmark tools write them, with figures of our own.

The forms follow the tools' sources: TensorRT's samples/common/sampleReporting.cpp, ONNX Runtime's
onnxruntime/test/perftest/performance_runner.cc, Google Benchmark's src/json_reporter.cc, LiteRT's
tflite/tools/benchmark/benchmark_model.cc and litert/tools/benchmark_litert_model.h. None of these
programs is installed where the tests run; litert-benchmark is, and one test runs it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> Path:
    """Write a log and return its path."""
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


def trtexec(
    compute_ms: Sequence[object], *, h2d: object = 0.25, d2h: object = 0.125, early: bool = False
) -> str:
    """Return the file of `trtexec --exportTimes`, a query each 50 ms; early: as TensorRT 8.2 wrote it."""
    rows = []
    for index, compute in enumerate(compute_ms):
        start = 50 * index
        latency = sum(x for x in (compute, h2d, d2h) if isinstance(x, int | float))
        fields = {
            "startEnqMs": start,
            "endEnqMs": start + 1.5,
            "startH2dMs": start + 0.5,
            "endH2dMs": start + 0.75,
            "startComputeMs": start + 0.75,
            "endComputeMs": start + 30,
            "startD2hMs": start + 30,
            "endD2hMs": start + 31,
            "h2dMs": h2d,
            "computeMs": compute,
            "d2hMs": d2h,
            "latencyMs": latency,
            **({"endToEndMs": latency} if early else {}),
        }
        rows.append("{ " + ", ".join(f'"{name}" : {value}' for name, value in fields.items()) + " }")
    return "[\n  " + "\n, ".join(rows) + "\n]\n" if rows else "[\n]\n"


def perf_test_rows(seconds: Sequence[object], *, model: str = "resnet50", peak: int = 271_122_432) -> str:
    """Return the file of results of one run of onnxruntime_perf_test."""
    return "".join(f"{model},{value},{peak},11,{index}\n" for index, value in enumerate(seconds))


STATISTICS = """
Min Latency: 0.0095 s
Max Latency: 0.0127 s
P50 Latency: 0.0099 s
P90 Latency: 0.0126 s
P95 Latency: 0.0126 s
P99 Latency: 0.0126 s
P999 Latency: 0.0127 s
"""
"""What `-s` adds, to the file of results and to what is printed."""


def perf_test_print(seconds: Sequence[float], *, verbose: bool) -> str:
    """Return what onnxruntime_perf_test prints; verbose: with `-v`, which tells of every call."""
    calls = "".join(f"iteration:{i + 1},time_cost:{value}\n" for i, value in enumerate(seconds))
    mean_ms = 1000 * sum(seconds) / len(seconds)
    return f"""Setting intra_op_num_threads to 2
{calls if verbose else ""}Session creation time cost: 0.0321 s
First inference time cost: 14 ms
Total inference time cost: {sum(seconds)} s
Total inference requests: {len(seconds)}
Average inference time cost total: {mean_ms} ms
Total inference run time: {sum(seconds)} s
Number of inferences per second: {1000 / mean_ms}
Avg CPU usage: 97 %
Peak working set size: 88080384 bytes
{STATISTICS.strip()}
"""


def classic(*, prefix: str = "", delegate: bool = True, count: str | None = None) -> str:
    """Return what TFLite's benchmark_model prints; prefix: `INFO: ` in newer builds."""
    mean = "Inference (avg): 5061.5"
    lines = [
        "Num threads: [4]",
        "Graph: [/data/local/tmp/net.tflite]",
        "#threads used for CPU inference: [4]",
        "The input model file size (MB): 0.024",
        "Initialized session in 12.5ms.",
        "Running benchmark for at least 1 iterations and at least 0.5 seconds.",
        "count=9 first=7000 curr=5100 min=5000 max=7000 avg=5400 std=600",
        "",
        "Running benchmark for at least 50 iterations and at least 1 seconds.",
        count or "count=200 first=5200 curr=5050 min=4900 max=6100 avg=5061.5 std=150",
        "",
        f"Inference timings in us: Init: 12500, First inference: 7000, Warmup (avg): 5400, {mean}",
        "Memory footprint delta from the start of the tool (MB): init=8.9 overall=18.7",
        "Timings (microseconds): count=200 first=1 curr=1 min=1 max=1 avg=1 std=0",
    ]
    taken = (
        "VERBOSE: Replacing 30 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 "
        "partitions for the whole graph."
    )
    text = [f"{prefix}{line}" if line else "" for line in lines]
    return "\n".join([*text[:4], *([taken] if delegate else []), *text[4:]]) + "\n"


LITERT_2 = """INFO: [benchmark_litert_model.cc:305] Loading model from: /data/local/tmp/eb/net.tflite
VERBOSE: Replacing 64 out of 64 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions.
INFO: [benchmark_litert_model.h:83]
========== BENCHMARK RESULTS ==========
INFO: [benchmark_litert_model.h:88] Model initialization: 9.50 ms
INFO: [benchmark_litert_model.h:89] Warmup (first):       3.25 ms
INFO: [benchmark_litert_model.h:91] Warmup (avg):         1.75 ms (290 runs)
INFO: [benchmark_litert_model.h:93] Inference (avg):      1.50 ms (640 runs)
INFO: [benchmark_litert_model.h:97] Inference (min):      1.25 ms
INFO: [benchmark_litert_model.h:99] Inference (max):      2.00 ms
INFO: [benchmark_litert_model.h:101] Inference (std):      0.07
INFO: [benchmark_litert_model.h:109] Throughput:           398.11 MB/s
INFO: [benchmark_litert_model.h:132] ======================================
"""
"""What LiteRT 2's benchmark_model writes to stderr."""


def litert_json(**changes: Any) -> str:
    """Return the file of `litert-benchmark --result_json`; changes: of its latencies."""
    record = {
        "model": "/home/user/net.tflite",
        "model_size_mb": 0.02,
        "accelerators": ["CPU"],
        "signature": "serving_default",
        "fully_accelerated": False,
        "num_threads": 2,
        "latency": {
            "init_ms": 2.5,
            "warmup_first_ms": 0.75,
            "warmup_avg_ms": 0.5,
            "num_warmup_runs": 5,
            "avg_ms": 0.25,
            "min_ms": 0.2,
            "max_ms": 4.5,
            "median_ms": 0.24,
            "std_ms": 0.9,
            "p5_ms": 0.21,
            "p95_ms": 0.5,
            "num_runs": 50,
            **changes,
        },
        "throughput_mb_s": 10.5,
    }
    return json.dumps(record, indent=2)


def repetition(
    name: str, index: int, time: object, *, iterations: int = 1, unit: str = "ms", **more: Any
) -> dict[str, Any]:
    """Return one repetition as Google Benchmark writes it."""
    return {
        "name": name,
        "run_name": name,
        "run_type": "iteration",
        "repetitions": 3,
        "repetition_index": index,
        "threads": 1,
        "iterations": iterations,
        "real_time": time,
        "cpu_time": time,
        "time_unit": unit,
        **more,
    }


def google(rows: Sequence[dict[str, Any]], **context: Any) -> str:
    """Return the JSON of Google Benchmark."""
    told = {
        "date": "2026-01-02T03:04:05+00:00",
        "host_name": "bench-7",
        "num_cpus": 4,
        "cpu_scaling_enabled": False,
        "library_version": "v1.8.3",
        "library_build_type": "release",
        **context,
    }
    return json.dumps({"context": told, "benchmarks": list(rows)}, indent=2)
