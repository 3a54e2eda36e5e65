"""The figures of a run as tidy rows: one quantity of one artifact on one device each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.benchmark import accuracy, statistics
from edgebench.benchmark.evidence import AccuracyRecord, Answers, Evidence, LatencySamples
from edgebench.reports.estimates import applies, estimate, session_estimates
from edgebench.reports.quantities import Estimate, Quantity, Question
from edgebench.reports.subjects import Key, Subject, subjects
from edgebench.reports.timing_estimates import SESSION_FIELDS
from edgebench.reports.units import Dimension
from edgebench.storage import read_json

if TYPE_CHECKING:
    from edgebench.reports.verdict import Verdict

SCHEMA = 1
"""1: the first."""

CONFIDENCE = 0.95
"""Of the two-sided intervals in tables and figures."""

COLUMNS = ("artifact", "device", "quantity", "value", "lower", "upper", "unit", "confidence", "n")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. lower, upper: ends of the two-sided interval; None where the sample gives none.

    n: how many calls, sessions or samples it rests on; 1 for a fact about a file. unit: ms, B, %, pp
    or x.
    """

    artifact: str
    device: str
    quantity: str
    value: float
    lower: float | None
    upper: float | None
    unit: str
    confidence: float
    n: int


@dataclass(frozen=True, slots=True)
class MeasuredArtifact:
    """What a table says of an artifact beside its figures. decision: None where no gate applied."""

    artifact: str
    device: str
    format: str
    precision: str
    validity: str
    failure: str | None
    decision: str | None
    is_baseline: bool
    calls: int
    sessions: int
    samples: int


@dataclass(frozen=True, slots=True)
class Results:
    """All figures of a run. skipped: what was asked for and not made, with the reasons."""

    name: str
    created_utc: str
    decision: str
    artifacts: tuple[MeasuredArtifact, ...]
    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def several_devices(self) -> bool:
        """Return whether artifacts must be told apart by device."""
        return len({artifact.device for artifact in self.artifacts}) > 1

    def find(self, artifact: MeasuredArtifact, quantity: str) -> Row | None:
        """Return the row of a quantity of an artifact, or None where there is none."""
        wanted = (artifact.artifact, artifact.device, quantity)
        return next((r for r in self.rows if (r.artifact, r.device, r.quantity) == wanted), None)


def make_results(
    evidence: Evidence,
    verdict: Verdict,
    samples: Mapping[Key, LatencySamples],
    answers: Mapping[Key, Answers],
) -> Results:
    """Return the run's figures; percentiles only where the sample supports them. Pure."""
    found = subjects(evidence, samples, answers)
    decisions = {(v.artifact, v.device): str(v.decision) for v in verdict.artifacts}
    return Results(
        name=evidence.name,
        created_utc=evidence.created_utc,
        decision=str(verdict.decision),
        artifacts=tuple(_artifact(subject, decisions.get(subject.key)) for subject in found),
        rows=tuple(row for subject in found for row in subject_rows(subject)),
        skipped=tuple(f"{s.precision} {s.format}: {s.reason}" for s in evidence.skipped),
        notes=(*evidence.notes, *verdict.notes),
    )


def read_results(folder: Path) -> Results:
    """Return the figures in a judged run's folder. Raises InputError where there are none."""
    return read_json(folder / "results.json", Results)


def results_csv(results: Results) -> str:
    """Return the rows as CSV with a header; an empty cell where the sample gives no bound."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in results.rows:
        writer.writerow(["" if (cell := getattr(row, name)) is None else cell for name in COLUMNS])
    return text.getvalue()


def class_name(record: AccuracyRecord | None, index: int) -> str:
    """Return the name of a class, or its number where it has none."""
    names = record.class_names if record is not None else ()
    return names[index] if index < len(names) else str(index)


def _artifact(subject: Subject, decision: str | None) -> MeasuredArtifact:
    measurement = subject.measurement
    return MeasuredArtifact(
        artifact=measurement.artifact.id,
        device=measurement.device.uri,
        format=measurement.artifact.format,
        precision=measurement.artifact.precision,
        validity=measurement.validity,
        failure=measurement.failure,
        decision=decision,
        is_baseline=subject.is_baseline,
        calls=0 if subject.samples is None else len(subject.samples.latency_ns),
        sessions=len(measurement.sessions),
        samples=0 if subject.answers is None else len(subject.answers),
    )


def subject_rows(subject: Subject) -> Iterator[Row]:
    """Yield the figures of one artifact on one device, percentiles only where the sample supports them."""
    for question in map(Question, _TABLED):
        if not applies(question, subject):
            continue
        found = estimate(subject, question, _SIDE)
        if found.value is not None and _supported(question, found):
            yield _row(subject, str(question), question.dimension, found)
    yield from _session_ranges(subject)
    for index, found in session_estimates(subject, Question(Quantity.P50), _SIDE).items():
        if found.value is not None:
            yield _row(subject, f"p50[session {index}]", Dimension.TIME, found)
    yield from _class_rows(subject)


def _session_ranges(subject: Subject) -> Iterator[Row]:
    """Yield the smallest and the largest of the figures that each session has once."""
    for quantity, field in SESSION_FIELDS.items():
        told = [getattr(session, field) for session in subject.measurement.sessions]
        values = [float(value) for value in told if value is not None]
        for end, value in (("least", min(values)), ("most", max(values))) if values else ():
            found = Estimate(value, None, None, len(values), "sessions")
            yield _row(subject, f"{quantity}[{end}]", quantity.dimension, found)


_SIDE = statistics.side_confidence(CONFIDENCE)
_TABLED = tuple(q for q in Quantity if q not in (Quantity.PERCENTILE, Quantity.SUSTAINED, Quantity.COVERAGE))
"""What a row is made of wherever it was measured; the others only gates ask about."""


def _supported(question: Question, found: Estimate) -> bool:
    """Return whether a percentile may be printed: both sides are bounded, each at 95 %."""
    q = question.quantile
    return q is None or statistics.quantile_supported(found.n, q, CONFIDENCE)


def _class_rows(subject: Subject) -> Iterator[Row]:
    if subject.answers is None or subject.answers.targets is not None:
        return
    right, total = accuracy.per_class(subject.answers.logits, subject.answers.labels)
    for index, (hits, n) in enumerate(zip(right.tolist(), total.tolist(), strict=True)):
        if n:
            ends = statistics.clopper_pearson(hits, n, _SIDE)
            found = Estimate(
                100 * hits / n, _divided(ends.lower, 0.01), _divided(ends.upper, 0.01), n, "samples"
            )
            name = class_name(subject.measurement.accuracy, index)
            yield _row(subject, f"top1[class {name}]", Dimension.SHARE, found)


def _row(subject: Subject, quantity: str, dimension: Dimension, found: Estimate) -> Row:
    unit, scale = ("ms", 1e6) if dimension is Dimension.TIME else (dimension.value, 1.0)
    value = 0.0 if found.value is None else found.value / scale
    lower, upper = _divided(found.lower, scale), _divided(found.upper, scale)
    confidence = 1.0 if found.of == "file" else CONFIDENCE
    return Row(*subject.key, str(quantity), value, lower, upper, unit, confidence, found.n)


def _divided(value: float | None, scale: float) -> float | None:
    return None if value is None else value / scale
