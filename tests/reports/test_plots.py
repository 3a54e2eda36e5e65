"""The figures: any sample is drawn, any label is text, and the page's colours are taken."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edgebench.reports.plots import LatencyStrip, TradePoint, latency_figure, trade_figure

MARKUP = "\"'><script>alert(1)</script>&amp;<!--größe模型\x00\u202e]]>"


def parsed(svg: str) -> ET.Element:
    """Return a figure as XML."""
    return ET.fromstring(svg)  # noqa: S314 - our own figure


def strip(label: str, times: list[float], form: str = "onnx") -> LatencyStrip:
    """Return a latency strip without marks."""
    return LatencyStrip(label, form, np.array(times), ())


@pytest.mark.parametrize(
    "times",
    [[1.0], [1.0] * 50, [0.0, 0.0], [1e-9, 1e9], [1.0] * 99 + [1e6]],
    ids=["one", "equal", "zero", "wide", "far"],
)
def test_any_timings_make_a_figure(times: list[float]) -> None:
    """One call, equal calls, zeros and twelve orders of magnitude are drawn, without NaN."""
    svg = latency_figure([strip("net", times)], "ms", [("p99 <= 50ms", 50.0)])
    parsed(svg)
    assert "nan" not in svg.casefold()


def test_calls_beyond_the_axis_are_counted() -> None:
    """Outliers that would flatten the figure are cut off and said, with the largest."""
    svg = latency_figure([strip("net", [1.0 + i / 1000 for i in range(999)] + [900.0])], "ms", [])
    assert "1 beyond, up to 900" in svg


def test_one_point_or_thirty_make_a_figure() -> None:
    """Every point has a letter and a place in the key; after Z comes A2."""
    points = [TradePoint(f"net{i}", "onnx", "fp32", i / 10, 50 + i, 49 + i, 52 + i) for i in range(30)]
    svg = trade_figure(points)
    assert all(f">{letter}</text>" in svg for letter in ("A", "Z", "A2", "D2"))
    assert "net29" in svg
    parsed(trade_figure([replace(points[0], size_mb=0.0)]))


@pytest.mark.parametrize("label", [MARKUP, "$x_1$ \\frac", "模" * 60, "", "a" * 300])
def test_any_label_is_drawn_as_text(label: str) -> None:
    """Markup, formulas, wide letters and long names are text of at most 29 columns."""
    point = TradePoint(label, "tflite", "w8a8", 1.0, 90.0, 89.0, 91.0)
    for svg in (latency_figure([strip(label, [1.0, 2.0])], "ms", []), trade_figure([point])):
        texts = ["".join(e.itertext()) for e in parsed(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert all(len(text) <= 33 for text in texts)
        assert "<script" not in svg


def test_figures_follow_the_pages_colours() -> None:
    """Ink and lines take the page's colours, so that dark mode and print are readable."""
    svg = latency_figure([strip("net", [1.0, 2.0])], "ms", [])
    assert "currentColor" in svg
    assert "var(--line)" in svg
    assert "#000000" not in svg
    assert "#ffffff" not in svg
