"""The file of `trtexec --exportTimes`. trtexec is not here: the texts follow its source (tool_logs)."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from edgebench.benchmark.evidence import Span
from edgebench.benchmark.importers import read_log
from edgebench.benchmark.importers.log import Told, ToolLog
from edgebench.benchmark.importers.trtexec import _STRETCH
from edgebench.errors import InputError
from tests.benchmark.tool_logs import trtexec, write


def read(tmp_path: Path, text: str, told: Told | None = None) -> ToolLog:
    """Return the one log that a text is."""
    (log,) = read_log(write(tmp_path / "times.json", text), told or Told())
    return log


def test_copies_are_part_of_the_latency(tmp_path: Path) -> None:
    """Every query's copies and kernels, in order, and the definition says that both are inside."""
    log = read(tmp_path, trtexec([30.0, 31.0, 29.5]))
    assert log.latency_ns.tolist() == [30_375_000, 31_375_000, 29_875_000]
    assert (log.timing.span, log.timing.runtime) == (Span.COPIES_AND_COMPUTE, "tensorrt")
    assert "H2D copy" in log.timing.timed
    assert log.summary is None
    assert log.load_ns is None


def test_the_kernels_alone_where_they_are_asked_for(tmp_path: Path) -> None:
    """`--span compute` takes computeMs, and the definition says so."""
    log = read(tmp_path, trtexec([30.0, 31.0]), Told(span=Span.COMPUTE))
    assert log.latency_ns.tolist() == [30_000_000, 31_000_000]
    assert log.timing.span is Span.COMPUTE


def test_without_copies_nobody_says_that_they_were_timed(tmp_path: Path) -> None:
    """With --noDataTransfers, TensorRT 11's default, the times are those of the kernels alone."""
    text = trtexec([30.0, 31.0], h2d=0, d2h=0)
    log = read(tmp_path, text)
    assert log.timing.span is Span.COMPUTE
    assert log.timing.timed.endswith("no copies were made")
    with pytest.raises(InputError, match=r"does not hold the copies\+compute"):
        read(tmp_path, text, Told(span=Span.COPIES_AND_COMPUTE))


def test_the_warm_up_of_early_files_is_kept_apart(tmp_path: Path) -> None:
    """TensorRT 8.2 wrote the warm-up too: queries of its first 200 ms are warm-up, and a note says so."""
    log = read(tmp_path, trtexec([90.0, 80.0, 70.0, 60.0, 30.0, 31.0], early=True))
    assert log.warmup_ns.size == 4
    assert log.latency_ns.tolist() == [30_375_000, 31_375_000]
    assert "4 queries" in log.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (trtexec([30.0, 31.0, 32.0])[:-150], "breaks off after 2 queries"),
        (trtexec([30.0, 31.0])[:-2], "breaks off after 2 queries"),
        (trtexec([]).replace("]", '{"startComputeMs" : 1'), "breaks off after 0 queries"),
        (trtexec([30.0, "nan"]), "behind query 0: computeMs is nan"),
        (trtexec([30.0, "-inf"]), "computeMs is -inf"),
        (trtexec([30.0, -1.0]), r"call 2 took -0.625 ms: that is not a time"),
        (trtexec([30.0, 0.0], h2d=0, d2h=0), "call 2 took 0 ms"),
        (trtexec([30.0, 1e300]), "call 2 took"),
        (trtexec([30.0]).replace("computeMs", "other"), "missing required field `computeMs`"),
    ],
)
def test_a_file_that_is_no_good_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    """Cut off, NaN, infinite, negative, zero or without its fields: the file and what is wrong."""
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'times.json'}: ")
    assert "\n" not in caught.value.message


def test_an_array_without_a_query_is_no_log(tmp_path: Path) -> None:
    """An empty array, forced to be trtexec's, holds no query."""
    path = write(tmp_path / "times.json", "[\n]\n")
    with pytest.raises(InputError, match="holds no query"):
        read_log(path, Told(), form="trtexec")


def test_a_long_file_is_read_in_stretches(tmp_path: Path) -> None:
    """100,000 queries, 25 MB and several stretches: all there, in order, in less memory than the file."""
    times = [10 + (i % 997) / 1000 for i in range(100_000)]
    path = write(tmp_path / "times.json", trtexec(times))
    size = path.stat().st_size
    assert size > 10 * _STRETCH
    tracemalloc.start()
    try:
        (log,) = read_log(path, Told(span=Span.COMPUTE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert log.latency_ns.tolist() == [round(time * 1e6) for time in times]
    assert peak < size
