"""The page's figures, with captions that say what they show."""

from __future__ import annotations

from collections.abc import Mapping

from edgebench.benchmark.evidence import LatencySamples
from edgebench.reports.cells import latency_unit
from edgebench.reports.gate_words import parse_gate
from edgebench.reports.markup import Markup, scroll, tag
from edgebench.reports.plots import COLOURS, LatencyStrip, TradePoint, latency_figure, trade_figure
from edgebench.reports.quantities import Quantity
from edgebench.reports.results import MeasuredArtifact, Results
from edgebench.reports.subjects import Key
from edgebench.reports.units import UNITS, Dimension, unit_text
from edgebench.reports.verdict import Verdict

_SHAPES = {
    "fp32": "circle",
    "fp16": "square",
    "w8a32": "triangle",
    "w8a16": "inverted triangle",
    "w8a8": "diamond",
    "unknown": "plus",
}


def latency_section(
    results: Results, samples: Mapping[Key, LatencySamples], verdict: Verdict
) -> Markup | None:
    """Return the distributions of the latencies, or None where none was measured."""
    unit = latency_unit(results)
    scale = UNITS[Dimension.TIME][unit]
    measured = [a for a in results.artifacts if a.calls and (a.artifact, a.device) in samples]
    if not measured:
        return None
    strips = [_strip(results, a, samples[a.artifact, a.device], unit) for a in measured]
    gates = [
        gate
        for gate in map(parse_gate, verdict.criteria)
        if gate.question.quantile is not None and not gate.question.relative
    ]
    bounds = [(str(gate), gate.stored_bound / scale) for gate in gates]
    figure = latency_figure(strips, unit_text(unit), bounds)
    slowest = (
        max(value for strip in strips for _, value, *_ in strip.marks) if any(s.marks for s in strips) else 0
    )
    beyond = [f"{name} lies beyond the axis" for name, bound in bounds if slowest and bound > 2 * slowest]
    caption = (
        "Each row is one artifact: above the line how often each latency occurred, below it the "
        "percentiles that the calls support, with bars for their 95 % intervals. "
        + "".join(f"The bound of {text}. " for text in beyond)
    )
    return _figure_section("Latency", figure, caption, results)


def _strip(results: Results, artifact: MeasuredArtifact, samples: LatencySamples, unit: str) -> LatencyStrip:
    factor = UNITS[Dimension.TIME]["ms"] / UNITS[Dimension.TIME][unit]
    rows = {q: results.find(artifact, q) for q in (Quantity.P50, Quantity.P90, Quantity.P99)}
    marks = tuple(
        (str(q), row.value * factor, _scaled(row.lower, factor), _scaled(row.upper, factor))
        for q, row in rows.items()
        if row is not None
    )
    times = samples.latency_ns / UNITS[Dimension.TIME][unit]
    return LatencyStrip(_label(results, artifact), artifact.format, times, marks)


def trade_section(results: Results) -> Markup | None:
    """Return size against accuracy, or None where no accuracy was measured."""
    points = []
    for artifact in results.artifacts:
        top1, size = results.find(artifact, Quantity.TOP1), results.find(artifact, Quantity.SIZE)
        if top1 is not None and size is not None and top1.lower is not None and top1.upper is not None:
            form, precision = artifact.format, artifact.precision
            ends = (top1.value, top1.lower, top1.upper)
            points.append(TradePoint(_label(results, artifact), form, precision, size.value / 1e6, *ends))
    if not points:
        return None
    shapes = [f"{_SHAPES[p]} {p}" for p in _SHAPES if p in {point.precision for point in points}]
    caption = (
        f"Up and to the left is better. Shape: {', '.join(shapes)}. Bars are the 95 % intervals of each "
        "artifact by itself; differences on the same samples are far better known, see the drop."
    )
    return _figure_section("Size against accuracy", trade_figure(points), caption, results)


def _figure_section(title: str, figure: Markup, caption: str, results: Results) -> Markup:
    formats = sorted({artifact.format for artifact in results.artifacts})
    key = [tag("li", tag("span", style=f"background: {COLOURS[f]}"), f) for f in formats if f in COLOURS]
    note = tag("figcaption", caption, " The tables give the numbers.")
    return tag(
        "section",
        tag("h2", title),
        tag("ul", *key, class_="key"),
        tag("figure", scroll(figure, "figure"), note),
    )


def _label(results: Results, artifact: MeasuredArtifact) -> str:
    return artifact.artifact + (f" · {artifact.device}" if results.several_devices else "")


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
