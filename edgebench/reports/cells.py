"""The figures of an artifact as cells of a table: the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from dataclasses import dataclass

from edgebench.benchmark import statistics
from edgebench.reports.quantities import QUANTILES, Quantity
from edgebench.reports.results import CONFIDENCE, MeasuredArtifact, Results, Row
from edgebench.reports.units import NONE, UNITS, Dimension, fixed, number, percent, plain_text, readable_unit


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, and the interval or range that belongs to it; both are text, and may be –."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".strip()


def latency_cell(results: Results, artifact: MeasuredArtifact, quantity: Quantity, unit: str) -> Cell:
    """Return a percentile in `unit` with its interval; – where the sample does not support it."""
    row = results.find(artifact, quantity)
    scale = UNITS[Dimension.TIME]["ms"] / UNITS[Dimension.TIME][unit]
    return Cell(NONE) if row is None else Cell(number(row.value * scale), _interval(row, scale))


def share_cell(results: Results, artifact: MeasuredArtifact, quantity: Quantity) -> Cell:
    """Return top-1, drop or churn with its interval, two decimals."""
    row = results.find(artifact, quantity)
    if row is None:
        return Cell(NONE)
    lower, upper = fixed(row.lower), fixed(row.upper)
    return Cell(fixed(row.value), f"[{lower}, {upper}]")


def metric_cell(results: Results, artifact: MeasuredArtifact, quantity: Quantity) -> Cell:
    """Return a metric, or what is lost of it, with its interval, in four digits."""
    row = results.find(artifact, quantity)
    if row is None:
        return Cell(NONE)
    value, lower, upper = (plain_text(end, "") for end in (row.value, row.lower, row.upper))
    return Cell(value, f"[{lower}, {upper}]")


def fact_cell(results: Results, artifact: MeasuredArtifact, quantity: Quantity) -> Cell:
    """Return a size, a memory or a ratio in the unit in which it reads best."""
    row = results.find(artifact, quantity)
    if row is None:
        return Cell(NONE)
    if row.unit == "x":
        return Cell(f"{fixed(row.value)}×")
    unit = readable_unit(row.value, Dimension.SIZE)
    return Cell(f"{number(row.value / UNITS[Dimension.SIZE][unit])} {unit}")


def latency_unit(results: Results) -> str:
    """Return the unit in which the run's median latencies read best together."""
    medians = [row.value for row in results.rows if row.quantity == Quantity.P50]
    return readable_unit(min(medians) * UNITS[Dimension.TIME]["ms"], Dimension.TIME) if medians else "ms"


def footnotes(results: Results) -> tuple[str, ...]:
    """Return why some percentiles, and some ends of their intervals, are not printed."""
    missing = []
    for quantity, q in QUANTILES.items():
        least = statistics.needed_calls(q, CONFIDENCE)
        if any(0 < artifact.calls < least for artifact in results.artifacts):
            missing.append(f"{quantity} needs at least {least} calls")
    why = f"{NONE} for a percentile that the calls do not support at {percent(CONFIDENCE)}"
    notes = [f"{why}: {'; '.join(missing)}."] if missing else []
    shown = [row for row in results.rows if row.quantity in set(QUANTILES)]
    if any(row.lower is None or row.upper is None for row in shown):
        notes.append(f"{NONE} in brackets for an end that the calls do not bound.")
    return tuple(notes)


def _interval(row: Row, scale: float) -> str:
    lower, upper = (number(None if end is None else end * scale) for end in (row.lower, row.upper))
    return f"[{lower}, {upper}]"
