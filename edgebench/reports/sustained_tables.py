"""Sustained load window by window, and a profile operator by operator, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgebench.benchmark.workloads.profiles import OperatorTimes, operator_times
from edgebench.benchmark.workloads.records import ProfileRun, SoakRun
from edgebench.benchmark.workloads.soaking import slowdown, soak_windows
from edgebench.reports.text_tables import Named, Raw, TextTable
from edgebench.reports.units import NONE, fixed, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATORS_SHOWN = 12


def soaks(measured: Named, raw: Raw) -> TextTable:
    """Return every window of sustained load as a row."""
    rows = [
        row
        for name, measurement in measured
        for run in measurement.workloads.soaks
        for row in _soak_rows(name, run, raw[run.raw])
    ]
    notes = [
        f"{name}: {slowdown_text(run, raw[run.raw])}"
        for name, measurement in measured
        for run in measurement.workloads.soaks
    ]
    header = (
        "artifact",
        "from s",
        "calls",
        "mean ms",
        "p50 ms",
        "p95 ms",
        "95 % interval",
        "waited",
        "clock MHz",
    )
    note = f"Calls without a pause, window by window. {' '.join(notes)}"
    return TextTable("Sustained load", note, header, tuple(rows))


def _soak_rows(name: str, run: SoakRun, columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, ...]]:
    for window in soak_windows(run, columns["start_ns"], columns["latency_ns"]):
        ends = [number(None if end is None else end / 1e6) for end in (window.p95.lower, window.p95.upper)]
        known = NONE not in ends
        yield (
            name,
            number(window.begin_s),
            f"{window.calls:,}",
            number(window.mean_ns / 1e6),
            number(window.p50_ns / 1e6),
            number(window.p95_ns / 1e6) if known else NONE,
            f"[{', '.join(ends)}]" if known else NONE,
            NONE if window.waited_share is None else f"{100 * window.waited_share:.1f} %",
            NONE if window.clock_khz is None else f"{window.clock_khz / 1e3:,.0f}",
        )


def slowdown_text(run: SoakRun, columns: Mapping[str, NDArray[Any]]) -> str:
    """Return when sustained calls became slower, how much, and whose doing it was, in a sentence."""
    windows = soak_windows(run, columns["start_ns"], columns["latency_ns"])
    found = slowdown(windows)
    if found is None:
        return f"no slowdown in {run.elapsed_ns / 1e9:.3g} s."
    begin = f"slower after {found.begin_s:g} s: calls take {fixed(found.times)} times as long as at first"
    if found.waited_share is None:
        return f"{begin}."
    before = windows[0].waited_share or 0.0
    others = found.waited_share - before
    lost = 1 - 1 / found.times
    whose = "other programs held the core" if others > lost / 2 else "the machine itself slowed down"
    return f"{begin}; {whose} (the thread waited {100 * found.waited_share:.0f} % of the time)."


def profiles(measured: Named, raw: Raw) -> TextTable:
    """Return the longest operators of every profile."""
    rows, notes = [], []
    for name, measurement in measured:
        for run in measurement.workloads.profiles:
            found = operator_times(raw[run.raw])
            rows += [
                (name, one.operator, one.type, number(one.median_ns / 1e3), f"{100 * one.share:.1f} %")
                for one in found.operators[:OPERATORS_SHOWN]
            ]
            notes.append(f"{name}: {_profile_note(run, found)}")
    header = ("artifact", "operator", "type", "µs a call", "of all operators")
    return TextTable("Operators", " ".join(notes), header, tuple(rows), left=3)


def _profile_note(run: ProfileRun, found: OperatorTimes) -> str:
    rest = len(found.operators) - OPERATORS_SHOWN
    shown = f" The {OPERATORS_SHOWN} longest of {len(found.operators)} are shown." if rest > 0 else ""
    return (
        f"{run.tool}, {run.calls} calls, times cut to {run.resolution_ns / 1e3:g} µs; a call takes "
        f"{number(run.plain_ns / 1e3)} µs, with the profiler {number(run.profiled_ns / 1e3)} µs; of the "
        f"graph's own time {100 * found.covered:.0f} % are in operators.{shown}"
    )
