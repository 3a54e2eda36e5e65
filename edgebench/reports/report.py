"""From a run's folder to its verdict, tables and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.reports.gates import Gate
from edgebench.reports.verdict import Verdict
from edgebench.storage import write_bytes, write_json, write_text

if TYPE_CHECKING:
    from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples
    from edgebench.reports.subjects import Key


def write_report(folder: Path, gates: Sequence[Gate] | None, *, html: Path | None = None) -> Verdict:
    """Judge the evidence in `folder` and return the verdict.

    gates: None for those that were declared before the measurement, or else the edge checklist.
    Writes verdict.json, results.json, results.csv, summary.md, junit.xml and report.html (or the
    page to `html`) into the folder, each whole or not at all. Raises InputError where the folder
    holds no evidence, ConfigError where no gate applies, StorageError where it cannot write.
    """
    from edgebench.reports.declaration import declared_gates
    from edgebench.reports.html import Page, render_page
    from edgebench.reports.judge import judge
    from edgebench.reports.junit import junit_xml
    from edgebench.reports.markdown import summary
    from edgebench.reports.results import make_results, results_csv
    from edgebench.reports.workload_rows import workload_rows
    from edgebench.reports.workload_text import read_workloads

    evidence, samples, answers = read_run(folder)
    asked = declared_gates(evidence.criteria) if gates is None else gates
    verdict = judge(evidence, asked, samples, answers)
    raw = read_workloads(folder, evidence)
    results = make_results(evidence, verdict, samples, answers)
    results = replace(results, rows=(*results.rows, *workload_rows(evidence, raw)))
    page = render_page(Page(evidence, verdict, results, samples, answers, raw))
    write_json(folder / "results.json", results)
    write_text(folder / "results.csv", results_csv(results))
    write_text(folder / "summary.md", summary(results, verdict))
    write_bytes(folder / "junit.xml", junit_xml(evidence.name, verdict))
    write_text(html or folder / "report.html", page)
    write_json(folder / "verdict.json", verdict)
    return verdict


def read_run(folder: Path) -> tuple[Evidence, dict[Key, LatencySamples], dict[Key, Answers]]:
    """Return a run's evidence with all its timings and answers, by artifact and device. Raises InputError."""
    from edgebench.benchmark.evidence_files import check_raw, load_run, read_evidence

    evidence = read_evidence(folder)
    check_raw(folder)
    samples, answers = load_run(folder, evidence)
    return evidence, samples, answers
