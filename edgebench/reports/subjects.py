"""What is judged: each measurement of a run, with all that its quantities are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgebench.artifact import Artifact, Precision
from edgebench.benchmark import accuracy
from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples, Measurement
from edgebench.benchmark.looks import Looks

Key = tuple[str, str]
"""An artifact's id and its device's URI."""


def key_of(measurement: Measurement) -> Key:
    """Return the artifact's id and the device's URI."""
    return measurement.artifact.id, measurement.device.uri


@dataclass(frozen=True, slots=True)
class Subject:
    """One measurement with everything that its quantities are computed from.

    baseline: what the drop is taken against; None for the baseline itself and where there is none.
    baseline_samples, baseline_answers: None where the baseline has none. reference: the fp32 file of the
    same format; None for that file itself and where there is none. looks: how the run was looked at while
    it went on.
    """

    measurement: Measurement
    samples: LatencySamples | None
    answers: Answers | None
    baseline: Measurement | None
    baseline_samples: LatencySamples | None
    baseline_answers: Answers | None
    reference: Artifact | None
    is_baseline: bool
    is_reference: bool
    looks: Looks | None = None

    @property
    def key(self) -> Key:
        """Return the artifact's id and the device's URI."""
        return key_of(self.measurement)

    @property
    def unusable_rows(self) -> int:
        """Return how many answers hold a NaN or +Inf."""
        return 0 if self.answers is None else int(accuracy.unusable(self.answers.logits).sum())


def subjects(
    evidence: Evidence, samples: Mapping[Key, LatencySamples], answers: Mapping[Key, Answers]
) -> tuple[Subject, ...]:
    """Return the run's measurements, each with its samples, answers, baseline and reference."""
    artifacts = tuple({m.artifact.id: m.artifact for m in evidence.measurements}.values())
    found = []
    for measurement in evidence.measurements:
        artifact = measurement.artifact
        key = key_of(measurement)
        is_baseline = artifact.id == evidence.baseline
        baseline = None if is_baseline else _baseline(evidence, measurement.device.uri)
        reference = _reference(artifact, artifacts, evidence.baseline)
        found.append(
            Subject(
                measurement=measurement,
                samples=samples.get(key),
                answers=answers.get(key),
                baseline=baseline,
                baseline_samples=samples.get(key_of(baseline)) if baseline else None,
                baseline_answers=answers.get(key_of(baseline)) if baseline else None,
                reference=None if reference is artifact else reference,
                is_baseline=is_baseline,
                is_reference=reference is artifact,
                looks=evidence.looks,
            )
        )
    return tuple(found)


def _baseline(evidence: Evidence, device: str) -> Measurement | None:
    named = [m for m in evidence.measurements if m.artifact.id == evidence.baseline]
    return next((m for m in named if m.device.uri == device), named[0] if named else None)


def _reference(artifact: Artifact, artifacts: Sequence[Artifact], baseline: str | None) -> Artifact | None:
    """Return the fp32 file of the same format: of the same name, the run's baseline, or the only one."""
    full = [a for a in artifacts if a.format is artifact.format and a.precision is Precision.FP32]
    own = [a for a in full if a.name == artifact.name] or [a for a in full if a.id == baseline] or full
    return own[0] if len(own) == 1 else next((a for a in own if a is artifact), None)
