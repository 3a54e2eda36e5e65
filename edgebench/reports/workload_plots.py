"""The figures of what was measured beyond single calls, as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgebench.benchmark.workloads.soaking import Window
from edgebench.reports.markup import Markup
from edgebench.reports.plots import COLOURS, INK, figure_of, label_of, plain_axes

_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True)
class RateLine:
    """An artifact's samples a second at one number of threads. rates: by batch size."""

    label: str
    format: str
    threads: int
    rates: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class SoakLine:
    """An artifact's windows of sustained load."""

    label: str
    format: str
    windows: Sequence[Window]


def throughput_figure(lines: Sequence[RateLine]) -> Markup:
    """Return samples a second over the batch size, a line for each artifact and number of threads, as SVG."""
    threads = sorted({line.threads for line in lines})
    with figure_of(3.2) as (figure, done):
        axes = figure.add_axes((0.08, 0.18, 0.53, 0.76))
        for line in lines:
            batches = sorted(line.rates)
            axes.plot(
                batches,
                [line.rates[batch] for batch in batches],
                color=COLOURS.get(line.format, INK),
                linestyle=_DASHES[threads.index(line.threads) % len(_DASHES)],
                marker="os^D"[lines.index(line) % 4],
                label=f"{label_of(line.label)}, {line.threads} thread{'s' if line.threads > 1 else ''}",
            )
        axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("samples a call")
        axes.set_ylabel("samples a second")
        plain_axes(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.03), frameon=False)
    return done("throughput")


def soak_figure(lines: Sequence[SoakLine]) -> Markup:
    """Return the mean and the 95th percentile of each window over the time, as SVG."""
    with figure_of(3.2) as (figure, done):
        axes = figure.add_axes((0.08, 0.18, 0.53, 0.76))
        for line in lines:
            colour, marker = COLOURS.get(line.format, INK), "os^D"[lines.index(line) % 4]
            times = [window.begin_s for window in line.windows]
            name = label_of(line.label)
            means = [window.mean_ns / 1e6 for window in line.windows]
            axes.plot(times, means, color=colour, marker=marker, markersize=4, label=f"{name}, mean")
            known = [(w.begin_s, w.p95_ns / 1e6) for w in line.windows if w.p95.upper is not None]
            if known:
                at, values = zip(*known, strict=True)
                axes.plot(
                    at, values, color=colour, linestyle=":", marker=marker, markersize=4, label=f"{name}, p95"
                )
        axes.set_ylim(bottom=0)
        axes.set_xlabel("begin of the window (s)")
        axes.set_ylabel("latency of one call (ms)")
        plain_axes(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.03, 1.03), frameon=False)
    return done("soak")
