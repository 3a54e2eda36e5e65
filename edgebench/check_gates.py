"""The Python call behind `edgebench gates check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebench.reports.cases import Case
    from edgebench.reports.gates_check import GatesCheck


def check_gates(gates: Path, *, run_folder: Path | None = None) -> GatesCheck:
    """Return for each gate of a file whether it passes good evidence and fails bad, and by which effect.

    run_folder: the run in which the effects are planted; None for evidence made from nothing. Raises
    ConfigError for a file of gates that is not understood, InputError for a folder without evidence.
    """
    from edgebench.reports.gate_files import load_gates
    from edgebench.reports.gates_check import check_gates as check

    wanted = load_gates(gates)
    if run_folder is None:
        return check(wanted, None, "evidence made from nothing")
    return check(wanted, _cases(run_folder), str(run_folder))


def gates_table(check: GatesCheck) -> str:
    """Return a self-test of gates as text for a terminal."""
    from edgebench.reports.gates_table import gates_table as table

    return table(check)


def _cases(folder: Path) -> tuple[Case, ...]:
    from edgebench.reports.gates_check import cases_of
    from edgebench.reports.report import read_run

    return cases_of(*read_run(folder))
