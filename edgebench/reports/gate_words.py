"""Gates read from words such as `p99 <= 50ms`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from edgebench.benchmark.metrics import METRICS
from edgebench.errors import ConfigError
from edgebench.reports.gates import RELATIVE, TAG, Gate, Operator
from edgebench.reports.quantities import LOSSES, Quantity, Question
from edgebench.reports.question_words import parse_question
from edgebench.reports.units import Dimension, factor


def parse_gate(text: str) -> Gate:
    """Return the gate that words such as `shrink >= 3.5x @99% on w8a8 at tag:lab` describe.

    Raises ConfigError, with the nearest valid word, for anything else.
    """
    gate = read_gate(text)
    if gate.operator.is_floor != more_is_better(gate.question, gate.operator):
        turned = replace(gate, operator=_TURNED[gate.operator])
        raise ConfigError(
            f"gate {text!r} would pass what is worse; {gate.question} is: {gate.quantity.meaning}",
            hint=f"did you mean `{turned}`?",
        )
    return gate


def read_gate(text: str) -> Gate:
    """Return the gate that words describe, also where it would pass what is worse. Raises ConfigError."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"gate {text!r} is not understood", hint=_form_hint(text))
    try:
        return _gate(found)
    except ConfigError as err:
        raise ConfigError(f"gate {text!r}: {err.message}", hint=err.hint) from err


def told_confidence(text: str) -> float | None:
    """Return the confidence that a gate's words name; None where they name none, or are not understood."""
    found = _FORM.fullmatch(text.strip())
    confidence: float | None = _tail(found["tail"]).get("confidence") if found else None
    return confidence


def more_is_better(question: Question, told: Operator) -> bool:
    """Return whether the answer should be large. told: what says so of the run's own metric."""
    if question.quantity is not Quantity.METRIC:
        return question.quantity.more_is_better
    return told.is_floor if question.metric is None else METRICS[question.metric].more_is_better


def _gate(found: re.Match[str]) -> Gate:
    unit = _unit(found["unit"])
    question = parse_question(found["name"], found["part"], relative=unit.endswith(_RELATIVES))
    if question.dimension is Dimension.NUMBER and unit:
        raise ConfigError(
            f"{question} has no unit, and {unit!r} is one", hint=f"as in `{question} {found['op']} 0.9`"
        )
    factor(unit, _dimension(question, unit))
    operator = Operator(_OPERATORS.get(found["op"], found["op"]))
    gate = Gate(question, operator, float(found["bound"]), unit, **_tail(found["tail"]))
    _check_bound(gate, signed=found["bound"][0] in "+-")
    return gate


def _unit(text: str) -> str:
    unit = " ".join(text.replace("μ", "µ").split())
    return f"{unit[0]} {BASELINE}" if unit[:1] in {"x", "×"} and unit.endswith(BASELINE) else unit


def _dimension(question: Question, unit: str) -> Dimension:
    """Return what kind of unit the bound must have; a change may be in % of the baseline, too."""
    change = question.dimension is Dimension.CHANGE and unit == RELATIVE
    return Dimension.LOSS if change else question.dimension


def _check_bound(gate: Gate, *, signed: bool) -> None:
    question = gate.question
    if question.dimension is Dimension.CHANGE:
        if gate.unit == RELATIVE and not signed:
            more = f"{question} {gate.operator} +{gate.bound:g}{RELATIVE}"
            raise ConfigError(
                f"{gate.bound:g}{RELATIVE} may be a change or a share",
                hint=f"`{more}` allows {gate.bound:g} % more than the baseline's; or `1.05x {BASELINE}`",
            )
        if gate.stored_bound <= 0:
            raise ConfigError(f"{gate.bound:g}{gate.unit} leaves nothing of the baseline's")
    elif gate.bound < 0 and question.quantity not in LOSSES | {Quantity.METRIC}:
        raise ConfigError(f"{question} is never negative")


BASELINE = "baseline"
_RELATIVES = (RELATIVE, BASELINE)
_FORM = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*(?:\s+drop)?)\s*(?:\[(?P<part>[^\]]*)\])?\s*(?P<op><=|>=|<|>|≤|≥)\s*"
    r"(?P<bound>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[x×]\s*baseline|[A-Za-zµμ×%/]*)\s*"
    r"(?P<tail>(?:@|on\s|at\s).*)?"
)
_CLAUSES = re.compile(r"(?:^|\s+)(?=@|on\s|at\s)")
_CLAUSE = re.compile(
    r"@\s*(?P<confidence>[\d.]+)\s*(?P<percent>%?)|on\s+(?P<on>[^@]*\S)|at\s+(?P<devices>.*\S)", re.DOTALL
)
_OPERATORS = {"≤": "<=", "≥": ">="}
_TURNED = {
    Operator.AT_MOST: Operator.AT_LEAST,
    Operator.BELOW: Operator.ABOVE,
    Operator.AT_LEAST: Operator.AT_MOST,
    Operator.ABOVE: Operator.BELOW,
}


def _tail(text: str | None) -> dict[str, Any]:
    """Return what stands behind the bound, in any order: `@99%`, `on w8a8`, `at tag:lab`."""
    parts: dict[str, Any] = {}
    for words in filter(None, _CLAUSES.split((text or "").strip())):
        found = _CLAUSE.fullmatch(words)
        kind = found.lastgroup if found else None
        kind = "confidence" if kind == "percent" else kind
        if found is None or kind is None or kind in parts:
            raise ConfigError(f"{words!r} is not understood", hint="as in `@99% on w8a8 at tag:lab`")
        if kind == "confidence":
            parts[kind] = confidence_of(found[kind], percent=bool(found["percent"]))
        else:
            parts[kind] = found["on"] if kind == "on" else device_patterns(found["devices"].split(","))
    return parts


def device_patterns(texts: Sequence[object]) -> tuple[str, ...]:
    """Return patterns of devices without the space around them. Raises ConfigError for an empty one."""
    patterns = tuple(str(text).strip() for text in texts)
    if not patterns or not all(pattern.removeprefix(TAG) for pattern in patterns):
        raise ConfigError(f"{', '.join(patterns)!r} names no device", hint="as in tag:lab, or ssh://orin-*")
    return patterns


def confidence_of(value: object, *, percent: bool = False) -> float:
    """Return a confidence, 0.5 to below 1; in percent where told so. Raises ConfigError for another."""
    try:
        confidence = float(Decimal(str(value)) / (100 if percent else 1))
    except InvalidOperation:
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
