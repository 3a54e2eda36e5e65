"""A wall clock that is set during a run is told of, and does no other harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgebench.benchmark.clocks import clock_notes
from edgebench.benchmark.evidence_files import read_evidence
from edgebench.benchmark.request import BenchmarkRequest
from edgebench.benchmark.runner import benchmark
from edgebench.devices.local import LocalDevice


def test_sessions_in_order_are_not_spoken_of() -> None:
    """Sessions that began one after the other, or in the same second, leave no note; nor do no sessions."""
    assert clock_notes([["2026-01-02T03:00:00+00:00", "2026-01-02T03:00:00+00:00"], []]) == ()
    assert clock_notes([["", "yesterday", "2026-01-02T03:00:00"]]) == ()


def test_a_clock_set_back_is_told_with_by_how_much() -> None:
    """A session that began an hour before the one before it: the clock was set back by an hour."""
    (note,) = clock_notes([["2026-01-02T04:00:00+00:00", "2026-01-02T03:00:00+00:00"]])
    assert "set back by 3,600 s" in note


def test_a_session_of_tomorrow_is_told() -> None:
    """A session that began after now, as the clock has it, was timed before the clock was set."""
    (note,) = clock_notes([["2999-01-02T03:04:05+00:00"]])
    assert "the wall clock was set back by" in note


def test_timings_of_a_clock_too_coarse_for_them_are_refused(
    tmp_path: Path, linear: Callable[..., object]
) -> None:
    """A clock that ticks every 50 ms shows most calls to take no time: the artifact's failure says so."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nexact = time.perf_counter_ns\n"
        "time.perf_counter_ns = lambda: exact() // 50_000_000 * 50_000_000\n"
    )
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {LocalDevice().python} "$@"\n')
    wrapper.chmod(0o755)
    request = BenchmarkRequest((linear(),), tmp_path / "run", sessions=1, calls=20, max_session_s=5.0)  # type: ignore[arg-type]
    evidence = benchmark(request, device=LocalDevice(python=str(wrapper)))
    failure = evidence.measurements[0].failure
    assert failure is not None
    assert "took no time, or less, by the device's clock" in failure
    assert read_evidence(tmp_path / "run") == evidence
