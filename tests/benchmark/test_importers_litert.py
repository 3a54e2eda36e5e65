"""benchmark_model's print, old and new, and litert-benchmark's record and print.

benchmark_model is not here: its texts follow its source (tool_logs). litert-benchmark is run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgebench.benchmark.importers import read_log
from edgebench.benchmark.importers.log import Told, ToolLog
from edgebench.errors import InputError
from tests.benchmark.tool_logs import LITERT_2, classic, litert_json, write

OLDEST = """Num threads: [1]
Graph: [mobilenet.tflite]
Running benchmark for at least 50 iterations and at least 1 seconds.
count=50 first=83000 curr=83500 min=82000 max=90000 avg=83297.9 std=900

Average inference timings in us: Warmup: 85157.8, Init: 1273, no stats: 83297.9
"""


def read(tmp_path: Path, text: str, told: Told | None = None) -> ToolLog:
    """Return the one log that a text is."""
    (log,) = read_log(write(tmp_path / "out.txt", text), told or Told())
    return log


@pytest.mark.parametrize("prefix", ["", "INFO: ", "11-25 19:00:01.123  42  42 I tflite  : "])
def test_the_classic_print(prefix: str, tmp_path: Path) -> None:
    """Of old builds, new builds and a phone's log: the timed calls' summary, load and first inference."""
    log = read(tmp_path, classic(prefix=prefix))
    summary = log.summary
    assert summary is not None
    assert (summary.calls, summary.mean_ns, summary.std_ns) == (200, 5_061_500, 150_000)
    assert (summary.least_ns, summary.most_ns, summary.median_ns) == (4_900_000, 6_100_000, None)
    assert (log.load_ns, log.first_ns) == (12_500_000, 7_000_000)
    assert log.latency_ns.size == 0
    assert (log.model, log.timing.threads) == ("net.tflite", 4)
    assert log.timing.provider == "TfLiteXNNPackDelegate"
    assert log.coverage == "30 of 31 nodes on TfLiteXNNPackDelegate"
    assert log.model_bytes == pytest.approx((24_000, 24_000), rel=1e-4)


def test_newer_builds_add_a_median(tmp_path: Path) -> None:
    """The median of a count line with percentiles is kept as part of the summary."""
    count = "count=200 first=5200 curr=5050 min=4900 max=6100 avg=5061.5 std=150 p5=4910 median=5055 p95=5300"
    summary = read(tmp_path, classic(count=count)).summary
    assert summary is not None
    assert summary.median_ns == 5_055_000


def test_calls_that_were_all_the_same(tmp_path: Path) -> None:
    """`count=200 curr=5061 (all same)` is least, most and median at once."""
    summary = read(tmp_path, classic(count="count=200 curr=5062 (all same)")).summary
    assert summary is not None
    assert {summary.least_ns, summary.most_ns, summary.median_ns} == {5_062_000}


def test_the_oldest_print(tmp_path: Path) -> None:
    """Of 2019: another order, the mean as `no stats`, and no first inference."""
    log = read(tmp_path, OLDEST)
    assert log.summary is not None
    assert (log.summary.calls, log.summary.mean_ns) == (50, pytest.approx(83_297_900))
    assert (log.load_ns, log.first_ns) == (1_273_000, None)


def test_a_log_that_does_not_name_a_delegate_names_no_provider(tmp_path: Path) -> None:
    """The delegate's line goes to stderr: without it the provider is not told, or is what the user says."""
    assert read(tmp_path, classic(delegate=False)).timing.provider == "not told"
    assert read(tmp_path, classic(delegate=False), Told(provider="GPU")).timing.provider == "GPU"


def test_the_print_of_litert_2(tmp_path: Path) -> None:
    """The block of results in milliseconds: calls, mean, least, most, load, first."""
    log = read(tmp_path, LITERT_2)
    summary = log.summary
    assert summary is not None
    assert (summary.calls, summary.mean_ns, summary.std_ns) == (640, 1_500_000, 70_000)
    assert (summary.least_ns, summary.most_ns) == (1_250_000, 2_000_000)
    assert (log.load_ns, log.first_ns, log.model) == (9_500_000, 3_250_000, "net.tflite")
    assert log.timing.timed.startswith("CompiledModel::Run")
    assert read(tmp_path, classic()).timing.timed.startswith("Interpreter::Invoke")


