"""Google Benchmark's JSON. The library is not here: the texts follow its source (tool_logs)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebench.benchmark.evidence import Span
from edgebench.benchmark.importers import read_log
from edgebench.benchmark.importers.log import Told, ToolLog
from edgebench.errors import InputError
from tests.benchmark.tool_logs import google, repetition, write

SINGLE = [repetition("BM_Net/1", i, t) for i, t in enumerate([5.0, 5.5, 4.5])]
MEANS = [repetition("BM_Net/1", i, t, iterations=n) for i, (t, n) in enumerate([(5.0, 100), (8.0, 50)])]
RUNTIME = Told(runtime="onnxruntime")


def read(tmp_path: Path, text: str, told: Told = RUNTIME) -> tuple[ToolLog, ...]:
    """Return the logs that a text holds."""
    return read_log(write(tmp_path / "bench.json", text), told)


def test_repetitions_of_one_iteration_are_calls(tmp_path: Path) -> None:
    """With Iterations(1) each repetition's real time is one call."""
    (log,) = read(tmp_path, google(SINGLE))
    assert log.latency_ns.tolist() == [5_000_000, 5_500_000, 4_500_000]
    assert log.summary is None
    assert (log.model, log.timing.runtime, log.timing.span) == ("BM_Net/1", "onnxruntime", Span.CALL)
    assert log.started == "2026-01-02T03:04:05+00:00"
    assert "v1.8.3" in log.timing.process


def test_means_over_iterations_are_no_calls(tmp_path: Path) -> None:
    """A repetition of 100 iterations is their mean: all that is kept is a mean over 150 calls."""
    (log,) = read(tmp_path, google(MEANS))
    assert log.latency_ns.size == 0
    assert log.summary is not None
    assert (log.summary.calls, log.summary.mean_ns) == (150, 6_000_000)
    assert log.summary.std_ns is None


def test_aggregates_alone(tmp_path: Path) -> None:
    """With --benchmark_report_aggregates_only there is a mean of the repetitions."""
    row = repetition("BM_Net_mean", 0, 5.0, iterations=3)
    row |= {"run_type": "aggregate", "run_name": "BM_Net", "aggregate_name": "mean"}
    (log,) = read(tmp_path, google([row]))
    assert log.summary is not None
    assert (log.model, log.summary.calls, log.summary.mean_ns) == ("BM_Net", 3, 5_000_000)


def test_processor_time_is_another_span(tmp_path: Path) -> None:
    """`--span processor-time` takes cpu_time, and the definition says so."""
    rows = [repetition("BM_Net", 0, 5.0) | {"cpu_time": 4.0}]
    (log,) = read(tmp_path, google(rows), Told(runtime="litert", span=Span.PROCESSOR))
    assert log.latency_ns.tolist() == [4_000_000]
    assert (log.timing.span, log.timing.timed) == (Span.PROCESSOR, "cpu_time of the benchmark's loop")


def test_units_and_threads(tmp_path: Path) -> None:
    """Times in every unit become nanoseconds; threads at once are part of the definition."""
    for unit, expected in {"ns": 7, "us": 7_000, "ms": 7_000_000, "s": 7_000_000_000}.items():
        (log,) = read(tmp_path, google([repetition("B", 0, 7.0, unit=unit)]))
        assert log.latency_ns.tolist() == [expected]
    (log,) = read(tmp_path, google([repetition("B", 0, 7.0, threads=4)]))
    assert log.timing.timed.endswith("by 4 threads at once")


def test_only_takes_some(tmp_path: Path) -> None:
    """Each benchmark is a log of its own, and --only chooses among them."""
    text = google([*SINGLE, repetition("BM_Other", 0, 9.0)])
    assert [log.model for log in read(tmp_path, text)] == ["BM_Net/1", "BM_Other"]
    chosen = Told(runtime="litert", only="*Other")
    assert [log.model for log in read(tmp_path, text, chosen)] == ["BM_Other"]


def test_what_the_tool_warns_of_is_a_doubt(tmp_path: Path) -> None:
    """Frequency scaling, a debug build, more load than processors: each puts the figures in doubt."""
    told = {"cpu_scaling_enabled": True, "library_build_type": "DEBUG", "load_avg": [9.4, 8.6, 6.5]}
    (log,) = read(tmp_path, google(SINGLE, **told))
    assert len(log.doubts) == 3
    assert log.doubts[2].endswith("a load of 9.4 on 4 processors")
    (calm,) = read(tmp_path, google(SINGLE, load_avg=[0.2, 0.1, 0.1]))
    assert calm.doubts == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (google(SINGLE)[:-60], "is not whole JSON"),
        (google([*SINGLE, SINGLE[0]]), "two benchmarks are called BM_Net/1"),
        (google([]), "holds no benchmark"),
        (google([repetition("B", 0, float("nan"))]), "real_time of B is nan: that is not a time"),
        (google([repetition("B", 0, -1.0)]), "real_time of B is -1.0: that is not a time"),
        (google([repetition("B", 0, 0.0)]), "call 1 took 0 ns"),
        (google([repetition("B", 0, 1.0, unit="h")]), "lacks what Google Benchmark writes: KeyError.*h"),
        (
            google([repetition("B", 0, 0, error_occurred=True, error_message="no model")]),
            "B failed: no model",
        ),
        (google([repetition("B", 0, 0, skipped=True, skip_message="no GPU")]), "B failed: no GPU"),
        ('{"context": {}, "benchmarks": [1]}', "lacks what Google Benchmark writes"),
        ('{"context": {}}', "lacks what Google Benchmark writes"),
    ],
)
def test_a_file_that_is_no_good_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    """Cut off, names twice, NaN, negative, failed: the file and what is wrong."""
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'bench.json'}: ")
    assert "\n" not in caught.value.message


def test_what_ran_the_model_must_be_said(tmp_path: Path) -> None:
    """Nothing in the file says which runtime was timed: it is asked for, not guessed."""
    with pytest.raises(InputError, match="does not say what ran the model") as caught:
        read(tmp_path, google(SINGLE), Told())
    assert "--runtime" in str(caught.value.hint)


def test_a_name_that_matches_none(tmp_path: Path) -> None:
    """--only without a match names what there is."""
    with pytest.raises(InputError, match="no benchmark is called 'x'") as caught:
        read(tmp_path, google(SINGLE), Told(runtime="litert", only="x"))
    assert "BM_Net/1" in str(caught.value.hint)
