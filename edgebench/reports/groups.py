"""Some of the evaluation samples: of a class, or of a slice; and the worst of all such groups."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgebench.benchmark.dependence import BoolArray
from edgebench.benchmark.evidence import AccuracyRecord, Answers
from edgebench.benchmark.multiplicity import shared
from edgebench.reports.quantities import CLASS, Estimate, Part

MOST_GROUPS = 1000
"""A column of more values than this tells samples apart and not groups of them."""


def groups(answers: Answers, record: AccuracyRecord | None, part: Part) -> dict[str, BoolArray] | str:
    """Return which samples are of the value asked for, or of each value; or why there are none."""
    names = _names(answers, record, part.column)
    if isinstance(names, str):
        return names
    known = dict.fromkeys(names.tolist())
    if part.value is None:
        if len(known) > MOST_GROUPS:
            return f"the column {part.column!r} has {len(known):,} values, more than {MOST_GROUPS:,}"
        return {value: names == value for value in known}
    if part.value not in known:
        near = difflib.get_close_matches(part.value, known, n=1, cutoff=0.5)
        nearest = f"; did you mean {near[0]!r}?" if near else ""
        return f"no sample has {part.column} {part.value!r}{nearest}"
    return {part.value: names == part.value}


def _names(answers: Answers, record: AccuracyRecord | None, column: str) -> NDArray[np.str_] | str:
    """Return the value of each sample, str[N], or why it is not known."""
    if column in answers.columns:
        return answers.columns[column]
    if column != CLASS:
        has = ", ".join(answers.columns) or "none"
        return f"the evaluation data has no column {column!r} (it has: {has})"
    if answers.targets is not None:
        return "the labels are numbers, not classes"
    given = record.class_names if record is not None else ()
    return np.array([given[label] if label < len(given) else str(label) for label in answers.labels.tolist()])


def extreme(
    parts: Mapping[str, Callable[[float], Estimate]], confidence: float, *, largest: bool
) -> Estimate:
    """Return the largest, or the smallest, of several estimates, each a function of its confidence.

    That the largest lies under a bound needs each to, at the confidence itself (the intersection-union
    test); that it lies above one needs any to, and of many one does by chance: those bounds share the error
    (Bonferroni).
    """
    plain = {name: part(confidence) for name, part in parts.items()}
    strict = {name: part(shared(confidence, len(parts))) for name, part in parts.items()}
    if problem := next((found for found in plain.values() if found.problem), None):
        return problem
    pick = max if largest else min
    values = {name: found.value or 0.0 for name, found in plain.items()}
    name = pick(values, key=values.__getitem__)
    uppers = [found.upper for found in (plain if largest else strict).values()]
    lowers = [found.lower for found in (strict if largest else plain).values()]
    upper, lower = (
        (_all(uppers, pick), _any(lowers, pick)) if largest else (_any(uppers, pick), _all(lowers, pick))
    )
    return Estimate(values[name], lower, upper, plain[name].n, plain[name].of, at=name)


def _all(ends: list[float | None], pick: Callable[[list[float]], float]) -> float | None:
    known = [end for end in ends if end is not None]
    return pick(known) if len(known) == len(ends) else None


def _any(ends: list[float | None], pick: Callable[[list[float]], float]) -> float | None:
    known = [end for end in ends if end is not None]
    return pick(known) if known else None
