"""Gates: a question, a bound with a unit, and a confidence."""

from __future__ import annotations

import enum
import fnmatch
from dataclasses import dataclass

from edgebench.artifact import Artifact, Format, Precision
from edgebench.benchmark.evidence import DeviceFacts, Measurement
from edgebench.reports.quantities import Quantity, Question
from edgebench.reports.units import Dimension, exact, exact_percent, factor

DEFAULT_CONFIDENCE = 0.95
RELATIVE = "%rel"
TAG = "tag:"


class Operator(enum.StrEnum):
    """How the quantity must stand to the bound."""

    AT_MOST = "<="
    BELOW = "<"
    AT_LEAST = ">="
    ABOVE = ">"

    def holds(self, value: float, bound: float) -> bool:
        """Return whether one number meets the bound."""
        return {
            Operator.AT_MOST: value <= bound,
            Operator.BELOW: value < bound,
            Operator.AT_LEAST: value >= bound,
            Operator.ABOVE: value > bound,
        }[self]

    @property
    def is_floor(self) -> bool:
        """Return whether the quantity must be large."""
        return self in (Operator.AT_LEAST, Operator.ABOVE)


@dataclass(frozen=True, slots=True)
class Gate:
    """One criterion. bound: in `unit`. on: a precision, a format or a pattern; None for every artifact.

    devices: patterns of device names, or tags as in `tag:lab`; empty for every device.
    """

    question: Question
    operator: Operator
    bound: float
    unit: str
    confidence: float = DEFAULT_CONFIDENCE
    on: str | None = None
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        sure = "" if self.confidence == DEFAULT_CONFIDENCE else f" @{exact_percent(self.confidence)}%"
        on = f" on {self.on}" if self.on else ""
        at = f" at {', '.join(self.devices)}" if self.devices else ""
        return f"{self.short}{sure}{on}{at}"

    @property
    def short(self) -> str:
        """Return question, operator and bound: `p99 <= 50ms`."""
        sign = "+" if self._shifted and self.bound >= 0 else ""
        return f"{self.question} {self.operator} {sign}{exact(self.bound)}{self.unit}"

    @property
    def quantity(self) -> Quantity:
        """Return what the question is about."""
        return self.question.quantity

    @property
    def stored_bound(self) -> float:
        """Return the bound in the unit that the quantity is stored in."""
        if self._shifted:
            return 1 + self.bound / 100
        return self.bound * factor(self.unit, self.question.dimension)

    def shown(self, stored: float | None) -> float | None:
        """Return a stored value in the gate's unit; None for None."""
        if stored is None:
            return None
        return 100 * (stored - 1) if self._shifted else stored / factor(self.unit, self.question.dimension)

    @property
    def _shifted(self) -> bool:
        """Return whether the bound is a change in per cent, which is stored as a ratio."""
        return self.unit == RELATIVE and self.question.dimension is Dimension.CHANGE

    def matches(self, artifact: Artifact) -> bool:
        """Return whether the gate is about this artifact, by precision, format, id or name."""
        if self.on is None:
            return True
        if self.on in {*Precision, *Format}:
            return self.on in (artifact.precision, artifact.format)
        return any(fnmatch.fnmatchcase(text, self.on) for text in (artifact.id, artifact.name))

    def covers(self, measurement: Measurement) -> bool:
        """Return whether the gate is about this artifact on this device."""
        return self.matches(measurement.artifact) and self.is_at(measurement.device)

    def is_at(self, device: DeviceFacts) -> bool:
        """Return whether the gate is about this device, by its address, a name or a tag of it."""
        names = (device.uri, device.name, *device.aliases)
        return not self.devices or any(
            pattern.removeprefix(TAG) in device.tags
            if pattern.startswith(TAG)
            else any(fnmatch.fnmatchcase(name, pattern) for name in names)
            for pattern in self.devices
        )
