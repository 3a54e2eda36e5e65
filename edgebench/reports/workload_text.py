"""What was measured beyond single calls as text for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark.evidence_files import read_evidence
from edgebench.benchmark.raw_files import read_columns
from edgebench.reports.table import aligned
from edgebench.reports.words import printable
from edgebench.reports.workload_tables import unavailable, workload_tables

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import Evidence
    from edgebench.reports.text_tables import Raw

_STREAM = ("start_ns", "latency_ns")


def read_workloads(folder: Path, evidence: Evidence) -> Raw:
    """Return the raw columns of a run's scenarios, soaks and profiles, by file. Raises InputError."""
    raw = {}
    for measurement in evidence.measurements:
        workloads = measurement.workloads
        for run in workloads.scenarios:
            raw[run.raw] = read_columns(folder / run.raw, ("latency_ns",))
        for soak in workloads.soaks:
            raw[soak.raw] = read_columns(folder / soak.raw, _STREAM)
        for profile in workloads.profiles:
            raw[profile.raw] = read_columns(folder / profile.raw, ("call", "operator", "type", "duration_ns"))
    return raw


def workloads_text(folder: Path) -> str:
    """Return the tables of a run's folder as text, empty where nothing was asked for. Raises InputError."""
    evidence = read_evidence(folder)
    parts = []
    for table in workload_tables(evidence, read_workloads(folder, evidence)):
        rows = [tuple(printable(cell) for cell in row) for row in (table.header, *table.rows)]
        parts.append(f"{table.title}\n{aligned(rows, left=range(table.left))}")
    absent = [f"not available  {printable(text)}" for text in unavailable(evidence)]
    return "\n\n".join([*parts, *(["\n".join(absent)] if absent else [])])
