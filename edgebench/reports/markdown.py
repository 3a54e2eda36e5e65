"""A judged run as Markdown, for a pull request or a job summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgebench.reports.cells import fact_cell, footnotes, latency_cell, latency_unit, share_cell
from edgebench.reports.declaration import declaration_words
from edgebench.reports.quantities import Quantity
from edgebench.reports.results import MeasuredArtifact, Results
from edgebench.reports.units import unit_text, value_text
from edgebench.reports.verdict import GateResult, Verdict
from edgebench.reports.words import SYMBOLS, headline, on_device, printable


def summary(results: Results, verdict: Verdict) -> str:
    """Return the decision and why, the figures, the gates, and what was skipped, as Markdown."""
    unit = latency_unit(results)
    shown = unit_text(unit)
    percentiles = (f"{q} {shown}" for q in ("p50", "p90", "p99"))
    header = ("artifact", "size", "shrink", *percentiles, "top-1 %", "drop pp", "decision")
    gates = [result for artifact in verdict.artifacts for result in artifact.gates]
    parts = [
        f"# {SYMBOLS[verdict.decision]} {verdict.decision}: {_escaped(results.name)}",
        _escaped(headline(verdict)),
        _table(header, [_cells(results, artifact, unit) for artifact in results.artifacts]),
        "In brackets: the 95 % interval, both ends together.",
        *footnotes(results),
        "## Gates",
        _table(("", "artifact", "gate", "value", "why"), [_gate(result, verdict) for result in gates]),
        f"Note: {_escaped(declaration_words(verdict.declaration))}.",
    ]
    listed = [*(f"skipped {text}" for text in results.skipped), *results.notes]
    parts += ["## Notes", "\n".join(f"- {_escaped(text)}" for text in listed)] if listed else []
    return "\n\n".join(parts) + "\n"


def _cells(results: Results, artifact: MeasuredArtifact, unit: str) -> tuple[object, ...]:
    percentiles = (Quantity.P50, Quantity.P90, Quantity.P99)
    return (
        artifact.artifact
        + (" (baseline)" if artifact.is_baseline else "")
        + (f" · {artifact.device}" if results.several_devices else ""),
        fact_cell(results, artifact, Quantity.SIZE),
        fact_cell(results, artifact, Quantity.SHRINK),
        *(latency_cell(results, artifact, quantity, unit) for quantity in percentiles),
        share_cell(results, artifact, Quantity.TOP1),
        share_cell(results, artifact, Quantity.DROP),
        artifact.decision or "not judged",
    )


def _gate(result: GateResult, verdict: Verdict) -> tuple[object, ...]:
    needed = f"; needed: {result.needed}" if result.needed else ""
    symbol = f"{SYMBOLS[result.answer]} {result.answer}"
    name = result.artifact + on_device(verdict, result.device)
    return symbol, name, result.gate, value_text(result.value, result.unit), result.reason + needed


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines)


def _escaped(text: object) -> str:
    """Return text that Markdown shows as it is: no tags, no links, no table cells."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text))
