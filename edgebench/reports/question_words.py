"""What a gate asks, read from words such as `p99.9`, `f1 drop` and `top1[class cat]`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from edgebench.benchmark.metrics import METRICS
from edgebench.errors import ConfigError
from edgebench.reports.quantities import CLASS, GROUPED, RELATIVES, Part, Quantity, Question
from edgebench.reports.units import exact

_PERCENTILE = re.compile(r"p(?P<percent>\d+(?:\.\d+)?)")
_DROP = "drop"
_PARTS = {
    "sustained": "p95[sustained]",
    "steady": "memory[steady]",
    "cold": "load[cold]",
    "warm": "load[warm]",
}
_PART_HINT = "as in [class cat], [worst class], [weather=night]"


def parse_question(name: str, part: str | None, *, relative: bool) -> Question:
    """Return the question that a name and the words in its brackets ask.

    Raises ConfigError, with the nearest valid word, for what nobody measures.
    """
    question = _named(name)
    if part is not None:
        question = _of_part(question, " ".join(part.split()))
    if not relative:
        return question
    if question.quantity not in RELATIVES:
        hint = "`drop` is top-1 against the baseline" if question.quantity in GROUPED else None
        raise ConfigError(f"{question} is not held against a baseline", hint=hint)
    return Question(question.quantity, question.percent, question.metric, question.part, relative=True)


def nearest(word: str, valid: Sequence[str]) -> str:
    """Return a hint that names the valid word nearest to one, or all of them."""
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"valid: {', '.join(valid)}"


def _named(text: str) -> Question:
    name, *rest = text.lower().replace("-", "").split()
    names = {str(q): q for q in Quantity if str(q).isalnum() and q is not Quantity.PERCENTILE}
    found: Question | None = None
    if name in names:
        found = Question(names[name])
    elif name in METRICS:
        found = Question(Quantity.METRIC, metric=name)
    elif percentile := _PERCENTILE.fullmatch(name):
        found = _percentile(float(percentile["percent"]), names)
    if found is None:
        raise ConfigError(f"unknown quantity {text!r}", hint=nearest(name, (*names, *METRICS)))
    return _dropped(found) if rest else found


def _percentile(percent: float, names: Mapping[str, Quantity]) -> Question:
    if not 0 < percent < 100:  # noqa: PLR2004 - per cent
        raise ConfigError(f"p{exact(percent)} is no percentile", hint="between 0 and 100, as in p99.9")
    own = names.get(f"p{exact(percent)}")
    return Question(own) if own else Question(Quantity.PERCENTILE, percent)


def _dropped(question: Question) -> Question:
    """Return what is lost of a quantity against the baseline."""
    if question.quantity is Quantity.METRIC:
        return Question(Quantity.LOSS, metric=question.metric)
    if question.quantity is Quantity.TOP1:
        return Question(Quantity.DROP)
    raise ConfigError(f"{question} has no drop", hint="as in `top1 drop`, `f1 drop`, `metric drop`")


def _of_part(question: Question, words: str) -> Question:
    quantity = question.quantity
    if words == "sustained" and question.quantile is not None:
        return Question(Quantity.SUSTAINED, question.percent or 100 * question.quantile)
    if quantity is Quantity.MEMORY and words in {"peak", "steady"}:
        return question if words == "peak" else Question(Quantity.STEADY_MEMORY)
    if quantity is Quantity.LOAD and words in {"cold", "warm"}:
        return Question(Quantity(f"{quantity}[{words}]"))
    if quantity not in GROUPED:
        known = f"`{_PARTS[words]}` is known" if words in _PARTS else "leave the brackets out"
        raise ConfigError(f"{question}[{words}] is not measured", hint=known)
    return Question(quantity, metric=question.metric, part=_part(words))


def _part(words: str) -> Part:
    column, equals, value = (text.strip() for text in words.partition("="))
    if not equals:
        first, _, rest = words.partition(" ")
        column, value = (CLASS, rest) if first == CLASS else (rest, "") if first == "worst" else ("", "")
    if (
        not column
        or (equals and not value)
        or (column == CLASS and not value and not words.startswith("worst"))
    ):
        raise ConfigError(f"[{words}] names no samples", hint=_PART_HINT)
    return Part(column, value or None)
