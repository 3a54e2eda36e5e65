"""A measurement of a run in which effects are planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgebench.benchmark.evidence import Answers, Evidence, LatencySamples, Measurement
from edgebench.reports.subjects import Key, key_of


@dataclass(frozen=True, slots=True)
class Case:
    """The measurement `key` of a run, with what it is held against."""

    evidence: Evidence
    samples: Mapping[Key, LatencySamples]
    answers: Mapping[Key, Answers]
    key: Key

    def measured(self, measurement: Measurement) -> Case:
        """Return the case with another measurement in the place of its own."""
        others = [measurement if key_of(m) == self.key else m for m in self.evidence.measurements]
        return replace(self, evidence=replace(self.evidence, measurements=tuple(others)))

    @property
    def baseline_answers(self) -> Answers | None:
        """Return what the baseline answered, on the same device where it did."""
        keys = [key for key in self.answers if key[0] == self.evidence.baseline]
        own = [key for key in keys if key[1] == self.key[1]] or keys
        return self.answers[own[0]] if own else None

    @property
    def measurement(self) -> Measurement:
        """Return the measurement that the case is about."""
        return next(m for m in self.evidence.measurements if key_of(m) == self.key)
