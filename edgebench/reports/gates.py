"""Gates: a quantity, a bound with a unit, and a confidence."""

from __future__ import annotations

import enum
import fnmatch
from dataclasses import dataclass

from edgebench.artifact import Artifact, Format, Precision
from edgebench.reports.quantities import Quantity
from edgebench.reports.units import factor

DEFAULT_CONFIDENCE = 0.95


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
    """One criterion. bound: in `unit`. on: a precision, a format or a pattern; None for every artifact."""

    quantity: Quantity
    operator: Operator
    bound: float
    unit: str
    confidence: float = DEFAULT_CONFIDENCE
    on: str | None = None

    def __str__(self) -> str:
        tail = "" if self.confidence == DEFAULT_CONFIDENCE else f" @{self.confidence * 100:g}%"
        return f"{self.short}{tail}" + (f" on {self.on}" if self.on else "")

    @property
    def short(self) -> str:
        """Return quantity, operator and bound: `p99 <= 50ms`."""
        return f"{self.quantity} {self.operator} {self.bound:.15g}{self.unit}"

    @property
    def stored_bound(self) -> float:
        """Return the bound in the unit that the quantity is stored in."""
        return self.bound * factor(self.unit, self.quantity.dimension)

    def matches(self, artifact: Artifact) -> bool:
        """Return whether the gate is about this artifact, by precision, format, id or name."""
        if self.on is None:
            return True
        if self.on in {*Precision, *Format}:
            return self.on in (artifact.precision, artifact.format)
        return any(fnmatch.fnmatchcase(text, self.on) for text in (artifact.id, artifact.name))
