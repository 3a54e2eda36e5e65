"""What a quantized model may lose of its accuracy, and how much of it may stay float for that."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from edgebench.errors import ConfigError

DEFAULT_MAX_FLOAT = "50%"
_FORM = re.compile(r"\s*(?P<value>[+-]?(?:\d+\.?\d*|\.\d+))\s*(?P<unit>[%\w]*)\s*")
_HINT = "as in 0.5pp, percentage points of top-1, or 1%rel, a share of the fp32 file's"


class BudgetUnit(enum.StrEnum):
    """What a budget counts in."""

    POINTS = "pp"
    RELATIVE = "%rel"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most top-1 accuracy that may be lost. value: in `unit`, 0 or more."""

    value: float
    unit: BudgetUnit

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"

    def allowed(self, top1: float) -> float:
        """Return the largest drop, as a share of the samples. top1: of the fp32 file, 0–1."""
        return self.value / 100 * (top1 if self.unit is BudgetUnit.RELATIVE else 1.0)


def parse_budget(text: str | None, option: str = "--max-drop") -> Budget | None:
    """Return the budget that `0.5pp` or `1%rel` names; None for None. Raises ConfigError, naming `option`."""
    if text is None:
        return None
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(f"{option} {text!r} is not a budget", hint=_HINT)
    if found["unit"] not in {*BudgetUnit}:
        what = f"has the unit {found['unit']!r}" if found["unit"] else "has no unit"
        raise ConfigError(f"{option} {text!r} {what}", hint=_HINT)
    value = float(found["value"])
    if not 0 <= value < 100:  # noqa: PLR2004 - per cent
        raise ConfigError(f"{option} {text!r} is not from 0 to below 100", hint=_HINT)
    return Budget(value, BudgetUnit(found["unit"]))


def parse_share(text: str, option: str = "--max-float") -> float:
    """Return the share, 0–1, that `50%` names. Raises ConfigError, naming `option`."""
    found = _FORM.fullmatch(text)
    if found is None or found["unit"] != "%" or not 0 <= float(found["value"]) <= 100:  # noqa: PLR2004 - per cent
        raise ConfigError(f"{option} {text!r} is not a share from 0% to 100%", hint="as in 50%")
    return float(found["value"]) / 100


@dataclass(frozen=True, slots=True)
class MixedSettings:
    """budget: the most accuracy to lose. most_share: of the multiplications that may stay float, 0–1."""

    budget: Budget
    most_share: float


def mixed_settings(
    max_drop: str | None, max_float: str, options: tuple[str, str] = ("--max-drop", "--max-float")
) -> MixedSettings | None:
    """Return what the two options ask for; None where there is no budget. Raises ConfigError."""
    share = parse_share(max_float, options[1])
    budget = parse_budget(max_drop, options[0])
    return MixedSettings(budget, share) if budget else None
