"""Sustained load: windows, when it slows down and by whom, and the energy of it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fidelity_models import Network, write_onnx
from models.small_onnx import save_classifier
from scenarios import disturbed

from edgebench.benchmark.evidence import Timing
from edgebench.benchmark.raw_files import read_columns
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.benchmark.workloads.metering import find_meters
from edgebench.benchmark.workloads.records import Look, Process, SoakRun
from edgebench.benchmark.workloads.soaking import Window, slowdown, soak_windows
from edgebench.devices.local import LocalDevice
from edgebench.exporters.inspect import adopt
from edgebench.workload_options import parse_workloads

TIMING = Timing("onnxruntime", "1.0", "CPU", batch=1, threads=1, affinity=(), timed="a call")
RUN = SoakRun(Process("", 1, 1, 1, 1, 0.0, 0.0, TIMING), 0, 5.0, 1.0, 0, "")


def calls(level: list[float], per_window: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and latencies of calls in a row, 1 ms times each window's level, windows of 1 s."""
    parts = [np.full(round(per_window / each), round(1e6 * each)) for each in level]
    latency = np.concatenate(parts).astype(np.int64)
    return np.cumsum(latency) - latency, latency


def windows(*level: float) -> tuple[Window, ...]:
    """Return the windows of calls at these levels."""
    return soak_windows(RUN, *calls(list(level)))


def test_windows_are_cut_by_the_calls_starts() -> None:
    """Each call counts in the window in which it began, and none is lost."""
    found = windows(1.0, 2.0, 1.0)
    assert [(window.begin_s, window.calls) for window in found] == [(0.0, 1000), (1.0, 500), (2.0, 1000)]
    assert [window.mean_ns for window in found] == [1e6, 2e6, 1e6]


def test_a_last_window_counts_from_half_its_width() -> None:
    """The rest of a run is no window where it is shorter than half of one."""
    starts, latency = calls([1.0, 1.0, 1.0])
    for cut, count in ((2400, 2), (2600, 3)):
        found = soak_windows(RUN, starts[:cut], latency[:cut])
        assert len(found) == count
        assert sum(window.calls for window in found) == min(cut, 1000 * count)


def test_a_percentile_of_few_calls_has_no_bounds() -> None:
    """50 calls do not bound p95 from above."""
    starts, latency = calls([1.0], per_window=1000)
    found = soak_windows(RUN, starts[:50], latency[:50])
    assert found[0].p95.upper is None


def test_the_machine_slowed_down_when_windows_stay_slow() -> None:
    """From the first of two slow windows on; one alone is chance, and a tenth is needed."""
    found = slowdown(windows(1.0, 1.0, 1.5, 1.5, 1.5))
    assert found is not None
    assert (found.begin_s, found.lasted_s) == (2.0, 3.0)
    assert found.times == pytest.approx(1.5)
    assert slowdown(windows(1.0, 1.5, 1.0, 1.5, 1.0)) is None
    assert slowdown(windows(1.0, 1.09, 1.09, 1.09)) is None
    assert slowdown(windows(1.0, 1.0, 1.0, 1.5)) is None
    assert slowdown(windows(1.0)) is None
    recovered = slowdown(windows(1.0, 2.0, 2.0, 1.0, 1.0))
    assert recovered is not None
    assert (recovered.begin_s, recovered.lasted_s) == (1.0, 2.0)


def test_what_was_looked_at_is_told_of_each_window() -> None:
    """What was waited, called and taken between two looks is the window's, kept calls or not."""
    second, told = 10**9, ((0, 0, 0), (1, 900, 10**8), (2, 2400, 6 * 10**8))
    looks = tuple(Look(at * second, n, at * second, waited, 1_800_000) for at, n, waited in told)
    found = soak_windows(replace(RUN, looks=looks), *calls([1.0, 1.0]))
    assert [window.waited_share for window in found] == pytest.approx([0.1, 0.5])
    assert [window.clock_khz for window in found] == [1_800_000] * 2
    assert [window.calls for window in found] == [900, 1500]
    assert [window.mean_ns for window in found] == pytest.approx([1e9 / 900, 1e9 / 1500])


