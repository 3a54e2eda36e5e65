"""Gates: a quantity, a bound with a unit, and a confidence, read from words such as `p99 <= 50ms`."""

from __future__ import annotations

import difflib
import enum
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edgebench.artifact import Artifact, Format, Precision
from edgebench.config import read_yaml
from edgebench.errors import ConfigError, InputError
from edgebench.reports.units import Dimension, factor

DEFAULT_CONFIDENCE = 0.95
_ITEM_KEYS = ("gate", "confidence", "on")
_FILE_KEYS = ("gates", "schema_version")


class Quantity(enum.StrEnum):
    """What a gate may ask about."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"
    SIZE = "size"
    SHRINK = "shrink"
    DROP = "drop"
    TOP1 = "top1"
    TOP5 = "top5"
    CHURN = "churn"
    LOAD = "load"
    FIRST = "first"
    MEMORY = "memory"

    @property
    def dimension(self) -> Dimension:
        """Return what kind of unit the quantity has."""
        return _DIMENSIONS.get(self, Dimension.TIME)

    @property
    def more_is_better(self) -> bool:
        """Return whether a gate on this quantity is a floor, not a ceiling."""
        return self in (Quantity.SHRINK, Quantity.TOP1, Quantity.TOP5)

    @property
    def meaning(self) -> str:
        """Return what the quantity is, in words."""
        return _MEANINGS[self]


_DIMENSIONS = {
    Quantity.SIZE: Dimension.SIZE,
    Quantity.MEMORY: Dimension.SIZE,
    Quantity.SHRINK: Dimension.RATIO,
    Quantity.DROP: Dimension.DIFFERENCE,
    Quantity.TOP1: Dimension.SHARE,
    Quantity.TOP5: Dimension.SHARE,
    Quantity.CHURN: Dimension.SHARE,
}

_MEANINGS = {
    Quantity.P50: "median latency of a call",
    Quantity.P90: "latency that 90 % of calls stay under",
    Quantity.P95: "latency that 95 % of calls stay under",
    Quantity.P99: "latency that 99 % of calls stay under",
    Quantity.SIZE: "size of the model file",
    Quantity.SHRINK: "how many times smaller than the fp32 file of the same format",
    Quantity.DROP: "top-1 lost against the baseline on the same samples",
    Quantity.TOP1: "share of samples whose best class is the label",
    Quantity.TOP5: "share of samples whose label is among the five best classes",
    Quantity.CHURN: "share of samples answered otherwise than by the baseline",
    Quantity.LOAD: "median time to read the model and make it ready",
    Quantity.FIRST: "median time of the first call",
    Quantity.MEMORY: "median over the sessions of the process's peak memory",
}

QUANTILES = {Quantity.P50: 0.5, Quantity.P90: 0.9, Quantity.P95: 0.95, Quantity.P99: 0.99}
"""The quantile of the latencies that each percentile asks about."""


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


class GateItem(Protocol):
    """A gate as a pipeline file holds it."""

    @property
    def gate(self) -> str:
        """Return the gate's words."""

    @property
    def confidence(self) -> float:
        """Return the confidence."""

    @property
    def on(self) -> str | None:
        """Return which artifacts."""


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


def gates_from_config(items: Sequence[str | Mapping[str, Any] | GateItem]) -> tuple[Gate, ...]:
    """Return the gates of a pipeline: words, or records with gate, confidence and on.

    Raises ConfigError, naming the gate, for words that are not understood.
    """
    return tuple(_from_item(item) for item in items)


def load_gates(path: Path) -> tuple[Gate, ...]:
    """Return the gates of a YAML file: a list, or a mapping with the key `gates`.

    Raises ConfigError, naming the line, for what is not understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        reason = "no such file" if isinstance(err, FileNotFoundError) else str(err)
        raise ConfigError(f"{path}: {reason}", hint="docs/gates.md shows a file of gates") from err
    data, lines = read_yaml(text, name=str(path))
    keys: tuple[str | int, ...] = ()
    if isinstance(data, dict):
        _check_file_keys(data, lines, path)
        data, keys = data.get("gates"), ("gates",)
    if not isinstance(data, list) or not data:
        raise ConfigError(f"{path}: holds no gates", hint="write a list, as in `- p99 <= 50ms`")
    gates = []
    for index, item in enumerate(data):
        try:
            gates.append(_from_item(item))
        except InputError as err:
            line = lines.get((*keys, index), 1)
            raise ConfigError(f"{path}:{line}: {err.message}", hint=err.hint) from err
    return tuple(gates)


def _from_item(item: object) -> Gate:
    if isinstance(item, str):
        return parse_gate(item)
    if isinstance(item, Mapping):
        _check_keys(item, _ITEM_KEYS)
        words, confidence, on = (item.get(key) for key in _ITEM_KEYS)
    else:
        words, confidence, on = (getattr(item, key, None) for key in _ITEM_KEYS)
    if not isinstance(words, str):
        raise ConfigError(f"{item!r} is not a gate", hint="as in `p99 <= 50ms`")
    gate = parse_gate(words)
    if confidence is not None and gate.confidence == DEFAULT_CONFIDENCE:
        gate = replace(gate, confidence=_confidence(confidence))
    if on is not None:
        if gate.on not in (None, on):
            raise ConfigError(f"gate {words!r} names {gate.on!r}, and `on` names {on!r}")
        gate = replace(gate, on=str(on))
    return gate


def _check_keys(data: Mapping[Any, Any], valid: tuple[str, ...]) -> None:
    for key in data:
        if key not in valid:
            raise ConfigError(f"unknown key `{key}`", hint=_nearest(str(key), valid))


def _check_file_keys(data: Mapping[Any, Any], lines: Mapping[Any, int], path: Path) -> None:
    try:
        _check_keys(data, _FILE_KEYS)
    except ConfigError as err:
        line = next(lines[key,] for key in data if key not in _FILE_KEYS)
        raise ConfigError(f"{path}:{line}: {err.message}", hint=err.hint) from err


def _quantity(word: str) -> Quantity:
    name = word.lower().replace("-", "")
    if name in {*Quantity}:
        return Quantity(name)
    raise ConfigError(f"unknown quantity {word!r}", hint=_nearest(name, tuple(Quantity)))


def _nearest(word: str, valid: Sequence[str]) -> str:
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
        parts["confidence"] = _confidence(found["conf"], percent=bool(found["percent"]))
    return parts


def _confidence(value: object, *, percent: bool = False) -> float:
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
