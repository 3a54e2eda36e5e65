"""The answer: gates judged against evidence, three-valued, as a pure function's result."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

SCHEMA = 1
"""1: the first."""


class Answer(enum.StrEnum):
    """What one gate says: the whole interval inside the bound, outside it, or astride."""

    PASS = "PASS"  # noqa: S105 - an answer, not a secret
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Decision(enum.StrEnum):
    """What to do with an artifact, or with the whole run."""

    GO = "GO"
    NO_GO = "NO-GO"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """Return the command line's exit code: 0, 1 or 3."""
        return {Decision.GO: 0, Decision.NO_GO: 1, Decision.INCONCLUSIVE: 3}[self]


@dataclass(frozen=True, slots=True)
class Interval:
    """lower and upper bound, in the quantity's unit; None where the sample supports no bound."""

    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate on one artifact. value: the point estimate; None where it cannot be given.

    interval: one-sided bounds, each at `confidence`. reason: why this answer, in one sentence.
    needed: what would settle an INCONCLUSIVE gate, in words.
    """

    gate: str
    artifact: str
    device: str
    answer: Answer
    value: float | None
    unit: str
    interval: Interval
    bound: float
    confidence: float
    reason: str
    needed: str | None = None


@dataclass(frozen=True, slots=True)
class ArtifactVerdict:
    """The decision on one artifact on one device."""

    artifact: str
    device: str
    decision: Decision
    gates: tuple[GateResult, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a run. criteria_sha256: of the gates as they were written down."""

    decision: Decision
    artifacts: tuple[ArtifactVerdict, ...]
    criteria: tuple[str, ...]
    criteria_sha256: str
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA
    environment: dict[str, str] = field(default_factory=dict)
