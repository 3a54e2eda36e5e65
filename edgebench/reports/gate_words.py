"""Gates read from words such as `p99 <= 50ms`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgebench.errors import ConfigError
from edgebench.reports.gates import Gate, Operator
from edgebench.reports.quantities import Quantity
from edgebench.reports.units import factor


def parse_gate(text: str) -> Gate:
    """Return the gate that words such as `shrink >= 3.5x @99% on w8a8` describe.

    Raises ConfigError, with the nearest valid word, for anything else.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"gate {text!r} is not understood", hint=_form_hint(text))
    operator = Operator(_OPERATORS.get(found["op"], found["op"]))
    try:
        quantity = _quantity(found["quantity"])
        gate = Gate(quantity, operator, float(found["bound"]), found["unit"].replace("μ", "µ"))
        factor(gate.unit, quantity.dimension)
        gate = replace(gate, **_tail(found["tail"]))
    except ConfigError as err:
        raise ConfigError(f"gate {text!r}: {err.message}", hint=err.hint) from err
    if gate.bound < 0 and quantity is not Quantity.DROP:
        raise ConfigError(f"gate {text!r}: the {quantity.meaning} is never negative")
    if operator.is_floor != quantity.more_is_better:
        turned = replace(gate, operator=_TURNED[operator])
        raise ConfigError(
            f"gate {text!r} would pass what is worse: {quantity} is the {quantity.meaning}",
            hint=f"did you mean `{turned}`?",
        )
    return gate


_FORM = re.compile(
    r"(?P<quantity>[A-Za-z][\w-]*)\s*(?P<op><=|>=|<|>|≤|≥)\s*"
    r"(?P<bound>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-zµμ×%]*)\s*"
    r"(?P<tail>(?:@|on\s).*)?"
)
_CONFIDENCE = r"@\s*(?P<conf>[\d.]+)\s*(?P<percent>%?)"
_ON = r"on\s+(?P<on>[^\s@][^@]*?)"
_TAILS = (re.compile(rf"(?:{_CONFIDENCE})?\s*(?:{_ON})?\s*"), re.compile(rf"{_ON}\s*{_CONFIDENCE}\s*"))
_OPERATORS = {"≤": "<=", "≥": ">="}
_TURNED = {
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.BELOW: Operator.ABOVE,
    Operator.AT_LEAST: Operator.AT_MOST,
    Operator.ABOVE: Operator.BELOW,
}


def _quantity(word: str) -> Quantity:
    name = word.lower().replace("-", "")
    if name in {*Quantity}:
        return Quantity(name)
    raise ConfigError(f"unknown quantity {word!r}", hint=nearest(name, tuple(Quantity)))


def nearest(word: str, valid: Sequence[str]) -> str:
    """Return a hint that names the valid word nearest to one, or all of them."""
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"valid: {', '.join(valid)}"


def _tail(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    found = next(filter(None, (form.fullmatch(text) for form in _TAILS)), None)
    if found is None:
        raise ConfigError(f"{text!r} is not understood", hint="as in `@99% on w8a8`")
    parts: dict[str, Any] = {"on": found["on"]} if found["on"] else {}
    if found["conf"]:
        parts["confidence"] = confidence_of(found["conf"], percent=bool(found["percent"]))
    return parts


def confidence_of(value: object, *, percent: bool = False) -> float:
    """Return a confidence, 0.5 to below 1; in percent where told so. Raises ConfigError for another."""
    try:
        confidence = float(str(value)) / (100 if percent else 1)
    except ValueError:
        confidence = float("nan")
    if not 0.5 <= confidence < 1:  # noqa: PLR2004 - below one half a bound lies on the wrong side
        raise ConfigError(f"confidence {value!r} is not between 0.5 and 1", hint="as in 0.95, or @95%")
    return confidence


def _form_hint(text: str) -> str:
    if "==" in text or re.search(r"[^<>]=", text):
        return "a measured quantity never equals a bound: use <= or >="
    return "a gate is a quantity, <= or >=, and a bound with a unit, as in `p99 <= 50ms`"


DEFAULT_GATES: tuple[Gate, ...] = tuple(
    parse_gate(words) for words in ("p99 <= 50ms", "size <= 10MB", "shrink >= 3.5x on w8a8", "drop <= 2pp")
)
"""The edge checklist."""
