"""The answer: gates judged against evidence, three-valued, as a pure function's result."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

SCHEMA = 2
"""1: the first. 2: whether the criteria were declared before the measurement; what settles an open gate;
gates whose devices were not measured."""


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


class Settler(enum.StrEnum):
    """What more of would settle an INCONCLUSIVE gate."""

    SESSIONS = "sessions"
    SAMPLES = "samples"
    OTHER = "something else"


class Declared(enum.StrEnum):
    """Whether the criteria stood before the measurement."""

    BEFORE = "BEFORE"
    NOT = "NOT"
    CHANGED = "CHANGED"


@dataclass(frozen=True, slots=True)
class Declaration:
    """What was declared before the measurement, beside what is judged by.

    sha256, declared_utc: of the criteria as they were declared; None where none were. changes: what differs,
    one gate each, in words.
    """

    declared: Declared = Declared.NOT
    sha256: str | None = None
    declared_utc: str | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """lower and upper bound, in the quantity's unit; None where the sample supports no bound."""

    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate on one artifact. value: the point estimate; None where it cannot be given.

    interval: one-sided bounds, each at `confidence`, over all looks where there were several. reason: why
    this answer, in one sentence. needed: what would settle an INCONCLUSIVE gate, in words; settled_by: of
    what kind that is, None for the other answers.
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
    settled_by: Settler | None = None


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
    """The decision on a run. criteria: the gates in their order. criteria_sha256: of them in canonical form.

    declaration: whether they are those that were written down before the measurement. unanswered: the gates
    that are about other devices than those that were measured.
    """

    decision: Decision
    artifacts: tuple[ArtifactVerdict, ...]
    criteria: tuple[str, ...]
    criteria_sha256: str
    notes: tuple[str, ...] = ()
    declaration: Declaration = field(default_factory=Declaration)
    schema: int = SCHEMA
    environment: dict[str, str] = field(default_factory=dict)
    unanswered: tuple[str, ...] = ()
