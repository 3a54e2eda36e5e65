"""onnxruntime_perf_test's file of results and its print; the texts follow its source (tool_logs)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebench.benchmark.importers import read_log
from edgebench.benchmark.importers.log import Told, ToolLog
from edgebench.errors import InputError
from tests.benchmark.tool_logs import STATISTICS, perf_test_print, perf_test_rows, write

SECONDS = [0.0101, 0.0095, 0.0127, 0.0099]
NS = [10_100_000, 9_500_000, 12_700_000, 9_900_000]


def read(tmp_path: Path, text: str, told: Told | None = None) -> tuple[ToolLog, ...]:
    """Return the logs that a text holds."""
    return read_log(write(tmp_path / "perf.txt", text), told or Told())


def test_every_row_is_a_call(tmp_path: Path) -> None:
    """Seconds become nanoseconds in order; the peak and the name come along, statistics are passed over."""
    (log,) = read(tmp_path, perf_test_rows(SECONDS) + STATISTICS)
    assert log.latency_ns.tolist() == NS
    assert (log.model, log.peak_rss_bytes, log.summary) == ("resnet50", 271_122_432, None)
    assert (log.timing.runtime, log.timing.threads) == ("onnxruntime", None)


def test_runs_that_were_appended_are_processes_of_their_own(tmp_path: Path) -> None:
    """The tool appends to its file: each count from 0 is one process, and --only takes some."""
    text = perf_test_rows(SECONDS) + perf_test_rows(SECONDS[:2], model="vgg") + perf_test_rows([0.5])
    assert [log.latency_ns.tolist() for log in read(tmp_path, text)] == [NS, NS[:2], [500_000_000]]
    assert [log.model for log in read(tmp_path, text, Told(only="v*"))] == ["vgg"]


def test_a_printed_log_with_every_call(tmp_path: Path) -> None:
    """With -v the calls are there, beside session creation, first inference, threads and peak."""
    (log,) = read(tmp_path, perf_test_print(SECONDS, verbose=True))
    assert log.latency_ns.tolist() == NS
    assert (log.load_ns, log.first_ns, log.peak_rss_bytes) == (32_100_000, 14_000_000, 88_080_384)
    assert log.timing.threads == 2
    assert log.summary is None


def test_a_printed_summary_makes_no_samples(tmp_path: Path) -> None:
    """Without -v there is a mean, a least and a most, and not one sample."""
    (log,) = read(tmp_path, perf_test_print(SECONDS, verbose=False))
    assert log.latency_ns.size == 0
    assert log.summary is not None
    assert log.summary.calls == 4
    assert log.summary.mean_ns == pytest.approx(np.mean(NS))
    assert (log.summary.least_ns, log.summary.most_ns) == (9_500_000, 12_700_000)
    assert (log.summary.median_ns, log.summary.std_ns) == (None, None)


def test_what_the_user_says_may_not_contradict_the_log(tmp_path: Path) -> None:
    """The log says 2 threads: --threads 4 is refused, 2 is fine; a file without says what the user does."""
    with pytest.raises(InputError, match="was run with 2 threads, and --threads says 4"):
        read(tmp_path, perf_test_print(SECONDS, verbose=True), Told(threads=4))
    (log,) = read(tmp_path, perf_test_rows(SECONDS), Told(threads=4, provider="CPUExecutionProvider"))
    assert (log.timing.threads, log.timing.provider) == (4, "CPUExecutionProvider")


ROWS = perf_test_rows(SECONDS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ROWS[:-16], "'resnet50,0.0099' is not a row of results"),
        (ROWS.replace(",11,3", ",11,7"), "call 7 stands where call 3 is due"),
        (perf_test_rows([0.01] * 12)[:-2] + "\n", "call 1 stands where call 11 is due"),
        (ROWS[ROWS.index("\n") + 1 :], "begins with call 1, not 0"),
        (perf_test_rows([0.01, "nan"]), r"call 2 took nan s: that is not a time"),
        (perf_test_rows([0.01, -0.25]), r"call 2 took -0.25 s: that is not a time"),
        (perf_test_rows([0.01, "fast"]), "is not a whole file of results: .*fast"),
        (ROWS + "Segmentation fault\n", "'Segmentation fault' is not a row of results"),
        (ROWS + "\udcffgarbage\n", "holds bytes that are not text"),
        (perf_test_print(SECONDS, verbose=True).split("Session")[0], "the run did not end"),
        (
            perf_test_print(SECONDS, verbose=True).replace("iteration:2", "broken"),
            "tells of 4 calls and holds 3",
        ),
        (perf_test_print(SECONDS, verbose=False) * 2, "holds the output of several runs"),
        (perf_test_print([-0.01], verbose=True), r"call 1 took -0.01 s"),
        (
            perf_test_print(SECONDS, verbose=True).replace("0.0095\niter", "x\niter"),
            "time_cost is not a number",
        ),
    ],
)
def test_a_log_that_is_no_good_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    """Cut off, rows missing, repeated or foreign, NaN, negative: the file and what is wrong."""
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'perf.txt'}: ")
    assert "\n" not in caught.value.message


def test_a_negative_time_hints_at_the_clock(tmp_path: Path) -> None:
    """A clock that was set back while the tool ran is named as what it is."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, perf_test_rows([0.01, -0.25]))
    assert "a clock that was set" in str(caught.value.hint)
