"""A judged run as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from edgebench.reports.cells import fact_cell, footnotes, latency_cell, latency_unit, metric_cell, share_cell
from edgebench.reports.declaration import declaration_words
from edgebench.reports.quantities import Quantity
from edgebench.reports.results import MeasuredArtifact, Results, read_results
from edgebench.reports.units import unit_text
from edgebench.reports.verdict import Answer, Verdict
from edgebench.reports.words import SYMBOLS, headline, on_device, printable, shortened, wanting
from edgebench.storage import read_json

_NAME = 44


def run_table(folder: Path) -> str:
    """Return the judged run in `folder` as text. Raises InputError where it was not judged yet."""
    return results_table(read_results(folder), read_json(folder / "verdict.json", Verdict))


def results_table(results: Results, verdict: Verdict) -> str:
    """Return the artifacts' figures, the gates that did not pass, and what was skipped, as text."""
    unit = latency_unit(results)
    shown = unit_text(unit)
    header: tuple[str, ...] = (
        "artifact",
        "size",
        "shrink",
        f"p50 {shown}",
        f"p99 {shown}",
        "top-1 %",
        "drop pp",
        "decision",
    )
    rows = [_cells(results, artifact, unit) for artifact in results.artifacts]
    if any(row.quantity == Quantity.METRIC for row in results.rows):
        header = (*header[:-1], "metric", "metric drop", header[-1])
        rows = [
            (*row[:-1], *_metric_cells(results, artifact), row[-1])
            for row, artifact in zip(rows, results.artifacts, strict=True)
        ]
    parts = [aligned((header, *rows), left=(0, len(header) - 1))]
    parts += [f"  {note}" for note in ("[ ] 95 % interval, both ends together.", *footnotes(results))]
    parts += ["", *_gate_lines(verdict)]
    parts += [f"skipped  {printable(text)}" for text in results.skipped]
    parts += [f"note     {printable(note)}" for note in verdict.notes]
    parts += ["", f"{SYMBOLS[verdict.decision]} {verdict.decision}: {printable(headline(verdict))}"]
    return "\n".join(parts)


def _cells(results: Results, artifact: MeasuredArtifact, unit: str) -> tuple[str, ...]:
    name = shortened(artifact.artifact, _NAME) + (" (baseline)" if artifact.is_baseline else "")
    name += f" · {shortened(artifact.device, _NAME)}" if results.several_devices else ""
    decision = artifact.decision or "not judged"
    return (
        name,
        str(fact_cell(results, artifact, Quantity.SIZE)),
        str(fact_cell(results, artifact, Quantity.SHRINK)),
        latency_cell(results, artifact, Quantity.P50, unit).value,
        str(latency_cell(results, artifact, Quantity.P99, unit)),
        str(share_cell(results, artifact, Quantity.TOP1)),
        str(share_cell(results, artifact, Quantity.DROP)),
        f"{SYMBOLS.get(decision, ' ')} {decision}",
    )


def _metric_cells(results: Results, artifact: MeasuredArtifact) -> tuple[str, str]:
    return (
        str(metric_cell(results, artifact, Quantity.METRIC)),
        str(metric_cell(results, artifact, Quantity.LOSS)),
    )


def aligned(rows: Sequence[Sequence[str]], *, left: Container[int]) -> str:
    """Return rows of text in columns: those in `left` to the left, the others, of numbers, to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _gate_lines(verdict: Verdict) -> list[str]:
    results = [result for artifact in verdict.artifacts for result in artifact.gates]
    passed = sum(result.answer is Answer.PASS for result in results)
    lines = [f"gates    {passed} of {len(results)} pass: {'; '.join(verdict.criteria)}"]
    lines.append(f"criteria {printable(declaration_words(verdict.declaration))}")
    for result in wanting(verdict):
        needed = f"; needed: {result.needed}" if result.needed else ""
        name = f"{result.artifact}{on_device(verdict, result.device)}"
        text = f"{name}  {result.gate}: {result.reason}{needed}"
        lines.append(f"{SYMBOLS[result.answer]} {result.answer.lower()}  {printable(text)}")
    return lines
