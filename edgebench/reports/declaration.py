"""The criteria that are judged by, held against those that were declared before the measurement."""

from __future__ import annotations

from collections.abc import Sequence

from edgebench.benchmark.criteria import Criteria, criteria_sha256
from edgebench.benchmark.looks import Looks, Stop
from edgebench.errors import ConfigError
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.gates import Gate
from edgebench.reports.units import percent
from edgebench.reports.verdict import Declaration, Declared

_SHOWN = 16


def declared_gates(declared: Criteria | None) -> tuple[Gate, ...]:
    """Return the gates that were declared; the edge checklist where none were. Raises ConfigError."""
    return DEFAULT_GATES if declared is None else tuple(map(parse_gate, declared.gates))


def hold_against(declared: Criteria | None, gates: Sequence[Gate]) -> Declaration:
    """Return whether `gates` were declared before the measurement, and if others were, what differs. Pure."""
    if declared is None:
        return Declaration()
    words = {str(gate) for gate in gates}
    if criteria_sha256(words) == declared.sha256:
        return Declaration(Declared.BEFORE, declared.sha256, declared.declared_utc)
    gone = [text for text in declared.gates if text not in words]
    new = [str(gate) for gate in gates if str(gate) not in declared.gates]
    changes = tuple(dict.fromkeys(_changes(gone, new)))
    return Declaration(Declared.CHANGED, declared.sha256, declared.declared_utc, changes)


def _changes(gone: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return in words which gates were changed, added and removed; about the same: of one quantity there."""
    changes, left = [], list(new)
    for before in gone:
        now = next((text for text in left if _about(text) == _about(before)), None)
        if now is None:
            changes.append(f"removed `{before}`")
            continue
        left.remove(now)
        changes.append(f"`{before}` became `{now}`")
    return changes + [f"added `{text}`" for text in left]


def _about(text: str) -> tuple[str, str]:
    """Return what a gate asks about, and of which artifacts; of words no longer understood, the words."""
    try:
        gate = parse_gate(text)
    except ConfigError:
        return text, ""
    return gate.quantity, gate.on or ""


def declaration_words(found: Declaration) -> str:
    """Return in a sentence whether the criteria stood before the measurement."""
    if found.declared is Declared.NOT:
        return "the criteria were not declared before the measurement"
    sha256 = f"sha256 {(found.sha256 or '')[:_SHOWN]}…, {found.declared_utc}"
    if found.declared is Declared.BEFORE:
        return f"the criteria were written down before the measurement ({sha256})"
    return f"the criteria were CHANGED after the measurement: {'; '.join(found.changes)} (declared: {sha256})"


def declaration_notes(declaration: Declaration, looks: Looks | None) -> tuple[str, ...]:
    """Return what a verdict notes of its criteria: that they were changed, and how looks ended."""
    changed = (declaration_words(declaration),) if declaration.declared is Declared.CHANGED else ()
    return (*changed, *look_notes(looks, declaration))


def look_notes(looks: Looks | None, declaration: Declaration) -> tuple[str, ...]:
    """Return what a reader must know of a measurement that was looked at while it went on. Pure."""
    if looks is None:
        return ()
    sure, at = percent(round(looks.surer(0.95), 4)), ", ".join(map(str, looks.made))
    taken = (
        f"sessions were taken until the gates were decided: looks at {at} sessions, of at most {looks.most}, "
        f"each at {sure} so that all together hold at 95 %; it ended because {looks.stop.words}"
    )
    notes = [taken]
    notes += [f"open when it ended: {text}" for text in (*looks.waiting, *looks.stuck)]
    if looks.stop in (Stop.TIME, Stop.NARROW):
        less = " and a smaller --within, or none," if looks.stop is Stop.NARROW else ""
        notes.append(
            f"edgebench benchmark --until-decided with the same settings and folder{less} goes on from there"
        )
    if declaration.declared is not Declared.BEFORE:
        notes.append(
            "the measurement was stopped for other criteria than these: its looks are accounted for all the "
            "same, but how long it took was not chosen for them"
        )
    return tuple(notes)
