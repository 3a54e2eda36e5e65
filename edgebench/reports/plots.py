"""The figures of the page as inline SVG: deterministic, offline, text as text, light or dark."""

from __future__ import annotations

import io
import itertools
import re
import string
import unicodedata
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebench.reports.markup import Markup
from edgebench.reports.words import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

INK, _FAINT = "#010203", "#040506"
"""Stand-ins that become `currentColor` and the page's line colour."""

COLOURS = {"onnx": "#3a7fc1", "tflite": "#d9792b", "tensorrt": "#5b9a3c"}
MARKERS = {"fp32": "o", "fp16": "s", "w8a32": "^", "w8a16": "v", "w8a8": "D", "unknown": "P"}
_LABEL = 29
"""Columns of a label: what the widest of the usual fonts fits beside the axes."""
_BINS = 36
_WIDTH = 9.6

_SETTINGS = {
    "svg.hashsalt": "edgebench",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": _FAINT,
    "axes.axisbelow": True,
}


@dataclass(frozen=True, slots=True)
class LatencyStrip:
    """One artifact's latencies. times: float64[n] in `unit`. marks: (name, value, lower, upper)."""

    label: str
    format: str
    times: NDArray[np.float64]
    marks: tuple[tuple[str, float, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class TradePoint:
    """One artifact's size, in megabytes, and top-1 with its interval, in percent."""

    label: str
    format: str
    precision: str
    size_mb: float
    top1: float
    lower: float
    upper: float


def latency_figure(strips: Sequence[LatencyStrip], unit: str, bounds: Sequence[tuple[str, float]]) -> Markup:
    """Return the distribution of each artifact's latencies with its percentiles, as SVG.

    bounds: gates on a percentile, in `unit`; those far beyond the data are not drawn.
    """
    with figure_of(0.95 + 0.62 * len(strips)) as (figure, done):
        height = figure.get_figheight()
        axes = figure.add_axes((0.30, 0.6 / height, 0.67, 1 - 0.95 / height))
        left, right = _range(strips, bounds)
        for row, strip in enumerate(strips):
            _strip(axes, len(strips) - 1 - row, strip, left, right)
        axes.set_xscale("log" if right / left > 8 else "linear")  # noqa: PLR2004 - where a linear axis crowds
        axes.set_xlim(left, right)
        axes.set_ylim(-0.45, len(strips) - 0.2)
        axes.set_yticks(range(len(strips)), [label_of(s.label) for s in reversed(strips)])
        axes.set_xlabel(f"latency of one call ({unit})")
        for name, bound in bounds:
            if left <= bound <= right:
                axes.axvline(bound, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
                place = axes.get_xaxis_transform()
                axes.annotate(name, (bound, 1), (0, 3), place, "offset points", ha="center")
        plain_axes(axes)
        _percentile_legend(axes)
    return done("latency")


def trade_figure(points: Sequence[TradePoint]) -> Markup:
    """Return size against top-1 with intervals, every point with a letter of the key, as SVG."""
    with figure_of(max(3.2, 0.9 + 0.27 * len(points))) as (figure, done):
        axes = figure.add_axes((0.08, 0.16, 0.53, 0.78))
        for point in points:
            colour, marker = COLOURS.get(point.format, INK), MARKERS.get(point.precision, "P")
            errors = [[point.top1 - point.lower], [point.upper - point.top1]]
            axes.errorbar(
                [point.size_mb],
                [point.top1],
                yerr=errors,
                color=colour,
                marker=marker,
                markersize=7,
                capsize=3,
            )
        axes.set_xlabel("size of the file (MB)")
        axes.set_ylabel("top-1 (%), 95 % interval")
        axes.set_xlim(0, max(p.size_mb for p in points) * 1.08 or 1)
        axes.margins(y=0.08)
        plain_axes(axes)
        _letters(axes, points)
    return done("trade")


@contextmanager
def figure_of(height: float) -> Iterator[tuple[Any, Callable[[str], Markup]]]:
    """Yield a figure of this height, in inches, and what makes it SVG whose ids begin with a name."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure = Figure(figsize=(_WIDTH, height))
        figure.patch.set_alpha(0)
        yield figure, lambda name: _svg(figure, name)


def _svg(figure: Any, name: str) -> Markup:
    """Return the figure as an SVG element whose ids begin with `name`."""
    import matplotlib as mpl

    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(out, format="svg", metadata=nothing)
    svg = out.getvalue()[out.getvalue().index("<svg") :]
    svg = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(_FAINT, "var(--line)")
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    return Markup(re.sub(r"<svg ", '<svg aria-hidden="true" focusable="false" ', svg, count=1))


def plain_axes(axes: Any) -> None:
    """Take away what does not bear a number, and write numbers as people read them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.set_facecolor("none")
    axes.grid(visible=True, axis="both" if axes.get_ylabel() else "x", linewidth=0.7)
    axes.tick_params(length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_of(text: str) -> str:
    """Return a label cut in its middle to the columns that it has; letters of the East take two."""
    length = _LABEL
    while sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in shortened(text, length)) > _LABEL:
        length -= 1
    return shortened(text, length)


def _range(strips: Sequence[LatencyStrip], bounds: Sequence[tuple[str, float]]) -> tuple[float, float]:
    """Return the axis's ends: nearly all calls, all percentiles, and a bound that is near."""
    low = min(float(np.min(s.times)) for s in strips)
    ends = [float(np.quantile(s.times, 0.995)) for s in strips]
    ends += [value for s in strips for _, *found in s.marks for value in found if value is not None]
    high = max(ends)
    near = [bound for _, bound in bounds if high < bound <= 2 * high]
    return max(low * 0.92, 1e-9), max([high, *near]) * 1.08


def _strip(axes: Any, y: float, strip: LatencyStrip, left: float, right: float) -> None:
    """Draw one row: the shape of the distribution, and the percentiles below it."""
    colour = COLOURS.get(strip.format, INK)
    least, most = (float(end) for end in np.quantile(strip.times, (0.002, 0.998)))
    start = max(least * 0.98, left)
    edges = np.geomspace(start, max(min(most * 1.02, right), start * 1.001), _BINS + 1)
    counts, _ = np.histogram(strip.times, edges)
    heights = y + 0.62 * np.repeat(counts / max(int(counts.max()), 1), 2)
    axes.fill_between(np.repeat(edges, 2)[1:-1], y, heights, color=colour, alpha=0.45, linewidth=0)
    axes.plot([left, right], [y, y], color=_FAINT, linewidth=0.7)
    for name, value, lower, upper in strip.marks:
        ends = [end if end is not None else value for end in (lower, upper)]
        axes.plot(ends, [y - 0.16] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([value], [y - 0.16], **_mark(name, colour))
    if beyond := int((strip.times > right).sum()):
        text = f"{beyond} beyond, up to {float(np.max(strip.times)):,.3g} →"
        axes.annotate(
            text, (1, y + 0.18), (-2, 0), ("axes fraction", "data"), "offset points", ha="right", size=8
        )


def _mark(name: str, colour: str) -> dict[str, Any]:
    return {
        "marker": {"p50": "D", "p90": "s", "p99": "^"}.get(name, "o"),
        "markersize": {"p50": 6.5, "p90": 5.5, "p99": 7}.get(name, 6),
        "color": colour,
        "linestyle": "none",
    }


def _percentile_legend(axes: Any) -> None:
    from matplotlib.lines import Line2D

    names = ("p50", "p90", "p99")
    handles = [Line2D([], [], **_mark(name, INK)) for name in names]
    axes.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        handletextpad=0.1,
        borderpad=0,
    )


def _letters(axes: Any, points: Sequence[TradePoint]) -> None:
    """Write a letter beside each point, above one another where points meet, and the key at the right."""
    from matplotlib.lines import Line2D

    width, height = axes.get_xlim()[1], float(np.ptp(axes.get_ylim()))
    handles, placed = [], list[TradePoint]()
    for letter, point in zip(_alphabet(), points, strict=False):
        near = [
            p
            for p in placed
            if abs(p.size_mb - point.size_mb) < width / 30 and abs(p.top1 - point.top1) < height / 16
        ]
        place = (point.size_mb, point.top1)
        axes.annotate(letter, place, (7, 5 + 12 * len(near)), "data", "offset points", weight="bold")
        colour, marker = COLOURS.get(point.format, INK), MARKERS.get(point.precision, "P")
        label = f"{letter}  {label_of(point.label)}"
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=7, label=label)
        )
        placed.append(point)
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.03, 1.03), frameon=False, labelspacing=0.7
    )


def _alphabet() -> Iterator[str]:
    """Yield A to Z, then A2 to Z2, and so on."""
    for turn in itertools.count(1):
        for letter in string.ascii_uppercase:
            yield letter if turn == 1 else f"{letter}{turn}"