def test_several_runs_in_one_log(tmp_path: Path) -> None:
    """A log to which three runs were appended is three processes."""
    text = classic() + classic().replace("5061.5", "5100") + LITERT_2
    logs = read_log(write(tmp_path / "out.txt", text), Told())
    means = [log.summary.mean_ns for log in logs if log.summary]
    assert means == [5_061_500, 5_100_000, 1_500_000]
    assert [log.timing.threads for log in logs] == [4, 4, None]


def test_profiling_puts_the_figures_in_doubt(tmp_path: Path) -> None:
    """With operator profiling on, the tool itself slows the calls: a reason for doubt."""
    log = read(tmp_path, "Enable op profiling: [1]\n" + classic())
    assert log.doubts == ("operators were profiled while it was timed",)
    assert read(tmp_path, classic()).doubts == ()


def test_the_record_of_litert_benchmark(tmp_path: Path) -> None:
    """The JSON's latencies are a summary; accelerators, threads and the model's size come along."""
    log = read(tmp_path, litert_json())
    summary = log.summary
    assert summary is not None
    assert (summary.calls, summary.mean_ns, summary.median_ns) == (50, 250_000, 240_000)
    assert (log.load_ns, log.first_ns) == (2_500_000, 750_000)
    assert (log.timing.provider, log.timing.threads, log.model) == ("CPU", 2, "net.tflite")
    assert log.latency_ns.size == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (classic().split("Inference timings")[0], "breaks off before benchmark_model tells its results"),
        (classic().split(", Warmup (avg)")[0], "the line of inference timings breaks off"),
        (classic(count="the line is lost"), "does not say how many were"),
        (classic(count="count=0"), "no call was timed"),
        (classic().replace("Inference (avg): 5061.5", "Inference (avg): -nan"), "Inference .avg. is -nan"),
        (classic().replace("Init: 12500", "Init: -5"), "Init is -5: that is not a time"),
        (classic(count="count=200 min=x max=6100 avg=5061.5"), "min is x: that is not a time"),
        (LITERT_2.split("INFO: [benchmark_litert_model.h:93]")[0], "the block of results breaks off"),
        (litert_json()[:-80], "is not whole JSON"),
        (litert_json(num_runs=0), "no call was timed"),
        (litert_json(num_runs=float("inf")), "num_runs is inf: that is not a number of them"),
        (classic(count="count=200x first=1"), "count is 200x: that is not a number of them"),
        (litert_json(avg_ms=-1), "avg_ms is -1: that is not a time"),
        (litert_json(max_ms=float("nan")), "max_ms is nan: that is not a time"),
        (litert_json().replace('"init_ms"', '"other"'), "lacks what litert-benchmark"),
        (litert_json().replace('"avg_ms": 0.25,', '"avg_ms": 0.25, "avg_ms": 0.5,'), "a key stands twice"),
    ],
)
def test_a_log_that_is_no_good_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    """Cut off, NaN, negative, without a call or with a key twice: the file and what is wrong."""
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'out.txt'}: ")
    assert "\n" not in caught.value.message


@pytest.mark.assets
def test_the_real_litert_benchmark(assets: Path, tmp_path: Path) -> None:
    """The program's own record and print of a real model tell the same, and both are read."""
    pytest.importorskip("ai_edge_litert.tools.benchmark_litert_model", reason="LiteRT brings no benchmark")
    model = assets / "mlperf_tiny_ic" / "models" / "pretrainedResnet_quant.tflite"
    argv = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={model}"]
    argv += ["--num_runs=30", f"--result_json={tmp_path / 'r.json'}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    (record,) = read_log(tmp_path / "r.json", Told())
    printed = read(tmp_path, done.stdout)
    assert record.summary is not None
    assert printed.summary is not None
    assert record.summary.calls == printed.summary.calls == 30
    assert record.summary.mean_ns == printed.summary.mean_ns
    assert (record.load_ns, record.first_ns) == (printed.load_ns, printed.first_ns)
    assert (record.timing.timed, record.timing.clock) == (printed.timing.timed, printed.timing.clock)
    assert (record.timing.process, printed.tool) == (printed.timing.process, "litert-benchmark (printed)")
    assert record.model == model.name
    least, most = record.model_bytes or (0, 0)
    assert least <= model.stat().st_size <= most
