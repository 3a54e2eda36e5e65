"""The page's section of what was measured beyond single calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgebench.benchmark.evidence import Evidence
from edgebench.benchmark.workloads.soaking import soak_windows
from edgebench.reports.markup import Markup, broken, scroll, tag
from edgebench.reports.text_tables import Raw, TextTable
from edgebench.reports.workload_plots import RateLine, SoakLine, soak_figure, throughput_figure
from edgebench.reports.workload_tables import throughput_by_shape, unavailable, workload_tables


def workloads_section(evidence: Evidence, raw: Raw) -> Markup | None:
    """Return throughput, scenarios, loading, operators and sustained load; None where nothing was asked."""
    tables, absent = workload_tables(evidence, raw), unavailable(evidence)
    if not tables and not absent:
        return None
    figures = dict(_figures(evidence, raw))
    parts = [part for table in tables for part in (*_table(table), figures.get(table.title))]
    if absent:
        parts += [tag("h3", "Not available"), tag("ul", *(tag("li", text) for text in absent))]
    return tag("section", tag("h2", "Beyond single calls"), *parts)


def _table(table: TextTable) -> Iterator[Markup]:
    yield tag("h3", table.title)
    yield tag("p", table.note)
    heads = [
        tag("th", name, scope="col", class_="num" if i >= table.left else None)
        for i, name in enumerate(table.header)
    ]
    body = [tag("tr", *_cells(row, table.left)) for row in table.rows]
    yield scroll(tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body)))


def _cells(row: Sequence[str], left: int) -> Iterator[Markup]:
    yield tag("th", broken(row[0]), scope="row")
    for place, cell in enumerate(row[1:], 1):
        value, note = _parts(cell)
        small = tag("small", note) if note else None
        yield tag("td", value, small, class_="num" if place >= left else "gate")


def _parts(cell: str) -> tuple[str, str]:
    """Return a cell's value, and what stands in brackets behind it, which is written small below it."""
    for bracket in (" [", " ("):
        value, found, rest = cell.partition(bracket)
        if found:
            return value, f"{bracket.strip()}{rest}"
    return cell, ""


def _figures(evidence: Evidence, raw: Raw) -> Iterator[tuple[str, Markup]]:
    """Yield the figures by the title of the table that they belong to."""
    lines = list(_rates(evidence))
    if any(len(line.rates) > 1 for line in lines):
        caption = "Samples a second by batch size; the dashes tell the number of threads."
        yield "Throughput", _figure(throughput_figure(lines), caption)
    soaks = [
        SoakLine(
            m.artifact.id, m.artifact.format, soak_windows(run, columns["start_ns"], columns["latency_ns"])
        )
        for m in evidence.measurements
        for run in m.workloads.soaks
        for columns in [raw[run.raw]]
    ]
    if soaks:
        caption = "Mean and 95th percentile of the calls of each window, over the time of the run."
        yield "Sustained load", _figure(soak_figure(soaks), caption)


def _rates(evidence: Evidence) -> Iterator[RateLine]:
    for measurement in evidence.measurements:
        by_threads: dict[int, dict[int, float]] = {}
        for (batch, threads), runs in throughput_by_shape(measurement.workloads.throughput).items():
            rate = float(np.median([1e9 * run.samples / run.elapsed_ns for run in runs]))
            by_threads.setdefault(threads, {})[batch] = rate
        for threads, rates in by_threads.items():
            yield RateLine(measurement.artifact.id, measurement.artifact.format, threads, rates)


def _figure(drawn: Markup, caption: str) -> Markup:
    return tag("figure", scroll(drawn, "figure"), tag("figcaption", caption, " The table gives the numbers."))
