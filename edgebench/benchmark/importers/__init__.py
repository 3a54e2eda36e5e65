"""Logs of other tools as evidence: one file for each tool, each keeping what that tool timed."""

from __future__ import annotations

import importlib
from pathlib import Path

from edgebench.benchmark.importers.log import Importer, Told, ToolLog, head_of
from edgebench.errors import InputError

IMPORTERS = {
    "trtexec": "edgebench.benchmark.importers.trtexec:Trtexec",
    "litert-benchmark": "edgebench.benchmark.importers.litert_benchmark:LitertBenchmark",
    "google-benchmark": "edgebench.benchmark.importers.google_benchmark:GoogleBenchmark",
    "onnxruntime_perf_test": "edgebench.benchmark.importers.perf_test:PerfTest",
    "benchmark_model": "edgebench.benchmark.importers.benchmark_model:BenchmarkModel",
}
"""Each tool and what reads its logs, in the order in which a log is held against them."""


def importer(name: str) -> Importer:
    """Return what reads the logs of the tool `name`. Raises InputError for another name."""
    if name not in IMPORTERS:
        raise InputError(f"--format: unknown {name!r}", hint=f"valid: {', '.join(IMPORTERS)}")
    module, _, kind = IMPORTERS[name].partition(":")
    made: Importer = getattr(importlib.import_module(module), kind)()
    return made


def read_log(path: Path, told: Told, *, form: str | None = None) -> tuple[ToolLog, ...]:
    """Return what a log holds: one for each process and model that it tells of.

    form: the tool that wrote it; None to tell by its content. Raises InputError where the log is
    absent, empty, cut off, of no known tool, or holds what cannot be a time.
    """
    head = head_of(path)
    reader = importer(form) if form else _recognised(path, head)
    return reader.read(path, told)


def _recognised(path: Path, head: bytes) -> Importer:
    for name in IMPORTERS:
        reader = importer(name)
        if reader.recognises(head, path):
            return reader
    near = next((hint for sign, hint in _NEIGHBOURS.items() if sign in head), None)
    known = f"logs of {', '.join(IMPORTERS)} can be imported; --format names one"
    raise InputError(f"{path}: is not the log of a tool that is known", hint=near or known)


_NEIGHBOURS = {
    b"&&&& RUNNING TensorRT.trtexec": "this is what trtexec prints; import the file of its --exportTimes",
    b'"averageMs"': "these are trtexec's layers (--exportProfile); import the file of its --exportTimes",
    b'"traceEvents"': "this is a profile; import what the tool prints or its file of results",
    b'"cat" : "Node"': "this is ONNX Runtime's profile; import onnxruntime_perf_test's file of results",
}
"""What near relatives of the logs look like, and what is wanted in their place."""
