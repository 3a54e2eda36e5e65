"""The self-test of gates as plain text for a terminal."""

from __future__ import annotations

from edgebench.reports.gates_check import GatesCheck, Planted
from edgebench.reports.table import aligned
from edgebench.reports.units import NONE
from edgebench.reports.words import SYMBOLS, printable

_HEADER = ("", "gate", "artifact", "passes", "fails")


def gates_table(check: GatesCheck) -> str:
    """Return each gate with the smallest effects to which it passes and fails, then what is wrong."""
    rows = [
        (
            SYMBOLS["PASS" if found.problem is None else "FAIL"],
            printable(found.gate),
            printable(found.artifact) or NONE,
            _effect(found.passes),
            _effect(found.fails),
        )
        for found in check.checks
    ]
    parts = [aligned((_HEADER, *rows), left=range(len(_HEADER)))]
    for found in check.checks:
        if found.problem is not None:
            where = f" on {found.artifact}" if found.artifact else ""
            parts.append(f"{SYMBOLS['FAIL']} {printable(f'{found.gate}{where} {found.problem}')}")
    parts += [f"note  {printable(note)}" for note in check.notes]
    sound = sum(found.problem is None for found in check.checks)
    parts += ["", f"{sound} of {len(check.checks)} can pass and can fail; held against: {check.source}"]
    return "\n".join(parts)


def _effect(planted: Planted | None) -> str:
    return "never" if planted is None else planted.effect
