"""The file of `trtexec --exportTimes`: the times of every query, by CUDA events.

The form is that of `exportJSONTrace` in TensorRT's samples/common/sampleReporting.cpp: an array with one
flat object a query, warm-up left out from TensorRT 8.5 on. It is read in stretches, so that its length
does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.evidence import Span, Timing
from edgebench.benchmark.importers.log import BYTE_ORDER_MARK, NS, Told, ToolLog, nanoseconds
from edgebench.errors import InputError

_TOOL = "trtexec --exportTimes"
_STRETCH = 2 << 20
_FIELDS = ("latencyMs", "computeMs", "h2dMs", "d2hMs", "startComputeMs")
_WARM_UP_MS = 200
"""What `--warmUp` is where it is not given."""

_NOT_A_NUMBER = re.compile(rb'"(\w+)"\s*:\s*([+-]?(?:nan|inf)\w*)', re.IGNORECASE)
_TIMED = {
    Span.COPIES_AND_COMPUTE: "latencyMs: the sum of H2D copy, kernels and D2H copy of one query",
    Span.COMPUTE: "computeMs: the kernels of one query; copies and the host's enqueueing are outside",
}


class Trtexec:
    """Reads the file of `trtexec --exportTimes`."""

    def recognises(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Return whether the log is an array of queries."""
        return head.lstrip().startswith(b"[") and b'"startComputeMs"' in head

    def read(self, path: Path, told: Told) -> tuple[ToolLog, ...]:
        """Return the queries' times: copies and kernels where copies were made, else the kernels alone.

        Raises InputError.
        """
        stretches = list(_stretches(path))
        queries = np.concatenate(stretches) if stretches else np.zeros((0, len(_FIELDS)))
        if not len(queries):
            raise InputError(f"{path}: holds no query", hint="did trtexec end before its first one?")
        copied = bool((queries[:, 2:4] > 0).any())
        offered = (Span.COPIES_AND_COMPUTE, Span.COMPUTE) if copied else (Span.COMPUTE,)
        span = told.span_of(offered, path)
        times = nanoseconds(queries[:, 0 if span is Span.COPIES_AND_COMPUTE else 1], NS["ms"], path)
        warm = _warm_up(queries, path)
        log = ToolLog(
            tool=_TOOL,
            timing=Timing(
                runtime="tensorrt",
                runtime_version=told.runtime_version,
                provider=told.provider or "TensorRT",
                batch=told.batch,
                threads=told.threads,
                affinity=(),
                timed=_TIMED[span] + ("" if copied else "; no copies were made"),
                process="one trtexec process",
                clock="CUDA events",
                span=span,
            ),
            latency_ns=times[~warm],
            warmup_ns=times[warm],
            notes=(_CUT.format(path, int(warm.sum())),) if warm.any() else (),
        )
        return (log,)


_CUT = "{}: the {:,} queries of its first 200 ms were taken for warm-up, which this TensorRT wrote too"


def _warm_up(queries: NDArray[np.float64], path: Path) -> NDArray[np.bool_]:
    """Return which queries are warm-up: early TensorRT 8, told by its `endToEndMs`, wrote it too."""
    with path.open("rb") as stream:
        early = b'"endToEndMs"' in stream.read(1 << 12)
    return early & (queries[:, 4] < _WARM_UP_MS)


def _stretches(path: Path) -> Iterator[NDArray[np.float64]]:
    """Yield the queries as float64[n, 5] in the order of _FIELDS, some thousands at a time."""
    left, opened, done = b"", False, 0
    with path.open("rb") as stream:
        while block := stream.read(_STRETCH):
            left += block
            if not opened:
                left, opened = left.removeprefix(BYTE_ORDER_MARK).lstrip().removeprefix(b"["), True
            cut = left.rfind(b"}") + 1
            if cut:
                queries = _decoded(left[:cut].lstrip(b", \t\r\n"), path, done)
                done, left = done + len(queries), left[cut:]
                yield queries
            elif len(left) > _STRETCH:
                break
    if left.strip() != b"]":
        raise InputError(
            f"{path}: breaks off after {done:,} queries", hint="did trtexec end, and was all of it copied?"
        )


def _decoded(objects: bytes, path: Path, done: int) -> NDArray[np.float64]:
    import msgspec

    try:
        rows = msgspec.json.Decoder(_queries()).decode(b"[" + objects + b"]")
    except msgspec.DecodeError as err:
        wrong = _NOT_A_NUMBER.search(objects)
        what = f"{wrong[1].decode()} is {wrong[2].decode()}" if wrong else str(err)
        raise InputError(f"{path}: behind query {done:,}: {what}") from err
    values = [(q.latencyMs, q.computeMs, q.h2dMs, q.d2hMs, q.startComputeMs) for q in rows]
    return np.array(values, np.float64).reshape(-1, len(_FIELDS))


def _queries() -> Any:
    """Return the type of a list of queries; what else stands in the file is passed over."""
    import msgspec

    return list[msgspec.defstruct("Query", [(name, float) for name in _FIELDS], gc=False)]  # type: ignore[misc]
