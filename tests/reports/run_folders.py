"""A run's folder on disk, as a benchmark leaves it, from evidence made in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark.evidence import LatencySamples
from edgebench.benchmark.evidence_files import calls_in_a_row, write_answers, write_evidence, write_session

if TYPE_CHECKING:
    from evidence_builders import Run


def write_run(folder: Path, run: Run) -> Path:
    """Write evidence, timings and answers into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for measurement in run.evidence.measurements:
        key = (measurement.artifact.id, measurement.device.uri)
        samples = run.samples.get(key)
        for session in measurement.sessions if samples is not None else ():
            chosen = samples.session == session.index
            part = LatencySamples(samples.latency_ns[chosen], samples.session[chosen], samples.warmup_ns)
            write_session(folder, session, calls_in_a_row(part), job="test")
        if measurement.accuracy is not None:
            write_answers(folder, measurement.accuracy, run.answers[key], job="test")
    write_evidence(folder, run.evidence)
    return folder
