"""Units of the quantities that gates ask about, and numbers as people read them."""

from __future__ import annotations

import difflib
import enum
import math
from decimal import Decimal

from edgebench.errors import ConfigError


class Dimension(enum.Enum):
    """What kind of quantity a unit measures; its value names the unit that everything is stored in."""

    TIME = "ns"
    SIZE = "B"
    SHARE = "%"
    DIFFERENCE = "pp"
    RATIO = "x"
    NUMBER = ""
    RATE = "/s"
    ENERGY = "mJ"
    CHANGE = "x baseline"
    LOSS = "%rel"


UNITS: dict[Dimension, dict[str, float]] = {
    Dimension.TIME: {"ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9},
    Dimension.SIZE: {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
    Dimension.SHARE: {"%": 1.0},
    Dimension.DIFFERENCE: {"pp": 1.0},
    Dimension.RATIO: {"x": 1.0, "×": 1.0},
    Dimension.NUMBER: {"": 1.0},
    Dimension.RATE: {"/s": 1.0},
    Dimension.ENERGY: {"uJ": 1e-3, "µJ": 1e-3, "mJ": 1.0, "J": 1e3},
    Dimension.CHANGE: {"x baseline": 1.0, "× baseline": 1.0},
    Dimension.LOSS: {"%rel": 1.0},
}
"""How many of the stored unit each unit is."""

_READABLE = {Dimension.TIME: ("ns", "us", "ms", "s"), Dimension.SIZE: ("B", "KB", "MB", "GB")}
_FIXED = frozenset({"%", "pp", "x", "×", "%rel", "x baseline", "× baseline"})
NONE = "–"
"""Stands where a number cannot be given."""


def factor(unit: str, dimension: Dimension) -> float:
    """Return how many of the stored unit one `unit` is. Raises ConfigError with the nearest valid one."""
    units = UNITS[dimension]
    unit = unit.replace("μ", "µ")
    if unit in units:
        return units[unit]
    near = [known for known in units if known.casefold() == unit.casefold()]
    near = near or difflib.get_close_matches(unit, units, n=1, cutoff=0.4)
    valid = ", ".join(units)
    raise ConfigError(
        f"unit {unit!r} is not known here" if unit else "the bound has no unit",
        hint=f"did you mean {near[0]!r}? valid: {valid}" if near else f"valid: {valid}",
    )


def readable_unit(value: float | None, dimension: Dimension) -> str:
    """Return the unit in which a stored value reads best: 1,200,000 ns → ms."""
    names = _READABLE.get(dimension)
    if names is None:
        return dimension.value
    size = abs(value or 0)
    return next((name for name in reversed(names) if size >= UNITS[dimension][name]), names[0])


def number(value: float | None) -> str:
    """Return a number to three significant digits, as 1.24, 48.1, 1,240 or 0.0031; – for None."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 6)}f}"


def fixed(value: float | None, digits: int = 2) -> str:
    """Return a number with a fixed number of decimals; – for None."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, digits) + 0.0:,.{digits}f}"


def value_text(value: float | None, unit: str) -> str:
    """Return a number in `unit` with the unit behind it: `48.1 ms`, `97.22 %`, `3.82×`."""
    return NONE if value is None else with_unit(plain_text(value, unit), unit)


def plain_text(value: float | None, unit: str) -> str:
    """Return a number as suits its unit: shares with two decimals, others with three or four digits."""
    if unit in _FIXED:
        return fixed(value)
    return number(value) if unit or value is None else f"{value:.4g}"


def with_unit(text: str, unit: str) -> str:
    """Return a number's text with its unit, spaced as is usual."""
    close = not unit or unit[0] in "x×/"
    return f"{text}{unit_text(unit)}" if close else f"{text} {unit_text(unit)}"


def unit_text(unit: str) -> str:
    """Return a unit as it is shown: `us` as µs, `x` as ×."""
    return {"us": "µs", "uJ": "µJ", "x": "×", "x baseline": "× baseline"}.get(unit, unit)


def stored_text(value: float | None, dimension: Dimension) -> str:
    """Return a stored value in the unit in which it reads best: 1,240,000 → `1.24 ms`."""
    unit = readable_unit(value, dimension)
    return value_text(None if value is None else value / UNITS[dimension][unit], unit)


def percent(share: float) -> str:
    """Return a share as `95 %`, to six significant digits."""
    return f"{share * 100:g} %"


def exact(value: float) -> str:
    """Return a number with all its digits, so that it reads back as it is: `50`, `99.99999`."""
    return f"{Decimal(repr(float(value))).normalize():f}"


def exact_percent(share: float) -> str:
    """Return a share in per cent with all its digits: `95`, `99.99999`."""
    return f"{(100 * Decimal(repr(float(share)))).normalize():f}"