@pytest.mark.acceptance
def test_a_burner_on_the_same_core_shows(tmp_path: Path) -> None:
    """Programs that take the core halfway make calls slower from then on, and the waiting says by whom."""
    core = min(os.sched_getaffinity(0))
    path = tmp_path / "small.onnx"
    write_onnx(Network("small", side=24, channels=24, layers=6), path)
    asked = parse_workloads(soak="12s", soak_window="1s")
    request = BenchmarkRequest(
        ((adopt(path), path),), tmp_path / "run", sessions=1, calls=5, warmup_s=0.01, affinity=str(core),
        workloads=asked,
    )  # fmt: skip
    with disturbed(8.0, core):
        begun = time.monotonic()
        run = benchmark(request).measurements[0].workloads.soaks[0]
    assert run.elapsed_ns > 11e9
    assert time.monotonic() - begun < 60
    columns = read_columns(tmp_path / "run" / run.raw, ("start_ns", "latency_ns"))
    found = soak_windows(run, columns["start_ns"], columns["latency_ns"])
    assert len(found) == 12
    first, last = found[0], found[-1]
    if (first.waited_share or 0.0) > 0.5:
        pytest.skip("others hold this machine's cores already: one more does not show")
    assert last.mean_ns > 1.5 * first.mean_ns
    assert last.p95_ns > first.p95_ns
    assert first.waited_share is not None
    assert last.waited_share is not None
    assert last.waited_share > first.waited_share + 0.15
    slow = slowdown(found)
    assert slow is not None
    assert slow.waited_share is not None
    assert slow.waited_share > 0.2


def _rapl(root: Path, microjoules: int) -> None:
    folder = root / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("name", "package-0"), ("energy_uj", microjoules), ("max_energy_range_uj", 10**12)):
        (folder / name).write_text(f"{content}\n")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/uptime").write_text("100.00 50.00\n")


def test_energy_is_what_a_counter_saw_between_the_calls(tmp_path: Path) -> None:
    """The agent's readings of a counter's file become joules, with the counter named."""
    _rapl(tmp_path, 5_000_000)
    meters = find_meters(LocalDevice(), str(tmp_path))
    watched = meters.watched()
    assert {Path(path).name for path in watched} == {"energy_uj", "uptime"}
    shown = {"uptime": ("100.0 1", "102.0 1"), "energy_uj": ("5000000\n", "8500000\n")}
    texts = [[shown[Path(path).name][i] for path in watched] for i in (0, 1)]
    used = meters.used(texts, 2 * 10**9)
    assert used is not None
    assert (used.joules, used.elapsed_ns) == (3.5, 2 * 10**9)
    assert "package-0" in used.source
    assert meters.used(texts, 10**8) is None
    assert meters.used(texts[:1], 2 * 10**9) is None


def test_no_meter_is_a_reason(tmp_path: Path) -> None:
    """Where a machine shows no energy nothing is read, and the reason is at hand."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/uptime").write_text("100.00 50.00\n")
    meters = find_meters(LocalDevice(), str(tmp_path))
    assert meters.watched() == []
    assert meters.absent


def test_of_very_many_calls_some_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """A soak of a model of microseconds keeps at most 2,000 calls of a block, spread over its time."""
    path = save_classifier(tmp_path / "small.onnx")
    asked = parse_workloads(soak="2s", soak_window="1s")
    request = BenchmarkRequest(((adopt(path), path),), tmp_path / "run", sessions=1, calls=5, workloads=asked)
    run = benchmark(request).measurements[0].workloads.soaks[0]
    columns = read_columns(tmp_path / "run" / run.raw, ("start_ns", "latency_ns"))
    starts = columns["start_ns"]
    assert 1000 < len(starts) < run.calls / 2
    assert (np.diff(starts) > 0).all()
    found = soak_windows(run, starts, columns["latency_ns"])
    assert [window.begin_s for window in found] == [0.0, 1.0]
    assert sum(window.calls for window in found) == pytest.approx(run.calls, rel=0.3)
